"""What all processes of the service take together, as Prometheus' `process_...` metrics.

prometheus-client's own collector tells of the one process that happens to answer, and nothing at all under several
workers. Read from Linux' /proc when asked, so that a request costs nothing; elsewhere there are no such metrics.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["ProcessCollector", "ReadyCollector"]

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Process:
    """One process, as far as it could be read. `cpu_s` includes children that have ended and were waited for."""

    cpu_s: float
    started_s: float
    memory_bytes: int
    open_fds: int


class ProcessCollector(Collector):
    """The process `pid`, and its children when they are the service's workers."""

    def __init__(self, *, pid: int, with_children: bool) -> None:
        self._pid = pid
        self._with_children = with_children

    def collect(self) -> Iterator[Metric]:
        """Sums over the processes; of open files the largest number, because the limit is for each process."""
        main = _read(self._pid)
        if main is None:
            return
        workers = [found for pid in self._children() if (found := _read(pid)) is not None]
        everyone = [main, *workers]
        yield GaugeMetricFamily("moderation_workers", "Worker processes that are alive.", value=len(workers) or 1)
        # A worker that ends hands its time to the main process, so that the sum never falls.
        cpu_s = sum(one.cpu_s for one in everyone)
        yield CounterMetricFamily("process_cpu_seconds", "CPU time of all processes, user and system.", value=cpu_s)
        memory = sum(one.memory_bytes for one in everyone)
        text = "Memory of all processes; what they share is counted once."
        yield GaugeMetricFamily("process_resident_memory_bytes", text, value=memory)
        fds = max(one.open_fds for one in everyone)
        yield GaugeMetricFamily("process_open_fds", "Open files and connections of the process with most.", value=fds)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        yield GaugeMetricFamily("process_max_fds", "How many each process may have open.", value=limit)
        text = "When the service started, in seconds since 1970."
        yield GaugeMetricFamily("process_start_time_seconds", text, value=main.started_s)

    def _children(self) -> list[int]:
        if not self._with_children:
            return []
        with contextlib.suppress(OSError):
            return [int(pid) for pid in (_PROC / f"{self._pid}/task/{self._pid}/children").read_text().split()]
        return []


def _read(pid: int) -> _Process | None:
    """The process as it is now; None when it has ended or can't be looked at."""
    folder = _PROC / str(pid)
    try:
        # The name in brackets may hold anything; what follows it are numbers, the first of them field 3 of proc(5).
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return _Process(
            cpu_s=sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S,
            started_s=_boot_time_s() + int(fields[19]) / _TICKS_PER_S,
            memory_bytes=_memory_bytes(folder) or int(fields[21]) * resource.getpagesize(),
            open_fds=len(os.listdir(folder / "fd")),  # noqa: PTH208  (only counted)
        )
    except (OSError, ValueError, IndexError):
        return None


def _memory_bytes(folder: Path) -> int | None:
    """The process' proportional share: a page that three processes share counts a third for each."""
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _boot_time_s() -> float:
    with (_PROC / "stat").open() as lines:
        return next(float(line.split()[1]) for line in lines if line.startswith("btime "))


class ReadyCollector(Collector):
    """Whether a verdict can be had, as the process knows that answers."""

    def __init__(self, is_ready: bool) -> None:
        self._is_ready = is_ready

    def collect(self) -> Iterator[Metric]:
        text = "1 while a verdict can be had, 0 while /readyz says no."
        yield GaugeMetricFamily("moderation_ready", text, value=int(self._is_ready))
