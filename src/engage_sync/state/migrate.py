"""Bring a database to the newest schema, one process at a time, while nobody writes, and in one transaction; of an
SQLite file a copy is kept before. Never goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import cast

from engage_sync.errors import Locked, Mistake, Unreachable
from engage_sync.state.backend import Connection
from engage_sync.state.database import Database

HEAD = "0005"
"""The newest revision in `migrations/versions`. Known here so that Alembic is imported only when there is work."""
VERSION_TABLE = "engage_schema"
_FOLDER = Path(__file__).with_name("migrations")


def migrate(database: Database, revision: str = HEAD, *, locked: bool = False) -> None:
    """Create or upgrade the schema. Raises Mistake when a newer version of the program made it, Locked while a run of
    an older one goes on: that has learned of its tables before. `locked`: the run lock is held here."""
    with database.sentences(), database.backend.setting_up():
        version = version_of(database)
        if version != revision:
            _refuse_newer(database, version)
            with nullcontext() if locked or version is None else _nobody_writing(database, version, revision):
                _upgrade(database, version, revision)


def refuse_other(database: Database) -> None:
    """Raise Unreachable where there is no database, or one of an older schema, and Mistake for a newer one."""
    place = database.backend.place
    if not database.backend.exists():
        raise Unreachable(f"there is no state database {place} yet: the first run makes it")
    version = version_of(database)
    _refuse_newer(database, version)
    if version != HEAD:
        what = "no tables yet" if version is None else f"schema {version}, older than this version's"
        raise Unreachable(
            f"the state database {place} has {what}: the next run of the daemon or of a command mends that"
        )


def version_of(database: Database) -> str | None:
    """Give the revision of a database's schema; None where it has no tables."""
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


def known_revisions() -> frozenset[str]:
    """Give the revisions that this program can work with."""
    return frozenset(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def _refuse_newer(database: Database, version: str | None) -> None:
    if version is not None and version not in known_revisions():
        raise Mistake(
            f"the state database {database.backend.place} has schema {version}, made by a newer version of engage-sync"
            f" (this one knows up to {HEAD}): install that version, or point `database` elsewhere"
        )


@contextmanager
def _nobody_writing(database: Database, version: str, revision: str) -> Iterator[None]:
    """Hold the run lock, which every version knows; the leases are tables themselves."""
    with ExitStack() as held:
        try:
            held.enter_context(database.backend.lock("engage-sync upgrade"))
        except Locked as error:
            what = f"the state database {database.backend.place} is to be upgraded from schema {version} to {revision}"
            raise Locked(f"{what}, but {error}: run the command again when that has ended") from error
        yield


def _upgrade(database: Database, version: str | None, revision: str) -> None:
    # Measured at start-up: Alembic and SQLAlchemy cost 1.2 s, and are needed once in the life of a database.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    backend = database.backend
    scheme = "sqlite" if backend.dialect == "sqlite" else "postgresql+psycopg"
    if version is not None:
        with backend.for_rows():
            backend.keep_copy(revision)
    engine = create_engine(f"{scheme}://", creator=backend.connect, poolclass=NullPool)
    with backend.for_rows(), engine.connect() as connection:
        backend.begin(cast("Connection", connection.connection).cursor(), write=True, durable=True)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, revision)
            connection.commit()
        except DBAPIError as error:
            # What the database itself said, which alone tells a full disk from a bug.
            raise error.orig or error from error
