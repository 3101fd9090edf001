"""The tables, for SQLite and PostgreSQL alike.

Conventions: times are milliseconds since 1970 (UTC). What comes from a closed set is a small number (`Codes`); names of
apps, doors, engines and the like are numbers too, whose words stand in `names`. Hashes are keyed and 16 bytes long.
Text that people wrote to a model stands in `texts` and in no other table. Every constraint has a name, or SQLite could
not change it later.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "answers",
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
    "sign_in_links",
    "texts",
    "trail",
    "webhook_deliveries",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_DECISION_ID, _REQUEST_ID, _HASH, _NAME, _WORD = String(40), String(128), LargeBinary(16), String(200), String(40)
_ID = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts by itself in SQLite


def _id() -> Column[int]:
    return Column("id", _ID, primary_key=True, autoincrement=True)


# What was decided

decisions = Table(
    "decisions",
    metadata,
    _id(),
    Column("at", BigInteger, nullable=False),
    Column("decision_id", _DECISION_ID, nullable=False, unique=True),
    Column("request_id", _REQUEST_ID),
    Column("app", Integer, nullable=False, comment="names of kind app: its name, else the key's, else an empty one"),
    Column("key", Integer, nullable=False),
    Column("door", Integer, nullable=False),
    Column("target", SmallInteger, nullable=False),
    Column("severity", SmallInteger, comment="the worst label that was read; null without a verdict"),
    Column("p_unsafe", Float(53), comment="the highest P(unsafe) of all windows"),
    Column("p_flagged", Float(53), comment="the highest P(controversial) + P(unsafe) of all windows"),
    Column("categories", SmallInteger, nullable=False),
    Column("detail", SmallInteger, nullable=False),
    Column("read_in_part", SmallInteger, nullable=False),
    Column("refusal", Boolean),
    Column("coverage", SmallInteger),
    Column("is_sure", Boolean, nullable=False),
    Column("action", SmallInteger, nullable=False),
    Column("policy", Integer, nullable=False, comment="policy_versions.id"),
    Column("tool", Integer, comment="the tool whose own rules applied"),
    Column("engine", Integer, nullable=False),
    Column("model", Integer, nullable=False),
    Column("reason", Integer, comment="the engine's failure, even where the embedded engine answered instead"),
    Column("error", Integer, comment="the type of the error that was the answer; null where a decision was"),
    Column("degraded", Boolean, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("windows", SmallInteger, nullable=False),
    Column("span_start", Integer),
    Column("span_end", Integer),
    Column("chars", Integer, nullable=False, comment="length of the judged text"),
    Column("latency_ms", Float(53), nullable=False),
    Column("text_hash", _HASH, nullable=False),
    Column("user_hash", _HASH),
    Column("list_entry", BigInteger, comment="the entry of a list that decided, or let it pass"),
    Column("list_action", SmallInteger),
    Column("escalated", SmallInteger, comment="the action that an escalation made of it"),
    Index("ix_decisions_at", "at"),
    Index("ix_decisions_request_id", "request_id"),
    Index("ix_decisions_app_at", "app", "at"),
    Index("ix_decisions_action_at", "action", "at"),
    Index("ix_decisions_text_hash", "text_hash"),
    Index(
        "ix_decisions_user_hash",
        "user_hash",
        "at",
        sqlite_where=text("user_hash IS NOT NULL"),
        postgresql_where=text("user_hash IS NOT NULL"),
    ),
)

names = Table(
    "names",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", _WORD, nullable=False, comment="app, key, door, engine, model, reason, error, tool"),
    Column("name", _NAME, nullable=False),
    UniqueConstraint("kind", "name"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", _NAME, nullable=False),
    Column("version", _WORD, nullable=False),
    Column("content", Text, nullable=False, comment="JSON, as GET /policies shows it"),
    Column("first_at", BigInteger, nullable=False),
    UniqueConstraint("name", "version"),
)

rollup = Table(
    "rollup",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False, comment="its first millisecond"),
    Column("app", Integer, primary_key=True, autoincrement=False),
    Column("door", Integer, primary_key=True, autoincrement=False),
    Column("action", SmallInteger, primary_key=True, autoincrement=False),
    Column("categories", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, nullable=False),
    Column("degraded", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("chars", BigInteger, nullable=False),
    Column("latency_ms", Float(53), nullable=False, comment="the sum"),
)

latencies = Table(
    "latencies",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False, comment="place in records.BUCKETS_MS"),
    Column("n", BigInteger, nullable=False),
)

shadow_decisions = Table(
    "shadow_decisions",
    metadata,
    Column("decision_id", _DECISION_ID, primary_key=True),
    Column("policy", Integer, primary_key=True, autoincrement=False),
    Column("action", SmallInteger, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
)

texts = Table(
    "texts",
    metadata,
    Column("decision_id", _DECISION_ID, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False, index=True, comment="when it is deleted"),
    Column("text", Text, nullable=False, comment="what was judged; a span counts its characters"),
    Column("context", Text, comment="JSON list of the turns before it, with role and content"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", _WORD, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("subject", _WORD, primary_key=True, comment="lists, answers, apps, policies, escalations"),
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

policies = Table(
    "policies",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("content", Text, nullable=False, comment="YAML, in the words of the policies file"),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", _NAME, nullable=False),
)

# Lists and prepared answers

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
    Column("kind", _WORD, nullable=False, comment="word, phrase, pattern, domain"),
    Column("text", Text, nullable=False),
    Column("action", SmallInteger, nullable=False),
    Column("target", SmallInteger, comment="null for both"),
    Column("category", _WORD),
    Column("reason", Text, nullable=False, server_default=""),
    Column("author", _NAME, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("removed_at", BigInteger),
    Index("ix_list_entries_list_id", "list_id"),
)

answers = Table(
    "answers",
    metadata,
    _id(),
    Column("kind", _WORD, nullable=False, comment="template or pair"),
    Column("policy", _NAME),
    Column("category", _WORD),
    Column("language", _WORD),
    Column("question", Text, comment="of a pair"),
    Column("answer", Text, nullable=False),
    Column("author", _NAME, nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger),
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
    Column("decision_id", _DECISION_ID, nullable=False, index=True),
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

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _id(),
    Column("webhook", _NAME, nullable=False),
    Column("event", _WORD, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("next_at", BigInteger, index=True, comment="null once it is done with"),
    Column("delivered_at", BigInteger),
    Column("error", Text),
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
    Column("person_id", _ID, ForeignKey("people.id", ondelete="CASCADE"), index=True),
    Column("role", _WORD, nullable=False),
    Column("csrf", String(80), nullable=False),
    Column("data", Text, nullable=False, server_default="{}"),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("role", _WORD, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
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
