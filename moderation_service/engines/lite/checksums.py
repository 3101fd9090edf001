"""CRC-32 of many stretches of text at once, equal to zlib's. A checksum goes on from that of what came before."""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Hashes", "of_rows", "of_runs"]

Hashes = NDArray[np.uint32]

# What a single byte does to a state, from the checksums of single bytes.
_TABLE = np.array([zlib.crc32(bytes([number ^ 0xFF])) ^ 0xFF000000 for number in range(256)], dtype=np.uint32)
# zlib turns the bits of a state around before and after.
_TURNED, _LAST_BYTE, _BYTE = np.uint32(0xFFFFFFFF), np.uint32(0xFF), np.uint32(8)


def of_runs(
    runs: Sequence[str], owners: Sequence[int], sizes: Sequence[int], first: int
) -> Iterator[tuple[Hashes, Hashes]]:
    """The checksums of all stretches of each size in each run, with the owner of their run; they go on from `first`.

    Every character must be one that UTF-8 writes in three bytes, as it does nearly all Chinese ones.
    """
    lengths = np.array([len(run) for run in runs], dtype=np.int64)
    characters = np.frombuffer("".join(runs).encode("utf-16-le"), dtype=np.uint16).astype(np.uint32)
    parts = (0xE0 | characters >> 12, 0x80 | characters >> 6 & 0x3F, 0x80 | characters & 0x3F)
    encoded = [np.asarray(part, dtype=np.uint32) for part in parts]
    # How many characters are left of a run from each one on, itself among them.
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(characters))
    owner_of = np.repeat(np.array(owners, dtype=np.uint32), lengths)
    states = np.full(len(characters), first, dtype=np.uint32) ^ _TURNED
    for size in range(1, sizes[-1] + 1):
        # A stretch goes on from the one that is a character shorter and begins where it does.
        states = states[: len(characters) - size + 1]
        for byte in encoded:
            states = _after(states, byte[size - 1 :])
        if size in sizes:
            whole = left[: len(states)] >= size
            yield (states ^ _TURNED)[whole], owner_of[: len(states)][whole]


def of_rows(rows: NDArray[np.uint8], sizes: Sequence[int], first: int) -> Hashes:
    """The checksums of all stretches of each size in each row of bytes: a row of checksums for each."""
    wide = rows.astype(np.uint32)
    states = np.full(wide.shape, first, dtype=np.uint32) ^ _TURNED
    found = []
    for size in range(1, sizes[-1] + 1):
        states = _after(states[:, : wide.shape[1] - size + 1], wide[:, size - 1 :])
        if size in sizes:
            found.append(states ^ _TURNED)
    return np.concatenate(found, axis=1)


def _after(states: Hashes, byte: Hashes) -> Hashes:
    """The states after one more byte."""
    after: Hashes = _TABLE[(states ^ byte) & _LAST_BYTE] ^ (states >> _BYTE)
    return after
