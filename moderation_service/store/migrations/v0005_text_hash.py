"""SQLite finds a text by going through the index of times: an index of hashes is a page in another place per record."""

from __future__ import annotations

from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0005"
down_revision = "0004"

_AT = ["at", "action", "app", "door", "target", "severity", "categories", "policy", "engine", "error", "degraded"]


def upgrade() -> None:
    """Make the index of times anew, with the hash; drop the other."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_index("ix_decisions_text_hash", "decisions")
        op.drop_index("ix_decisions_at", "decisions")
        op.create_index("ix_decisions_at", "decisions", [*_AT, "text_hash"], unique=False)


def downgrade() -> None:
    """Make both as they were."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_index("ix_decisions_at", "decisions")
        op.create_index("ix_decisions_at", "decisions", _AT, unique=False)
        op.create_index("ix_decisions_text_hash", "decisions", ["text_hash"], unique=False)
