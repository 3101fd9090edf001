"""A service whose decisions are in a database of its own, and what was decided in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps import client_of
from databases import sqlite_with_tables
from fakes import FakeEngine
from flask.testing import FlaskClient
from processes import until

from moderation_service import __version__
from moderation_service.config.settings import Settings
from moderation_service.engines import Engine
from moderation_service.observability.metrics import Metrics
from moderation_service.store.database import Database
from moderation_service.store.opened import Store, open_store
from moderation_service.web.service import Service, build_service

__all__ = ["Recorded", "recorded_service"]


@dataclass(frozen=True)
class Recorded:
    service: Service
    client: FlaskClient
    store: Store
    url: str

    @property
    def database(self) -> Database:
        return self.store.database

    def moderate(self, *texts: str, **fields: Any) -> list[dict[str, Any]]:
        """The decisions on these prompts; they are in the database when this returns."""
        body = {"inputs": [{"prompt": text, **fields} for text in texts]}
        reply = self.client.post("/moderate", json=body)
        assert reply.status_code == 200, reply.json
        self.written()
        found: list[dict[str, Any]] = reply.json["results"]
        return found

    def written(self) -> None:
        """Wait until what was decided is in the database."""
        until(lambda: self.store.recorder.waiting == 0)


@contextmanager
def recorded_service(
    folder: Path, *, engine: Engine | None = None, url: str | None = None, **settings: Any
) -> Iterator[Recorded]:
    """A service with the fake engine and the database at `url`, otherwise a file of SQLite in that folder."""
    url = url or sqlite_with_tables(folder / "moderation.db")
    metrics = Metrics(version=__version__)
    made = Settings(**settings)
    store = open_store(url, made, events=metrics)
    assert store is not None
    service = build_service(made, engine=engine or FakeEngine(), metrics=metrics, store=store)
    try:
        yield Recorded(service, client_of(service), store, url)
    finally:
        if service.webhooks is not None:
            service.webhooks.close()
        store.close()
