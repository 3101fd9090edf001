"""The engine `vllm`: Qwen3Guard-Gen behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

from collections.abc import Callable

from ...config.settings import ServersUrl, Settings
from ...errors import ConfigurationError
from ...upstream.replicas import UpstreamEvents
from .engine import UpstreamOptions, VllmEngine

__all__ = ["UpstreamEvents", "UpstreamOptions", "VllmEngine", "create", "upstream_options"]


def create(
    settings: Settings,
    *,
    events: UpstreamEvents | None = None,
    outgoing: Callable[[], bytes] | None = None,
    sharers: Callable[[], int] | None = None,
) -> VllmEngine:
    """The engine as the settings describe it. Raises ConfigurationError when they name no server."""
    if not settings.upstreams:
        raise ConfigurationError("upstreams: engine vllm needs the address of at least one server.")
    return VllmEngine(upstream_options(settings, outgoing=outgoing, sharers=sharers), events=events)


def upstream_options(
    settings: Settings,
    *,
    outgoing: Callable[[], bytes] | None = None,
    sharers: Callable[[], int] | None = None,
) -> UpstreamOptions:
    """Where the servers of `upstreams` are, and how they are used; see `create_engine` for `sharers`."""
    urls = [ServersUrl(url) for url in settings.upstreams]
    return UpstreamOptions(
        urls=tuple(url.base for url in urls if not url.is_resolved),
        names=tuple(url.base for url in urls if url.is_resolved),
        api_key=settings.upstream_api_key,
        model=settings.upstream_model,
        dialect=settings.upstream_dialect,
        context_tokens=settings.upstream_context_tokens,
        concurrency=settings.upstream_concurrency,
        fanout=settings.upstream_fanout,
        max_windows=settings.upstream_max_windows,
        connect_timeout_s=settings.upstream_connect_timeout_s,
        timeout_s=settings.upstream_timeout_s,
        outgoing=outgoing,
        most_per_replica=_most_per_replica(settings, sharers),
    )


def _most_per_replica(settings: Settings, sharers: Callable[[], int] | None) -> Callable[[], int] | None:
    """This process's part of the calls that a server may have; None where nobody else shares it, or without a bound."""
    calls = settings.upstream_replica_calls
    if not calls or sharers is None:
        return None
    known = settings.workers * settings.cluster_pods
    return lambda: max(1, calls // max(known, sharers()))
