"""The parts of a service, each made from its settings; `web/service` puts them together."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..chat.item_memory import ItemMemory
from ..cluster.parts import ClusterParts
from ..config.answer_file import read_answers
from ..config.apps_file import load_apps
from ..config.settings import Settings
from ..core.app import App
from ..core.conversation import Limits
from ..core.moderator import Moderator, Observer
from ..core.policy import Policies
from ..core.prepared_answer import PreparedAnswer
from ..engines import Engine, create_answers, create_engine, create_fallback, create_stream
from ..errors import ConfigurationError
from ..observability.audit import AuditFile
from ..observability.metrics import Metrics
from ..observability.propagation import outgoing_lines
from ..observability.tracing import Tracing, traced
from ..streaming.call_memory import CallMemory
from ..streaming.relayed import Relay
from ..wires.native import NativeLimits
from .api_keys import ApiKeys, load_api_keys, warn_of_readers
from .callers import Callers
from .cluster_limits import ClusterCounters, connect
from .escalation import ClusterStandings, Escalator, SharedStandings, Standings
from .following import Following
from .policies import LivePolicies
from .rate_limits import Counters, SharedCounters

if TYPE_CHECKING:
    from ..engines.answers import PreparedAnswers
    from ..engines.stream import StreamEngine
    from ..observability.webhooks import Outbox, Webhooks
    from ..store.database import Database
    from ..store.opened import Store

__all__ = [
    "answers",
    "apps",
    "audit_file",
    "call_memory",
    "callers",
    "counters",
    "escalator",
    "following",
    "item_memory",
    "judges",
    "keys",
    "limits",
    "observers",
    "relay",
    "seal_key",
    "standings",
    "webhooks",
]


def keys(settings: Settings) -> ApiKeys:
    """The keys in the settings and in their file, with a warning where others can read that."""
    found = load_api_keys(settings)
    if settings.api_keys_file is not None:
        warn_of_readers(settings.api_keys_file)
    return found


def apps(settings: Settings, policies: Policies, *, lists: Sequence[str]) -> Sequence[App]:
    """The apps of a file."""
    if settings.apps_file is None:
        return ()
    return load_apps(settings.apps_file, policies=_names(policies), lists=lists)


def answers(settings: Settings, policies: Policies) -> PreparedAnswers | None:
    """The prepared answers of a file."""
    found: Sequence[PreparedAnswer] = ()
    if settings.answers_file is not None:
        found = read_answers(settings.answers_file, policies=_names(policies))
    return create_answers(found, settings)


def _names(policies: Policies) -> list[str] | None:
    """Which policies may be named; None where the database may have others."""
    return None if policies.is_partial else [policy.name for policy in policies]


def callers(
    settings: Settings,
    keys: ApiKeys,
    apps: Sequence[App],
    policies: Policies,
    metrics: Metrics,
    local: SharedCounters | None,
) -> Callers:
    """Who may ask."""
    counters: Counters | None = local
    if local is not None and settings.limits_store is not None:
        counters = ClusterCounters(connect(settings.limits_store.value), local=local, events=metrics)
    return Callers(keys, policies=policies, events=metrics, apps=apps, counters=counters)


def judges(
    settings: Settings,
    engine: Engine | None,
    fallback: Engine | None,
    *,
    metrics: Metrics,
    tracing: Tracing | None,
    parts: ClusterParts,
) -> tuple[Engine, Engine | None, StreamEngine | None]:
    """The engine, the one in its place while it is away, and the one for answers that are being written."""
    outgoing = outgoing_lines(tracing)
    if engine is None:
        watched = None if tracing is None else functools.partial(traced, tracing=tracing, is_remote=True)
        engine = create_engine(settings, events=metrics, outgoing=outgoing, sharers=parts.members, watched=watched)
        fallback = create_fallback(settings)
    stream = create_stream(settings, engine, events=metrics, outgoing=outgoing)
    if tracing is not None:
        engine = traced(engine, tracing=tracing, is_remote=settings.engine not in ("lite", "cascade"))
        fallback = fallback and traced(fallback, tracing=tracing, is_remote=False)
    return engine, fallback, stream


def escalator(settings: Settings, metrics: Metrics, local: SharedStandings | None) -> Escalator | None:
    """What is done about repeat offenders; None where no policy does anything."""
    if local is None:
        return None
    standings: Standings = local
    if settings.limits_store is not None:
        standings = ClusterStandings(connect(settings.limits_store.value), local=local)
    return Escalator(standings, events=metrics)


def audit_file(settings: Settings, metrics: Metrics) -> AuditFile | None:
    """Where decisions are written down before anyone is told."""
    if settings.audit_file is not None:
        return AuditFile(
            settings.audit_file,
            is_required=settings.audit_required,
            events=metrics,
            max_bytes=settings.audit_max_bytes,
            keep=settings.audit_keep,
        )
    if settings.audit_required:
        raise ConfigurationError("audit_required: needs an `audit_file`.")
    if settings.audit_max_bytes:
        raise ConfigurationError("audit_max_bytes: needs an `audit_file`.")
    return None


def webhooks(settings: Settings, metrics: Metrics, database: Database | None) -> Webhooks | None:
    """What sends events, if any are wanted; those that are not taken wait in the database, where there is one."""
    if settings.webhook_url is None:
        return None
    from ..observability.webhooks import Webhooks

    outbox: Outbox | None = None
    if database is not None:
        from ..store.outbox import StoredOutbox

        outbox = StoredOutbox(database)
    return Webhooks(
        settings.webhook_url.value,
        secret=None if settings.webhook_secret is None else settings.webhook_secret.value,
        wanted=settings.webhook_events,
        events=metrics,
        outbox=outbox,
    )


def observers(metrics: Metrics, webhooks: Webhooks | None, store: Store | None) -> list[Observer]:
    """Who is told of every decision."""
    told: list[Observer] = [metrics]
    if webhooks is not None:
        from ..observability.webhook_observer import WebhookObserver

        told.append(WebhookObserver(webhooks))
    if store is not None:
        told.append(store.recorder)
    return told


def limits(settings: Settings) -> NativeLimits:
    """How much one request of `POST /moderate` may ask."""
    return NativeLimits(
        conversation=Limits(messages=settings.max_messages),
        batch_items=settings.max_batch_items,
        metadata_bytes=settings.max_metadata_bytes,
    )


# What several requests have to do with is made before the workers are forked: any of them can go on with what another
# one began.


def counters(apps: Sequence[App], store: Store | None, *, earlier: SharedCounters | None) -> SharedCounters | None:
    """What counts the requests of apps, where there are some or may be later."""
    return SharedCounters() if earlier is None and (apps or store is not None) else earlier


def standings(policies: Policies, store: Store | None, *, earlier: SharedStandings | None) -> SharedStandings | None:
    """What is known of repeat offenders, where a policy asks for it; one of the database may do so later."""
    wanted = store is not None or any(policy.escalation is not None for policy in policies)
    return SharedStandings() if earlier is None and wanted else earlier


def call_memory(settings: Settings, parts: ClusterParts) -> CallMemory:
    """What is remembered of questions until their answers come, by all workers: made before they are forked."""
    kept = parts.store("call", size_bytes=settings.question_memory_bytes, ttl_s=settings.question_memory_ttl_s)
    return CallMemory(kept, key=parts.key("progress"))


def relay(settings: Settings, moderator: Moderator, stream: StreamEngine | None, parts: ClusterParts) -> Relay:
    """Any worker can go on with what another one began: the key is made before they are forked."""
    key = parts.key("relay") or secrets.token_bytes(32)
    return Relay(moderator, stream, key=key, deadline_s=settings.deadline_s)


def item_memory(settings: Settings, parts: ClusterParts) -> ItemMemory:
    """What the guarded Responses let out, for a while."""
    size_bytes = settings.chat_memory_bytes if settings.chat_upstream is not None else 0
    return ItemMemory(parts.store("item", size_bytes=size_bytes, ttl_s=settings.chat_memory_ttl_s))


def seal_key(settings: Settings, parts: ClusterParts) -> bytes:
    """Marks sealed data that is handed out."""
    given = settings.chat_seal_key.value.encode() if settings.chat_seal_key is not None else b""
    return given or parts.key("chat seal") or secrets.token_bytes(32)


def following(
    store: Store | None,
    callers: Callers,
    escalator: Escalator | None,
    in_file: Sequence[App],
    policies: LivePolicies,
    *,
    earlier: Following | None,
) -> Following | None:
    """What keeps up with the database, which is closed again: an open file would lose its locks over a fork."""
    if store is None:
        return None
    made = Following(store.database, callers, escalator, in_file=in_file, policies=policies, earlier=earlier)
    if not made.refresh_or_go_on():
        made.go_on()
    store.database.close()
    return made
