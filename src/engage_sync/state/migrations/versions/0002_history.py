"""Keep transitions and deliveries, and find the verdicts that changed between two runs without reading the rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _transitions()
    _deliveries()
    op.create_index("ix_engage_verdict_from", "engage_verdict", ["entity", "valid_from"], unique=False)
    op.create_index(
        "ix_engage_verdict_to",
        "engage_verdict",
        ["entity", "valid_to"],
        unique=False,
        sqlite_where=sa.text("valid_to IS NOT NULL"),
        postgresql_where=sa.text("valid_to IS NOT NULL"),
    )


def _transitions() -> None:
    op.create_table(
        "engage_transition",
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "external_id", "run", "kind", "name"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_engage_transition_run", "engage_transition", ["run"], unique=False)


def _deliveries() -> None:
    op.create_table(
        "engage_delivery",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("connector", sa.String(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("last_at", sa.String(), nullable=True),
        sa.Column("confirmed", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_engage_delivery_entity", "engage_delivery", ["entity", "external_id"], unique=False)
    op.create_index("ix_engage_delivery_run", "engage_delivery", ["run"], unique=False)
    op.create_index("ix_engage_delivery_status", "engage_delivery", ["status", "run"], unique=False)
