"""Reads a Dockerfile and carries it out in a folder, without a container engine.

Every absolute path of the image becomes one below the folder, `python` is a copy of the interpreter that runs the
tests, and the build's context is what .dockerignore lets through. Only what our Dockerfile uses is understood.
"""

from __future__ import annotations

import copy
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Image", "build", "instructions"]

_ROOTS = ("opt", "build", "app", "etc/moderation", "tmp")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions with their arguments, lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        yield name, re.sub(r"\s+", " ", rest.strip())


@dataclass
class Image:
    """What a build left: a folder, and how a container of it is run."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    user: str = "root"
    workdir: str = "/"
    ports: list[str] = field(default_factory=list)
    stop_signal: str = ""

    def inside(self, text: str) -> str:
        """A text with the image's paths, for use on this machine."""
        names = "|".join(map(re.escape, _ROOTS))
        own = re.escape(str(self.root)[1:])
        return re.sub(rf"(?<![\w./-])/(?!{own})(?=({names})\b)", f"{self.root}/", text)

    @property
    def environment(self) -> dict[str, str]:
        return {name: self.inside(value) for name, value in self.env.items()}


def build(dockerfile: Path, context: Path, root: Path, *, has_pip: bool = False) -> Image:
    """Do what the Dockerfile says; `has_pip` where pip is to be found in the base image itself."""
    base = _copy_interpreter(root / "base-image")
    if has_pip:
        command = [root / "base-image/bin/python", "-m", "ensurepip", "--default-pip"]
        subprocess.run(command, env=base, check=True, capture_output=True, timeout=120)
    allowed = set(_allowed(context))
    arguments: dict[str, str] = {}
    stages: dict[str, Image] = {}
    image = Image(root)
    for name, rest in instructions(dockerfile.read_text()):
        if name == "ARG":
            key, is_given, value = rest.partition("=")
            # Without a default it is the one from before the first stage.
            if is_given:
                arguments[key] = value
        elif name == "FROM":
            source, _, name_of_stage = rest.partition(" AS ")
            # A stage that goes on from another one; all of them share the folder.
            image = copy.deepcopy(stages[source]) if source in stages else Image(root, env=dict(base))
            stages[name_of_stage] = image
        elif name == "ENV":
            for key, value in _pairs(rest):
                image.env[key] = value.replace("$PATH", image.env["PATH"])
        elif name == "LABEL":
            image.labels |= {key: _substituted(value, arguments) for key, value in _pairs(rest)}
        elif name == "WORKDIR":
            image.workdir = rest
            Path(image.inside(rest)).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            _copy(image, rest, context, allowed)
        elif name == "RUN":
            _run(image, rest)
        elif name == "USER":
            image.user = rest
        elif name == "EXPOSE":
            image.ports.append(rest)
        elif name == "STOPSIGNAL":
            image.stop_signal = rest
        elif name == "HEALTHCHECK":
            image.healthcheck = json.loads(rest.partition("CMD ")[2])
        elif name in ("ENTRYPOINT", "CMD"):
            setattr(image, "entrypoint" if name == "ENTRYPOINT" else "command", json.loads(rest))
        else:
            raise AssertionError(f"this test does not know {name}")
    return image


def _copy_interpreter(base: Path) -> dict[str, str]:
    """Python where every user can run it; returns the environment in which it is found."""
    came_from = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (base / "bin").mkdir(parents=True)
    shutil.copy(came_from / "bin" / version, base / "bin" / "python")
    (base / "bin" / "python3").symlink_to("python")
    unwanted = shutil.ignore_patterns("__pycache__", "site-packages", "test", "idlelib", "config-*")
    shutil.copytree(came_from / "lib" / version, base / "lib" / version, ignore=unwanted)
    for library in (came_from / "lib").glob("libpython*.so.*"):
        shutil.copy(library, base / "lib")
    return {"PATH": f"{base}/bin:/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": f"{base}/lib"}


def _pairs(rest: str) -> Iterator[tuple[str, str]]:
    for word in shlex.split(rest):
        key, _, value = word.partition("=")
        yield key, value


def _substituted(value: str, arguments: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], value)


def _run(image: Image, rest: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PIP_"))}
    done = subprocess.run(
        ["/bin/sh", "-ec", image.inside(rest)],
        cwd=image.inside(image.workdir),
        env={**kept, **image.environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def _copy(image: Image, rest: str, context: Path, allowed: set[str]) -> None:
    *words, target = rest.split(" ")
    if words[0].startswith("--from="):
        # Both stages share the folder here, so that what is copied is there already.
        assert words[1:] == [target], rest
        assert Path(image.inside(target)).exists()
        return
    where = Path(image.inside(image.workdir)) / target
    for source in words:
        files = [name for name in allowed if name == source or name.startswith(f"{source}/")]
        assert files, f"COPY {source}: nothing of it is in the build's context"
        for name in files:
            is_folder = (context / source).is_dir()
            to = where / Path(name).relative_to(source) if is_folder else where / Path(name).name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / name, to)


def _allowed(context: Path) -> Iterator[str]:
    """What .dockerignore lets through of the tracked and untracked files, the last matching line deciding."""
    lines = (context / ".dockerignore").read_text().splitlines()
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for folder, folders, files in os.walk(context):
        folders[:] = [name for name in folders if not name.startswith((".venv", ".git", ".tools"))]
        for file in files:
            name = (Path(folder) / file).relative_to(context).as_posix()
            parts = name.split("/")
            prefixes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
            is_in = True
            for rule in rules:
                pattern = rule.removeprefix("!")
                if any(_matches(prefix, pattern) for prefix in prefixes):
                    is_in = rule.startswith("!")
            if is_in:
                yield name


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
