"""A lock between threads and processes: one at a time, and nobody who is killed keeps it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap

import pytest

from moderation_service.web.process_lock import FileLock, MutexLock, ProcessLock, process_lock

_fork = multiprocessing.get_context("fork")
KINDS = [FileLock, *([MutexLock] if sys.platform == "linux" else [])]


@pytest.fixture(params=KINDS)
def lock(request: pytest.FixtureRequest) -> Iterator[ProcessLock]:
    made = request.param()
    yield made
    made.close()


def in_two_processes(work: Callable[[], None]) -> None:
    processes = [_fork.Process(target=work) for _ in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
        assert one.exitcode == 0


def test_threads_of_two_processes_count_together_without_losing_one(lock: ProcessLock) -> None:
    memory = mmap(-1, 8)

    def count(_: int) -> None:
        with lock:
            (number,) = struct.unpack_from("<q", memory)
            struct.pack_into("<q", memory, 0, number + 1)

    def work() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(2000)))

    in_two_processes(work)
    assert struct.unpack_from("<q", memory) == (4000,)


def test_a_thread_waits_until_the_other_one_has_let_go(lock: ProcessLock) -> None:
    order = []
    thread = threading.Thread(target=lambda: [lock.__enter__(), order.append("second"), lock.__exit__()])
    with lock:
        thread.start()
        thread.join(0.05)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_process_that_is_killed_with_the_lock_leaves_it_free(lock: ProcessLock) -> None:
    has_it = _fork.Event()

    def hold() -> None:
        with lock:
            has_it.set()
            signal.pause()

    process = _fork.Process(target=hold)
    process.start()
    assert has_it.wait(20)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for _ in range(2):
        with lock:
            pass


def test_who_waits_while_the_holder_is_killed_gets_it_and_so_does_everybody_after(lock: ProcessLock) -> None:
    has_it = _fork.Event()

    def hold() -> None:
        with lock:
            has_it.set()
            signal.pause()

    def take() -> None:
        for _ in range(3):
            with lock:
                pass

    holder, *waiting = (_fork.Process(target=target) for target in (hold, take, take))
    holder.start()
    assert has_it.wait(20)
    for one in waiting:
        one.start()
        one.join(0.1)
        assert one.is_alive()
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    for one in (holder, *waiting):
        one.join(20)
    assert [one.exitcode for one in waiting] == [0, 0]


def test_an_error_within_lets_go_of_it(lock: ProcessLock) -> None:
    with pytest.raises(ValueError, match="within"), lock:
        raise ValueError("within")
    with lock:
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="robust mutexes are Linux'")
def test_on_linux_it_is_a_mutex() -> None:
    assert isinstance(process_lock(), MutexLock)
