"""What holds for every test: a clean environment, repeatable properties, and nothing left behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator

import hypothesis
import pytest
from memory_watch import watch_memory
from processes import free_port
from route_builders import share_route_builders

from moderation_service.observability.request_context import RequestContext, request_context

# As in the service, and before numpy is loaded: threads of a matrix product that wait for each other on a busy machine
# take five times as long as one.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# The largest process of the default suite has 0.9 GB.
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


def pytest_configure() -> None:
    # Here, and not at the import or in a fixture: now file 2 is the terminal, also in a process of xdist.
    watch_memory(most_bytes=_MOST_BYTES, report_to=os.dup(2))
    share_route_builders()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What thousands of tests are made of stays to the end.

    Every full look for garbage would go through it again, for half a second at a time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not depend on the variables of whoever runs them."""
    for name in tuple(os.environ):
        if name.startswith(("MODERATION_", "PROMETHEUS_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nobody_asks() -> None:
    """A request that a test made in its own thread leaves its caller there until the next one, as in a server."""
    request_context.set(RequestContext())


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        _join(thread, within_s=2)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"the test left threads behind: {alive}"


def _join(thread: threading.Thread, *, within_s: float) -> None:
    """Wait for the thread's end, also of one that another thread is just about to start."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        try:
            thread.join(max(0.0, ends_at - time.monotonic()))
            return
        except RuntimeError:
            time.sleep(0.001)


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    return free_port()
