"""Runs the service: gunicorn, with the app loaded once and its memory shared by the workers."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from .access import check_exposure, load_api_keys
from .errors import ConfigurationError, ModerationError
from .logs import logging_config
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["base_url", "check_port_is_free", "prepare_process", "serve"]

_METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"


def serve(settings: Settings, *, when_ready: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; does not return. `when_ready` is called once the port answers.

    Raises ConfigurationError for settings that can't work and for a port that is taken.
    """
    check_exposure(settings, load_api_keys(settings))
    check_port_is_free(settings)
    prepare_process()
    given = os.environ.get(_METRICS_DIR)
    metrics_dir = _make_metrics_dir() if given is None else _empty_metrics_dir(Path(given))

    def clean_up() -> None:
        # A folder that the operator named stays, with whatever else is in it.
        if given is None:
            shutil.rmtree(metrics_dir, ignore_errors=True)

    try:
        _Server(settings, when_ready=when_ready, on_exit=clean_up).run()
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
        self, settings: Settings, *, when_ready: Callable[[], None] | None, on_exit: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._when_ready = when_ready
        self._on_exit = on_exit
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host and "[" not in settings.host else settings.host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.port}",
            "workers": settings.workers,
            "threads": settings.threads,
            # Ours needs epoll, which is Linux's; elsewhere gunicorn's own will do.
            "worker_class": "moderation_service.worker.Worker" if hasattr(select, "epoll") else "gthread",
            "preload_app": True,
            "keepalive": settings.keep_alive_s,
            "graceful_timeout": settings.graceful_timeout_s,
            # Recycling workers hides leaks and drops connections: off.
            "max_requests": 0,
            "worker_connections": 2000,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108
            "proc_name": "moderation-service",
            "logconfig_dict": logging_config(settings.log_level),
            "control_socket_disable": True,
            "when_ready": self._on_ready,
            "child_exit": _on_child_exit,
            "on_exit": lambda arbiter: self._on_exit(),
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        # Imported only here: metrics must see the folder that serve() made.
        from .web import create_app

        return create_app(self._settings)

    def _on_ready(self, arbiter: object) -> None:
        # What was loaded stays for good; not touching it keeps its memory shared with the workers.
        gc.collect()
        gc.freeze()
        if self._when_ready is not None:
            self._when_ready()


def _make_metrics_dir() -> Path:
    """A fresh folder for the counters of all workers."""
    folder = Path(tempfile.mkdtemp(prefix="moderation-metrics-"))
    os.environ[_METRICS_DIR] = str(folder)
    return folder


def _empty_metrics_dir(folder: Path) -> Path:
    """The operator's folder for the counters; numbers of an earlier start must not leak in."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.db"):
            old.unlink()
    except OSError as error:
        raise ConfigurationError(f"{_METRICS_DIR}: {folder} can't be used: {error.strerror}.") from error
    return folder


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
