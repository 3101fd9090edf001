"""The tables, for SQLite and PostgreSQL alike.

Conventions: times are milliseconds since 1970 (UTC). What comes from a closed set is a small number (`Codes`); names of
apps, doors, engines and the like are numbers too, whose words stand in `names`. Hashes are keyed and 16 bytes long.
Text that people wrote to a model stands in `texts` and in no other table. Every constraint has a name, or SQLite could
not change it later.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from .schema_records import decisions, latencies, metadata, names, policy_versions, rollup, shadow_decisions, texts

__all__ = [
    "appeals",
    "apps",
    "decisions",
    "escalations",
    "keys",
    "latencies",
    "list_entries",
    "lists",
    "metadata",
    "names",
    "people",
    "policies",
    "policy_versions",
    "review_items",
    "reviews",
    "revisions",
    "rollup",
    "secrets",
    "sessions",
    "shadow_decisions",
    "sign_in_failures",
    "sign_in_links",
    "texts",
    "trail",
    "webhook_messages",
]

_DECISION_ID, _HASH, _NAME, _WORD = String(40), LargeBinary(16), String(200), String(40)
_ID = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts by itself in SQLite


def _id() -> Column[int]:
    return Column("id", _ID, primary_key=True, autoincrement=True)


# The store itself

secrets = Table(
    "secrets",
    metadata,
    Column("name", _WORD, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("subject", _WORD, primary_key=True, comment="lists, apps, policies"),
    Column("number", BigInteger, nullable=False, comment="counts changes: other processes read anew"),
)

# Who may ask

apps = Table(
    "apps",
    metadata,
    _id(),
    Column("name", _NAME, nullable=False, unique=True),
    Column("content", Text, nullable=False, comment="JSON in the words of the apps file"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

keys = Table(
    "keys",
    metadata,
    _id(),
    Column("app_id", _ID, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", _NAME, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True, comment="SHA-256"),
    Column("hint", _WORD, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger),
)

escalations = Table(
    "escalations",
    metadata,
    _id(),
    Column("app", _NAME, nullable=False),
    Column("user_hash", _HASH, nullable=False),
    Column("policy", _NAME, nullable=False),
    Column("action", SmallInteger, nullable=False),
    Column("blocks", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("undone_at", BigInteger),
    Column("undone_by", _NAME),
    Index("ix_escalations_user_hash_until", "user_hash", "until"),
)

# Policies

policies = Table(
    "policies",
    metadata,
    _id(),
    Column("name", _NAME, nullable=False),
    Column("number", Integer, nullable=False, comment="of this change among those of the name; the last one counts"),
    Column("text", Text, comment="as it was written; null where the policy was dropped"),
    Column("version", _WORD, comment="of what it said then, as in records"),
    Column("at", BigInteger, nullable=False),
    Column("actor", _NAME, nullable=False),
    UniqueConstraint("name", "number"),
)

# Lists

lists = Table(
    "lists",
    metadata,
    _id(),
    Column("name", _NAME, nullable=False, unique=True),
    Column("policy", _NAME, comment="for this policy only"),
    Column("app", _NAME, comment="for this app only"),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)

list_entries = Table(
    "list_entries",
    metadata,
    _id(),
    Column("list_id", _ID, ForeignKey("lists.id", ondelete="CASCADE"), nullable=False),
    Column("entry", _NAME, nullable=False, comment="the id by which replies and records name it"),
    Column("content", Text, nullable=False, comment="JSON in the words of the files of lists"),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("list_id", "entry"),
)

# Review

review_items = Table(
    "review_items",
    metadata,
    _id(),
    Column("decision_id", _DECISION_ID, nullable=False, unique=True),
    Column("why", _WORD, nullable=False, comment="flagged, blocked, close, sampled, appealed"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("at", BigInteger, nullable=False),
    Column("state", _WORD, nullable=False, server_default="open"),
    Column("taken_by", _NAME),
    Column("taken_until", BigInteger),
    Column("closed_at", BigInteger),
    Index("ix_review_items_state_priority_at", "state", "priority", "at"),
)

reviews = Table(
    "reviews",
    metadata,
    _id(),
    Column("decision_id", _DECISION_ID, nullable=False),
    Column("reviewer", _NAME, nullable=False),
    Column("answer", _WORD, nullable=False, comment="right, wrong, unsure"),
    Column("action", SmallInteger, comment="what it should be"),
    Column("severity", SmallInteger),
    Column("categories", SmallInteger),
    Column("note", Text, nullable=False, server_default=""),
    Column("opinion", Text, comment="JSON of another engine's verdict that was asked for"),
    Column("at", BigInteger, nullable=False, index=True),
    UniqueConstraint("decision_id", "reviewer"),
)

appeals = Table(
    "appeals",
    metadata,
    _id(),
    Column("decision_id", _DECISION_ID, nullable=False, unique=True),
    Column("app", _NAME, nullable=False, server_default=""),
    Column("user_hash", _HASH, index=True),
    Column("text", Text, nullable=False, server_default="", comment="what the blocked person says"),
    Column("state", _WORD, nullable=False, server_default="open"),
    Column("at", BigInteger, nullable=False),
    Column("outcome", _WORD),
    Column("note", Text, nullable=False, server_default=""),
    Column("decided_by", _NAME),
    Column("decided_at", BigInteger),
    Index("ix_appeals_state_at", "state", "at"),
)

# People of the console

people = Table(
    "people",
    metadata,
    _id(),
    Column("name", _NAME, nullable=False, unique=True),
    Column("role", _WORD, nullable=False, comment="viewer, reviewer, admin"),
    Column("password", Text, comment="argon2; null for those who sign in elsewhere"),
    Column("issuer", String(400)),
    Column("subject", String(400)),
    Column("created_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger),
    Column("disabled_at", BigInteger),
    UniqueConstraint("issuer", "subject"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True, comment="SHA-256 of the id in the cookie"),
    Column("person_id", _ID, ForeignKey("people.id", ondelete="CASCADE"), index=True, comment="null: by a link"),
    Column("role", _WORD, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("role", _WORD, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("person_id", _ID, ForeignKey("people.id", ondelete="CASCADE"), index=True, comment="null: anybody's"),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("key", _NAME, primary_key=True, comment="hash of a name, an address, or both"),
    Column("since", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
)

trail = Table(
    "trail",
    metadata,
    _id(),
    Column("at", BigInteger, nullable=False, index=True),
    Column("actor", _NAME, nullable=False),
    Column("action", _WORD, nullable=False),
    Column("subject", _NAME, nullable=False),
    Column("before", Text, comment="JSON"),
    Column("after", Text, comment="JSON"),
)

# Webhooks

webhook_messages = Table(
    "webhook_messages",
    metadata,
    Column("id", _WORD, primary_key=True),
    Column("event", _WORD, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="as it is sent: ids and verdicts, no text"),
    Column("at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False, index=True),
)
