"""Everything one running service holds, made from its settings in one place."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import __version__
from ..access import ApiKeys, load_api_keys
from ..audit import AuditFile
from ..cache import VerdictCache
from ..conversation import Limits
from ..engines import Engine, create_engine, create_fallback, create_stream
from ..metrics import Metrics
from ..moderator import Moderator, Observer
from ..policy import Policies
from ..policy_file import load_policies
from ..relayed import Relay
from ..settings import Settings
from ..wires.native import NativeLimits

if TYPE_CHECKING:
    from ..engines.stream import StreamEngine

__all__ = ["Service", "build_service"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that routes use."""

    settings: Settings
    moderator: Moderator
    policies: Policies
    keys: ApiKeys
    metrics: Metrics
    limits: NativeLimits
    stream: StreamEngine | None
    """Judges answers token by token while they are being written, where `stream_upstream` is set."""
    relay: Relay


def build_service(settings: Settings, *, engine: Engine | None = None, fallback: Engine | None = None) -> Service:
    """Make a service; `engine` and `fallback` replace what the settings name, for tests and benchmarks.

    Raises ConfigurationError for settings that can't work. The engine is loaded last: a typo shows at once.
    """
    policies = load_policies(settings.policies_file, default=settings.default_policy)
    keys = load_api_keys(settings)
    metrics = Metrics(version=__version__)
    observers: list[Observer] = [metrics]
    if settings.audit_file is not None:
        observers.append(AuditFile(settings.audit_file))
    if engine is None:
        engine, fallback = create_engine(settings, events=metrics), create_fallback(settings)
    stream = create_stream(settings, engine, events=metrics)
    moderator = Moderator(
        engine=engine,
        fallback=fallback,
        cache=VerdictCache(size=settings.cache_size, ttl_s=settings.cache_ttl_s),
        observers=observers,
        deadline_s=settings.deadline_s,
    )
    limits = NativeLimits(
        conversation=Limits(messages=settings.max_messages),
        batch_items=settings.max_batch_items,
        metadata_bytes=settings.max_metadata_bytes,
    )
    relay = Relay(
        moderator,
        stream,
        # Made here, before the workers are forked: any of them can go on with what another one began.
        key=secrets.token_bytes(32),
        deadline_s=settings.deadline_s,
    )
    return Service(settings, moderator, policies, keys, metrics, limits, stream, relay)
