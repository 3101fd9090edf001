"""The database of records: what was decided, and what people keep beside it. An extra; nothing of the verdict needs it."""

from __future__ import annotations
