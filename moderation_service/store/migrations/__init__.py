"""Changes of the tables, in order, for Alembic; `store.database` runs them."""

from __future__ import annotations
