"""Keeps a process up to date with what people change in the database, without a question to it per request.

Every two seconds one thread asks how often apps, policies and escalations were changed, and reads anew what was. It
also writes down escalations that began here. While the database is away, all goes on as it is.

What was read is shared with the processes that are made later; one that is slow never puts older apps and policies over
newer ones, but takes those (`SharedTexts`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.app import App
from ..errors import ConfigurationError, ModerationError
from ..observability.logs import log_event
from .callers import Callers
from .escalation import Escalator
from .policies import LivePolicies
from .shared_texts import SharedTexts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..store.database import Database

__all__ = ["Following"]

_log = logging.getLogger("moderation.apps")
_EVERY_S = 2.0
_OVERLAP_MS = 60_000
"""Clocks of several machines differ, and a change is seen when its transaction ends."""


class Following:
    """What one service takes from the database. `in_file` are the apps of the apps file, which come first."""

    def __init__(
        self,
        database: Database,
        callers: Callers,
        escalator: Escalator | None,
        *,
        in_file: Sequence[App],
        policies: LivePolicies,
        earlier: Following | None = None,
    ) -> None:
        self._database = database
        self._callers = callers
        self._policies = policies
        self._escalator = escalator
        self._in_file = list(in_file)
        self._shared: SharedTexts = SharedTexts() if earlier is None else earlier._shared
        """The newest apps that some process of the service has read."""
        self._seen: dict[str, int] = {}
        self._since_ms = 0
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin; once per process.

        This one was forked from one that may have read the database long ago: a key that was revoked since must not
        be let in until it is read again.
        """
        self._catch_up()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)
        self._thread.start()

    def close(self, within_s: float) -> None:
        """End, and write down what began."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(within_s)

    def go_on(self) -> None:
        """Where the database can't be read: with the newest apps that a process of this service has read.

        Where nothing was known of them yet, callers wait: a service that has no other keys would let everybody in.
        """
        if not self._catch_up():
            self._callers.wait_for_apps()
        self._seen.clear()

    def refresh(self) -> None:
        """Read what has changed, and write down what began. Raises StoreUnavailable."""
        from ..store import apps, escalations, policies
        from ..store.database import revision_of
        from ..store.trail import now_ms

        subjects = (apps.SUBJECT, policies.SUBJECT, escalations.SUBJECT)
        since, policies_since = self._shared.moment(), self._policies.moment()
        are_newest = True
        with self._database.read() as connection:
            found = {subject: revision_of(connection, subject) for subject in subjects}
            has_news = {subject: found[subject] != self._seen.get(subject) for subject in found}
            if has_news[policies.SUBJECT]:
                are_newest = self._read_policies(connection, found[policies.SUBJECT], policies_since)
            if has_news[apps.SUBJECT] or has_news[policies.SUBJECT]:
                # Together: an app of now is never let in under a policy of before.
                stored = apps.load_apps(connection)
                if self._shared.put(apps.packed(stored), revision=found[apps.SUBJECT], since=since):
                    self._use([one.app for one in stored])
                else:
                    are_newest = False
                    self._catch_up()
            if self._escalator is not None and has_news[escalations.SUBJECT]:
                begun = now_ms()
                for one in escalations.undone_since(connection, self._since_ms):
                    # Of one that was undone long ago, a later one may be running.
                    self._escalator.undo(one.end_user, one.policy, begun_before=one.undone_at or 0)
                self._since_ms = begun - _OVERLAP_MS
        # Others were faster: what they have read is in use, and the next look reads for itself.
        self._seen = found if are_newest else {escalations.SUBJECT: found[escalations.SUBJECT]}
        # Last: a database that can be read but not written must not keep a revoked key alive.
        self._write()

    def refresh_or_go_on(self) -> bool:
        """The same; with what is known, while the database is away. Whether it was there."""
        try:
            self.refresh()
        except ModerationError as error:  # it is away, or a newer version has written what this one does not know
            log_event(_log, logging.WARNING, "apps_not_read", reason=error.message)
            return False
        except Exception as error:  # the outer edge: a thread that ended would never see a key revoked
            log_event(_log, logging.ERROR, "apps_not_read", reason=type(error).__name__)
            return False
        return True

    def _read_policies(self, connection: Connection, revision: int, since: int) -> bool:
        """Take what the database has; whether that is the newest.

        Where another file goes with it, or a newer version, those known stay in use.
        """
        from ..store.policies import texts_of

        try:
            return self._policies.use(texts_of(connection), revision=revision, since=since)
        except ConfigurationError as error:
            log_event(_log, logging.ERROR, "policies_refused", reason=str(error))
            return True

    def _catch_up(self) -> bool:
        """Take the newest apps and policies that were read; whether any process has read apps."""
        from ..store import apps

        # In this order, as policies are put first: an app of now is never let in under a policy of before.
        texts = self._shared.get()
        self._policies.catch_up()
        if texts is not None:
            self._use(apps.unpacked(texts))
        return texts is not None

    def _use(self, stored: Sequence[App]) -> None:
        names = {app.name for app in self._in_file}
        for app in stored:
            if app.name in names:
                log_event(_log, logging.WARNING, "app_in_file_too", app=app.name)
        apps = [*self._in_file, *(app for app in stored if app.name not in names)]
        self._callers.replace(apps, policies=self._policies.now)

    def _write(self) -> None:
        if self._escalator is None or not self._escalator.begun:
            return
        from ..store import escalations

        begun = self._escalator.begun
        waiting = [begun.popleft() for _ in range(len(begun))]
        rows = [
            escalations.StoredEscalation(
                *(0, one.app, one.end_user, one.policy, one.action, one.blocks),
                *(int(one.at * 1000), int(one.until * 1000), None, None),
            )
            for one in waiting
        ]
        try:
            with self._database.write() as connection:
                escalations.add(connection, rows)
        except BaseException:
            begun.extendleft(reversed(waiting))
            raise

    def _run(self) -> None:
        while not self._ends.wait(_EVERY_S):
            self.refresh_or_go_on()
        if self._escalator is not None and self._escalator.begun:
            self.refresh_or_go_on()
