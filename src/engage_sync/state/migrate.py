"""Bring a database to the newest schema, one process at a time and in one transaction. Never goes back."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from engage_sync.errors import Mistake
from engage_sync.state.backend import Connection
from engage_sync.state.database import Database

HEAD = "0003"
"""The newest revision in `migrations/versions`. Known here so that Alembic is imported only when there is work."""
VERSION_TABLE = "engage_schema"


def migrate(database: Database) -> None:
    """Create or upgrade the schema. Raises Mistake when a newer version of the program made it."""
    with database.sentences(), database.backend.setting_up():
        version = _version(database)
        if version != HEAD:
            _upgrade(database, version)


def _version(database: Database) -> str | None:
    table = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?"
        if database.backend.dialect == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?"
    )
    with database.reading() as transaction:
        if transaction.first(table, VERSION_TABLE) is None:
            return None
        row = transaction.first(f"SELECT version_num FROM {VERSION_TABLE}")
        return str(row[0]) if row else None


def _upgrade(database: Database, version: str | None) -> None:
    # Measured at start-up: Alembic and SQLAlchemy cost 1.2 s, and are needed once in the life of a database.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise Mistake(
            f"the state database {database.backend.place} has schema {version}, made by a newer version of engage-sync"
            f" (this one knows up to {HEAD}): install that version, or point `database` elsewhere"
        )
    backend = database.backend
    scheme = "sqlite" if backend.dialect == "sqlite" else "postgresql+psycopg"
    engine = create_engine(f"{scheme}://", creator=backend.connect, poolclass=NullPool)
    with backend.for_rows(), engine.connect() as connection:
        backend.begin(cast("Connection", connection.connection).cursor(), write=True, durable=True)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
