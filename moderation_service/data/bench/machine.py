"""What figures depend on: the processor, its cores, the memory, the system. No name of a host."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

__all__ = ["machine_facts"]


def machine_facts() -> dict[str, str]:
    """Names and values, for a report."""
    facts = {"CPU": _after("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()}
    facts["cores"] = str(os.cpu_count() or 1)
    total = _after("/proc/meminfo", "MemTotal").partition(" ")[0]
    if total.isdigit():
        facts["memory"] = f"{int(total) / 1024**2:.0f} GiB"
    facts["system"] = f"{platform.system()} {platform.release()}"
    return facts


def _after(file: str, name: str) -> str:
    """What stands behind the first line of that name, or nothing."""
    with suppress(OSError):
        for line in Path(file).read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
