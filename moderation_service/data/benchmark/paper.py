"""What Qwen3Guard's technical report says of guards on these sets: F1 in percent.

Source: Qwen3Guard Technical Report (arXiv 2510.14276), Tables 2, 3, 7, 11 and 12. *Strict* counts controversial as
unsafe, *loose* as safe; models with two severities have one figure for both. Of sets whose texts are all unsafe the
report gives F1 too, with no text that could be found by mistake, so that it is a function of the recall alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CELLS", "Cell", "recall_of_f1"]


@dataclass(frozen=True, slots=True)
class Cell:
    """F1 of one model on one set, in percent."""

    model: str
    strict: float
    loose: float


_OTHERS = ("LlamaGuard3-8B", "LlamaGuard4-12B", "WildGuard-7B", "ShieldGemma-9B", "ShieldGemma-27B", "NemoGuard-8B")
_GEN = ("Qwen3Guard-Gen-0.6B", "Qwen3Guard-Gen-4B", "Qwen3Guard-Gen-8B")
_STREAM = ("Qwen3Guard-Stream-0.6B", "Qwen3Guard-Stream-4B", "Qwen3Guard-Stream-8B")
_ALL = (*_OTHERS, "PolyGuard-Qwen-7B", *_GEN, *_STREAM)


def _cells(text: str, models: tuple[str, ...] = _ALL) -> tuple[Cell, ...]:
    """A row of figures, `strict/loose` or one for both, in the order of the models; `-` is none."""
    found = []
    for model, figures in zip(models, text.split(), strict=True):
        if figures != "-":
            strict, _, loose = figures.partition("/")
            found.append(Cell(model, float(strict), float(loose or strict)))
    return tuple(found)


CELLS: Mapping[str, tuple[Cell, ...]] = {
    "toxicchat": _cells(
        "53.8 51.3 70.8 69.4 72.9 75.6 71.5 65.1/77.7 69.5/82.8 68.9/82.8 72.0/75.5 73.0/81.7 75.3/80.1"
    ),
    "openaimod": _cells(
        "79.5 73.5 72.1 82.1 80.5 81.0 74.1 66.5/77.6 68.3/80.7 68.8/81.3 68.3/76.0 70.0/81.2 74.0/80.3"
    ),
    "aegis1": _cells("71.5 67.8 89.4 70.3 69.0 81.4 90.3 90.8/76.9 90.8/76.3 91.4/76.0 85.2/77.7 85.9/75.5 85.7/75.5"),
    "aegis2-prompts": _cells(
        "76.4 70.6 80.7 72.5 71.6 86.8 86.3 85.0/83.3 85.8/82.1 86.1/82.5 84.9/81.7 86.6/80.2 86.1/80.8"
    ),
    "simplesafetytests": _cells(
        "99.5 98.0 99.5 83.7 84.4 98.5 100 99.0/95.8 99.5/97.4 99.5/97.4 98.0/96.9 99.5/98.5 99.0/98.5"
    ),
    "harmbench": _cells("99.0 97.2 98.9 60.6 57.3 75.2 98.7 98.7/96.1 100/99.2 100/98.5 97.2/96.8 100/98.9 99.4/98.7"),
    "wildguardtest-prompts": _cells(
        "76.4 73.0 88.9 54.2 54.3 81.6 88.1 87.7/85.1 85.6/85.1 88.9/85.6 87.1/86.0 88.6/85.3 87.5/84.4"
    ),
    "harmbench-responses": _cells(
        "84.5 83.3 86.3 60.4 62.9 81.4 71.1 85.0/82.6 86.7/86.7 87.2/86.5 83.1/80.6 84.3/83.6 85.0/84.7"
    ),
    "saferlhf": _cells(
        "45.2 42.5 64.2 44.2 52.6 57.6 63.3 66.6/64.2 69.8/64.5 70.5/64.2 62.8/61.7 67.6/64.3 64.6/63.1"
    ),
    "beavertails": _cells(
        "67.9 68.6 84.4 62.4 67.6 78.5 79.5 86.1/85.4 86.6/85.2 86.6/85.5 84.5/84.0 86.0/85.2 85.9/85.5"
    ),
    "xstest-responses": _cells(
        "89.8 88.9 94.7 86.3 83.0 86.2 63.4 89.7/91.3 92.7/92.4 92.1/93.7 84.8/83.3 88.5/88.9 87.5/88.9"
    ),
    "aegis2-responses": _cells(
        "66.1 63.7 83.2 70.8 74.9 87.6 81.9 84.2/84.1 86.1/86.5 86.1/86.4 81.4/81.4 83.1/83.1 82.6/82.4"
    ),
    "wildguardtest-responses": _cells(
        "69.5 66.4 75.4 49.9 52.4 77.5 77.9 76.3/77.3 79.5/77.3 78.9/77.3 76.3/75.8 76.4/77.4 77.0/76.8"
    ),
    "qwen3guardtest-thinking": _cells(
        "72.0 59.3 71.4 61.1 68.0 77.9 81.1 83.6/83.1 84.0/80.2 84.0/83.3 81.6/81.3 85.4/85.2 83.6/83.5"
    ),
    "polyguard-responses": _cells("65.8 - 63.5 - - 69.5 74.0 74.2 78.1 77.6 70.6 75.5 75.8"),
    "rtp-lx": _cells("46.6 41.7 43.9 55.4 61.4 42.7 80.9 74.8 81.6 85.0 64.4 80.2 82.7"),
}
"""By the name of the set in the registry. Of the last two the report gives the better of both readings only."""


def recall_of_f1(f1: float) -> float:
    """The recall behind an F1, both in percent, where every text is unsafe and so precision is 1: F1 = 2R / (1 + R)."""
    share = f1 / 100
    return 100 * share / (2 - share)
