"""The lists of a service: those of files, and those that people edit in the database while it runs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..config.list_file import read_lists
from ..config.settings import Settings
from ..engines import create_lists
from ..errors import ConfigurationError, StoreUnavailable
from ..observability.logs import log_event

if TYPE_CHECKING:
    from ..engines.lists import Lists, LiveLists
    from ..store.database import Database

__all__ = ["open_lists"]

_log = logging.getLogger("moderation.lists")


def open_lists(
    settings: Settings, database: Database | None, *, earlier: LiveLists | None = None
) -> tuple[Lists | None, LiveLists | None]:
    """The lists, and what keeps those of the database up to date; None for what there is not.

    `earlier` are those that were in use before: they go on while the database is away.

    Raises ConfigurationError, which for the files says where.
    """
    of_files = {} if settings.lists_file is None else read_lists(settings.lists_file)
    if database is None:
        return (create_lists(of_files) if settings.lists_file is not None else None), None
    try:
        lists = create_lists(of_files)
    except ConfigurationError:
        # The database alone needs none of the libraries for lists.
        if settings.lists_file is not None:
            raise
        return None, None
    from ..engines.lists import LiveLists
    from ..store.lists import EditedLists, lists_revision

    live = LiveLists(lists, revision=lambda: lists_revision(database), read=EditedLists(database))
    try:
        live.refresh()
    except StoreUnavailable as error:
        log_event(_log, logging.WARNING, "lists_not_read", reason=error.message)
        if earlier is not None:
            live.take_over(earlier)
    finally:
        # The workers are forked from this process, and each connects anew.
        database.close()
    return lists, live
