"""What attackers without a key, and too much work, do to callers: `python benchmarks/bench_siege.py`.

*Siege*: thousands of connections that send nothing, half a head, a head without its body, a TLS hello, or a byte every
half second, and a flood of whole requests, all without a key; those that are thrown out come again. Beside them a few
callers with a key and a probe of `/healthz`. Then the same with 256 file descriptors. *Overload*: a guard that takes a
second, and ten times as many callers as there is room for. Each part says what it found and whether the bounds hold;
the exit status is 1 if one does not.

The attackers run in a process of their own (`--attack`), on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench_gateway import HERE, KEY, model_server, service
from load import add_before, machine, post

ATTACKERS = {
    b"": 5000,
    b"POST /mod": 500,
    b"POST /moderate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n": 300,
    bytes.fromhex("1603010200010001fc0303") + b"a" * 500: 70,
}
DRIPS, DRIP_S = 20, 0.5
FLOOD_PER_SECOND = 300
CALLERS = 4
LIMITED_DESCRIPTORS = 256


@dataclass
class Seen:
    """What one kind of client saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def p99_ms(self) -> float:
        return 1000 * sorted(self.seconds)[int(len(self.seconds) * 0.99)] if self.seconds else 0.0

    def add(self, status: str, seconds: float) -> None:
        """Times count for what was answered with 200."""
        self.statuses[status] += 1
        if status == "200":
            self.seconds.append(seconds)

    def __str__(self) -> str:
        return f"{dict(self.statuses)}, p99 {self.p99_ms():.0f} ms"


# Clients


async def ask(port: int, seen: Seen, sent: Callable[[], bytes], *, ends_at: float, pause_s: float) -> None:
    """Ask again and again on a kept connection; `Retry-After` is kept to."""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    while time.monotonic() < ends_at:
        began = time.monotonic()
        try:
            async with asyncio.timeout(20):
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(sent())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
            status = head.split()[1].decode()
            if status == "429" and b"retry-after:" not in head:
                status = "429 without Retry-After"
            if b"connection: close" in head:
                writer.close()
                reader = writer = None
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            status, reader, writer = type(error).__name__, None, None
        seen.add(status, time.monotonic() - began)
        await asyncio.sleep(random.uniform(1.0, 2.0) if status == "429" else pause_s)
    if writer is not None:
        writer.close()


def verdict() -> bytes:
    return post("/moderate", json.dumps({"prompt": f"hello {random.random()}"}).encode(), key=KEY)


def health() -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def callers(port: int, count: int, seconds: float, *, pause_s: float = 0.02) -> tuple[Seen, Seen]:
    """Verdicts for so many callers; the probe beside them is a process of its own, which a crowd here can't slow."""
    command = [sys.executable, __file__, "--probe", str(port), "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as probe:
        moderate = asyncio.run(ask_many(port, verdict, count, seconds, pause_s=pause_s))
        assert probe.stdout is not None
        statuses, times = json.loads(probe.stdout.read())
    return moderate, Seen(Counter(statuses), times)


async def ask_many(port: int, sent: Callable[[], bytes], count: int, seconds: float, *, pause_s: float) -> Seen:
    seen, ends_at = Seen(), time.monotonic() + seconds
    await asyncio.gather(*(ask(port, seen, sent, ends_at=ends_at, pause_s=pause_s) for _ in range(count)))
    return seen


# Attackers


async def attack(port: int, scale: float) -> None:
    """All attackers until this process is ended; says so once they are all there."""
    raise_limit()
    gate = asyncio.Semaphore(64)
    held: set[object] = set()
    silent = [hold(port, sent, gate, held) for sent, count in ATTACKERS.items() for _ in range(int(count * scale))]
    others = [drip(port) for _ in range(DRIPS)] + [flood(port)]
    tasks = [asyncio.create_task(one) for one in [*silent, *others]]
    await asyncio.sleep(4)
    print(len(held), flush=True)
    await asyncio.gather(*tasks)


async def again(connect: Callable[[], Awaitable[None]]) -> None:
    while True:
        with contextlib.suppress(OSError):
            await connect()
        await asyncio.sleep(2)  # thrown out: it comes again


async def hold(port: int, sent: bytes, gate: asyncio.Semaphore, held: set[object]) -> None:
    async def connect() -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        held.add(writer)
        try:
            while await reader.read(4096):
                pass
        finally:
            held.discard(writer)
            writer.close()

    await again(connect)


async def drip(port: int) -> None:
    async def connect() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /moderate HTTP/1.1\r\nX: ")
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(DRIP_S)

    await again(connect)


async def flood(port: int) -> None:
    async def one() -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post("/moderate", b'{"prompt": "hello"}'))
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    running: set[asyncio.Task[None]] = set()
    while True:
        if len(running) < FLOOD_PER_SECOND:
            task = asyncio.create_task(one())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(1 / FLOOD_PER_SECOND)


@contextlib.contextmanager
def besieged(port: int, scale: float) -> Iterator[None]:
    command = [sys.executable, __file__, "--attack", str(port), "--scale", str(scale)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attackers:
        try:
            assert attackers.stdout is not None
            print(f"  {attackers.stdout.readline().decode().strip()} attackers are connected", flush=True)
            yield
        finally:
            attackers.terminate()


def raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# The parts


class Bounds:
    """What must hold; all of it is looked at, whatever went before."""

    def __init__(self) -> None:
        self.are_kept = True

    def check(self, words: str, holds: bool) -> None:
        self.are_kept &= holds
        print(f"  {'holds' if holds else 'BROKEN'}: {words}", flush=True)


def siege(upstream: str, bounds: Bounds, options: argparse.Namespace) -> None:
    with service(upstream, checkout=options.before) as (_, port):
        callers(port, CALLERS, 1.0)  # warm
        quiet, _ = callers(port, CALLERS, options.seconds)
        with besieged(port, options.scale):
            loud, healthz = callers(port, CALLERS, options.seconds)
    print(f"Siege, a guard of 20 ms:\n  without: {quiet}\n  with: {loud}\n  /healthz: {healthz}")
    ratio = loud.p99_ms() / quiet.p99_ms()
    bounds.check(f"p99 of callers with a key is at most 3 times that without attackers ({ratio:.1f})", ratio <= 3)
    bounds.check("every one of them has a verdict", set(loud.statuses) == {"200"})
    bounds.check("/healthz is answered, p99 < 100 ms", set(healthz.statuses) == {"200"} and healthz.p99_ms() < 100)


def few_descriptors(upstream: str, bounds: Bounds, options: argparse.Namespace) -> None:
    narrow = f'ulimit -n {LIMITED_DESCRIPTORS} && exec "$@"'
    with service(upstream, checkout=options.before, shell=narrow) as (_, port), besieged(port, options.scale / 8):
        moderate, healthz = callers(port, 12, options.seconds)
    print(f"The same with {LIMITED_DESCRIPTORS} descriptors:\n  verdicts: {moderate}\n  /healthz: {healthz}")
    bounds.check("no verdict fails for want of a descriptor", set(moderate.statuses) == {"200"})


def overload(upstream: str, bounds: Bounds, options: argparse.Namespace) -> None:
    """At 2 workers x 64 threads and a guard of one second there is room for 128 callers."""
    many = int(1280 * options.scale)
    with service(upstream, checkout=options.before) as (_, port):
        callers(port, CALLERS, 3.0)  # warm
        calm, _ = callers(port, 16, options.seconds, pause_s=0)
        crowd, healthz = callers(port, many, options.seconds + 4, pause_s=0)
    print(f"Overload, a guard of 1 s:\n  16 callers: {calm}\n  {many} callers: {crowd}\n  /healthz: {healthz}")
    ratio = crowd.p99_ms() / calm.p99_ms()
    bounds.check(f"accepted callers keep their p99, within twice ({ratio:.1f})", ratio <= 2)
    bounds.check("the others get 429 with Retry-After, and nobody a 5xx", set(crowd.statuses) <= {"200", "429"})
    bounds.check("/healthz is answered, p99 < 100 ms", set(healthz.statuses) == {"200"} and healthz.p99_ms() < 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="a smaller siege, for a smaller machine")
    parser.add_argument("--attack", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--probe", type=int, metavar="PORT", help=argparse.SUPPRESS)
    add_before(parser)
    options = parser.parse_args()
    if options.probe is not None:
        seen = asyncio.run(ask_many(options.probe, health, 1, options.seconds, pause_s=0.1))
        print(json.dumps([seen.statuses, seen.seconds]))
        return
    if options.attack is not None:
        asyncio.run(attack(options.attack, options.scale))
        return
    raise_limit()
    bounds = Bounds()
    with tempfile.TemporaryDirectory() as folder:
        mock = Path(folder) / "mock_vllm"
        subprocess.run(["cc", "-O2", "-o", mock, HERE / "mock_vllm.c"], check=True)
        with model_server(mock, folder, 20, "ok_stopped_after_safe") as (upstream, _):
            siege(upstream, bounds, options)
            few_descriptors(upstream, bounds, options)
        with model_server(mock, folder, 1000, "ok_stopped_after_safe") as (upstream, _):
            overload(upstream, bounds, options)
    print(f"\n{machine()}; 2 workers; attackers, callers and model server on the same machine.")
    sys.exit(not bounds.are_kept)


if __name__ == "__main__":
    main()
