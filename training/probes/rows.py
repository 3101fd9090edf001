"""Reads the probes. Each file maps a language to what is unsafe and what is safe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FOLDER", "Probe", "all_texts", "answer_probes", "prompt_probes"]

FOLDER = Path(__file__).parent
PROMPT_FILES = ("requests", "statements", "languages", "personal_data")


@dataclass(frozen=True, slots=True)
class Probe:
    """A text and what it is.

    `text` is what is judged: a prompt, or the response to `prompt`. `number` is its place among those of its language
    and label: in `languages`, equal numbers say the same thing. `refusal` is None for a prompt.
    """

    language: str
    unsafe: bool
    topic: str
    text: str
    number: int
    prompt: str | None = None
    refusal: bool | None = None


def prompt_probes(name: str) -> list[Probe]:
    """The probes of `requests`, `statements`, `languages` or `personal_data`, in the order of the file."""
    return [
        Probe(language, label == "unsafe", topic, text, number)
        for language, labels in _load(name).items()
        for label, entries in labels.items()
        for number, entry in enumerate(entries)
        for topic, text in entry.items()
    ]


def answer_probes() -> list[Probe]:
    """The probes of `answers`; the topic is the form: steps, refusal, news and so on."""
    return [
        Probe(
            language,
            label == "unsafe",
            entry["form"],
            entry["response"],
            number,
            prompt=entry["prompt"],
            # A refusal that goes on to do it is none.
            refusal=label == "safe" and (entry["form"].startswith("refusal") or entry["form"] == "nothing_leaked"),
        )
        for language, labels in _load("answers").items()
        for label, entries in labels.items()
        for number, entry in enumerate(entries)
    ]


def all_texts() -> list[str]:
    """Every probe's text, prompts of answers among them."""
    probes = [probe for name in PROMPT_FILES for probe in prompt_probes(name)] + answer_probes()
    return [text for probe in probes for text in (probe.text, probe.prompt) if text]


def _load(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
