"""Keeps evaluation items out of training: exact copies by hash, near copies by n-gram cosine. Either stops a build."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from .data import Row, calibration_rows, eval_rows

__all__ = ["DENYLIST", "NEAR_LIMIT", "EvaluationLeak", "exact_hits", "near_hits", "refuse_leaks"]

DENYLIST = Path(__file__).parent / "denylist.txt"
NEAR_LIMIT = 0.72
_NOT_A_LETTER = re.compile(r"[\W_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CHARS = 1500
_BITS = 22
_BLOCK = 4000
_SHORTEST_RESPONSE = 8


class EvaluationLeak(Exception):
    """A training row is, or is close to, an evaluation item."""


def normalise(text: str) -> str:
    """NFKC, lower case, letters and digits only."""
    return _NOT_A_LETTER.sub("", unicodedata.normalize("NFKC", text).lower())


def exact_hits(rows: Iterable[Row]) -> list[str]:
    """Return the ids of rows whose prompt or response is in the denylist."""
    denied = frozenset(DENYLIST.read_text().split())
    return [row["id"] for row in rows if any(_digest(text) in denied for text in _texts(row))]


def _texts(row: Row) -> list[str]:
    prompt, response = normalise(row["prompt"] or ""), normalise(row.get("response", ""))
    return [text for text in (prompt, response if len(response) >= _SHORTEST_RESPONSE else "") if text]


def _digest(normalised: str) -> str:
    return hashlib.sha256(normalised.encode()).hexdigest()[:16]


def near_hits(
    texts: Sequence[str], references: Sequence[str], limit: float = NEAR_LIMIT
) -> list[tuple[int, int, float]]:
    """Return (text, reference, cosine) for every text closer to a reference than the limit."""
    known = _grams(references).T.tocsc()
    hits = []
    for start in range(0, len(texts), _BLOCK):
        products = (_grams(texts[start : start + _BLOCK]) @ known).tocoo()
        close = products.data > limit
        hits += [
            (start + int(row), int(column), float(cosine))
            for row, column, cosine in zip(products.row[close], products.col[close], products.data[close], strict=True)
        ]
    return hits


def _grams(texts: Sequence[str]) -> csr_matrix:
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for text in texts:
        normalised = normalise(text)[:_CHARS]
        size = 3 if len(_HAN.findall(normalised)) > 3 else 5
        # The size is part of the hash: grams of different sizes never meet.
        found = {
            zlib.crc32(f"{size}{normalised[start : start + size]}".encode()) % (1 << _BITS)
            for start in range(max(1, len(normalised) - size + 1))
        }
        columns += found
        values += [len(found) ** -0.5] * len(found)
        ends.append(len(columns))
    return csr_matrix((values, columns, ends), shape=(len(texts), 1 << _BITS), dtype=np.float32)


def refuse_leaks(data: Path, prompts: Sequence[Row], responses: Sequence[Row]) -> None:
    """Raise EvaluationLeak naming the rows that are evaluation or calibration items, or close to a visible one."""
    exact = exact_hits([*prompts, *responses, *calibration_rows(data)])
    if exact:
        raise EvaluationLeak(f"{len(exact)} rows are evaluation items: {', '.join(exact[:20])}")
    sets = eval_rows(data)
    pairs = (
        ([row["prompt"] for row in prompts], [row["prompt"] for rows in sets.values() for row in rows]),
        ([row["prompt"] for row in prompts], [row["prompt"] for row in calibration_rows(data)]),
        ([row["response"] for row in responses], [row["response"] for row in sets["xstest_refusal"]]),
    )
    for kind, (texts, references) in zip(("prompt", "calibration", "response"), pairs, strict=True):
        hits = near_hits(texts, sorted(set(references)))
        if hits:
            named = "; ".join(f"{texts[hit[0]]!r} ({hit[2]:.2f})" for hit in hits[:20])
            raise EvaluationLeak(f"{len(hits)} rows are close to a {kind} of an evaluation set: {named}")
