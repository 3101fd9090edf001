"""What an engine for the CPU needs, made step by step: its environment, the model, and what it makes of the model.

    <cache>/engines/...                              see `environment`
    <cache>/huggingface/...                          see `download`
    <cache>/converted/NAME-3f2a91c07b1e.q8_0.gguf    whole when it is there; `.partial` while it is written

Each step is skipped where its result is there, and begins anew, or goes on, where a kill or a full disk left it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .command_line import without_secrets
from .cpu_engines import CpuEngine, Load
from .download import MANIFEST, Downloader
from .environment import PinnedEnvironment, run_step
from .errors import PreparationFailed
from .guard import Guard
from .hub import Hub
from .locked import locked
from .process import tail

__all__ = ["Missing", "Preparation"]

_WRITER = "1"
"""Of what `inside/convert.py` writes: another version makes every model be converted again."""
_SPARE_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Missing:
    """Which of the three steps are still to be done."""

    environment: bool
    model: bool
    artefact: bool

    @property
    def is_nothing(self) -> bool:
        """Whether all is there."""
        return not (self.environment or self.model or self.artefact)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The three steps for one engine and one model."""

    engine: CpuEngine
    lock: Path
    """The engine's own, or one that the user has put in its place."""
    guard: Guard
    hub: Hub | None
    """Where the model comes from; None if it lies in the guard's own folder."""
    downloader: Downloader
    environ: Mapping[str, str]
    drop_source: bool = False
    """Remove the downloaded weights once they are converted."""

    @property
    def environment(self) -> PinnedEnvironment:
        """Where the engine's programs are or will be."""
        return PinnedEnvironment(
            cache=self.downloader.cache,
            name=self.engine.name,
            lock=self.lock,
            imports=self.engine.imports,
            extra_index=self.engine.extra_index,
            alias=self.engine.alias,
        )

    @property
    def model(self) -> Path:
        """The folder with the model as it was published."""
        if self.guard.path is not None:
            return self.guard.path
        assert self.hub is not None
        return self.downloader.folder(self.hub)

    def served(self) -> Path | None:
        """What is to be served, if it is known yet: that depends on the model's content."""
        if not self.engine.suffix:
            return self.model
        identity = self._identity()
        if identity is None:
            return None
        digest = hashlib.sha256(f"{_WRITER} {self.engine.suffix} {identity}".encode()).hexdigest()
        name = self.guard.repo.replace("/", "--")
        return self.downloader.cache / "converted" / f"{name}-{digest[:12]}{self.engine.suffix}"

    def missing(self) -> Missing:
        """What `run` would do."""
        served = self.served()
        has_artefact = served is not None and served.exists()
        has_model = self.hub is None or self.downloader.is_complete(self.hub)
        if not self.engine.suffix:
            has_artefact = True
        return Missing(
            environment=not self.environment.is_complete,
            # What was made of the model is enough.
            model=not has_model and not (self.engine.suffix and has_artefact),
            artefact=not has_artefact,
        )

    def run(self) -> Path:
        """Do what is missing, and return what is to be served. Raises LaunchError with the reason."""
        missing = self.missing()
        console, sleep = self.downloader.console, self.downloader.sleep
        self.environment.make(environ=self.environ, console=console, sleep=sleep)
        if missing.model and self.hub is not None:
            self.downloader.fetch(self.hub)
        served = self.served()
        assert served is not None, "the model is there"
        if not served.exists():
            self._convert(served)
        if self.drop_source and self.engine.suffix and self.hub is not None:
            for weights in self.model.glob("*.safetensors"):
                weights.unlink()
        return served

    def _identity(self) -> str | None:
        """What tells this model from others: the digests of a downloaded one, sizes and times of another's files."""
        if self.hub is None:
            files = sorted(
                file for file in self.model.glob("*.*") if file.suffix in (".json", ".safetensors", ".jinja")
            )
            facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
            return f"{self.model.resolve()} {facts}"
        try:
            manifest = json.loads((self.model / MANIFEST).read_text(encoding="utf-8"))
            return json.dumps([(file["path"], file["digest"]) for file in manifest["files"]])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _convert(self, served: Path) -> None:
        console = self.downloader.console
        partial = served.with_name(served.name + ".partial")
        log = served.with_name(served.name + ".log")
        try:
            served.parent.mkdir(parents=True, exist_ok=True)
            with locked(served.with_name(served.name + ".lock"), console, "is converting this model"):
                if served.exists():
                    return
                needed = self.engine.needs(self.guard, Load(0, 0, 0)).artefact
                if needed + _SPARE_BYTES > self.downloader.free_bytes(served.parent):
                    raise PreparationFailed(
                        f"{served.parent}: the disk has no room for the converted model, {needed / 1e9:.1f} GB. "
                        "--cache-dir chooses another one."
                    )
                console.say(f"Converting the model to {served}")
                self._run_conversion(partial, log)
                partial.replace(served)
                _sync(served.parent)
                log.unlink(missing_ok=True)
        except OSError as error:
            raise PreparationFailed(f"{served}: {error.strerror or 'it could not be written'}.") from error

    def _run_conversion(self, partial: Path, log: Path) -> None:
        partial.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        code = run_step(
            self.engine.conversion(self.environment.python, self.model, partial),
            # One tensor after the other: threads would only get into each other's way.
            env={**without_secrets(self.environ), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            log=log,
            console=self.downloader.console,
            sleep=self.downloader.sleep,
        )
        if code != 0:
            partial.unlink(missing_ok=True)
            said = (tail(log, lines=1) or [f"exit code {code}"])[0]
            raise PreparationFailed(f"{said}. Nothing of it is kept; the same command begins this step again.")


def _sync(folder: Path) -> None:
    """The new name is on the disk too."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
