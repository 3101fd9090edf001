"""Makes .venv-dify, the environment of the tests marked `dify`: the plugin SDK and Dify's graph engine.

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
UV = "uv==0.13.9"
SUITABLE = {(3, 12), (3, 13)}
VARIABLE = "DIFY_PYTHON"


def venv_python() -> Path:
    """The interpreter of the environment, whether it is there or not."""
    return VENV / "bin" / "python"


def is_current() -> bool:
    """Whether the environment is there and was made from the present requirements."""
    stamp = VENV / ".requirements"
    return venv_python().exists() and stamp.is_file() and stamp.read_text("ascii") == _digest()


def make() -> Path:
    """Makes the environment, or leaves it when it is current. Raises SystemExit when no Python fits."""
    if not is_current():
        shutil.rmtree(VENV, ignore_errors=True)
        base = next((python for python in _candidates() if _version(python) in SUITABLE), None)
        if base is not None:
            subprocess.run([base, "-m", "venv", str(VENV)], check=True)
        else:
            _make_with_downloaded_python()
        python = str(venv_python())
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV], check=True)
        install = ["-m", "uv", "pip", "install", "--quiet", "--python", python, "--requirement", str(REQUIREMENTS)]
        subprocess.run([python, *install], check=True)
        (VENV / ".requirements").write_text(_digest(), "ascii")
    return venv_python()


def _digest() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


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
