"""Lists that are edited while they are used: each process reads them anew soon after a change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from ...core.list_entry import Entry
from ...core.listing import Attached
from ...errors import ConfigurationError
from ...observability.logs import log_event
from .lists import Lists

__all__ = ["LiveLists"]

_log = logging.getLogger("moderation.lists")
_EVERY_S = 2.0


Edited = tuple[Mapping[str, Sequence[Entry]], Attached]
"""The lists in the database by name, and those that count without being named."""


class LiveLists:
    """Keeps `lists` equal to what `read` gives. `revision` says whether it has changed, at little cost.

    Lists of files stay as they are: one of the same name in the database counts for nothing. A failure to read leaves
    the lists as they were, and is tried again.
    """

    def __init__(
        self, lists: Lists, *, revision: Callable[[], int], read: Callable[[], Edited], every_s: float = _EVERY_S
    ) -> None:
        self._lists = lists
        self._of_files = frozenset(lists)
        self._revision, self._read, self._every_s = revision, read, every_s
        self._seen: int | None = None
        self._has_ended = threading.Event()
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Read anew if something has changed; whether it had. Raises StoreUnavailable."""
        with self._lock:
            revision = self._revision()
            if revision == self._seen:
                return False
            lists, attached = self._read()
            own = {name: entries for name, entries in lists.items() if name not in self._of_files}
            for name, entries in own.items():
                try:
                    self._lists.put(name, entries)
                except ConfigurationError as error:
                    log_event(_log, logging.ERROR, "list_refused", list=name, reason=str(error))
            for name in set(self._lists) - self._of_files - own.keys():
                self._lists.remove(name)
            self._lists.attach(attached)
            self._seen = revision
            return True

    def take_over(self, earlier: LiveLists) -> None:
        """Begin with what those had read last, where nothing can be read: lists that count are not lost by a reload."""
        for name in set(earlier._lists) - earlier._of_files - self._of_files:
            self._lists.put(name, earlier._lists[name])
        self._lists.attach(earlier._lists.attached)

    def open(self) -> None:
        """Keep them up to date from now on, in this process."""
        threading.Thread(target=self._keep_up, name="live-lists", daemon=True).start()

    def close(self) -> None:
        """Stop that."""
        self._has_ended.set()

    def _keep_up(self) -> None:
        was_away = has_ended = False
        # At once: this process may have been forked from one that read them long ago.
        while not has_ended:
            try:
                self.refresh()
                was_away = False
            except Exception as error:
                # Also for an entry that nothing can be made of: who stops here misses all later edits.
                if not was_away:
                    log_event(_log, logging.WARNING, "lists_not_read", reason=str(error))
                was_away = True
            has_ended = self._has_ended.wait(self._every_s)
