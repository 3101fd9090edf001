"""The database of records: what was decided, and what people keep beside it. No verdict needs it; an extra."""

from __future__ import annotations
