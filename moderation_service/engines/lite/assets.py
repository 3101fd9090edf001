"""The weights file: how arrays are packed, and where the shipped one lies."""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHECK", "FREQUENT", "MODEL_CARD", "WEIGHTS", "Arrays", "Meta", "Stored", "Unpacked", "frequent_pieces", "opened",
    "pack", "read", "unpack",
]  # fmt: skip

Arrays = dict[str, NDArray[Any]]
Stored = Mapping[str, NDArray[Any]]
Meta = Mapping[str, Any]

_FOLDER = Path(__file__).parent / "assets"
WEIGHTS = _FOLDER / "lite-2.npz"
FREQUENT = _FOLDER / "frequent_pieces.txt"
"""The pieces of most prompts and answers, which the encoder's first layer keeps; made by `training.tables`."""
MODEL_CARD = _FOLDER / "MODEL_CARD.json"
CHECK = _FOLDER / "check.jsonl"
"""Labelled texts, which no weights were trained on; made by `training.probes.shipped`."""
_CODES, _VALUES, _META = ".codes", ".values", "meta"
_TABLE, _CHUNK, _SORTED = "table", "chunk", "table.sorted"
_MAX_VALUES = 256
_MIN_PACKED = 4096


def pack(arrays: Stored, meta: Mapping[str, object]) -> Arrays:
    """Return the arrays as they are stored.

    A float matrix with at most 256 different values (the encoder was quantised by its makers) becomes one byte per
    element and a table of values, without loss. The vectors of pieces lie sorted by the range that they were quantised
    in: then plain Huffman coding stores them in a fifth less.
    """
    packed: Arrays = {_META: np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)}
    for name, array in arrays.items():
        values, codes = np.unique(array, return_inverse=True)
        if array.dtype == np.float32 and array.size >= _MIN_PACKED and len(values) <= _MAX_VALUES:
            packed[name + _CODES] = codes.reshape(array.shape).astype(np.uint8)
            packed[name + _VALUES] = values
        elif name == _TABLE and _CHUNK in arrays:
            coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
            coded = coder.compress(array[_order(arrays[_CHUNK])].tobytes()) + coder.flush()
            packed[_SORTED] = np.frombuffer(coded, dtype=np.uint8)
        else:
            packed[name] = array
    return packed


class Unpacked(Stored):
    """Arrays as they are used, each unpacked when it is asked for and not kept.

    So nothing of a file is in memory twice while a model is made of it. `changed` are arrays that take the place of
    those in the file. KeyError for an unknown name.
    """

    def __init__(self, packed: Stored, changed: Stored | None = None) -> None:
        self._packed = packed
        self._changed = changed or {}
        self._names = {_plain(name) for name in packed if not name.endswith(_VALUES) and name != _META}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        if name in self._changed:
            return self._changed[name]
        if name + _CODES in self._packed:
            values: NDArray[Any] = self._packed[name + _VALUES][self._packed[name + _CODES]]
            return values
        if name == _TABLE and _SORTED in self._packed:
            return _unsorted(self._packed[_SORTED], _order(self._packed[_CHUNK]))
        return self._packed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def unpack(packed: Stored) -> tuple[Arrays, dict[str, Any]]:
    """Undo `pack`."""
    return dict(Unpacked(packed)), json.loads(packed[_META].tobytes())


def _plain(name: str) -> str:
    return _TABLE if name == _SORTED else name.removesuffix(_CODES)


def _order(chunk: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.argsort(chunk, kind="stable")


def _unsorted(coded: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    rows = np.frombuffer(zlib.decompress(coded.data), dtype=np.uint8).reshape(len(order), -1)
    table = np.empty_like(rows)
    table[order] = rows
    return table


@contextmanager
def opened(path: Path = WEIGHTS) -> Iterator[tuple[Unpacked, dict[str, Any]]]:
    """The arrays of a weights file while it is open; OSError when it is missing, ValueError when it is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            yield Unpacked(stored), json.loads(stored[_META].tobytes())
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(f"{path.name} is damaged") from error


def frequent_pieces(path: Path = FREQUENT) -> list[str]:
    """Pieces, those first that most texts have; OSError when the file is missing, ValueError when it is no text."""
    return path.read_text(encoding="utf-8").split("\n")


def read(path: Path = WEIGHTS) -> tuple[Arrays, dict[str, Any]]:
    """All arrays of a weights file, to keep; raises as `opened` does."""
    with opened(path) as (arrays, meta):
        return dict(arrays), meta
