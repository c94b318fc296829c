"""The tables, once; migrations bring a database to this shape.

Configuration documents share one table: they are small, read as a whole and checked by their
schemas. Everything that is searched or grows has columns of its own. Moments are Unix milliseconds
in the database and aware datetimes in Python, the same on SQLite and PostgreSQL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as Unix milliseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        return None if value is None else round(value.timestamp() * 1_000)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else datetime.fromtimestamp(value / 1_000, UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("name", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("document", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(120), nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("updated_by", String(120), nullable=False),
    UniqueConstraint("kind", "name"),
)

persona_versions = Table(
    "persona_versions",
    metadata,
    Column("persona_id", ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("content", JSON, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(120), nullable=False),
)

publications = Table(  # which version of a persona was published when; the way back
    "publications",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("persona_id", ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", String(120), nullable=False),
    Index("ix_publications_persona", "persona_id", "id"),
)

trials = Table(
    "trials",
    metadata,
    Column("called", String(64), primary_key=True),
    Column("persona", String(64), nullable=False),
    Column("content", JSON, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("created_by", String(120), nullable=False),
)

clips = Table(
    "clips",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("voice_id", ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("media_type", String(40), nullable=False),
    Column("content", LargeBinary, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", String(120), primary_key=True),
    Column("state", String(12), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("transport", String(16), nullable=False, server_default=""),
    Column("trunk", String(64), nullable=False),
    Column("called", String(120), nullable=False),
    Column("caller", String(120), nullable=False),
    Column("route", String(64), nullable=False),
    Column("persona", String(64), nullable=False),
    Column("persona_version", String(64), nullable=False),
    Column("voice", String(64), nullable=False),
    Column("voice_sha256", String(64), nullable=False),
    Column("prompt_hash", String(64), nullable=False),
    Column("gateway_id", String(120), nullable=False),
    Column("worker_id", String(120), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("code", String(80), nullable=False),
    Column("duration_s", Float),
    Column("setup_s", Float),
    Column("first_sound_s", Float),
    Column("barge_ins", Integer, nullable=False),
    Column("yields", Integer, nullable=False),
    Column("yield_sum_s", Float, nullable=False),
    Column("turn_gaps", Integer, nullable=False),
    Column("turn_gap_sum_s", Float, nullable=False),
    Column("quality", JSON, nullable=False),
    Index("ix_calls_started", "started_at", "id"),
    Index("ix_calls_state", "state", "started_at"),
    Index("ix_calls_persona", "persona", "started_at"),
)

call_events = Table(
    "call_events",
    metadata,
    Column("id", String(40), primary_key=True),  # of the journal's entry: reading twice is harmless
    Column("call_id", String(120), nullable=False),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("data", JSON, nullable=False),
    Index("ix_call_events_call", "call_id", "id"),
    Index("ix_call_events_kind", "kind", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(120), nullable=False, unique=True),
    Column("role", String(12), nullable=False),
    Column("prefix", String(16), nullable=False, unique=True),
    Column("secret_hash", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(120), nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
    # ends as soon as another admin gets in
    Column("temporary", Boolean, nullable=False, server_default=false()),
)

people = Table(  # who came over the OpenID provider; it says who they are at every log-in
    "people",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("issuer", String(300), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("name", String(120), nullable=False),
    Column("role", String(12), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_login_at", Moment, nullable=False),
    UniqueConstraint("issuer", "subject"),
)

sessions = Table(  # of a key or of a person
    "sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("cookie_hash", String(64), nullable=False, unique=True),
    Column("key_id", ForeignKey("api_keys.id", ondelete="CASCADE")),
    Column("person_id", ForeignKey("people.id", ondelete="CASCADE")),
    Column("created_at", Moment, nullable=False),
    Column("authenticated_at", Moment, nullable=False),
    Column("last_seen_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("address", String(64), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("log_out_url", Text, nullable=False),
)

audit = Table(  # triggers refuse every change of a row that is there
    "audit",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("role", String(12), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(40), nullable=False),
    Column("object_kind", String(20), nullable=False),
    Column("object_name", String(120), nullable=False),
    Column("before", JSON),
    Column("after", JSON),
    Column("actor_id", String(40), nullable=False, server_default=""),
    Column("actor_kind", String(10), nullable=False, server_default=""),
    Index("ix_audit_object", "object_kind", "object_name", "id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("webhook_id", ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", String(80), nullable=False),
    Column("event", String(40), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("delivered_at", Moment),
    UniqueConstraint("webhook_id", "event_id"),
    Index("ix_deliveries_due", "state", "next_attempt_at"),
    Index("ix_deliveries_webhook", "webhook_id", "id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("actor", String(120), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
)

state = Table(  # one row: locked by every write, so that writes come one after the other
    "state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("first_start_done", Boolean, nullable=False),
)
