"""Every table of the state database, declared once: what `migrations/` creates and what Alembic compares with.

Queries are written as SQL in the module of their noun and never through these classes, which stay in this room. Names
start with `engage_`, because the database may be one that other programs use too. Instants are UTC ISO text of fixed
width (the same on both databases, ordered as text). Tables counted in millions carry no foreign keys: on PostgreSQL the
check costs more than the insert, and their parents are never deleted.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

Document = Text().with_variant(JSONB(), "postgresql")
"""Values of a record as one JSON object. On PostgreSQL binary, so that one field is read without parsing the rest."""
Sequence = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is exactly INTEGER."""
KEYED: dict[str, bool] = {"sqlite_with_rowid": False}
"""Rows are stored in the order of their key: one tree to write instead of two."""
ENDED = "valid_to IS NOT NULL"
"""The verdicts worth an index by their end: those that still stand are the most, and all alike."""


class RunRow(SQLModel, table=True):
    """One run of a command. `replaced_by` is a later recorded run that stands instead."""

    __tablename__: ClassVar[str] = "engage_run"
    id: int | None = Field(default=None, primary_key=True)
    command: str
    as_of: str
    started_at: str
    finished_at: str | None
    status: str
    exit: int | None
    summary: str | None = Field(sa_type=Text)
    held: str = Field(sa_type=Text)
    recorded: bool
    replaced_by: int | None


class ObjectRow(SQLModel, table=True):
    """One object of a connector: its pull cursor, and the number of its newest load from the beginning."""

    __tablename__: ClassVar[str] = "engage_object"
    __table_args__ = (UniqueConstraint("connector", "object"),)
    id: int | None = Field(default=None, primary_key=True)
    connector: str
    object: str
    cursor: str | None = Field(sa_type=Text)
    fields: str = Field(sa_type=Text)
    load: int
    loading: bool


class RecordRow(SQLModel, table=True):
    """One mirrored CRM record. `load` is the newest load that saw it; `since_run` the run that last changed `gone`."""

    __tablename__: ClassVar[str] = "engage_record"
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    properties: str = Field(sa_type=Document)
    updated_at: str
    load: int
    gone: bool
    since_run: int


class MergeRow(SQLModel, table=True):
    """A record id that lives on in another one."""

    __tablename__: ClassVar[str] = "engage_merge"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    survivor: str
    run: int


class LinkRow(SQLModel, table=True):
    """A record and the user or account it shows."""

    __tablename__: ClassVar[str] = "engage_link"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    external_id: str
    level: str
    since_run: int


class WrittenRow(SQLModel, table=True):
    """What we last wrote to a record, or found there equal to what we wanted."""

    __tablename__: ClassVar[str] = "engage_written"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    properties: str = Field(sa_type=Document)
    run: int


class UserRow(SQLModel, table=True):
    """A user as of the newest recorded run."""

    __tablename__: ClassVar[str] = "engage_user"
    __table_args__ = (KEYED,)
    external_id: str = Field(primary_key=True)
    email: str | None
    name: str | None
    deactivated: bool


class AccountRow(SQLModel, table=True):
    """An account as of the newest recorded run."""

    __tablename__: ClassVar[str] = "engage_account"
    __table_args__ = (KEYED,)
    external_id: str = Field(primary_key=True)
    name: str | None
    domain: str | None


class MembershipRow(SQLModel, table=True):
    """A user belongs to an account since `entered_at`."""

    __tablename__: ClassVar[str] = "engage_membership"
    __table_args__ = (KEYED,)
    user_id: str = Field(primary_key=True)
    account_id: str = Field(primary_key=True)
    entered_at: str | None


class VerdictRow(SQLModel, table=True):
    """The verdict on one user or account, from run `valid_from` until before run `valid_to` (null: still)."""

    __tablename__: ClassVar[str] = "engage_verdict"
    __table_args__ = (
        Index("ix_engage_verdict_from", "entity", "valid_from"),
        Index(
            "ix_engage_verdict_to",
            "entity",
            "valid_to",
            sqlite_where=text(ENDED),
            postgresql_where=text(ENDED),
        ),
    )
    entity: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    valid_from: int = Field(primary_key=True)
    valid_to: int | None
    document: str = Field(sa_type=Text)


class VerdictSetRow(SQLModel, table=True):
    """That a run saved its verdicts of one entity, and how many rows that changed."""

    __tablename__: ClassVar[str] = "engage_verdict_set"
    run: int = Field(primary_key=True, foreign_key="engage_run.id")
    entity: str = Field(primary_key=True)
    total: int
    changed: int


class TransitionRow(SQLModel, table=True):
    """That one verdict of one user or account changed with a run; `name` is empty where a kind has only one."""

    __tablename__: ClassVar[str] = "engage_transition"
    __table_args__ = (Index("ix_engage_transition_run", "run"), KEYED)
    entity: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    run: int = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    at: str
    before: str | None = Field(sa_type=Text)
    after: str | None = Field(sa_type=Text)
    reasons: str = Field(sa_type=Text)


class DeliveryRow(SQLModel, table=True):
    """One action that a signal's firing or end asks of one target. `run` told it; `confirmed` is a run at the same
    instant that tells it too and is not recorded yet."""

    __tablename__: ClassVar[str] = "engage_delivery"
    __table_args__ = (
        Index("ix_engage_delivery_entity", "entity", "external_id"),
        Index("ix_engage_delivery_run", "run"),
        Index("ix_engage_delivery_status", "status", "run"),
    )
    key: str = Field(primary_key=True)
    run: int
    at: str
    signal: str
    entity: str
    external_id: str
    episode: str
    phase: str
    number: int
    action: str
    connector: str | None
    payload: str = Field(sa_type=Text)
    status: str
    attempts: int
    message: str | None = Field(sa_type=Text)
    result: str | None = Field(sa_type=Text)
    last_at: str | None
    confirmed: int | None


class JournalRow(SQLModel, table=True):
    """One outcome of one record; `before` and `after` are JSON objects with the same fields, written or meant to be.
    `theirs` is one with the fields whose `before` was somebody else's, as the plan knew; null where none told."""

    __tablename__: ClassVar[str] = "engage_journal"
    __table_args__ = (
        Index("ix_engage_journal_record", "object_id", "record"),
        Index("ix_engage_journal_run", "run"),
    )
    id: int | None = Field(default=None, sa_column=Column(Sequence, primary_key=True))
    run: int
    object_id: int
    record: str
    status: str
    code: str | None
    message: str | None = Field(sa_type=Text)
    request: str | None
    before: str = Field(sa_type=Text)
    after: str = Field(sa_type=Text)
    moved_to: str | None
    at: str
    theirs: str | None = Field(sa_type=Text)


class FailureRow(SQLModel, table=True):
    """A record that is still refused or failing. `wanted` are the values of the last attempt, `described` tells one
    description of the object's fields from another, `next_at` is before when a refused one is left alone."""

    __tablename__: ClassVar[str] = "engage_failure"
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    status: str
    code: str | None
    message: str | None = Field(sa_type=Text)
    request: str | None
    run: int
    attempts: int
    first_at: str
    last_at: str
    wanted: str | None = Field(sa_type=Text)
    described: str | None = Field(sa_type=Text)
    next_at: str | None = Field(sa_type=Text)


class DriftRow(SQLModel, table=True):
    """A managed field that somebody else set: the value, when it was first seen, and who set it when, as far as the CRM
    told at `asked_at`."""

    __tablename__: ClassVar[str] = "engage_drift"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    field: str = Field(primary_key=True)
    value: str | None = Field(sa_type=Text)
    run: int
    seen_at: str
    author: str | None = Field(sa_type=Text)
    changed_at: str | None
    human: bool | None
    asked_at: str | None


class RunDriftRow(SQLModel, table=True):
    """The drift that a run met, and what became of it, as compressed Arrow IPC."""

    __tablename__: ClassVar[str] = "engage_run_drift"
    run: int = Field(primary_key=True, foreign_key="engage_run.id")
    drift: bytes = Field(sa_type=LargeBinary)


class UndoneRow(SQLModel, table=True):
    """A value of run `undone` that run `run` took back: it is not written again while it is what is wanted. `restored`
    is what stands there instead, `ours` whether we had written that."""

    __tablename__: ClassVar[str] = "engage_undone"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    field: str = Field(primary_key=True)
    value: str | None = Field(sa_type=Text)
    restored: str | None = Field(sa_type=Text)
    ours: bool
    undone: int
    run: int


class PastLinkRow(SQLModel, table=True):
    """A link that ended: from run `since_run` until before run `until_run`."""

    __tablename__: ClassVar[str] = "engage_past_link"
    __table_args__ = (Index("ix_engage_past_link_entity", "external_id"), KEYED)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    external_id: str = Field(primary_key=True)
    since_run: int = Field(primary_key=True)
    until_run: int
    level: str


class IntentRow(SQLModel, table=True):
    """What a run is about to write to a record, and what stands there, kept before it is sent. `theirs` as in the
    journal."""

    __tablename__: ClassVar[str] = "engage_intent"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    run: int = Field(primary_key=True)
    properties: str = Field(sa_type=Document)
    before: str = Field(sa_type=Document)
    at: str
    theirs: str = Field(sa_type=Document)


class DeferredRow(SQLModel, table=True):
    """A record that waits for quota, and the first run that deferred it."""

    __tablename__: ClassVar[str] = "engage_deferred"
    __table_args__ = (KEYED,)
    object_id: int = Field(primary_key=True)
    record: str = Field(primary_key=True)
    since_run: int


class PlanRow(SQLModel, table=True):
    """A part of the plan of a run, as compressed Arrow IPC."""

    __tablename__: ClassVar[str] = "engage_plan"
    run: int = Field(primary_key=True, foreign_key="engage_run.id")
    part: int = Field(primary_key=True)
    changes: bytes = Field(sa_type=LargeBinary)


class MemoryRow(SQLModel, table=True):
    """What a connector must not forget, encrypted."""

    __tablename__: ClassVar[str] = "engage_memory"
    connector: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    secret: bytes = Field(sa_type=LargeBinary)


class NoteRow(SQLModel, table=True):
    """A small fact about the project."""

    __tablename__: ClassVar[str] = "engage_note"
    key: str = Field(primary_key=True)
    value: str = Field(sa_type=Text)
