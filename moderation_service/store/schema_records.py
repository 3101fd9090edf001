"""The tables of what was decided, and of the sums over it. All tables: `schema`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
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
    "decisions",
    "latencies",
    "metadata",
    "names",
    "policy_versions",
    "rollup",
    "shadow_decisions",
    "texts",
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

# Whatever the console filters by is in the index of times: what does not fit is passed over without reading its row.
_FILTERED = ("at", "action", "app", "door", "target", "severity", "categories", "policy", "engine", "error", "degraded")

decisions = Table(
    "decisions",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
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
    Column("tool", Integer, comment="the tool it is of, where the policy has rules for tools"),
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
    Column("list_entry", _NAME, comment="the entry of a list that decided, or let it pass: list/id"),
    Column("list_action", SmallInteger),
    Column("escalated", SmallInteger, comment="the action that an escalation made of it"),
    Index("ix_decisions_at", *_FILTERED, "text_hash").ddl_if(dialect="sqlite"),
    Index("ix_decisions_at", *_FILTERED).ddl_if(dialect="postgresql"),
    Index("ix_decisions_request_id", "request_id"),
    # In SQLite the requests' own process writes: a page in another place per record is what they would feel most.
    Index("ix_decisions_text_hash", "text_hash").ddl_if(dialect="postgresql"),
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
    sqlite_with_rowid=False,  # the rows of a stretch of time lie one behind the other
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
