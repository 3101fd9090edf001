"""Callers that ask without a pause for as long as a test needs them, and no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["asking"]


@contextmanager
def asking(ask: Callable[[int], object], *, callers: int, pause_s: float = 0.0) -> Iterator[None]:
    """Meanwhile so many threads call `ask(number)` again and again.

    They end with the block, also where it fails: threads that outlived it would go on for ever, and keep every answer
    they get. A refusal takes a few microseconds, so that is gigabytes within minutes.
    """
    is_over = threading.Event()

    def go_on(number: int) -> None:
        while not is_over.is_set():
            ask(number)
            if pause_s:
                is_over.wait(pause_s)

    threads = [threading.Thread(target=go_on, args=(number,), name=f"caller {number}") for number in range(callers)]
    try:
        for one in threads:
            one.start()
        yield
    finally:
        is_over.set()
        for one in threads:
            if one.ident is not None:
                one.join()
