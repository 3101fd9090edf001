"""The wheel that users install: what is in it, how large it is, and that it works by itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from processes import environment

from moderation_service import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LIMIT_BYTES = 28_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, beside folders that must not get in."""
    if int(version("setuptools").partition(".")[0]) < 77:
        pytest.skip("setuptools >= 77 is needed to build without isolation (extra `dev`)")
    sources = tmp_path_factory.mktemp("sources")
    for name in ("moderation_service", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy(path, sources / name)
    for folder in ("dify_plugin", "tests", "training", "benchmarks", "examples"):
        (sources / folder).mkdir()
        (sources / folder / "main.py").write_text("")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out)]
    done = subprocess.run([*command, "."], cwd=sources, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_is_small_enough(wheel: Path) -> None:
    assert wheel.stat().st_size <= LIMIT_BYTES


def test_it_runs_anywhere_that_python_does(wheel: Path) -> None:
    assert wheel.name == f"moderation_service-{__version__}-py3-none-any.whl"


def test_it_has_every_module_and_every_file_of_the_package(names: set[str]) -> None:
    package = ROOT / "moderation_service"
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    for wanted in ("web/openapi.yaml", "web/static/index.html", "web/static/page.js", "py.typed"):
        assert f"moderation_service/{wanted}" in names
    assert [name for name in names if name.startswith("moderation_service/engines/lite/assets/")]


def test_it_has_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"moderation_service", f"moderation_service-{__version__}.dist-info"}
    assert not [name for name in names if "dify_plugin" in name or "/tests/" in name or name.endswith(".pyc")]


def test_it_carries_its_licence(names: set[str]) -> None:
    assert f"moderation_service-{__version__}.dist-info/licenses/LICENSE" in names


def test_it_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    command = [sys.executable, "-m", "moderation_service", "check", "How can I make a bomb?"]
    where = [sys.executable, "-c", "import moderation_service; print(moderation_service.__file__)"]
    variables = environment(PYTHONPATH=str(tmp_path))
    found = subprocess.run(where, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True, timeout=60)
    assert Path(found.stdout.strip()).is_relative_to(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("BLOCK  unsafe")
