"""The systemd units: verified by systemd's own tools, and their commands run as systemd would run them."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_guard_server import BOMB, FakeServer, Request, guard, reply
from processes import Running, free_port

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "manifests" / "systemd"
ALONE, UP = "moderation-service.service", "moderation-service-up.service"
KEY = "systemd-0123456789abcdef"

each_unit = pytest.mark.parametrize("name", [ALONE, UP])


class Parser(configparser.RawConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr


def service_section(name: str) -> configparser.SectionProxy:
    parser = Parser(strict=False)  # Environment= may come twice; the last one then counts here
    parser.read(FOLDER / name)
    return parser["Service"]


def analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@each_unit
def test_systemd_finds_no_mistake_in_it(name: str, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("moderation-service")
    unit = tmp_path / name
    unit.write_text((FOLDER / name).read_text().replace("/opt/moderation/bin/moderation-service", str(program)))
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "limit"), [(ALONE, 2.0), (UP, 4.5)])
def test_it_is_shut_off_from_the_system_as_far_as_its_work_allows(name: str, limit: float) -> None:
    done = analyze("security", "--offline=yes", FOLDER / name)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout + done.stderr)
    assert level is not None, done.stderr
    assert float(level[1]) <= limit


def test_the_user_is_made_by_sysusers(tmp_path: Path) -> None:
    line = (FOLDER / "moderation-service.sysusers").read_text().splitlines()[-1]
    assert shlex.split(line) == ["u", "moderation", "-", "Moderation service", "/var/lib/moderation"]
    assert {service_section(name)["User"] for name in (ALONE, UP)} == {"moderation"}


@contextmanager
def as_systemd_runs_it(name: str, folder: Path, port: int, **variables: str) -> Iterator[Running]:
    """The unit's command with the unit's environment, once it has said that it is ready."""
    section = service_section(name)
    command = section["ExecStart"].replace("/etc/moderation", str(folder))
    for variable, value in variables.items():
        command = command.replace(f"${variable}", value)
    words = shlex.split(command)
    words[0] = words[0].replace("/opt/moderation/bin", str(Path(sys.executable).parent))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(folder / "notify"))
        notices.settimeout(60)
        process = subprocess.Popen(
            words,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "XDG_CACHE_HOME": str(folder),
                "NOTIFY_SOCKET": str(folder / "notify"),
                "MODERATION_PORT": str(port),
            },
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        service = Running(process, port)
        try:
            assert section["Type"] == "notify"
            assert notices.recv(4096).startswith(b"READY=1")
            yield service
        finally:
            service.process.terminate()
            service.wait()
            service.close()


def reload(name: str, service: Running) -> None:
    command = service_section(name)["ExecReload"].replace("$MAINPID", str(service.process.pid))
    subprocess.run(shlex.split(command), check=True, timeout=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What /etc/moderation holds."""
    (tmp_path / "api_keys").write_text(f"app:{KEY}\n")
    (tmp_path / "config.yaml").write_text(f"workers: 1\napi_keys_file: {tmp_path}/api_keys\n")
    return tmp_path


def renew_key(folder: Path, name: str, service: Running) -> None:
    (folder / "api_keys").write_text(f"app:{KEY}-2\n")
    reload(name, service)
    while service.request("GET", "/policies", X_API_Key=KEY).status != 401:
        pass
    assert service.request("GET", "/policies", X_API_Key=f"{KEY}-2").status == 200


def test_the_service_says_when_it_is_ready_reloads_and_ends(folder: Path) -> None:
    with as_systemd_runs_it(ALONE, folder, free_port()) as service:
        asked = service.request("POST", "/moderate", {"prompt": BOMB}, X_API_Key=KEY)
        assert (asked.json["action"], asked.json["engine"]) == ("block", "lite")
        renew_key(folder, ALONE, service)
        service.process.terminate()
        assert service.wait() == 0


def test_up_says_when_the_service_in_front_of_the_model_is_ready_reloads_and_ends(folder: Path) -> None:
    def behave(request: Request):  # type: ignore[no-untyped-def]
        return reply(200, {}) if request.path == "/health" else guard(request)

    model = FakeServer(behave)
    model.start()
    try:
        with as_systemd_runs_it(UP, folder, free_port(), UP_OPTIONS=f"--upstream {model.url}") as service:
            asked = service.request("POST", "/moderate", {"prompt": BOMB}, X_API_Key=KEY)
            assert (asked.json["action"], asked.json["engine"]) == ("block", "vllm")
            renew_key(folder, UP, service)
            service.process.terminate()
            assert service.wait() == 0
    finally:
        model.stop()


def test_a_second_model_is_asked_for_in_the_file_of_variables(folder: Path) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {ROOT / 'tests/launch/nvidia_smi/one_gpu.xml'}\n")
    program.chmod(0o755)
    command = service_section(UP)["ExecStart"].replace("/etc/moderation", str(folder))
    words = shlex.split(command.replace("$UP_OPTIONS", "--stream --dry-run"))
    words[0] = words[0].replace("/opt/moderation/bin", str(Path(sys.executable).parent))
    variables = {"PATH": f"{folder}:/usr/bin:/bin", "XDG_CACHE_HOME": "/var/cache/moderation"}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    gen, stream = [line for line in done.stdout.splitlines() if " vllm serve " in line]
    assert "vllm serve /var/cache/moderation/moderation-service/models/huggingface/Qwen--Qwen3Guard-Gen-" in gen
    assert "vllm serve /var/cache/moderation/moderation-service/models/huggingface/Qwen--Qwen3Guard-Stream-" in stream


@each_unit
def test_it_is_given_time_to_finish_what_it_has_begun(name: str) -> None:
    section = service_section(name)
    assert int(section["TimeoutStopSec"]) > 10  # graceful_timeout_s
    assert section["KillMode"] == "mixed"
    assert section["ProtectSystem"] == "strict"
    assert section["NoNewPrivileges"] == "yes"


def test_a_reload_needs_the_program_kill() -> None:
    assert os.access("/bin/kill", os.X_OK)
