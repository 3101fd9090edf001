"""Makes the environments of the tests marked `dify`.

.venv-dify has the newest plugin SDK and Dify's graph engine, .venv-dify-oldest the oldest SDK that the plugin supports.

    python tools/dify/prepare_venv.py        prints the interpreter's path; exits with 3 when no Python fits

Both need Python 3.12 or 3.13 (graphon 0.8.0 no newer one), while the service runs on 3.11 too. The interpreter is the
one in DIFY_PYTHON, this one, one on PATH, one of pyenv's, or as a last resort one that uv downloads. About 750 MB,
because graphon brings a document extraction stack; half a minute with a good connection. Runs on the standard library
alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".venv-dify"
REQUIREMENTS = HERE / "requirements.txt"
OLDEST_VENV = HERE.parents[1] / ".venv-dify-oldest"
OLDEST_REQUIREMENTS = HERE / "requirements-oldest.txt"
UV = "uv==0.13.9"
SUITABLE = {(3, 12), (3, 13)}
VARIABLE = "DIFY_PYTHON"


def venv_python(venv: Path = VENV) -> Path:
    """The interpreter of an environment, whether it is there or not."""
    return venv / "bin" / "python"


def is_current() -> bool:
    """Whether both environments are there and were made from the present requirements."""
    return _is_made(VENV, REQUIREMENTS) and _is_made(OLDEST_VENV, OLDEST_REQUIREMENTS)


def _is_made(venv: Path, requirements: Path) -> bool:
    stamp = venv / ".requirements"
    return venv_python(venv).exists() and stamp.is_file() and stamp.read_text("ascii") == _digest(requirements)


def make() -> Path:
    """Makes the environments, or leaves them when they are current. Raises SystemExit when no Python fits."""
    if not _is_made(VENV, REQUIREMENTS):
        shutil.rmtree(VENV, ignore_errors=True)
        base = next((python for python in _candidates() if _version(python) in SUITABLE), None)
        if base is not None:
            subprocess.run([base, "-m", "venv", str(VENV)], check=True)
        else:
            _make_with_downloaded_python()
        python = str(venv_python())
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], check=True)
        _install(VENV, REQUIREMENTS)
    if not _is_made(OLDEST_VENV, OLDEST_REQUIREMENTS):
        shutil.rmtree(OLDEST_VENV, ignore_errors=True)
        subprocess.run([str(venv_python()), "-m", "venv", "--without-pip", str(OLDEST_VENV)], check=True)
        _install(OLDEST_VENV, OLDEST_REQUIREMENTS)
    return venv_python()


def _install(venv: Path, requirements: Path) -> None:
    """By the uv of the first environment."""
    target = ["--python", str(venv_python(venv)), "--requirement", str(requirements)]
    subprocess.run([str(venv_python()), "-m", "uv", "pip", "install", "--quiet", *target], check=True)
    (venv / ".requirements").write_text(_digest(requirements), "ascii")


def _digest(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def _candidates() -> Iterator[str]:
    """Interpreters that may fit, the most explicit first."""
    if chosen := os.environ.get(VARIABLE):
        yield chosen
    yield sys.executable
    for name in ("python3.12", "python3.13"):
        if path := shutil.which(name):
            yield path
    roots = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser(), Path("/opt/pyenv")]
    for version in ("3.12*", "3.13*"):
        for root in roots:
            for folder in sorted(root.glob(f"versions/{version}")):
                yield str(folder / "bin" / "python")


def _version(python: str) -> tuple[int, int] | None:
    """Asked of the interpreter itself: a pyenv shim on PATH may lead nowhere."""
    code = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return int(major), int(minor)


def _make_with_downloaded_python() -> None:
    """Lets uv fetch Python 3.12, which needs GitHub or a mirror set in UV_PYTHON_INSTALL_MIRROR."""
    helper = VENV.with_name(".venv-dify-uv")
    subprocess.run([sys.executable, "-m", "venv", str(helper)], check=True)
    try:
        python = str(helper / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], check=True)
        done = subprocess.run(
            [python, "-m", "uv", "venv", "--quiet", "--seed", "--python", "3.12", str(VENV)], check=False
        )
    finally:
        shutil.rmtree(helper, ignore_errors=True)
    if done.returncode != 0:
        print(
            "No Python 3.12 or 3.13 was found, and none could be downloaded. Install one (for instance with pyenv) "
            f"or set {VARIABLE} to its path.",
            file=sys.stderr,
        )
        raise SystemExit(3)


if __name__ == "__main__":
    print(make())
