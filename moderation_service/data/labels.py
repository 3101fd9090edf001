"""The labels of a row under the names that they have in the output. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ..core.verdict import Detail
from .columns import NAMES, Outcome, columns, error_columns, turn_columns
from .formats import Asked, Reading

__all__ = ["PREFIX", "Labels", "NewColumns"]

PREFIX = "guard_"
_TURNS = "turns"


class NewColumns(Protocol):
    """Columns that are put behind those of the rows."""

    @property
    def prefix(self) -> str:
        """How their names begin."""

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands before the bare names, once for each part of a row that is judged."""

    @property
    def bare_names(self) -> tuple[str, ...]:
        """The columns of each part."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in their order."""


@dataclass(frozen=True)
class Labels:
    """Which columns a row gets: `guard_safety` and so on; for pairs `guard_chosen_safety`, `guard_rejected_safety`."""

    reading: Reading
    detail: Detail = Detail.FULL
    prefix: str = PREFIX

    @cached_property
    def heads(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{part}_" if part else self.prefix for part in self.reading.parts)

    @cached_property
    def bare_names(self) -> tuple[str, ...]:
        return (*NAMES, _TURNS) if self.reading.has_turns else NAMES

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(head + name for head in self.heads for name in self.bare_names)

    def of(self, asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> dict[str, object]:
        """The columns of a row whose questions had these outcomes."""
        if self.reading.has_turns:
            turns = [(one.role, one.turn, outcome) for one, outcome in zip(asked, outcomes, strict=True) if one.role]
            if not turns:
                return self.failed(outcomes[0])
            return self._under(self.heads[0], turn_columns(turns, detail=self.detail))
        values: list[object] = []
        for outcome in outcomes:
            values += columns(outcome, detail=self.detail).values()
        return dict(zip(self.names, values, strict=True))

    def failed(self, error: object) -> dict[str, object]:
        """The columns of a row that could not be judged."""
        bare = error_columns(error if isinstance(error, Exception) else str(error))
        if self.reading.has_turns:
            bare[_TURNS] = None
        found: dict[str, object] = {}
        for head in self.heads:
            found |= self._under(head, bare)
        return found

    def severities(self, labels: Mapping[str, object]) -> list[object]:
        """Of a labelled row: the severity of each part, None for one without."""
        return [labels[f"{head}safety"] for head in self.heads]

    def _under(self, head: str, bare: Mapping[str, object]) -> dict[str, object]:
        return {head + name: value for name, value in bare.items()}
