"""Run migrations on the connection that `migrate.py` hands in, inside its transaction.

The tables are needed only to compare, and come with the caller who wants to: importing SQLModel costs half a second.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("tables"),
    version_table="engage_schema",
    render_as_batch=True,
)
context.run_migrations()
