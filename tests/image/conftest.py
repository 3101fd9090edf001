"""Both images, really built, and containers of them; skipped with the reason where a machine can't do that."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import free_port

ROOT = Path(__file__).parents[2]
KEEP = ROOT / ".tools" / "image"
BASE = "localhost/python:bookworm"
"""Stands in for the image that the Dockerfiles name, which only a registry has: Debian with its Python and pip."""
PROGRAMS = ("buildah", "podman", "runc", "debootstrap")
PACKAGES = ("python3", "python3-venv", "python3-pip", "python-is-python3", "ca-certificates")
DEBIAN = "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs")

# Images and containers of our own, so that a run sees none of the machine's and leaves none there.
_STORE = ("--root", str(KEEP / "store"), "--runroot", str(KEEP / "run"))


def run(*command: str | Path, within_s: float = 900, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=within_s, check=False
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


def buildah(*words: str | Path) -> str:
    return run("buildah", *_STORE, *words).stdout.strip()


def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run("podman", *_STORE, "--cgroup-manager", "cgroupfs", "--runtime", "runc", *words, check=check)


def _limits() -> tuple[str, ...]:
    """Podman's own are higher than what some machines let even root have."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return ("--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096")


@dataclass
class Container:
    """One that runs in the background."""

    name: str
    port: int

    def inspect(self) -> Any:
        return json.loads(podman("inspect", self.name).stdout)[0]

    def log(self) -> list[dict[str, Any]]:
        done = podman("logs", self.name)
        lines = (done.stdout + done.stderr).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@dataclass(frozen=True)
class Built:
    """An image by its name."""

    name: str

    @property
    def config(self) -> Any:
        return json.loads(podman("image", "inspect", self.name).stdout)[0]

    def options(self, *more: str, **variables: str) -> list[str]:
        """As the documentation runs it: nothing may be written, nobody has a privilege."""
        words = ["--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
        words += ["--security-opt", "no-new-privileges", *_limits(), *more]
        return [*words, *(word for name, value in variables.items() for word in ("--env", f"{name}={value}"))]

    def run(self, *arguments: str, options: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        return podman("run", "--rm", *self.options(*options, **variables), self.name, *arguments, check=False)

    @contextlib.contextmanager
    def container(self, *arguments: str, options: Sequence[str] = (), **variables: str) -> Iterator[Container]:
        port = free_port()
        variables = {"MODERATION_PORT": str(port), **variables}
        name = podman("run", "--detach", *self.options(*options, **variables), self.name, *arguments).stdout.strip()
        try:
            yield Container(name, port)
        finally:
            podman("rm", "--force", name)


@pytest.fixture(scope="session")
def base() -> str:
    """The base image's name; made once and kept."""
    if os.getuid() != 0:
        pytest.skip("only root can build images here")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed and not to be had from the distribution: {', '.join(missing)}")
    KEEP.mkdir(parents=True, exist_ok=True)
    if not buildah("images", "--quiet", "--filter", f"reference={BASE}"):
        _make_base()
    first = podman("run", "--rm", "--network", "host", *_limits(), BASE, "python", "--version", check=False)
    if first.returncode:
        pytest.skip(f"no container can be run here: {first.stderr.strip()[-300:]}")
    return BASE


def _make_base() -> None:
    folder = KEEP / "base"
    shutil.rmtree(folder, ignore_errors=True)
    words = ("--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", folder, DEBIAN)
    done = run("debootstrap", *words, check=False)
    if done.returncode:
        pytest.skip(f"Debian's packages can't be had: {done.stdout.strip()[-300:]}")
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)
    # The image that is stood in for lets pip install beside the distribution's packages.
    for marker in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    made = buildah("from", "scratch")
    buildah("add", "--quiet", made, folder, "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", made)
    buildah("commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(folder)


def build(dockerfile: str, name: str, context: Path = ROOT, **arguments: str) -> Built:
    """With the machine's own certificates and package index, which are not in the image then."""
    settings = KEEP / "pip.conf"
    lines = [f"cert = {CERTIFICATES / 'ca-certificates.crt'}"]
    index = run("python3", "-m", "pip", "config", "get", "global.index-url", check=False).stdout.strip()
    settings.write_text("\n".join(["[global]", *lines, *([f"index-url = {index}"] if index else [])]) + "\n")
    given = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
    # Docker's format keeps the health check; layers of an earlier build are taken where nothing has changed.
    words = ("--format", "docker", "--layers", "--isolation", "chroot", "--network", "host", "--pull-never")
    mounts = ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--volume", f"{settings}:/etc/pip.conf:ro")
    file = context / "manifests" / "docker" / dockerfile
    buildah("build", *words, *mounts, *given, "--file", file, "--tag", name, context)
    return Built(name)


@pytest.fixture(scope="session")
def gateway(base: str) -> Built:
    return build("Dockerfile", "localhost/gateway:test", PYTHON_IMAGE=base, VERSION="9.9.9", REVISION="abc")


@pytest.fixture(scope="session")
def stream(base: str) -> Built:
    """With the plugin on a base in which there is no vLLM."""
    return build("Dockerfile.vllm-stream", "localhost/stream:test", PYTHON_IMAGE=base, VLLM_IMAGE=base)
