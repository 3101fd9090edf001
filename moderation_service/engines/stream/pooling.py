"""What vLLM's `/pooling` is asked for token ids, and its answer as rows. No I/O.

The answer is asked for as bytes, a fifth of the size of JSON: the body has the numbers, the header `metadata` says
how many. Everything about it is checked, because an answer that is read wrongly would be a verdict that is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from .labels import Rows

__all__ = ["NotRows", "ask", "read"]


class NotRows(ValueError):
    """The answer is not what was asked for."""


def ask(ids: Sequence[int], *, model: str, salt: str) -> dict[str, object]:
    """The request for all rows that these ids need beyond what is in the cache under this salt."""
    return {
        "model": model,
        "input": ids,
        "cache_salt": salt,
        "encoding_format": "bytes",
        "embed_dtype": "float32",
        "endianness": "little",
    }


def read(metadata: bytes, content: bytes, *, width: int) -> Rows:
    """The rows, newest last. Raises NotRows."""
    try:
        described = json.loads(metadata)
        (item,) = described["data"]
        count, columns = item["shape"]
        kind = item["embed_dtype"], item["endianness"], item["start"], item["end"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NotRows("the answer does not say what it is") from None
    if columns != width:
        raise NotRows("the rows are not as wide as the labels of config.json; another model is served")
    if not isinstance(count, int) or count < 1 or kind != ("float32", "little", 0, len(content)):
        raise NotRows("the answer is of another kind than was asked for")
    if len(content) != count * width * 4:
        raise NotRows("the answer is shorter or longer than it says")
    rows = np.frombuffer(content, dtype="<f4").reshape(count, width)
    if not np.isfinite(rows).all():
        raise NotRows("a number of the answer is not finite")
    return rows
