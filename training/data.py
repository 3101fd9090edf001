"""Training rows: where they come from, and the checks that keep evaluation items out.

A data folder has `train/{prompt_train,response_train,calibration_benign}.jsonl.gz` (prepared third-party rows, kept out
of this repository) and `eval/*.jsonl.gz`. The project's own rows are in `training/own/`. Each source must hash to what
`manifest.jsonl` says.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MANIFEST",
    "OWN",
    "Row",
    "calibration_rows",
    "check_hashes",
    "development_split",
    "eval_rows",
    "prompt_rows",
    "read_jsonl",
    "response_rows",
    "source_hashes",
    "split",
    "vocabulary_texts",
]

Row = dict[str, Any]

HERE = Path(__file__).parent
OWN = HERE / "own"
MANIFEST = HERE / "manifest.jsonl"
EVAL_SETS = ("openaimod", "xstest", "sst", "xstest_refusal")


def read_jsonl(path: Path) -> list[Row]:
    """Read a JSONL file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def prompt_rows(data: Path | None) -> list[Row]:
    """All rows for the prompt heads: third-party ones in file order, then own ones. Without a folder: own rows only."""
    return [row for row in _all_rows(data, "prompt") if "response" not in row]


def response_rows(data: Path | None) -> list[Row]:
    """All rows for the response and refusal heads, in the same order."""
    return [row for row in _all_rows(data, "response") if "response" in row]


def _all_rows(data: Path | None, kind: str) -> Iterator[Row]:
    if data is not None:
        for row in read_jsonl(data / "train" / f"{kind}_train.jsonl.gz"):
            if not row["source"].startswith("own"):
                yield row
    # By number, so that later rows come last: which rows are held out is drawn over all of them.
    for path in sorted(OWN.glob("*.jsonl.gz"), key=lambda path: (int(re.findall(r"\d+", path.name)[0]), path.name)):
        yield from read_jsonl(path)


def calibration_rows(data: Path) -> list[Row]:
    """Harmless requests for thresholds; never trained on."""
    return read_jsonl(data / "train" / "calibration_benign.jsonl.gz")


def eval_rows(data: Path) -> dict[str, list[Row]]:
    """The visible evaluation sets, by name; only measured, never trained or tuned on."""
    return {name: read_jsonl(data / "eval" / f"{name}.jsonl.gz") for name in EVAL_SETS}


def vocabulary_texts(data: Path) -> Iterator[str]:
    """The texts whose pieces decide the pruned vocabulary: prompts and responses of the prepared files."""
    for row in read_jsonl(data / "train" / "prompt_train.jsonl.gz"):
        yield row["prompt"]
    for row in read_jsonl(data / "train" / "response_train.jsonl.gz"):
        yield row["prompt"] or ""
        yield row["response"]


def development_split(count: int) -> NDArray[np.bool_]:
    """True for the tenth of `count` rows that is held out."""
    return np.random.RandomState(0).rand(count) < 0.1


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Training rows and held-out ones: a tenth, but of rows with a topic a fifth of the topics, in all their forms.

    Rows of one topic are alike: a random split would hold out what the model has seen.
    """
    held = development_split(len(rows))
    out = [
        _held_topic(row["topic"]) if row.get("topic") else bool(drawn) for row, drawn in zip(rows, held, strict=True)
    ]
    pairs = list(zip(rows, out, strict=True))
    return [row for row, is_out in pairs if not is_out], [row for row, is_out in pairs if is_out]


def _held_topic(topic: str) -> bool:
    return zlib.crc32(topic.encode()) % 5 == 0


def source_hashes(rows: Iterable[Row]) -> dict[str, str]:
    """sha256 per source over its rows, each as JSON with sorted keys, in order."""
    digests: dict[str, Any] = {}
    for row in rows:
        digest = digests.setdefault(row["source"], hashlib.sha256())
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return {source: digest.hexdigest() for source, digest in digests.items()}


def check_hashes(rows: Iterable[Row]) -> None:
    """Raise ValueError when a source is not in the manifest or its rows are not the ones the manifest names."""
    expected = {entry["id"]: entry["sha256"] for entry in read_jsonl(MANIFEST)}
    for source, digest in source_hashes(rows).items():
        if expected.get(source) != digest:
            raise ValueError(f"source {source}: rows hash to {digest}, the manifest says {expected.get(source)}")
