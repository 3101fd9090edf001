"""An environment of its own for an engine, from a lock with hashes: made once, used by every start after that.

    <cache>/engines/llamacpp-3f2a91c07b1e/           the environment, complete when the marker is in it
    <cache>/engines/llamacpp-3f2a91c07b1e.lock       held while one process makes it
    <cache>/engines/llamacpp-3f2a91c07b1e.log        what pip said

Its name holds a digest of the lock and of the Python, so that another version of either never meets an old
environment. What a kill left half made has no marker, and is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .command_line import without_secrets
from .errors import PreparationFailed
from .locked import locked
from .process import ChildProcess, tail
from .progress import Console

__all__ = ["PinnedEnvironment", "run_step"]

_MARKER = ".moderation-service.json"
_IMPORT_S = 300.0
"""vLLM takes ten seconds, on a busy machine a minute."""
_TICK_S = 0.1
_SHOWN_LINES = 8
# Where they would put it elsewhere than into the environment, or forbid that.
_UNWANTED = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "PYTHONHOME", "PYTHONPATH")
_EXPLANATIONS = (
    (
        r"DO NOT MATCH THE HASHES",
        "What the package index sent is not what the lock names, so nothing of it was used. A mirror that rebuilds "
        "packages does that; so would an attack.",
    ),
    (r"No space left on device|Errno 28", "The disk is full. --cache-dir chooses another one; the rest is made anew."),
    (
        r"No matching distribution found|Could not find a version",
        "The package index has no wheel of the version in the lock for this machine. Another index is set with pip's "
        "own PIP_INDEX_URL.",
    ),
    (
        r"NewConnectionError|Max retries exceeded|Temporary failure in name resolution|ProxyError|SSLError",
        "The package index can't be reached. A mirror is set with pip's own PIP_INDEX_URL, a folder of wheels with "
        "PIP_NO_INDEX=1 and PIP_FIND_LINKS.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class PinnedEnvironment:
    """The environment for a lock."""

    cache: Path
    name: str
    lock: Path
    imports: tuple[str, ...]
    """Modules that must be importable in it."""
    extra_index: str | None = None
    """A second index, asked only when the usual one lacks something."""
    alias: tuple[str, str] | None = None
    """A distribution that is to be found there, by name and version, although none of that name is installed."""

    @property
    def folder(self) -> Path:
        """Where it is or will be."""
        python = f"{sys.implementation.cache_tag} {os.uname().machine}"
        digest = hashlib.sha256(self.lock.read_bytes() + python.encode()).hexdigest()
        return self.cache / "engines" / f"{self.name}-{digest[:12]}"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def is_complete(self) -> bool:
        """Whether it is there; the interpreter is a link, which an upgrade of the system may have broken."""
        return (self.folder / _MARKER).is_file() and self.python.exists()

    def make(self, *, environ: Mapping[str, str], console: Console, sleep: Callable[[float], None]) -> None:
        """Make it if it isn't there. Raises PreparationFailed with the reason."""
        if self.is_complete:
            return
        folder = self.folder
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(folder.name + ".lock"), console, "is making this environment"):
                if not self.is_complete:
                    console.say(f"Making the environment {folder}")
                    shutil.rmtree(folder, ignore_errors=True)
                    venv.EnvBuilder(symlinks=True).create(folder)
                    self._install(environ, console, sleep)
                    self._add_alias()
                    self._check(environ)
                    self._mark()
        except OSError as error:
            raise PreparationFailed(f"{folder}: {error.strerror or 'it could not be made'}.") from error

    def _install(self, environ: Mapping[str, str], console: Console, sleep: Callable[[float], None]) -> None:
        env = {name: value for name, value in without_secrets(environ).items() if name not in _UNWANTED}
        env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        log = self.folder.with_name(self.folder.name + ".log")
        words = ("install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", str(self.lock))
        indexes: list[Sequence[str]] = [()]
        if self.extra_index is not None:
            indexes.append(("--extra-index-url", self.extra_index))
        for more in indexes:
            log.unlink(missing_ok=True)
            pip = self._pip(env)
            code = run_step((*pip, *words, *more), env=env, log=log, console=console, sleep=sleep)
            if code == 0:
                return
        lines = tail(log, lines=400)
        reason = next((text for pattern, text in _EXPLANATIONS if re.search(pattern, "\n".join(lines))), "")
        shown = "".join(f"\n  | {line}" for line in lines[-_SHOWN_LINES:])
        raise PreparationFailed(
            f"The programs for {self.name} could not be installed from {self.lock.name}. {reason}\n"
            f"pip's last lines ({log}):{shown}"
        )

    def _pip(self, env: Mapping[str, str]) -> Sequence[str]:
        """Ours works on other environments; where we have none, the new one gets the one that Python brings."""
        if find_spec("pip") is not None:
            return (sys.executable, "-m", "pip", "--python", str(self.python))
        if find_spec("ensurepip") is None:
            raise PreparationFailed(
                "Neither pip nor ensurepip is there to install it with (on Debian: apt install python3-venv)."
            )
        words = (str(self.python), "-I", "-m", "ensurepip", "--default-pip")
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=dict(env))  # noqa: S603
        if done.returncode != 0:
            raise PreparationFailed(f"pip could not be set up in {self.folder}: {done.stderr.strip()[-300:]}")
        return (str(self.python), "-m", "pip")

    def _add_alias(self) -> None:
        if self.alias is None:
            return
        name, version = self.alias
        (packages,) = (self.folder / "lib").glob("python*/site-packages")
        entry = packages / f"{name}-{version}.dist-info"
        entry.mkdir(exist_ok=True)
        (entry / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")

    def _check(self, environ: Mapping[str, str]) -> None:
        words = (str(self.python), "-I", "-c", "import " + ", ".join(self.imports))
        try:
            # What was just fetched is run here for the first time: no key of ours is in its reach.
            env = without_secrets(environ)
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_IMPORT_S, env=env)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise PreparationFailed(f"The programs for {self.name} don't start here: no answer.") from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PreparationFailed(f"The programs for {self.name} are installed, but don't start here: {last}")

    def _mark(self) -> None:
        with (self.folder / _MARKER).open("w", encoding="utf-8") as output:
            json.dump({"lock": hashlib.sha256(self.lock.read_bytes()).hexdigest()}, output)
            output.flush()
            os.fsync(output.fileno())


def run_step(
    argv: Sequence[str], *, env: Mapping[str, str], log: Path, console: Console, sleep: Callable[[float], None]
) -> int:
    """Run a program to its end, its last line shown meanwhile; it ends with us, however we end. Returns its code."""
    child = ChildProcess(argv, env=env, log=log, sleep=sleep)
    try:
        while (code := child.poll()) is None:
            last = tail(log, lines=1)
            console.progress(f"  {last[0].strip()[:100]}" if last else "  ...")
            sleep(_TICK_S)
        return code
    finally:
        child.kill()
