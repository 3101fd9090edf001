"""The database of a running service, and what of it the other parts use."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ..config.store_settings import StoreSettings
from ..core.keyed_hash import KeyedHashes
from ..errors import ConfigurationError, StoreUnavailable
from ..observability.logs import log_event
from .choice import AUTO
from .database import Database, insert_new
from .recorder import Recorder, RecordEvents
from .schema import secrets
from .writing import DatabaseSink

__all__ = ["Store", "hash_key", "open_store"]

_log = logging.getLogger("moderation.store")
_HASH_KEY = "hash_key"
_MIN_KEY_CHARS = 16


@dataclass(frozen=True, slots=True)
class Store:
    """Made before the workers are forked. `hashes` are those of the records."""

    database: Database
    hashes: KeyedHashes
    recorder: Recorder

    def open(self) -> None:
        """Begin to write and to look after the tables; once per process."""
        self.recorder.open()

    def close(self, within_s: float = 5.0) -> None:
        """Write what waits; before the process ends."""
        self.recorder.close(within_s)
        self.database.close()


def open_store(address: str, settings: StoreSettings, *, events: RecordEvents) -> Store | None:
    """The store at an address; it need not be reachable yet.

    Raises ConfigurationError for one that can't be. Only `auto` does without, where its file can't be made.
    """
    database = Database(address)
    given = settings.store_key.value if settings.store_key else None
    if given is not None and len(given) < _MIN_KEY_CHARS:
        raise ConfigurationError(f"store_key: needs {_MIN_KEY_CHARS} characters or more.")
    try:
        key = _key(database, given)
    except StoreUnavailable as error:
        if settings.store.value == AUTO and not database.is_made:
            log_event(_log, logging.WARNING, "store_off", reason=error.message)
            return None
        log_event(_log, logging.WARNING, "store_unavailable", reason=error.message)
        key = os.urandom(32) if given is None else given.encode()
        if given is None:
            log_event(
                _log, logging.WARNING, "hashes_not_kept", reason="the database is away, and no `store_key` is set"
            )
    finally:
        # A file that is open over a fork would lose its locks.
        database.close()
    hashes = KeyedHashes(key)
    sink = DatabaseSink(database, records_days=settings.records_days)
    recorder = Recorder(sink, hashes=hashes, events=events, memory_bytes=settings.store_memory_bytes)
    return Store(database, hashes, recorder)


def _key(database: Database, given: str | None) -> bytes:
    """The key of the hashes: the one given, else the one in the database, which gets one with its first use."""
    with database.write() as connection:
        return given.encode() if given is not None else hash_key(connection)


def hash_key(connection: Connection) -> bytes:
    """The random key that the database keeps."""
    insert_new(connection, secrets, [{"name": _HASH_KEY, "value": os.urandom(32)}], unless=["name"])
    return bytes(connection.execute(select(secrets.c.value).where(secrets.c.name == _HASH_KEY)).scalar_one())
