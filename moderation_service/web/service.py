"""Everything one running service holds, put together in one place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import __version__
from ..chat.item_memory import ItemMemory
from ..cluster.parts import ClusterParts
from ..config.settings import Settings
from ..core.keyed_hash import KeyedHashes
from ..core.loopback import is_loopback
from ..core.moderator import Check, Moderator, Outcome
from ..core.policy import Policies
from ..core.verdict_cache import Fingerprint
from ..engines import Engine
from ..observability.metrics import Metrics
from ..observability.request_context import request_context
from ..observability.tracing import Tracing, create_tracing
from ..store.choice import store_address
from ..streaming.call_memory import CallMemory
from ..streaming.relayed import Relay
from ..wires.native import NativeLimits
from . import service_parts as make
from .callers import Callers
from .end_users import EndUsers
from .escalation import Escalator, SharedStandings
from .following import Following
from .lists import open_lists
from .policies import LivePolicies, open_policies
from .rate_limits import SharedCounters

if TYPE_CHECKING:
    from ..cluster.memory import ClusterMemory
    from ..engines.answers import PreparedAnswers
    from ..engines.lists import Lists, LiveLists
    from ..engines.stream import StreamEngine
    from ..observability.webhooks import Webhooks
    from ..store.database import Database
    from ..store.opened import Store

__all__ = ["Service", "build_service", "open_service_store"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that routes use."""

    settings: Settings
    moderator: Moderator
    live_policies: LivePolicies
    """Keeps the policies of the database up to date; what requests use is `all_policies`."""
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
    def all_policies(self) -> Policies:
        """The policies as they are now; they and the apps are exchanged at once."""
        return self.keys.policies

    @property
    def policies(self) -> Policies:
        """The policies as the caller of the request being handled may use them."""
        app = request_context.get().app
        return self.keys.policies if app is None else self.keys.policies_of(app)

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
    database = None if store is None else store.database
    lists, live_lists = open_lists(settings, database, earlier=None if earlier is None else earlier.live_lists)
    known = None if earlier is None else earlier.live_policies
    live_policies = open_policies(settings, database, lists=lists, earlier=known)
    policies = live_policies.now
    keys = make.keys(settings)
    metrics = metrics or Metrics(version=__version__)
    apps = make.apps(settings, policies, lists=tuple(lists or ()))
    counters = make.counters(apps, store, earlier=None if earlier is None else earlier.counters)
    callers = make.callers(settings, keys, apps, policies, metrics, counters)
    audit = make.audit_file(settings, metrics)
    webhooks = make.webhooks(settings, metrics, database)
    if settings.traces and tracing is None:
        tracing = create_tracing(version=__version__)
    parts = ClusterParts.of(settings, version=__version__, events=metrics)
    engine, fallback, stream = make.judges(settings, engine, fallback, metrics=metrics, tracing=tracing, parts=parts)
    standings = make.standings(policies, store, earlier=None if earlier is None else earlier.standings)
    escalator = make.escalator(settings, metrics, standings)
    followed = None if earlier is None else earlier.following
    answers = make.answers(settings, policies)
    moderator = Moderator(
        engine=engine,
        fallback=fallback,
        lists=lists,
        answers=answers,
        cache=parts.verdicts(size=settings.cache_size, ttl_s=settings.cache_ttl_s),
        fingerprint=Fingerprint(parts.key("fingerprint")),
        record=audit,
        observers=make.observers(metrics, webhooks, store),
        after=escalator,
        deadline_s=settings.deadline_s,
    )
    metrics.configured(slots=settings.workers * settings.threads, policies=[policy.name for policy in policies])
    hashes = KeyedHashes(secrets.token_bytes(32)) if store is None else store.hashes
    wants_users = escalator is not None or store is not None
    return Service(
        settings=settings,
        moderator=moderator,
        live_policies=live_policies,
        keys=callers,
        metrics=metrics,
        limits=make.limits(settings),
        calls=make.call_memory(settings, parts),
        stream=stream,
        relay=make.relay(settings, moderator, stream, parts),
        items=make.item_memory(settings, parts),
        seal_key=make.seal_key(settings, parts),
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
        following=make.following(store, callers, escalator, apps, live_policies, earlier=followed),
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
