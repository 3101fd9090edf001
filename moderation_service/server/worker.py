"""The worker class that gunicorn runs: its process, signals and heartbeat are gunicorn's, its connections a `Poller`'s.

gunicorn's own workers were found wanting: the threaded one is starved by a few dozen clients that send nothing, and
costs several times as much per request when many are connected (docs/performance.md).
"""

from __future__ import annotations

import os

from gunicorn.workers import base

from ..observability.logs import collect_access_lines
from ..store.choice import FLUSH_S
from ..web.triage import Triage
from .descriptors import connections_within, raise_descriptor_limit
from .poller import Poller, PollerOptions

__all__ = ["Worker"]

# What is not finished when the worker is told to end at once.
_QUIT_S = 1.0


class Worker(base.Worker):  # type: ignore[misc]
    """One process; the app and its triage come from `moderation_service.web`."""

    _quits = False

    def run(self) -> None:
        """Serve until told to end."""
        collect_access_lines()
        triage: Triage = self.wsgi.extensions["moderation.triage"]
        triage.open()
        settings = triage.settings
        options = PollerOptions(
            threads=settings.threads,
            keep_alive_s=settings.keep_alive_s,
            connections=connections_within(raise_descriptor_limit(), calls=triage.calls_at_once()),
            body_memory_bytes=settings.body_memory_bytes,
            shares_port=settings.workers > 1,
        )
        Poller(
            self.wsgi,
            triage=triage,
            listeners=self.sockets,
            options=options,
            wakeup=self.PIPE[0],
            grace_s=self._grace_s,
            heartbeat=self.notify,
        ).run()
        triage.close(within_s=_QUIT_S if self._quits else FLUSH_S)

    def handle_quit(self, sig: int, frame: object) -> None:
        """SIGINT or SIGQUIT: end at once."""
        self._quits = True
        self.alive = False

    def _grace_s(self) -> float | None:
        """How long what was begun may take, once this worker is told to end or has lost its parent."""
        if self.alive and self.ppid == os.getppid():
            return None
        return _QUIT_S if self._quits else float(self.cfg.graceful_timeout - FLUSH_S)
