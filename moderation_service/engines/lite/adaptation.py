"""A change to the last layers of the lite model's nets, made for one installation: how it is kept and put on.

Only the severity's column of each net and its bias change. The weights that are shipped stay as they are, so leaving
the file out undoes it.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from .assets import Arrays, Stored, Unpacked

__all__ = ["HEADS", "Adaptation", "fingerprint"]

HEADS = ("prompt", "unit", "response")
"""The nets whose last layer may change."""

_BASE = "base"


@dataclass(frozen=True, eq=False)
class Adaptation:
    """By net, what is added to the severity's weights, and behind them to its bias.

    `base` is the fingerprint of the weights that it was made for: on others it would mean something else.
    """

    base: str
    changes: Mapping[str, NDArray[np.float32]]

    @property
    def name(self) -> str:
        """Six hex digits that stand behind the model's version."""
        digest = hashlib.sha256()
        for head in HEADS:
            digest.update(self.changes[head].tobytes())
        return digest.hexdigest()[:6]

    def put_on(self, arrays: Stored, meta: Mapping[str, Any]) -> tuple[Stored, dict[str, Any]]:
        """The weights with the change. Raises ConfigurationError for weights that it was not made for."""
        if fingerprint(arrays) != self.base:
            raise ConfigurationError(
                "lite_adapted: the file was made for other weights; run `moderation-service adapt` again."
            )
        changed: Arrays = {}
        for head, change in self.changes.items():
            second = arrays[f"{head}_second"].astype(np.float32)
            bias = arrays[f"{head}_second_bias"].astype(np.float32)
            second[:, 0] += change[:-1]
            bias[0] += change[-1]
            changed[f"{head}_second"], changed[f"{head}_second_bias"] = second, bias
        return Unpacked(arrays, changed), {**meta, "version": f"{meta['version']}+{self.name}"}

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as stream:
            base: Any = np.frombuffer(self.base.encode(), dtype=np.uint8)
            changes: dict[str, Any] = dict(self.changes)
            np.savez_compressed(stream, **{_BASE: base}, **changes)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Adaptation:
        """Read a file. Raises ConfigurationError for one that is none."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                base = stored[_BASE].tobytes().decode("ascii")
                changes = {head: np.asarray(stored[head], dtype=np.float32) for head in HEADS}
        except FileNotFoundError:
            raise ConfigurationError(f"lite_adapted: there is no file {path}.") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ConfigurationError(f"lite_adapted: {path} is no file that `adapt` wrote, or is damaged.") from error
        if not all(one.ndim == 1 and np.isfinite(one).all() for one in changes.values()):
            raise ConfigurationError(f"lite_adapted: {path} is no file that `adapt` wrote, or is damaged.")
        return cls(base, changes)


def fingerprint(arrays: Stored) -> str:
    """Of the layers that are changed, and of those before them."""
    digest = hashlib.sha256()
    for head in HEADS:
        for part in ("first", "second", "second_bias"):
            digest.update(np.ascontiguousarray(arrays[f"{head}_{part}"]).tobytes())
    return digest.hexdigest()
