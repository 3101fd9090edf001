"""The benchmarks that are known: where each is, at which commit, with which hash, under which licence, and its loader.

`sets.yaml` has them. Nothing of them is shipped. Files at GitHub are pinned by commit, and where they could be had to
count it by SHA-256 too.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ...errors import DataError
from . import hub_loaders, loaders
from .loaders import Load

__all__ = ["BenchmarkFile", "BenchmarkSet", "Labels", "Place", "chosen", "registry"]


class Place(enum.Enum):
    """Where a set can be had."""

    GITHUB = "github"
    HUB = "hub"
    """Hugging Face, as a data set."""
    PYPI = "pypi"
    """Inside a Python package."""


class Labels(enum.Enum):
    """What is labelled."""

    PROMPTS = "prompts"
    RESPONSES = "responses"
    REFUSALS = "refusals"


@dataclass(frozen=True, slots=True)
class BenchmarkFile:
    """A file of a set by its path in the repository; on the hub the path may have `*` in it."""

    path: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """One set. `items` is None where it was not counted; `unsafe` is None likewise, and for refusals.

    `unpacked` is what an archive's content is called where people have to unpack it; `note` says what one should know
    before one believes a figure.
    """

    name: str
    title: str
    labels: Labels
    items: int | None
    unsafe: int | None
    languages: str
    licence: str
    place: Place
    repository: str
    revision: str
    files: Sequence[BenchmarkFile]
    load: Load
    unpacked: str | None = None
    note: str = ""

    @property
    def address(self) -> str:
        """Where people can look at it."""
        return {
            Place.GITHUB: f"https://github.com/{self.repository}/tree/{self.revision}",
            Place.HUB: f"https://huggingface.co/datasets/{self.repository}",
            Place.PYPI: f"https://pypi.org/project/{self.repository}/{self.revision}/",
        }[self.place]


_DIRECT: Mapping[str, Load] = {
    one.__name__: one
    for one in (
        hub_loaders.aegis1,
        hub_loaders.beavertails,
        hub_loaders.qwen3guard_test,
        hub_loaders.safe_rlhf,
        hub_loaders.toxic_chat,
        hub_loaders.xstest_response,
        loaders.convabuse,
        loaders.dices,
        loaders.harmbench,
        loaders.labelled,
        loaders.lines,
        loaders.openai_moderation,
        loaders.pyrit_harm,
        loaders.pyrit_refusal,
        loaders.rtp_lx,
        loaders.safe_text,
        loaders.simple_safety_tests,
        loaders.strings,
        loaders.xstest,
        loaders.xstest_refusal,
    )
}
_MADE: Mapping[str, Callable[..., Load]] = {
    one.__name__: one
    for one in (
        hub_loaders.aegis2,
        hub_loaders.polyguard,
        hub_loaders.wildguard,
        loaders.ailuminate,
        loaders.hate_labels,
        loaders.instructions,
        loaders.prompts,
        loaders.s_eval,
    )
}
"""Loaders that are made from what the entry has under `with`."""


@cache
def registry() -> tuple[BenchmarkSet, ...]:
    """All sets, in the order in which they are listed."""
    text = files(__package__).joinpath("sets.yaml").read_text(encoding="utf-8")
    return tuple(_entry(name, entry) for name, entry in yaml.safe_load(text).items())


def chosen(names: Sequence[str]) -> list[BenchmarkSet]:
    """The sets of these names. Raises DataError with the names that there are."""
    by_name = {one.name: one for one in registry()}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise DataError(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(by_name)}.")
    return [by_name[name] for name in dict.fromkeys(names)]


def _entry(name: str, entry: Mapping[str, Any]) -> BenchmarkSet:
    wanted = entry["load"]
    return BenchmarkSet(
        name=name,
        title=entry["title"],
        labels=Labels(entry["labels"]),
        items=entry["items"],
        unsafe=entry["unsafe"],
        languages=str(entry["languages"]),
        licence=entry["licence"],
        place=Place(entry["at"]),
        repository=entry["repository"],
        revision=entry["revision"],
        files=tuple(BenchmarkFile(**file) for file in entry.get("files", ())),
        load=_MADE[wanted](**entry.get("with", {})) if wanted in _MADE else _DIRECT[wanted],
        unpacked=entry.get("unpacked"),
        note=entry.get("note", ""),
    )
