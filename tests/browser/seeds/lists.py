"""A list with text that no page may run."""

from __future__ import annotations

from moderation_service.core.list_entry import entry_of
from moderation_service.store.database import Database
from moderation_service.store.lists import add_entries, make_list

__all__ = ["seed"]

_HOSTILE = '<b class="planted">x</b><script>document.title="owned"</script>'


def seed(database: Database) -> list[str]:
    """Fill the tables; the addresses to visit besides."""
    fields = {"text": f"a {_HOSTILE}", "reason": _HOSTILE, "exceptions": _HOSTILE, "author": _HOSTILE[:100]}
    with database.write() as connection:
        make_list(connection, "planted", policy="balanced", actor=_HOSTILE)
        add_entries(connection, "planted", [entry_of(fields, list_name="planted")], actor=_HOSTILE)
    return ["/console/lists/planted"]
