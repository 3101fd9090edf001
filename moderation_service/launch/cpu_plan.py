"""What running Qwen3Guard on this machine's CPU takes and gives, computed before anything is fetched. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cpu_engines import CPU_ENGINES, CpuEngine, Load
from .errors import NothingToRunOn
from .guard import GIB, Guard
from .machine import Machine
from .preparation import Missing

__all__ = ["CpuPlan", "plan_on_cpu"]

_CONTEXT = 2560
"""A window of it takes half a minute of one core; a longer one costs more for each of its tokens."""
_SLOTS = (4, 2)
"""At least two: prompts and responses begin differently, and each slot keeps one beginning."""
_SPARE_DISK_BYTES = 256 * 1024**2
_SPARE_MEMORY_BYTES = 256 * 1024**2
"""For the service itself."""
_SHORT, _LONG = 320, 2000
"""Tokens of a question of one sentence, the guard's own text included, and of a long one."""
_PAYS_FROM_BYTES = 8 * GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuPlan:
    """How the model is to be run."""

    engine: CpuEngine
    guard: Guard
    load: Load
    machine: Machine
    missing: Missing
    origin: str
    """The hub, or the folder that has the model."""
    cache: Path
    free_bytes: int
    """Of the disk that the cache is on."""

    @property
    def disk_bytes(self) -> int:
        """What the disk has to take."""
        needs = self.engine.needs(self.guard, self.load)
        return (
            needs.environment * self.missing.environment
            + self.guard.weights_bytes * self.missing.model
            + needs.artefact * self.missing.artefact
        )

    @property
    def memory_bytes(self) -> int:
        """What the server will take."""
        return self.engine.needs(self.guard, self.load).memory

    def seconds(self, tokens: int) -> float:
        """About how long a verdict on so many tokens takes here."""
        return self.engine.seconds(self.guard, tokens, threads=self.load.threads)

    def lines(self) -> list[str]:
        """The plan for a person to read."""
        threads = f"{self.load.threads} of {self.machine.cores} cores" if self.machine.cores > 1 else "the only core"
        lines = [
            f"{self.guard.repo} on this machine's CPU:",
            f"  engine    {self.engine.title} on {threads}, {self.load.slots} questions at a time, "
            f"context {self.load.context}",
            f"  fetch     {self._fetched()}",
            f"  disk      {_gb(self.disk_bytes)} in {self.cache}, which has {_gb(self.free_bytes)} free",
            f"  memory    {_gib(self.memory_bytes)}" + self._available(),
            f"  a check   about {_s(self.seconds(_SHORT))} for a sentence, {_s(self.seconds(_LONG))} for a text of "
            "1,700 tokens: computed, and measured once it runs",
            "  till then the embedded engine `lite` answers, marked as degraded",
        ]
        return lines + self._advice()

    def timeouts(self) -> dict[str, str]:
        """Settings of the service that suit so slow a server; the user's own go before them."""
        # The longest question, while every other slot has one too.
        longest_s = self.seconds(self.load.context) * self.load.slots
        call_s = min(300.0, max(15.0, longest_s))
        return {
            "UPSTREAM_TIMEOUT_S": f"{call_s:.0f}",
            "DEADLINE_S": f"{min(600.0, 2 * call_s):.0f}",
            "UPSTREAM_CONCURRENCY": str(2 * self.load.slots),
            "UPSTREAM_FANOUT": str(self.load.slots),
        }

    def _fetched(self) -> str:
        needs = self.engine.needs(self.guard, self.load)
        parts = []
        if self.missing.environment:
            parts.append(f"{_mb(needs.fetched)} of programs from the package index")
        if self.missing.model:
            parts.append(f"{_gb(self.guard.weights_bytes)} model from {self.origin}")
        return " and ".join(parts) or "nothing"

    def _available(self) -> str:
        known = self.machine.available_bytes < 2**60
        return f", of {_gib(self.machine.available_bytes)} that are available" if known else ""

    def _advice(self) -> list[str]:
        """Another engine that would be quicker here."""
        others = []
        for other in CPU_ENGINES.values():
            if other is self.engine or other.unsuited(self.machine):
                continue
            needs = other.needs(self.guard, self.load)
            pays = self.machine.has_fast_bfloat16 and self.machine.available_bytes >= _PAYS_FROM_BYTES
            quicker = other.seconds(self.guard, _SHORT, threads=self.load.threads)
            if pays and quicker < self.seconds(_SHORT):
                others.append(
                    f"  quicker   --cpu-engine {other.name}: about {_s(quicker)} for a sentence on this CPU, with "
                    f"{_gb(needs.fetched)} of programs and {_gib(needs.memory)} of memory"
                )
        return others


def plan_on_cpu(
    engine: CpuEngine,
    guard: Guard,
    machine: Machine,
    *,
    missing: Missing,
    origin: str,
    cache: Path,
    free_bytes: int,
    context: int | None = None,
) -> CpuPlan:
    """The plan. Raises NothingToRunOn, with the figures, when this machine can't carry it out."""
    if (reason := engine.unsuited(machine)) is not None:
        raise NothingToRunOn(f"{engine.title} can't run here: {reason}.")
    chosen = min(_CONTEXT, guard.max_context) if context is None else context
    if chosen > guard.max_context:
        raise NothingToRunOn(f"--max-model-len: {guard.repo} goes up to {guard.max_context}, not {chosen}.")
    plans = [
        CpuPlan(
            engine=engine,
            guard=guard,
            # One core is the service's: threads of a computation wait for each other, and one that shares its core
            # holds up all.
            load=Load(chosen, slots, max(1, machine.cores - 1)),
            machine=machine,
            missing=missing,
            origin=origin,
            cache=cache,
            free_bytes=free_bytes,
        )
        for slots in _SLOTS
    ]
    _check_disk(plans[0])
    return _fitting(plans)


def _check_disk(plan: CpuPlan) -> None:
    if plan.disk_bytes and plan.disk_bytes + _SPARE_DISK_BYTES > plan.free_bytes:
        raise NothingToRunOn(
            f"{plan.cache}: {_gb(plan.disk_bytes)} are needed and {_gb(_SPARE_DISK_BYTES)} should stay free, but the "
            f"disk has {_gb(plan.free_bytes)}. --cache-dir chooses another one."
        )


def _fitting(plans: Sequence[CpuPlan]) -> CpuPlan:
    for plan in plans:
        if plan.memory_bytes + _SPARE_MEMORY_BYTES <= plan.machine.available_bytes:
            return plan
    least = plans[-1]
    raise NothingToRunOn(
        f"{least.guard.repo} with {least.engine.title} needs about {_gib(least.memory_bytes + _SPARE_MEMORY_BYTES)} of "
        f"memory; {_gib(least.machine.available_bytes)} are available."
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else _mb(size)


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _s(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
