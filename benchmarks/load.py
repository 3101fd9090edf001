"""A small closed-loop HTTP load on raw sockets, and the CPU that a server's processes spend on it."""

from __future__ import annotations

import os
import platform
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


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
    """Keep `clients` connections busy for `seconds`; `make_request(n)` is the n-th request's bytes."""
    selector = selectors.DefaultSelector()
    waiting: dict[socket.socket, tuple[bytearray, float]] = {}
    number = 0

    def send(connection: socket.socket) -> None:
        nonlocal number
        number += 1
        waiting[connection] = (bytearray(), time.perf_counter())
        connection.sendall(make_request(number))

    for _ in range(clients):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        send(connection)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    started = cpu_before = 0.0
    end = time.perf_counter() + seconds + 60
    while time.perf_counter() < end:
        for key, _ in selector.select(1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            buffer, sent_at = waiting[connection]
            buffer += connection.recv(65536)
            status = _status_of_whole_reply(buffer)
            if status is None:
                continue
            if number == warm + clients and not started:
                started, cpu_before = time.perf_counter(), cpu_seconds(pid)
                end = started + seconds
            elif started:
                latencies.append(time.perf_counter() - sent_at)
                statuses[status] = statuses.get(status, 0) + 1
            send(connection)
    elapsed, cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu_before
    for connection in waiting:
        connection.close()
    latencies.sort()
    count = len(latencies)
    return Result(
        requests=count,
        seconds=elapsed,
        cpu_us=cpu / count * 1e6,
        p50_ms=latencies[count // 2] * 1000,
        p99_ms=latencies[int(count * 0.99)] * 1000,
        statuses=statuses,
    )


def _status_of_whole_reply(buffer: bytearray) -> int | None:
    head, separator, body = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return int(head[9:12]) if len(body) >= length else None


def post(path: str, body: bytes, *, key: str = "") -> bytes:
    """The bytes of a JSON POST on a kept-alive connection."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{authorization}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


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
