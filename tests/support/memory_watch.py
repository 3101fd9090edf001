"""Ends a process that grows without end while the machine still has memory, and says what its threads were at."""

from __future__ import annotations

import faulthandler
import os
import threading
from pathlib import Path

__all__ = ["EXIT_CODE", "watch_memory"]

EXIT_CODE = 70
_STATM = Path("/proc/self/statm")


def watch_memory(*, most_bytes: int, report_to: int, every_s: float = 0.5) -> None:
    """Look at this process's memory from a thread; where there is no /proc, do nothing.

    A test that never ends can be named only while it runs, so nobody waits for its end: the threads' frames are
    written to the file descriptor `report_to`, and the process ends with EXIT_CODE. xdist then names the test.
    """
    if not _STATM.exists():
        return
    statm, page = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC), os.sysconf("SC_PAGE_SIZE")

    def look() -> None:
        # Neither time.sleep nor anything else that tests replace.
        never = threading.Event()
        while int(os.pread(statm, 200, 0).split()[1]) * page <= most_bytes:
            never.wait(every_s)
        os.write(report_to, f"\nThis process has more than {most_bytes:,} bytes. Its threads:\n".encode())
        faulthandler.dump_traceback(report_to, all_threads=True)
        os._exit(EXIT_CODE)

    threading.Thread(target=look, name="memory watch", daemon=True).start()
