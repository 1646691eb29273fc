"""Keep when a refused record is tried again, who changed a field of ours, what was undone, former links, what a run is
about to write, whose value it replaced, and since when a record waits for quota."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DOCUMENT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    for name in ("wanted", "described", "next_at"):
        op.add_column("engage_failure", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("engage_journal", sa.Column("theirs", sa.Text(), nullable=True))
    _drift()
    _undone()
    _past_links()
    _intents_and_waiting()


def _drift() -> None:
    op.create_table(
        "engage_drift",
        *_place("field"),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.String(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.String(), nullable=True),
        sa.Column("human", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("object_id", "record", "field"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engage_run_drift",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("drift", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["engage_run.id"]),
        sa.PrimaryKeyConstraint("run"),
    )


def _undone() -> None:
    op.create_table(
        "engage_undone",
        *_place("field"),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("restored", sa.Text(), nullable=True),
        sa.Column("ours", sa.Boolean(), nullable=False),
        sa.Column("undone", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "record", "field"),
        sqlite_with_rowid=False,
    )


def _past_links() -> None:
    op.create_table(
        "engage_past_link",
        *_place("external_id"),
        sa.Column("since_run", sa.Integer(), nullable=False),
        sa.Column("until_run", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "record", "external_id", "since_run"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_engage_past_link_entity", "engage_past_link", ["external_id"], unique=False)


def _intents_and_waiting() -> None:
    op.create_table(
        "engage_intent",
        *_place(),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("properties", _DOCUMENT, nullable=False),
        sa.Column("before", _DOCUMENT, nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("theirs", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("object_id", "record", "run"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "engage_deferred",
        *_place(),
        sa.Column("since_run", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "record"),
        sqlite_with_rowid=False,
    )


def _place(*further: str) -> tuple[sa.Column[Any], ...]:
    texts = (sa.Column(name, sa.String(), nullable=False) for name in ("record", *further))
    return (sa.Column("object_id", sa.Integer(), nullable=False), *texts)
