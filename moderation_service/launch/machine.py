"""What this machine can give a model that runs on its CPU: cores, memory, and what the wheels ask of the system."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "available_memory", "read_machine"]

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """As far as a plan for the CPU needs to know it."""

    cores: int
    """That this process may use: a container's share of the processors counts, not the machine's number."""
    available_bytes: int
    """Of memory, that can be had without swapping; sys.maxsize where nobody tells."""
    architecture: str
    """`x86_64`, `aarch64`, ..."""
    glibc: tuple[int, int] | None
    """None with another C library, such as Alpine's, for which most wheels are not made."""
    python: tuple[int, int]
    cpu_flags: frozenset[str]
    """As Linux names them, such as `avx512_bf16`."""

    @property
    def has_fast_bfloat16(self) -> bool:
        """Whether the CPU multiplies in the type of the model's weights."""
        return bool(self.cpu_flags & {"avx512_bf16", "amx_bf16"})


def read_machine() -> Machine:
    """The facts of the machine, or container, that this runs on."""
    library, version = platform.libc_ver()
    return Machine(
        cores=_cores(),
        available_bytes=available_memory(),
        architecture=platform.machine(),
        glibc=_version(version) if library == "glibc" else None,
        python=sys.version_info[:2],
        cpu_flags=_cpu_flags(),
    )


def available_memory(
    *, meminfo: Path = Path("/proc/meminfo"), groups: Callable[[], Iterator[Path]] | None = None
) -> int:
    """What Linux says can be had without swapping, or what is left of the container's share if that is less."""
    available = sys.maxsize
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    for group in (groups or _own_groups)():
        # Files in the page cache count as used; they give way.
        with contextlib.suppress(OSError, ValueError):
            limit, used = int(_read(group / "memory.max")), int(_read(group / "memory.current"))
            available = min(available, limit - used + _reclaimable(group))
    return max(0, available)


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _own_groups():
        with contextlib.suppress(OSError, ValueError):
            quota, period = _read(group / "cpu.max").split()
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _own_groups() -> Iterator[Path]:
    """The control groups (version 2) that this process is in, the innermost first; limits of all of them hold."""
    try:
        lines = _read(Path("/proc/self/cgroup")).splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            group = _CGROUPS / line.removeprefix("0::/")
            yield group
            yield from (parent for parent in group.parents if parent.is_relative_to(_CGROUPS))


def _reclaimable(group: Path) -> int:
    for line in _read(group / "memory.stat").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _cpu_flags() -> frozenset[str]:
    with contextlib.suppress(OSError):
        for line in _read(Path("/proc/cpuinfo")).splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def _version(text: str) -> tuple[int, int] | None:
    major, _, minor = text.partition(".")
    minor = minor.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
