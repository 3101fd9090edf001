"""vLLM's image with the plugin: linted, and its steps carried out in a folder in which there is no vLLM."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .dockerfile import Image, build, instructions

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "manifests" / "docker" / "Dockerfile.vllm-stream"
COMPOSE = ROOT / "manifests" / "compose" / "compose.gpu.yaml"
_LIST = """
from importlib.metadata import distributions, entry_points
print(*{one.name for one in distributions()} - {"pip", "setuptools"})  # of the stand-in for vLLM's image
(plugin,) = entry_points(group="vllm.general_plugins")
print(plugin.name, plugin.load().__name__)
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    folder = Path(tempfile.mkdtemp(prefix="moderation-image-"))
    try:
        (folder / "tmp").mkdir()
        yield build(DOCKERFILE, ROOT, folder, has_pip=True)
    finally:
        shutil.rmtree(folder)


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_plugin_and_nothing_else_is_added_to_vllms_packages(image: Image) -> None:
    command = [image.root / "base-image/bin/python3", "-c", _LIST]
    done = subprocess.run(
        command, cwd=image.root, env=image.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["moderation-service-vllm-stream", "qwen3guard_stream register"]


def test_every_user_can_read_the_plugin(image: Image) -> None:
    (package,) = image.root.glob("base-image/lib/python*/site-packages/moderation_vllm_stream")
    modes = [file.stat().st_mode for file in (package, *package.glob("*.py"))]
    assert len(modes) == 3
    assert all(mode & stat.S_IROTH for mode in modes)


def test_who_runs_vllm_and_how_is_left_to_its_image(image: Image) -> None:
    assert (image.entrypoint, image.command, image.user, image.healthcheck) == ([], [], "root", [])


def test_it_builds_on_the_vllm_that_compose_runs() -> None:
    arguments = dict(rest.split("=", 1) for name, rest in instructions(DOCKERFILE.read_text()) if name == "ARG")
    service = yaml.safe_load(COMPOSE.read_text())["services"]["guard-stream"]
    assert service["build"]["args"]["VLLM_IMAGE"] == f"${{VLLM_IMAGE:-{arguments['VLLM_IMAGE']}}}"
    assert ROOT / service["build"]["dockerfile"] == DOCKERFILE
