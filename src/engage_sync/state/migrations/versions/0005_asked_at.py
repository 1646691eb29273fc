"""Keep when the CRM was asked who set a field."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("engage_drift", sa.Column("asked_at", sa.String(), nullable=True))
