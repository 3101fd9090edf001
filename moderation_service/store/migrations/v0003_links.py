"""Links to sign in may be somebody's own. Those that were not used yet are lost: they last for minutes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0003"
down_revision = "0002"
_TABLE = "sign_in_links"


def upgrade() -> None:
    """Make the table anew, with the person."""
    op.drop_table(_TABLE)
    op.create_table(
        _TABLE,
        *_columns(),
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_sign_in_links_person_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_links")),
    )
    op.create_index(op.f("ix_sign_in_links_person_id"), _TABLE, ["person_id"], unique=False)


def downgrade() -> None:
    """Make it anew, without."""
    op.drop_table(_TABLE)
    op.create_table(_TABLE, *_columns(), sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_links")))


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    ]
