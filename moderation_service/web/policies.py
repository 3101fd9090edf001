"""The policies of a service: those of the file, and those that people keep in the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..config.policy_file import check_default, read_policies
from ..config.policy_text import stored_policies
from ..config.settings import Settings
from ..core.policy import Policies
from ..errors import StoreUnavailable
from ..observability.logs import log_event

if TYPE_CHECKING:
    from ..engines.lists import Lists
    from ..store.database import Database

__all__ = ["LivePolicies", "open_policies"]

_log = logging.getLogger("moderation.policies")


class LivePolicies:
    """All policies as they are known now: `use` exchanges those of the database."""

    def __init__(self, of_file: Policies) -> None:
        """As long as nothing was read of the database, a policy that is not in the file may be there."""
        self.of_file = of_file
        self.texts: Mapping[str, str] | None = None
        """What the database has; None where that is not known."""
        self.now = of_file.and_stored(None)

    def use(self, texts: Mapping[str, str]) -> None:
        """These are in the database now. With a mistake all stays as it was, and ConfigurationError is raised."""
        policies = self.of_file.and_stored(stored_policies(texts, self.of_file))
        check_default(policies)
        self.now, self.texts = policies, texts
        for name in sorted(set(texts).intersection(one.name for one in self.of_file)):
            log_event(_log, logging.WARNING, "policy_in_file_too", policy=name)


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
    live = LivePolicies(of_file)
    if database is None:
        live.use({})
        return live
    from ..store.policies import texts_of

    texts = None if earlier is None else earlier.texts
    try:
        with database.read() as connection:
            texts = texts_of(connection)
    except StoreUnavailable as error:
        log_event(_log, logging.WARNING, "policies_not_read", reason=error.message)
    finally:
        # The workers are forked from this process, and each connects anew.
        database.close()
    if texts is not None:
        live.use(texts)
    return live
