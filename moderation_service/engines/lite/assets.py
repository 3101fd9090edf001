"""The weights file: how arrays are packed, and where the shipped one lies."""

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHECK", "MODEL_CARD", "WEIGHTS", "Arrays", "pack", "read", "unpack"]

Arrays = dict[str, NDArray[Any]]

_FOLDER = Path(__file__).parent / "assets"
WEIGHTS = _FOLDER / "lite-2.npz"
MODEL_CARD = _FOLDER / "MODEL_CARD.json"
CHECK = _FOLDER / "check.jsonl"
"""Labelled texts, which no weights were trained on; made by `training.probes.shipped`."""
_CODES, _VALUES, _META = ".codes", ".values", "meta"
_TABLE, _CHUNK, _SORTED = "table", "chunk", "table.sorted"
_MAX_VALUES = 256
_MIN_PACKED = 4096


def pack(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, object]) -> Arrays:
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


def unpack(packed: Mapping[str, NDArray[Any]]) -> tuple[Arrays, dict[str, Any]]:
    """Undo `pack`."""
    arrays: Arrays = {}
    for name in packed:
        if name.endswith(_CODES):
            plain = name.removesuffix(_CODES)
            arrays[plain] = packed[plain + _VALUES][packed[name]]
        elif name == _SORTED:
            arrays[_TABLE] = _unsorted(packed[_SORTED], _order(packed[_CHUNK]))
        elif not name.endswith(_VALUES) and name != _META:
            arrays[name] = packed[name]
    return arrays, json.loads(packed[_META].tobytes())


def _order(chunk: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.argsort(chunk, kind="stable")


def _unsorted(coded: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    rows = np.frombuffer(zlib.decompress(coded.tobytes()), dtype=np.uint8).reshape(len(order), -1)
    table = np.empty_like(rows)
    table[order] = rows
    return table


def read(path: Path = WEIGHTS) -> tuple[Arrays, dict[str, Any]]:
    """Read a weights file; OSError when it is missing, ValueError when it is damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return unpack({name: stored[name] for name in stored.files})
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise ValueError(f"{path.name} is damaged") from error
