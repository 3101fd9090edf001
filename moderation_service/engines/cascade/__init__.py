"""The engine `cascade`: a small Qwen3Guard-Gen decides what it is sure of, a larger one the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ...config.settings import Settings
from ...core.policy import Bounds
from ...errors import ConfigurationError
from ...upstream.replicas import UpstreamEvents
from ..vllm import VllmEngine, upstream_options
from .comparing import CascadeEvents
from .engine import CascadeEngine, Watched

__all__ = ["CascadeEngine", "CascadeEvents", "EngineEvents", "Watched", "create", "create_models"]


class EngineEvents(UpstreamEvents, CascadeEvents, Protocol):
    """Told how an engine is doing, for metrics."""


def create(
    settings: Settings,
    *,
    events: EngineEvents | None = None,
    outgoing: Callable[[], bytes] | None = None,
    sharers: Callable[[], int] | None = None,
    watched: Watched | None = None,
) -> CascadeEngine:
    """The engine as the settings describe it, each of its models `watched`.

    Raises ConfigurationError when one of them has no server.
    """
    small, large = create_models(settings, events=events, outgoing=outgoing, sharers=sharers)
    return CascadeEngine(
        small,
        large,
        bounds=Bounds(safe=settings.cascade_safe, unsafe=settings.cascade_unsafe),
        sample=settings.cascade_sample,
        events=events,
        watched=watched,
    )


def create_models(
    settings: Settings,
    *,
    events: UpstreamEvents | None = None,
    outgoing: Callable[[], bytes] | None = None,
    sharers: Callable[[], int] | None = None,
) -> tuple[VllmEngine, VllmEngine]:
    """The small model and the larger one, each as an engine of its own. Raises ConfigurationError."""
    for name in ("small_upstreams", "upstreams"):
        if not getattr(settings, name):
            raise ConfigurationError(f"{name}: engine cascade needs the address of at least one server.")
    if set(settings.small_upstreams) & set(settings.upstreams):
        raise ConfigurationError("small_upstreams: a server of `upstreams` can't be one of the small model's too.")
    small, large = (
        VllmEngine(upstream_options(one, outgoing=outgoing, sharers=sharers), events=events)
        for one in (_of_small(settings), settings)
    )
    return small, large


def _of_small(settings: Settings) -> Settings:
    """The settings as they are for the small model alone."""
    return replace(
        settings,
        upstreams=settings.small_upstreams,
        upstream_api_key=settings.small_upstream_api_key,
        upstream_model=settings.small_upstream_model,
        upstream_dialect=settings.small_upstream_dialect,
        upstream_context_tokens=settings.small_upstream_context_tokens,
    )
