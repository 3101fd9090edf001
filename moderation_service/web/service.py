"""Everything one running service holds, made from its settings in one place."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import __version__
from ..chat.item_memory import ItemMemory
from ..config.answer_file import read_answers
from ..config.list_file import read_lists
from ..config.policy_file import load_policies
from ..config.settings import Settings
from ..core.conversation import Limits
from ..core.keyed_hash import KeyedHashes
from ..core.moderator import Moderator
from ..core.policy import Policies
from ..core.prepared_answer import PreparedAnswer
from ..core.verdict_cache import VerdictCache
from ..engines import Engine, create_answers, create_engine, create_fallback, create_lists, create_stream
from ..errors import ConfigurationError
from ..observability.audit import AuditFile
from ..observability.metrics import Metrics
from ..observability.propagation import outgoing_lines
from ..observability.tracing import TracedEngine, Tracing, create_tracing
from ..store.choice import store_address
from ..streaming.call_memory import CallMemory
from ..streaming.relayed import Relay
from ..streaming.shared_store import SharedStore
from ..wires.native import NativeLimits
from .api_keys import ApiKeys, is_loopback, load_api_keys, warn_of_readers

if TYPE_CHECKING:
    from ..engines.lists import Lists
    from ..engines.stream import StreamEngine
    from ..store.database import Database
    from ..store.opened import Store

__all__ = ["Service", "build_service", "open_service_store"]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that routes use."""

    settings: Settings
    moderator: Moderator
    policies: Policies
    keys: ApiKeys
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
    """What texts are compared with, where `lists_file` is set."""
    store: Store | None = None
    """The database of records."""
    hashes: KeyedHashes = field(kw_only=True)
    """Of end users; those of the records, where there are any."""

    @property
    def database(self) -> Database | None:
        """What people keep: lists, apps, reviews; None where there is none."""
        return None if self.store is None else self.store.database


def build_service(
    settings: Settings,
    *,
    engine: Engine | None = None,
    fallback: Engine | None = None,
    metrics: Metrics | None = None,
    tracing: Tracing | None = None,
    store: Store | None = None,
) -> Service:
    """Make a service; `engine` and `fallback` replace what the settings name, for tests and benchmarks.

    `metrics` are those of the service that this one takes over from; it goes on counting. `tracing` replaces what the
    settings say of traces. `store` is the database of records, which whoever runs the processes opens with
    `open_service_store`.

    Raises ConfigurationError for settings that can't work. The engine is loaded last: a typo shows at once.
    """
    lists = None if settings.lists_file is None else create_lists(read_lists(settings.lists_file))
    policies = load_policies(settings.policies_file, default=settings.default_policy, lists=tuple(lists or ()))
    keys = load_api_keys(settings)
    if settings.api_keys_file is not None:
        warn_of_readers(settings.api_keys_file)
    metrics = metrics or Metrics(version=__version__)
    audit = _audit_file(settings, metrics)
    if settings.traces and tracing is None:
        tracing = create_tracing(version=__version__)
    outgoing = outgoing_lines(tracing)
    if engine is None:
        engine, fallback = create_engine(settings, events=metrics, outgoing=outgoing), create_fallback(settings)
    stream = create_stream(settings, engine, events=metrics, outgoing=outgoing)
    if tracing is not None:
        engine = TracedEngine(engine, tracing, is_remote=settings.engine != "lite")
        fallback = fallback and TracedEngine(fallback, tracing, is_remote=False)
    moderator = Moderator(
        engine=engine,
        fallback=fallback,
        lists=lists,
        answers=create_answers(_answers(settings, policies)),
        cache=VerdictCache(size=settings.cache_size, ttl_s=settings.cache_ttl_s),
        record=audit,
        observers=[metrics] if store is None else [metrics, store.recorder],
        deadline_s=settings.deadline_s,
    )
    limits = NativeLimits(
        conversation=Limits(messages=settings.max_messages),
        batch_items=settings.max_batch_items,
        metadata_bytes=settings.max_metadata_bytes,
    )
    # Here, because the workers are forked from the process that makes the service.
    calls = CallMemory(SharedStore(size_bytes=settings.question_memory_bytes, ttl_s=settings.question_memory_ttl_s))
    metrics.configured(slots=settings.workers * settings.threads, policies=[policy.name for policy in policies])
    relay = Relay(
        moderator,
        stream,
        # Made here, before the workers are forked: any of them can go on with what another one began.
        key=secrets.token_bytes(32),
        deadline_s=settings.deadline_s,
    )
    kept_bytes = settings.chat_memory_bytes if settings.chat_upstream is not None else 0
    items = ItemMemory(SharedStore(size_bytes=kept_bytes, ttl_s=settings.chat_memory_ttl_s))
    seal_key = settings.chat_seal_key.value.encode() if settings.chat_seal_key else secrets.token_bytes(32)
    hashes = KeyedHashes(secrets.token_bytes(32)) if store is None else store.hashes
    return Service(
        settings=settings,
        moderator=moderator,
        policies=policies,
        keys=keys,
        metrics=metrics,
        limits=limits,
        calls=calls,
        stream=stream,
        relay=relay,
        items=items,
        seal_key=seal_key,
        tracing=tracing,
        store=store,
        hashes=hashes,
        lists=lists,
    )


def open_service_store(settings: Settings, metrics: Metrics) -> Store | None:
    """The database of records that the settings ask for. Raises ConfigurationError."""
    address = store_address(settings, is_local=is_loopback(settings.host))
    if address is None:
        return None
    from ..store.opened import open_store

    return open_store(address, settings, events=metrics)


def _answers(settings: Settings, policies: Policies) -> Sequence[PreparedAnswer]:
    if settings.answers_file is None:
        return ()
    return read_answers(settings.answers_file, policies=[policy.name for policy in policies])


def _audit_file(settings: Settings, metrics: Metrics) -> AuditFile | None:
    if settings.audit_file is not None:
        return AuditFile(settings.audit_file, is_required=settings.audit_required, events=metrics)
    if settings.audit_required:
        raise ConfigurationError("audit_required: needs an `audit_file`.")
    return None
