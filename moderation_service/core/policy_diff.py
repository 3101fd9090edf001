"""Where two policies differ, by the words of the policy file. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .policy import Policy

__all__ = ["Difference", "differences", "flat_rules"]

_NAMES = ("name", "version")


@dataclass(frozen=True, slots=True)
class Difference:
    """One place, such as `prompt.thresholds.unsafe`, and what the policies have there; None for nothing."""

    place: str
    a: str | None
    b: str | None


def differences(a: Policy, b: Policy) -> list[Difference]:
    """All places but name and version, in the order of the file."""
    ours, theirs = dict(flat_rules(a)), dict(flat_rules(b))
    places = [*ours, *(place for place in theirs if place not in ours)]
    return [
        Difference(place, ours.get(place), theirs.get(place))
        for place in places
        if ours.get(place) != theirs.get(place) and place not in _NAMES
    ]


def flat_rules(policy: Policy) -> list[tuple[str, str]]:
    """All places of a policy and what stands there."""
    return list(_flat(policy.to_json()))


def _flat(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        if value:
            yield place, ", ".join(map(str, value))
    elif value is not None:
        yield place, str(value)
