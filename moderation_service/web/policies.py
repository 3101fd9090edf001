"""The policies of a service: those of the file, and those that people keep in the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..config.policy_file import check_default, read_policies
from ..config.policy_text import stored_policies
from ..config.settings import Settings
from ..core.policy import Policies
from ..errors import ConfigurationError, StoreUnavailable
from ..observability.logs import log_event
from .shared_texts import SharedTexts

if TYPE_CHECKING:
    from ..engines.lists import Lists
    from ..store.database import Database

__all__ = ["LivePolicies", "open_policies"]

_log = logging.getLogger("moderation.policies")


class LivePolicies:
    """All policies as they are known now: `use` exchanges those of the database.

    As long as nothing was read of it, a policy that is not in the file may be there.
    """

    def __init__(self, of_file: Policies, shared: SharedTexts | None = None) -> None:
        self.of_file = of_file
        self.shared = shared
        self.now = of_file.and_stored(None)

    def moment(self) -> int:
        """Now, for `use`; to be asked before the database is."""
        return 0 if self.shared is None else self.shared.moment()

    def use(self, texts: Mapping[str, str], *, revision: int = 0, since: int = 0) -> bool:
        """These are in the database now: at this revision, read after the moment `since`.

        False where a process of the service has read newer ones, which are taken then. With a mistake all stays as it
        was, and ConfigurationError is raised.
        """
        policies = self._with(texts)
        if self.shared is not None and not self.shared.put(texts, revision=revision, since=since):
            self.catch_up()
            return False
        self.now = policies
        for name in sorted(set(texts).intersection(one.name for one in self.of_file)):
            log_event(_log, logging.WARNING, "policy_in_file_too", policy=name)
        return True

    def take_known(self) -> None:
        """Take the newest that some process of the service has read, if any has. Raises ConfigurationError."""
        texts = None if self.shared is None else self.shared.get()
        if texts is not None:
            self.now = self._with(texts)

    def catch_up(self) -> None:
        """The same; with a mistake all stays as it was."""
        try:
            self.take_known()
        except ConfigurationError as error:
            log_event(_log, logging.ERROR, "policies_refused", reason=str(error))

    def _with(self, texts: Mapping[str, str]) -> Policies:
        policies = self.of_file.and_stored(stored_policies(texts, self.of_file))
        check_default(policies)
        return policies


def open_policies(
    settings: Settings,
    database: Database | None,
    *,
    lists: Lists | None,
    earlier: LivePolicies | None = None,
) -> LivePolicies:
    """The policies, with what the database has, which is closed again.

    `earlier` are those that were in use before: what they knew of the database holds on while it is away.

    Raises ConfigurationError, which says where.
    """
    of_file = read_policies(settings.policies_file, default=settings.default_policy, lists=tuple(lists or ()))
    if lists is not None:
        of_file.lists_of = lists.names
    if database is None:
        live = LivePolicies(of_file)
        live.use({})
        return live
    from ..store.database import revision_of
    from ..store.policies import SUBJECT, texts_of

    shared = None if earlier is None else earlier.shared
    live = LivePolicies(of_file, shared or SharedTexts())
    since = live.moment()
    try:
        with database.read() as connection:
            revision, texts = revision_of(connection, SUBJECT), texts_of(connection)
    except StoreUnavailable as error:
        log_event(_log, logging.WARNING, "policies_not_read", reason=error.message)
        live.take_known()
    else:
        live.use(texts, revision=revision, since=since)
    finally:
        # The workers are forked from this process, and each connects anew.
        database.close()
    return live
