"""Engines: who judges. One module or package per engine; `create_engine` is the only registration."""

from __future__ import annotations

from ..settings import Settings
from .base import Deadline, Engine

__all__ = ["Deadline", "Engine", "create_engine", "create_fallback"]


def create_engine(settings: Settings) -> Engine:
    """The engine that the settings name. Each is imported only when it is used."""
    from .lite.engine import LiteEngine

    return LiteEngine.load()


def create_fallback(settings: Settings) -> Engine | None:
    """The embedded engine for policies with `on_failure: lite`; None where it is the main engine already."""
    if settings.engine == "lite":
        return None
    return create_engine(settings)
