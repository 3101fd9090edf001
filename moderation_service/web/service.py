"""Everything one running service holds, made from its settings in one place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import __version__
from ..chat.item_memory import ItemMemory
from ..cluster.parts import ClusterParts
from ..config.answer_file import read_answers
from ..config.apps_file import load_apps
from ..config.policy_file import load_policies
from ..config.settings import Settings
from ..core.app import App
from ..core.conversation import Limits
from ..core.keyed_hash import KeyedHashes
from ..core.loopback import is_loopback
from ..core.moderator import Check, Moderator, Observer, Outcome
from ..core.policy import Policies
from ..core.prepared_answer import PreparedAnswer
from ..core.verdict_cache import Fingerprint
from ..engines import Engine, create_answers, create_engine, create_fallback, create_stream
from ..errors import ConfigurationError
from ..observability.audit import AuditFile
from ..observability.metrics import Metrics
from ..observability.propagation import outgoing_lines
from ..observability.request_context import request_context
from ..observability.tracing import Tracing, create_tracing, traced
from ..store.choice import store_address
from ..streaming.call_memory import CallMemory
from ..streaming.relayed import Relay
from ..wires.native import NativeLimits
from .api_keys import ApiKeys, load_api_keys, warn_of_readers
from .callers import Callers
from .cluster_limits import ClusterCounters, connect
from .end_users import EndUsers
from .escalation import ClusterStandings, Escalator, SharedStandings, Standings
from .following import Following
from .lists import open_lists
from .rate_limits import Counters, SharedCounters

if TYPE_CHECKING:
    from ..cluster.memory import ClusterMemory
    from ..engines.answers import PreparedAnswers
    from ..engines.lists import Lists, LiveLists
    from ..engines.stream import StreamEngine
    from ..observability.webhooks import Outbox, Webhooks
    from ..store.database import Database
    from ..store.opened import Store

__all__ = ["Service", "build_service", "open_service_store"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that routes use."""

    settings: Settings
    moderator: Moderator
    all_policies: Policies
    keys: Callers
    metrics: Metrics
    limits: NativeLimits
    calls: CallMemory
    stream: StreamEngine | None
    """Judges answers token by token while they are being written, where `stream_upstream` is set."""
    relay: Relay
    items: ItemMemory
    """What the guarded Responses let out, for a while."""
    seal_key: bytes
    """Marks sealed data that is handed out."""
    tracing: Tracing | None = None
    lists: Lists | None = None
    """What texts are compared with, where `lists_file` is set or there is a database."""
    live_lists: LiveLists | None = None
    """Keeps the lists of the database up to date."""
    answers: PreparedAnswers | None = None
    """Prepared answers, where `answers_file` is set."""
    webhooks: Webhooks | None = None
    cluster: ClusterMemory | None = None
    """What is shared with other gateways, where there are some."""
    store: Store | None = None
    """The database of records."""
    hashes: KeyedHashes = field(kw_only=True)
    """Of end users; those of the records, where there are any."""

    escalator: Escalator | None = None
    """Where a policy has an `escalation`."""
    counters: SharedCounters | None = None
    standings: SharedStandings | None = None
    """What the workers count together; the next service goes on with it."""
    following: Following | None = None
    """Apps and what else people change in the database."""
    end_users: EndUsers | None = None
    """Where it matters for whom a request is."""

    @property
    def database(self) -> Database | None:
        """What people keep: lists, apps, reviews; None where there is none."""
        return None if self.store is None else self.store.database

    @property
    def policies(self) -> Policies:
        """The policies as the caller of the request being handled may use them."""
        app = request_context.get().app
        return self.all_policies if app is None else self.keys.policies_of(app)

    def decide(self, checks: Sequence[Check]) -> list[Outcome]:
        """What the moderator says. Raises as `count` does."""
        self.count(len(checks))
        return self.moderator.decide(checks)

    def count(self, texts: int) -> None:
        """Count the texts of a request for the app that asks; one of them was counted when it was let in.

        Raises RateLimited or TooLarge where it may not ask for so many.
        """
        app = request_context.get().app
        if app is not None and texts > 1:
            self.keys.charge(app, texts - 1)


def build_service(
    settings: Settings,
    *,
    engine: Engine | None = None,
    fallback: Engine | None = None,
    metrics: Metrics | None = None,
    tracing: Tracing | None = None,
    store: Store | None = None,
    earlier: Service | None = None,
) -> Service:
    """Make a service; `engine` and `fallback` replace what the settings name, for tests and benchmarks.

    `metrics` are those of the service that this one takes over from, which is `earlier`; it goes on counting. `tracing`
    replaces what the settings say of traces. `store` is the database of records, which whoever runs the processes opens
    with `open_service_store`.

    Raises ConfigurationError for settings that can't work. The engine is loaded last: a typo shows at once.
    """
    database, before = None if store is None else store.database, None if earlier is None else earlier.live_lists
    lists, live_lists = open_lists(settings, database, earlier=before)
    policies = load_policies(settings.policies_file, default=settings.default_policy, lists=tuple(lists or ()))
    if lists is not None:
        policies.lists_of = lists.names
    keys = load_api_keys(settings)
    if settings.api_keys_file is not None:
        warn_of_readers(settings.api_keys_file)
    metrics = metrics or Metrics(version=__version__)
    apps: Sequence[App] = ()
    if settings.apps_file is not None:
        apps = load_apps(settings.apps_file, policies=[policy.name for policy in policies], lists=tuple(lists or ()))
    counters = earlier.counters if earlier is not None else None
    if counters is None and (apps or store is not None):
        # Made here, before the workers are forked.
        counters = SharedCounters()
    callers = _callers(settings, keys, apps, policies, metrics, counters)
    audit = _audit_file(settings, metrics)
    observers: list[Observer] = [metrics]
    webhooks = _webhooks(settings, metrics, observers, database)
    if settings.traces and tracing is None:
        tracing = create_tracing(version=__version__)
    outgoing = outgoing_lines(tracing)
    parts = ClusterParts.of(settings, version=__version__, events=metrics)
    if engine is None:
        engine = create_engine(settings, events=metrics, outgoing=outgoing, sharers=parts.members)
        fallback = create_fallback(settings)
    stream = create_stream(settings, engine, events=metrics, outgoing=outgoing)
    if tracing is not None:
        engine = traced(engine, tracing, is_remote=settings.engine != "lite")
        fallback = fallback and traced(fallback, tracing, is_remote=False)
    standings = earlier.standings if earlier is not None else None
    if standings is None and any(policy.escalation is not None for policy in policies):
        standings = SharedStandings()
    escalator = _escalator(settings, metrics, standings)
    answers = create_answers(_answers(settings, policies), settings)
    moderator = Moderator(
        engine=engine,
        fallback=fallback,
        lists=lists,
        answers=answers,
        cache=parts.verdicts(size=settings.cache_size, ttl_s=settings.cache_ttl_s),
        fingerprint=Fingerprint(parts.key("fingerprint")),
        record=audit,
        observers=observers if store is None else [*observers, store.recorder],
        after=escalator,
        deadline_s=settings.deadline_s,
    )
    limits = NativeLimits(
        conversation=Limits(messages=settings.max_messages),
        batch_items=settings.max_batch_items,
        metadata_bytes=settings.max_metadata_bytes,
    )
    # Here, because the workers are forked from the process that makes the service.
    calls = CallMemory(
        parts.store("call", size_bytes=settings.question_memory_bytes, ttl_s=settings.question_memory_ttl_s),
        key=parts.key("progress"),
    )
    metrics.configured(slots=settings.workers * settings.threads, policies=[policy.name for policy in policies])
    relay = Relay(
        moderator,
        stream,
        # Made here, before the workers are forked: any of them can go on with what another one began.
        key=parts.key("relay") or secrets.token_bytes(32),
        deadline_s=settings.deadline_s,
    )
    kept_bytes = settings.chat_memory_bytes if settings.chat_upstream is not None else 0
    items = ItemMemory(parts.store("item", size_bytes=kept_bytes, ttl_s=settings.chat_memory_ttl_s))
    seal_key = settings.chat_seal_key.value.encode() if settings.chat_seal_key else None
    seal_key = seal_key or parts.key("chat seal") or secrets.token_bytes(32)
    hashes = KeyedHashes(secrets.token_bytes(32)) if store is None else store.hashes
    following = None
    if store is not None:
        following = Following(store.database, callers, escalator, in_file=apps)
        if not following.refresh_or_go_on() and earlier is not None and earlier.following is not None:
            following.go_on_as(earlier.following)
        # A file that is open over a fork would lose its locks.
        store.database.close()
    wants_users = escalator is not None or store is not None
    return Service(
        settings=settings,
        moderator=moderator,
        all_policies=policies,
        keys=callers,
        metrics=metrics,
        limits=limits,
        calls=calls,
        stream=stream,
        relay=relay,
        items=items,
        seal_key=seal_key,
        tracing=tracing,
        webhooks=webhooks,
        cluster=parts.memory,
        store=store,
        hashes=hashes,
        lists=lists,
        live_lists=live_lists,
        answers=answers,
        escalator=escalator,
        counters=counters,
        standings=standings,
        following=following,
        end_users=EndUsers(hashes) if wants_users else None,
    )


def open_service_store(settings: Settings, metrics: Metrics) -> Store | None:
    """The database of records that the settings ask for. Raises ConfigurationError."""
    # By itself it comes with the console only: who switches that off has no use for it.
    is_local = is_loopback(settings.host) and settings.console != "off"
    address = store_address(settings, is_local=is_local)
    if address is None:
        return None
    from ..store.opened import open_store

    return open_store(address, settings, events=metrics)


def _answers(settings: Settings, policies: Policies) -> Sequence[PreparedAnswer]:
    if settings.answers_file is None:
        return ()
    return read_answers(settings.answers_file, policies=[policy.name for policy in policies])


def _callers(
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


def _escalator(settings: Settings, metrics: Metrics, local: SharedStandings | None) -> Escalator | None:
    """What is done about repeat offenders; None where no policy does anything."""
    if local is None:
        return None
    standings: Standings = local
    if settings.limits_store is not None:
        standings = ClusterStandings(connect(settings.limits_store.value), local=local)
    return Escalator(standings, events=metrics)


def _audit_file(settings: Settings, metrics: Metrics) -> AuditFile | None:
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


def _webhooks(
    settings: Settings, metrics: Metrics, observers: list[Observer], database: Database | None
) -> Webhooks | None:
    """What sends events, if any are wanted; what sees the decisions for it joins the observers."""
    if settings.webhook_url is None:
        return None
    from ..observability.webhook_observer import WebhookObserver
    from ..observability.webhooks import Webhooks

    outbox: Outbox | None = None
    if database is not None:
        from ..store.outbox import StoredOutbox

        outbox = StoredOutbox(database)
    webhooks = Webhooks(
        settings.webhook_url.value,
        secret=None if settings.webhook_secret is None else settings.webhook_secret.value,
        wanted=settings.webhook_events,
        events=metrics,
        outbox=outbox,
    )
    observers.append(WebhookObserver(webhooks))
    return webhooks
