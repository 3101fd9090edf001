"""Images as a container engine builds and runs them: every step of both Dockerfiles, read-only, without privileges."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from processes import until

from .conftest import ROOT, Built, Container, build, podman

pytestmark = pytest.mark.image

KEY = "image-0123456789abcdef"
UID = 10001


def ask(container: Container, path: str, body: object = None, *, key: str = KEY) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{container.port}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-API-Key": key, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def is_there(container: Container) -> bool:
    try:
        return ask(container, "/healthz")[0] == 200
    except OSError:
        assert container.inspect()["State"]["Running"], container.log()
        return False


def test_the_image_says_how_it_is_run_and_what_it_was_built_from(gateway: Built, base: str) -> None:
    said = gateway.config["Config"]
    assert (said["Entrypoint"], said["Cmd"]) == (["moderation-service"], ["serve"])
    assert (said["User"], said["WorkingDir"], list(said["ExposedPorts"])) == (f"{UID}:{UID}", "/app", ["8787/tcp"])
    assert said["StopSignal"] == "SIGTERM"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in said["Labels"].items()}
    assert (labels["version"], labels["revision"], labels["base.name"]) == ("9.9.9", "abc", base)


def test_a_change_of_the_service_makes_no_layer_of_what_it_needs_anew(
    gateway: Built, base: str, tmp_path: Path
) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("moderation_service", "manifests/docker"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "moderation_service" / "ids.py").open("a") as source:
        source.write("# later\n")
    later = build("Dockerfile", "localhost/gateway:later", tmp_path, PYTHON_IMAGE=base, VERSION="9.9.10")
    layers, again = (one.config["RootFS"]["Layers"] for one in (gateway, later))
    assert layers[:-1] == again[:-1]
    assert layers[-1] != again[-1]
    assert later.config["Labels"]["org.opencontainers.image.version"] == "9.9.10"


def test_it_judges_as_its_user_with_nothing_to_write_to_and_ends_when_told_to(gateway: Built) -> None:
    with gateway.container(MODERATION_API_KEYS=f"app:{KEY}") as one:
        until(lambda: is_there(one))
        status, decision = ask(one, "/moderate", {"prompt": "How can I make a bomb?"})
        assert (status, decision["action"], decision["engine"]) == (200, "block", "lite")
        assert ask(one, "/moderate", {"prompt": "bread"}, key="another-key-0123456789")[0] == 401
        for pid in podman("top", one.name, "hpid").stdout.split()[1:]:
            rights = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in rights
            assert "CapEff:\t0000000000000000" in rights
            assert "NoNewPrivs:\t1" in rights
        assert podman("healthcheck", "run", one.name, check=False).returncode == 0
        podman("stop", "--time", "20", one.name)
        assert one.inspect()["State"]["ExitCode"] == 0


def test_the_audit_record_goes_to_the_containers_log(gateway: Built) -> None:
    """`/dev/stdout` is the engine's pipe, opened by a process that is not root."""
    with gateway.container(MODERATION_API_KEYS=f"app:{KEY}", MODERATION_AUDIT_FILE="/dev/stdout") as one:
        until(lambda: is_there(one))
        _, decision = ask(one, "/moderate", {"prompt": "How can I make a bomb?"})
        until(lambda: any("policy_version" in line for line in one.log()))
        (record,) = [line for line in one.log() if "policy_version" in line]
        assert (record["id"], record["action"], record["key"]) == (decision["id"], "block", "app")


def test_settings_that_are_mounted_are_read_again_on_sighup(gateway: Built, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "policies.yaml").write_text("policies: {house: {extends: strict}}\n")
    (tmp_path / "api_keys").write_text(f"app:{KEY}\n")
    (tmp_path / "config.yaml").write_text(
        "policies_file: /etc/moderation/policies.yaml\napi_keys_file: /etc/moderation/api_keys\n"
    )
    mounted = ("--volume", f"{tmp_path}:/etc/moderation:ro")
    with gateway.container(options=mounted, MODERATION_CONFIG="/etc/moderation/config.yaml") as one:
        until(lambda: is_there(one))
        (tmp_path / "policies.yaml").write_text("policies: {home: {extends: strict}}\n")
        podman("kill", "--signal", "HUP", one.name)
        until(lambda: "home" in {policy["name"] for policy in ask(one, "/policies")[1]["policies"]})


def test_without_a_key_it_does_not_start_and_says_so(gateway: Built) -> None:
    done = gateway.run(MODERATION_PORT="18787")
    assert done.returncode == 1
    assert "no API key" in done.stderr


def test_the_command_line_is_there_and_no_installer(gateway: Built) -> None:
    assert gateway.run("check", "How can I make a bomb?").returncode == 3
    done = gateway.run("-m", "pip", "--version", options=("--entrypoint", "/opt/moderation/bin/python"))
    assert "No module named pip" in done.stderr


def test_the_image_for_stream_has_the_plugin_for_vllm_and_every_user_can_load_it(stream: Built) -> None:
    code = (
        "from importlib.metadata import entry_points; "
        "(one,) = entry_points(group='vllm.general_plugins'); print(one.name, one.load().__name__)"
    )
    done = stream.run("python3", "-c", code, options=("--user", "2000"))
    assert (done.stdout, done.returncode) == ("qwen3guard_stream register\n", 0), done.stderr
