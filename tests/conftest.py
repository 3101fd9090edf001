"""What holds for every test: a clean environment, repeatable properties, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from processes import free_port

# As in the service, and before numpy is loaded: threads of a matrix product that wait for each other on a busy machine
# take five times as long as one.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_MOST_BYTES = 6_000_000_000

hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, print_blob=True, max_examples=100
)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
hypothesis.settings.load_profile("repeatable")


# A background job or one under nohup ignores these signals, and so would every process that the tests start and then
# send them to.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not depend on the variables of whoever runs them."""
    for name in tuple(os.environ):
        if name.startswith(("MODERATION_", "PROMETHEUS_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(timeout=2)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"the test left threads behind: {alive}"


@pytest.fixture(autouse=True)
def _memory_stays_bounded() -> Iterator[None]:
    """Something that grows without end is named by what all threads do, before the machine has none left."""
    yield
    statm = Path("/proc/self/statm")
    if statm.exists() and int(statm.read_text(encoding="ascii").split()[1]) * 4096 > _MOST_BYTES:
        frames = {thread.name: sys._current_frames().get(thread.ident or 0) for thread in threading.enumerate()}
        stacks = [f"{name}:\n{''.join(traceback.format_stack(one))}" for name, one in frames.items() if one is not None]
        pytest.fail(f"this process has more than {_MOST_BYTES:,} bytes; its threads are at\n{''.join(stacks)}")


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    return free_port()
