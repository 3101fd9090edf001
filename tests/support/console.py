"""A console with a database of its own, and somebody who uses it."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from databases import sqlite_with_tables
from fakes import FakeEngine
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from moderation_service.config.settings import Secret, Settings
from moderation_service.console import passwords
from moderation_service.core.person import Role
from moderation_service.engines import Engine
from moderation_service.observability.metrics import Metrics
from moderation_service.store import people
from moderation_service.store.database import Database
from moderation_service.store.trail import now_ms
from moderation_service.web import create_app
from moderation_service.web.service import Service, build_service, open_service_store

__all__ = ["Visitor", "console_service", "quick_hashes", "sign_in_link", "token_in", "visitor"]


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes with the least work there is; how much the real ones take is argon2's matter."""
    from argon2 import PasswordHasher

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    nobodys = quick.hash("nobody")
    monkeypatch.setattr(passwords, "_hasher", lambda: quick)
    monkeypatch.setattr(passwords, "_nobodys", lambda: nobodys)


def console_service(folder: Path, *, engine: Engine | None = None, **settings: Any) -> Service:
    """A service with the console on, and its records in this folder."""
    address = Secret(sqlite_with_tables(folder / "moderation.db"))
    made = Settings(store=address, **{"console": "on", **settings})
    metrics = Metrics(version="1")
    store = open_service_store(made, metrics)
    return build_service(made, engine=engine or FakeEngine(), metrics=metrics, store=store)


def sign_in_link(database: Database, role: Role = Role.ADMIN, *, lifetime_ms: int = 60_000) -> str:
    """The secret of a link as the terminal shows it."""
    with database.write() as connection:
        return people.make_link(connection, role, now_ms=now_ms(), lifetime_ms=lifetime_ms)


def token_in(page: TestResponse) -> str:
    """What the forms of a page send along."""
    found = re.search(r'name="csrf" value="([^"]*)"', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


class Visitor:
    """Somebody at a browser. `database` is the console's."""

    def __init__(self, client: FlaskClient, database: Database) -> None:
        self.client = client
        self.database = database
        self.token = ""
        self.entered = 0

    def sign_in(self, role: Role = Role.ADMIN) -> Visitor:
        """By a link that gives this role."""
        secret = sign_in_link(self.database, role)
        page = self.client.get(f"/console/enter?token={secret}")
        done = self.client.post("/console/enter", data={"token": secret, "csrf": token_in(page)})
        assert done.status_code == 303, done.text
        self.token = token_in(self.client.get("/console/password"))  # any page has it; this one asks the least
        return self

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.client.get(f"/console{path}", query_string=query or None)

    def post(self, path: str, **form: Any) -> TestResponse:
        """A form of the console, as the browser sends it."""
        return self.client.post(
            f"/console{path}", data={"csrf": self.token, **form}, headers={"Sec-Fetch-Site": "same-origin"}
        )


def visitor(folder: Path, role: Role | None = Role.ADMIN, **settings: Any) -> Visitor:
    """Somebody who is signed in with this role, or with None a stranger, at a console of their own."""
    service = console_service(folder, **settings)
    assert service.store is not None
    somebody = Visitor(create_app(service=service).test_client(), service.store.database)
    return somebody.sign_in(role) if role is not None else somebody
