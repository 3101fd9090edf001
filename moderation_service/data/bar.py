"""The bar on a terminal: rate, time left, the share of unsafe so far, errors. Elsewhere nothing is shown."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from .annotate import Counts

__all__ = ["Bar"]


class Bar:
    """A watcher of `annotate`; `with` ends it."""

    def __init__(self) -> None:
        self._tqdm: Any = None
        self._bar: Any = None
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                return
            # It is told often enough; a thread that looks after it is not needed.
            tqdm.monitor_interval = 0
            self._tqdm = tqdm

    def __call__(self, counts: Counts, judged: int, total: int | None) -> None:
        """Show it."""
        if self._tqdm is None:
            return
        if self._bar is None:
            # What an earlier run has done is no part of this one's rate.
            self._bar = self._tqdm(initial=counts.rows, unit=" rows", dynamic_ncols=True, smoothing=0.1)
        self._bar.total = total
        self._bar.set_postfix_str(f"unsafe {counts.unsafe_share:.1%}, errors {counts.errors:,}", refresh=False)
        if judged > self._bar.n:
            self._bar.update(judged - self._bar.n)
        else:
            self._bar.refresh()

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
