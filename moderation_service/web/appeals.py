"""`/appeals`: the door for people who were blocked, by way of the application that they use."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request

from ..errors import NotFound, Overloaded
from ..observability.request_context import request_context
from ..wires.appeals import Appeal, is_decision_id, outcome, parse_appeal, received
from .body import read_json
from .moderate import languages_of
from .reply import json_reply
from .service import Service

if TYPE_CHECKING:
    from ..store.database import Database

__all__ = ["PerMinute", "blueprint"]

_MINUTE_S = 60.0
_WRITTEN_S = (0.3, 0.4)
"""After the first a decision is in the database; after both where many are made, which it gathers for longer."""


class PerMinute:
    """So many calls in a minute for each name, in this process. `what` is what they are, for the caller."""

    def __init__(self, most: int, *, what: str = "appeals", clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._ends_at = 0.0
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Count a call. Raises Overloaded where it is one too many, which says when there is room again."""
        with self._lock:
            now = self._clock()
            if now >= self._ends_at:
                self._ends_at = now + _MINUTE_S
                self._counts.clear()
            self._counts[name] += 1
            left_s = self._ends_at - now
            is_over = self._counts[name] > self._most
        if is_over:
            raise Overloaded(f"More than {self._most} {self._what} in a minute; try again later.", retry_after_s=left_s)


def blueprint(service: Service) -> Blueprint:
    """The routes; without `appeals`, or without a database of records, there is nothing behind them."""
    routes = Blueprint("appeals", __name__)
    most = service.settings.appeals_per_minute
    filed, asked_for = PerMinute(most), PerMinute(most, what="questions about appeals")
    max_body_bytes = service.settings.max_body_bytes

    @routes.post("/appeals")
    def appeal() -> Response:
        database, app = _open(service)
        filed.count(app)
        asked = parse_appeal(read_json(request.environ, max_body_bytes=max_body_bytes))
        _file(service, database, asked, app=app)
        return Response(json_reply(received()).body, status=202, mimetype="application/json")

    @routes.get("/appeals/<decision_id>")
    def outcome_of(decision_id: str) -> Response:
        database, app = _open(service)
        asked_for.count(app)
        return _outcome(database, decision_id, app=app)

    return routes


def _open(service: Service) -> tuple[Database, str]:
    """The database, and whose appeals the caller files and may ask for. Raises NotFound."""
    database = service.database if service.settings.appeals else None
    if database is None:
        raise NotFound("This service takes no appeals.")
    context = request_context.get()
    return database, context.app or context.key_name or ""


def _outcome(database: Database, decision_id: str, *, app: str) -> Response:
    """How an appeal of this app stands; of another app's it says what it says of none."""
    from ..store.appeals import state_of

    state = None
    if is_decision_id(decision_id):
        with database.read() as connection:
            state = state_of(connection, decision_id, app=app)
    if state is None:
        raise NotFound("There is no appeal of yours by this id.")
    body = json_reply(outcome(decision_id, state, languages_of(request.environ))).body
    return Response(body, mimetype="application/json", headers={"Cache-Control": "no-store"})


def _file(service: Service, database: Database, asked: Appeal, *, app: str) -> None:
    """File it, if there is something to appeal; the caller is not told whether there is."""
    is_new = _is_filed(database, asked, app=app)
    for pause_s in _WRITTEN_S:
        # A decision of just now may not be written yet.
        if not is_new:
            sleep(pause_s)
            is_new = _is_filed(database, asked, app=app)
    if is_new and service.webhooks is not None:
        by = f" by {app}" if app else ""
        service.webhooks.send(
            "appeal", f"Appeal{by}: {asked.decision_id}", {"id": asked.decision_id, "app": app or None}
        )


def _is_filed(database: Database, asked: Appeal, *, app: str) -> bool:
    from ..store.appeals import file_appeal
    from ..store.trail import now_ms

    with database.write() as connection:
        return file_appeal(connection, decision_id=asked.decision_id, app=app, text=asked.text, now_ms=now_ms())
