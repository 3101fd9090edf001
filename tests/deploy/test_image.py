"""The Dockerfile: linted, its steps carried out in a folder, and its commands run as the user it names.

No container engine is needed; tests/image builds and runs the images with one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from processes import Running, free_port

from moderation_service import __version__

from .dockerfile import Image, build

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "manifests" / "docker" / "Dockerfile"
KEY = "image-0123456789abcdef"
UID = 10001


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once; in a folder that the image's user can look into."""
    folder = Path(tempfile.mkdtemp(prefix="moderation-image-"))
    try:
        folder.chmod(0o755)
        (folder / "tmp").mkdir()
        made = build(DOCKERFILE, ROOT, folder)
        (folder / "tmp").chmod(0o1777)
        yield made
    finally:
        shutil.rmtree(folder)


def as_its_user(image: Image) -> dict[str, int | list[int]]:
    """What makes a process run as the image's user, where that is possible."""
    if os.getuid() != 0:
        return {}
    uid, gid = map(int, image.user.split(":"))
    return {"user": uid, "group": gid, "extra_groups": []}


def environment(image: Image, port: int, **variables: str) -> dict[str, str]:
    return {**image.environment, "MODERATION_PORT": str(port), **variables}


@contextlib.contextmanager
def container(image: Image, *arguments: str, **variables: str) -> Iterator[Running]:
    """The image's command as a process."""
    port = free_port()
    process = subprocess.Popen(
        [*image.entrypoint, *(arguments or image.command)],
        cwd=image.inside(image.workdir),
        env=environment(image, port, **variables),
        stderr=subprocess.PIPE,
        **as_its_user(image),  # type: ignore[call-overload]
    )
    service = Running(process, port)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.close()


def run_inside(
    image: Image, command: Sequence[str], port: int = 1, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=image.inside(image.workdir),
        env=environment(image, port, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **as_its_user(image),  # type: ignore[call-overload]
    )


def state_of(image: Image) -> dict[str, tuple[int, int]]:
    """Size and time of every file of the image, but for what it may write."""
    found = {}
    for folder, folders, files in os.walk(image.root):
        if Path(folder) == image.root:
            folders.remove("tmp")
        for name in files:
            status = (Path(folder) / name).lstat()
            found[f"{folder}/{name}"] = (status.st_size, status.st_mtime_ns)
    return found


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_says_what_the_chart_counts_on(image: Image) -> None:
    assert (image.entrypoint, image.command) == (["moderation-service"], ["serve"])
    assert (image.user, image.workdir, image.ports) == (f"{UID}:{UID}", "/app", ["8787"])
    assert image.stop_signal == "SIGTERM"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in image.labels.items()}
    assert (labels["licenses"], labels["version"]) == ("Apache-2.0", __version__)
    assert labels["base.name"].startswith("python:3.")
    assert {"revision", "created", "source"} <= labels.keys()


def test_make_hands_over_what_the_labels_say() -> None:
    command = ["make", "--no-print-directory", "image", "DOCKER=echo", "SOURCE=https://git.example.org/moderation"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    words = done.stdout.splitlines()[-1].split()
    given = dict(after.split("=", 1) for before, after in itertools.pairwise(words) if before == "--build-arg")
    assert given.keys() == {"VERSION", "REVISION", "CREATED", "SOURCE"}
    assert (given["VERSION"], given["SOURCE"]) == (__version__, "https://git.example.org/moderation")
    datetime.fromisoformat(given["CREATED"])
    assert set(re.findall(r"^ARG (\w+)=", DOCKERFILE.read_text(), re.MULTILINE)) == {*given, "PYTHON_IMAGE"}


def test_the_bill_of_materials_shown_has_everything_that_is_installed(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^cyclonedx-py .*$", (ROOT / "docs/kubernetes.md").read_text(), re.MULTILINE)
    words = shlex.split(shown)
    words = [str(tmp_path / "sbom.json") if word == "sbom.json" else word for word in words]
    program = Path(sys.executable).with_name(words[0])
    subprocess.run([program, *words[1:]], cwd=ROOT, capture_output=True, check=True, timeout=120)
    listed = {one["purl"] for one in json.loads((tmp_path / "sbom.json").read_text())["components"]}
    lock = (DOCKERFILE.parent / "requirements.lock").read_text()
    assert listed == {f"pkg:pypi/{name}@{version}" for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.M)}


def test_the_service_is_a_layer_of_its_own(image: Image) -> None:
    """What changes with every commit is small, and nothing of it is among what it needs."""

    def size(folder: str) -> int:
        return sum(file.lstat().st_size for file in Path(image.inside(folder)).rglob("*"))

    assert not list(Path(image.inside("/opt/moderation")).rglob("moderation_service"))
    assert size("/opt/service") < size("/opt/moderation") / 4


def test_what_the_charts_values_switch_on_can_be_imported(image: Image) -> None:
    wanted = "sqlalchemy, alembic, argon2, authlib, ahocorasick_rs, re2, limits, psycopg, redis, cryptography"
    done = run_inside(image, [image.inside("/opt/moderation/bin/python"), "-c", f"import {wanted}"])
    assert (done.returncode, done.stderr) == (0, "")


def test_it_serves_as_its_user_and_writes_nothing_but_to_its_temporary_folder(image: Image) -> None:
    before = state_of(image)
    with container(image, MODERATION_API_KEYS=f"app:{KEY}") as service:
        reply = service.request("POST", "/moderate", {"prompt": "How can I make a bomb?"}, X_API_Key=KEY)
        assert (reply.status, reply.json["action"], reply.json["engine"]) == (200, "block", "lite")
        assert service.request("POST", "/moderate", {"prompt": "bread"}).status == 401
        assert service.request("GET", "/metrics", X_API_Key=KEY).status == 200
        if os.getuid() == 0:
            for pid in (service.process.pid, *service.workers()):
                status = Path(f"/proc/{pid}/status").read_text()
                assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
        assert service.stop() == 0
    assert state_of(image) == before
    assert list((image.root / "tmp").iterdir()) == []


def test_it_listens_on_all_addresses_and_therefore_insists_on_a_key(image: Image) -> None:
    done = run_inside(image, [*image.entrypoint, *image.command], free_port())
    assert done.returncode == 1
    assert done.stderr.startswith("moderation-service: host: 0.0.0.0 can be reached from other machines and no API key")


def test_its_health_check_tells_life_from_death(image: Image) -> None:
    with container(image, "serve", "--workers", "1", MODERATION_ALLOW_OPEN="true") as service:
        alive = run_inside(image, image.healthcheck, service.port, http_proxy="http://127.0.0.1:9")
        assert (alive.returncode, alive.stdout, alive.stderr) == (0, "", "")
    assert run_inside(image, image.healthcheck, service.port).returncode != 0


def test_it_has_the_command_line_with_traces_and_tokens_and_no_installer(image: Image) -> None:
    version = run_inside(image, [*image.entrypoint, "--version"])
    assert __version__ in version.stdout
    check = run_inside(image, [*image.entrypoint, "check", "How can I make a bomb?"])
    assert (check.returncode, check.stdout[:5]) == (3, "BLOCK")
    python = image.inside("/opt/moderation/bin/python")
    assert run_inside(image, [python, "-c", "import opentelemetry.sdk.trace, tokenizers"]).returncode == 0
    assert run_inside(image, [python, "-m", "pip", "--version"]).returncode == 1


def test_settings_policies_and_keys_are_mounted_and_read_again_on_sighup(image: Image) -> None:
    folder = Path(image.inside("/etc/moderation"))
    folder.mkdir(parents=True)
    try:
        (folder / "policies.yaml").write_text("policies: {house: {extends: strict}}\n")
        (folder / "api_keys").write_text(f"app:{KEY}\n")
        (folder / "config.yaml").write_text(
            f"policies_file: {folder}/policies.yaml\napi_keys_file: {folder}/api_keys\n"
        )
        with container(image, MODERATION_CONFIG=str(folder / "config.yaml")) as service:
            service.request("GET", "/healthz")
            (folder / "policies.yaml").write_text("policies: {home: {extends: strict}}\n")
            workers = set(service.workers())
            service.process.send_signal(signal.SIGHUP)
            while workers & set(service.workers()):
                assert service.request("GET", "/healthz").status == 200
            reply = service.request("GET", "/policies", X_API_Key=KEY)
            assert "home" in {policy["name"] for policy in reply.json["policies"]}
    finally:
        shutil.rmtree(folder.parent)


def test_the_locked_versions_suit_what_the_package_asks_for(image: Image) -> None:
    """`pip check` ran in the build; here: nothing was resolved anew, and every line has a hash."""
    lock = (DOCKERFILE.parent / "requirements.lock").read_text()
    wanted = [line for line in lock.splitlines() if line and not line.startswith(("#", " "))]
    assert all(line.endswith("\\") and "==" in line for line in wanted)
    assert lock.count("--hash=sha256:") > len(wanted)
