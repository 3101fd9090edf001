"""A closed-loop HTTP load (`load.c`), and the CPU that a server's processes spend on it."""

from __future__ import annotations

import argparse
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_MARK = 73_519_264
"""A number of eight digits that stands nowhere else in a request."""


@dataclass(frozen=True)
class Result:
    """One run: CPU is that of the server's processes, latencies are the client's."""

    requests: int
    seconds: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def run_load(
    *, port: int, pid: int, clients: int, seconds: float, make_request: Callable[[int], bytes], warm: int = 50
) -> Result:
    """Keep `clients` connections busy for `seconds`, after `warm` replies; `make_request(n)` is a request's bytes.

    It is called once: where the number stands in the request, every request gets a number of its own, and no run the
    numbers of another one. The load itself is `load.c`, which leaves the machine to the server.
    """
    request = make_request(_MARK)
    with tempfile.TemporaryDirectory() as folder:
        program, template = Path(folder) / "load", Path(folder) / "request"
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("load.c")], check=True)
        template.write_bytes(request.replace(str(_MARK).encode(), b"########"))
        numbers = [port, clients, seconds, warm]
        first = random.randrange(10**7, 10**8)
        command = [program, *map(str, numbers), template, str(first), *map(str, process_tree(pid))]
        words = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    requests, elapsed, cpu, p50_ms, p99_ms = int(words[0]), *map(float, words[1:5])
    counts = (word.split(":") for word in words[5:])
    return Result(
        requests=requests,
        seconds=elapsed,
        cpu_us=cpu / requests * 1e6,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        statuses={int(status): int(count) for status, count in counts},
    )


def post(path: str, body: bytes, *, key: str = "") -> bytes:
    """The bytes of a JSON POST on a kept-alive connection."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{authorization}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def add_before(parser: argparse.ArgumentParser) -> None:
    """The option to measure an earlier version beside this one, in turns in the same run."""
    parser.add_argument(
        "--before", type=Path, metavar="CHECKOUT", help="another checkout, with a .venv, to measure in turns with this"
    )


def python_of(checkout: Path | None) -> str:
    """The interpreter that has the service of this checkout; of this one by default."""
    return sys.executable if checkout is None else str(checkout.resolve() / ".venv" / "bin" / "python")


def process_tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [pid] + [grandchild for child in listed for grandchild in process_tree(int(child))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree so far."""
    total = 0
    for one in process_tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pid: int) -> dict[int, tuple[float, float]]:
    """Resident and proportional memory (shared pages divided by their users) of every process of a tree."""
    found = {}
    for one in process_tree(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
        found[one] = (sizes["Rss:"], sizes["Pss:"])
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine() -> str:
    """One line about the machine, for under a table."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {platform.system()}"
