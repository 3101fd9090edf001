"""Runs the service: gunicorn, with the app loaded once and its memory shared by the workers."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import select
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from .. import __version__
from ..config.settings import Settings
from ..errors import ConfigurationError, ModerationError
from ..observability.logs import log_event, logging_config
from ..store.choice import AUTO, FLUSH_S, OFF
from ..web.api_keys import check_exposure, load_api_keys
from .run_folder import RunFolder, make_run_folder, remove_leftovers
from .terminal import Terminal

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..web.service import Service

__all__ = ["base_url", "check_port_is_free", "prepare_process", "serve"]

_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
_METRICS_PREFIX = "moderation-metrics-"
_log = logging.getLogger("moderation.server")


def serve(
    settings: Settings,
    *,
    when_ready: Callable[[], None] | None = None,
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; does not return. `when_ready` is called once the port answers.

    On SIGHUP `reread` gives the settings anew; with them, the policies and the keys of their files new workers take
    over from the old ones, which first finish what they have begun. A mistake leaves everything as it was.

    Raises ConfigurationError for settings that can't work and for a port that is taken.
    """
    if settings.store.value in (AUTO, OFF):
        check_exposure(settings, has_keys=bool(load_api_keys(settings)))
    check_port_is_free(settings)
    prepare_process()
    given = os.environ.get(_METRICS_DIR)
    # A folder that the operator named stays, with whatever else is in it.
    made: RunFolder | None = None
    if given is None:
        made = _make_metrics_dir()
    else:
        _empty_metrics_dir(Path(given))

    def clean_up() -> None:
        if made is not None:
            made.remove()

    try:
        _Server(settings, when_ready=when_ready, reread=reread or (lambda: settings), on_exit=clean_up).run()
    except (ConfigurationError, ModerationError):
        clean_up()
        raise


def prepare_process() -> None:
    """What has to be set before numpy is imported: one BLAS thread, because the workers are the parallelism."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def base_url(settings: Settings) -> str:
    """The address at which people on this machine reach the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings instead of its command line."""

    def __init__(
        self,
        settings: Settings,
        *,
        when_ready: Callable[[], None] | None,
        reread: Callable[[], Settings],
        on_exit: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._when_ready = when_ready
        self._reread = reread
        self._on_exit = on_exit
        self._service: Service | None = None
        self.terminal = Terminal()
        super().__init__()

    def run(self) -> None:
        """Become the process that looks after the workers."""
        try:
            _Arbiter(self).run()
        except RuntimeError as error:
            raise ConfigurationError(f"The server can't run: {error}.") from error

    def load_config(self) -> None:
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host and "[" not in settings.host else settings.host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.port}",
            "workers": settings.workers,
            "threads": settings.threads,
            # Ours needs epoll, which is Linux's; elsewhere gunicorn's own will do.
            "worker_class": "moderation_service.server.worker.Worker" if hasattr(select, "epoll") else "gthread",
            "preload_app": True,
            "keepalive": settings.keep_alive_s,
            "graceful_timeout": settings.graceful_timeout_s + FLUSH_S,
            # Recycling workers hides leaks and drops connections: off.
            "max_requests": 0,
            "worker_connections": 2000,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
            "proc_name": "moderation-service",
            "logconfig_dict": logging_config(settings.log_level),
            "control_socket_disable": True,
            "when_ready": self._on_ready,
            "worker_exit": self._on_worker_exit,
            "child_exit": _on_child_exit,
            "on_exit": lambda arbiter: self._on_exit(),
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Make the app."""
        return self._make_app(self._settings)

    def renew(self) -> bool:
        """Read everything anew; False, and all as before, when there is a mistake in it."""
        assert self._service is not None
        gc.unfreeze()
        try:
            # The port is open already, and others know it; what matters for its exposure is where it is.
            settings = replace(self._reread(), host=self._settings.host, port=self._settings.port)
            app = self._make_app(settings)
        except (ConfigurationError, ModerationError) as error:
            log_event(_log, logging.ERROR, "reload_refused", reason=str(error))
            self._service.metrics.reload_refused()
            _keep_memory_shared()
            return False
        # In this order, or what was in use before would be kept for good.
        self._settings, self.callable = settings, app
        _keep_memory_shared()
        log_event(_log, logging.INFO, "reloaded")
        return True

    def _make_app(self, settings: Settings) -> WSGIApplication:
        # Imported only here: metrics must see the folder that serve() made.
        from ..observability.metrics import Metrics
        from ..web import create_app
        from ..web.service import build_service, open_service_store

        metrics = Metrics(version=__version__) if self._service is None else self._service.metrics
        before = None if self._service is None else self._service.settings
        store = open_service_store(settings, metrics)
        service = build_service(settings, metrics=metrics, store=store, earlier=self._service)
        # With all keys, those of apps in the database too; a mistake leaves the earlier service as it was.
        check_exposure(settings, has_keys=service.keys.has_keys)
        self._service = service
        return create_app(service=service, before_reload=before)

    def _on_worker_exit(self, arbiter: object, worker: object) -> None:
        if self._service is None:
            return
        if self._service.store is not None:
            # Our own worker has done so; gunicorn's leaves it to us.
            self._service.store.close(FLUSH_S)
        if self._service.tracing is not None:
            self._service.tracing.close()
        if self._service is not None and self._service.webhooks is not None:
            self._service.webhooks.close()
        if self._service.cluster is not None:
            self._service.cluster.close()

    def _on_ready(self, arbiter: object) -> None:
        _keep_memory_shared()
        if self._when_ready is not None:
            self._when_ready()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """gunicorn's process over the workers, with two changes to what SIGHUP does."""

    def reload(self) -> None:
        """Replace the workers, unless there is a mistake in the settings; end when the terminal was closed."""
        if self.app.terminal.is_lost():
            raise StopIteration
        if self.app.renew():
            super().reload()


def _keep_memory_shared() -> None:
    # What was loaded stays; a collector that does not touch it keeps its memory shared with the workers.
    gc.collect()
    gc.freeze()


def _make_metrics_dir() -> RunFolder:
    """A fresh folder for the counters of all workers."""
    remove_leftovers(_METRICS_PREFIX)
    folder = make_run_folder(_METRICS_PREFIX)
    os.environ[_METRICS_DIR] = str(folder.path)
    return folder


def _empty_metrics_dir(folder: Path) -> None:
    """The operator's folder for the counters; numbers of an earlier start must not leak in."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.db"):
            old.unlink()
    except OSError as error:
        raise ConfigurationError(f"{_METRICS_DIR}: {folder} can't be used: {error.strerror}.") from error


def _on_child_exit(arbiter: object, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def check_port_is_free(settings: Settings) -> None:
    """Raise ConfigurationError when the port is taken; gunicorn would try five times and then say less."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host.strip("[]"), settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                reason = f"port: {settings.port} is in use on {settings.host}; choose another with --port."
            else:
                reason = f"host: can't listen on {settings.host}:{settings.port}: {error.strerror}."
            raise ConfigurationError(reason) from error
