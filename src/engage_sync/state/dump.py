"""The whole state as frames, out of one database and into another, whichever of the two kinds they are. Left out are
the connectors' encrypted memory, whose key is no part of the database, and leases, which end with their processes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_manager
import polars as pl

from engage_sync.errors import EngageError, Mistake
from engage_sync.state.bulk import Arrow, Schema, literal
from engage_sync.state.database import Database, Transaction, backend_of
from engage_sync.state.migrate import HEAD, VERSION_TABLE, known_revisions, migrate, version_of
from engage_sync.state.notes import set_note

LEFT_OUT = frozenset({"engage_memory", "engage_lease", VERSION_TABLE})
FIRST = "engage_run"
"""The table that others refer to."""
RESTORING = "restoring"
"""The note that a restore leaves between its commit and its end: its name, and how many runs it brought."""
_TYPES: Mapping[str, type[pl.DataType]] = {
    "integer": pl.Int64,
    "bigint": pl.Int64,
    "boolean": pl.Boolean,
    "float": pl.Float64,
    "double precision": pl.Float64,
    "blob": pl.Binary,
    "bytea": pl.Binary,
}
_JSONB = "jsonb"


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns in order, and those among them that hold documents of the database's own type."""

    name: str
    columns: Schema
    documents: frozenset[str]


class Dump:
    """One consistent state of a database, while its transaction is open."""

    def __init__(self, arrow: Arrow, tables: Sequence[Table]) -> None:
        self._arrow, self.tables = arrow, tables

    @property
    def revision(self) -> str:
        """The schema's revision."""
        return str(self._arrow.read(f"SELECT version_num FROM {VERSION_TABLE}", {"version_num": pl.String}).item())

    @property
    def as_of(self) -> str | None:
        """The instant of the newest recorded run, as ISO text."""
        found = self._arrow.read("SELECT max(as_of) AS as_of FROM engage_run WHERE recorded", {"as_of": pl.String})
        return None if found.item() is None else str(found.item())

    def rows(self, table: Table) -> Iterator[pl.DataFrame]:
        """Give a table's rows in frames of some thousands; documents as text."""
        columns = ", ".join(f"{name}::text AS {name}" if name in table.documents else name for name in table.columns)
        yield from self._arrow.batches(f"SELECT {columns} FROM {table.name}", table.columns)


@contextmanager
def dumping(database: Database) -> Iterator[Dump]:
    """Hold one read transaction open over the whole database; who writes is not kept from it."""
    with database.reading() as transaction:
        tables = [one for one in _tables(database, transaction) if one.name not in LEFT_OUT]
    with database.arrow() as arrow:
        if database.backend.dialect == "postgresql":
            arrow.commit()  # a fresh transaction: its level can be set before its first query only
            arrow.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield Dump(arrow, tables)


class Emptied:
    """An empty database under its run lock, ready to take a dump."""

    def __init__(self, database: Database, revision: str, *, had_tables: bool) -> None:
        self._database, self._revision, self._had_tables = database, revision, had_tables

    def load(
        self, tables: Mapping[str, Iterable[pl.DataFrame]], expected: Mapping[str, int], name: str
    ) -> dict[str, int]:
        """Put the rows of all tables in, in one transaction, and bring them to the newest schema; give how many. From
        the commit to `complete` the database knows the restore by its name."""
        with self._database.reading() as transaction:
            known = {one.name: one for one in _tables(self._database, transaction)}
        if unknown := sorted(tables.keys() - known.keys() | tables.keys() & LEFT_OUT):
            raise Mistake(f"the backup holds the table {unknown[0]}, which schema {self._revision} has not")
        counts: dict[str, int] = {}
        table = ""
        try:
            with self._database.arrow() as arrow:
                for table in sorted(tables, key=lambda name: (name != FIRST, name)):
                    counts[table] = sum(self._insert(arrow, known[table], frame) for frame in tables[table])
                    self._count_on(arrow, known[table])
                if counts != dict(expected):
                    raise Mistake(
                        "the backup is damaged: its tables have other rows than it says; nothing was restored"
                    )
                table = "engage_note"
                arrow.run(f"DELETE FROM engage_note WHERE key = '{RESTORING}'")
                arrow.run(
                    "INSERT INTO engage_note (key, value)"
                    f" SELECT '{RESTORING}', {literal(name + ' ')} || count(*) FROM engage_run"
                )
        except adbc_driver_manager.Error as error:
            text = str(error).strip().split("\n", maxsplit=1)[0]
            raise Mistake(f"the database refuses what the backup holds of {table}: {text}") from error
        migrate(self._database, locked=True)
        return counts

    def complete(self) -> None:
        """Forget the restore's name: the project is whole. Should that fail, no mark has the name any more."""
        with suppress(EngageError):
            set_note(self._database, RESTORING, None)

    def clear(self) -> None:
        """Take back what was loaded, and the tables unless they were there before."""
        _clear(self._database, tables=not self._had_tables)

    def _insert(self, arrow: Arrow, table: Table, frame: pl.DataFrame) -> int:
        if missing := sorted(set(frame.columns) ^ table.columns.keys()):
            raise Mistake(f"the backup and schema {self._revision} differ in the column {missing[0]} of {table.name}")
        if frame.is_empty():
            return 0
        taken = [self._taken(table, name) for name in frame.columns]
        arrow.stage("restored", frame)
        arrow.run(f"INSERT INTO {table.name} ({', '.join(frame.columns)}) SELECT {', '.join(taken)} FROM restored")
        arrow.run("DROP TABLE restored")
        arrow.grown(table.name, frame.height)
        return frame.height

    def _taken(self, table: Table, name: str) -> str:
        """Give the SQL of a staged column. A null within what was written is none for SQLite (`Backend.merged`)."""
        if name in table.documents:
            return f"{name}::jsonb"
        if self._database.backend.dialect == "sqlite" and (table.name, name) == ("engage_written", "properties"):
            return f"json_patch('{{}}', {name})"
        return name

    def _count_on(self, arrow: Arrow, table: Table) -> None:
        """Have PostgreSQL number new rows after those that came with their numbers."""
        if self._database.backend.dialect == "postgresql" and "id" in table.columns:
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            arrow.read(
                f"SELECT setval({sequence}, max(id)) AS at FROM {table.name} HAVING max(id) IS NOT NULL",
                {"at": pl.Int64},
            )


@contextmanager
def emptied(url: str, revision: str, former: Collection[str] = ()) -> Iterator[Emptied]:
    """Open a database to take a dump of schema `revision`, and hold its run lock. What restores of the names `former`
    have left is taken away. Raises Mistake for one that holds other data, and for a newer schema; Locked while a run
    goes on there. An error in the `with` block empties it again."""
    refuse_newer(revision)
    backend = backend_of(url)
    database = Database(backend)
    with ExitStack() as held:
        held.callback(database.close)
        with database.sentences():
            with backend.setting_up():
                pass  # the folder of a file is made
            held.enter_context(backend.lock("engage-sync restore"))
        if _is_left(database, former):
            _clear(database, tables=True)
        found = _refuse_data(database, revision)
        target = Emptied(database, revision, had_tables=found is not None)
        try:
            migrate(database, revision)
            yield target
        except BaseException:
            with suppress(EngageError):
                target.clear()
            raise


def _is_left(database: Database, former: Collection[str]) -> bool:
    """Tell whether a database holds what one of these restores brought, and nobody has worked with since."""
    with database.reading() as transaction:
        if not former or all(one.name != "engage_note" for one in _tables(database, transaction)):
            return False
        noted = transaction.first("SELECT value FROM engage_note WHERE key = ?", RESTORING)
        ((runs,),) = transaction.all("SELECT count(*) FROM engage_run")
    return noted is not None and noted[0] in {f"{name} {int(runs or 0)}" for name in former}


def _clear(database: Database, *, tables: bool) -> None:
    """Take away all rows that a dump holds, or all tables."""
    with database.writing(durable=True) as transaction:
        found = [one.name for one in _tables(database, transaction)]
        for name in sorted(found, key=lambda name: name == FIRST):
            if tables:
                transaction.run(f"DROP TABLE {name}")
            elif name not in LEFT_OUT:
                transaction.run(f"DELETE FROM {name}")


def _refuse_data(database: Database, revision: str) -> str | None:
    """Raise Mistake for a database that holds data, or tables of another schema; give the schema of its tables."""
    place = database.backend.place
    with database.reading() as transaction:
        for table in _tables(database, transaction):
            if table.name not in LEFT_OUT and transaction.first(f"SELECT 1 FROM {table.name} LIMIT 1"):
                raise Mistake(
                    f"the database {place} holds data already ({table.name}): a backup is restored into an empty one"
                    " only; name another by --database"
                )
    found = version_of(database)
    if found not in {None, revision}:
        raise Mistake(
            f"the database {place} has empty tables of schema {found}, and the backup is of {revision}: name a database"
            " without tables by --database"
        )
    return found


def refuse_newer(revision: str) -> None:
    """Raise Mistake for the schema of a newer version of the program."""
    if revision not in known_revisions():
        raise Mistake(
            f"the backup has schema {revision}, made by a newer version of engage-sync (this one knows up to {HEAD}):"
            " install that version"
        )


def file_of(url: str) -> Path | None:
    """Give the file of an SQLite URL; None for a server's."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def drop_file(url: str) -> None:
    """Take away the SQLite file that a restore made and did not complete; a server's database stays empty."""
    path = file_of(url)
    for one in [] if path is None else files_of(path):
        one.unlink(missing_ok=True)


def files_of(path: Path) -> list[Path]:
    """Give an SQLite file and those that come to be beside it."""
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm", ".lock")]


def _tables(database: Database, transaction: Transaction) -> list[Table]:
    """Look the tables up in the database itself: they may be an older schema's."""
    if database.backend.dialect == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) = 'engage_'"
        names = [str(name) for (name,) in transaction.all(query)]
        found = [
            (name, str(row[1]), str(row[2])) for name in names for row in transaction.all(f"PRAGMA table_info({name})")
        ]
    else:
        rows = transaction.all(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema ="
            " current_schema() AND substr(table_name, 1, 7) = 'engage_' ORDER BY table_name, ordinal_position"
        )
        found = [(str(table), str(column), str(kind)) for table, column, kind in rows]
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in found:
        tables.setdefault(table, {})[column] = kind.lower()
    return [
        Table(
            name,
            {column: _TYPES.get(kind, pl.String) for column, kind in columns.items()},
            frozenset(column for column, kind in columns.items() if kind == _JSONB),
        )
        for name, columns in sorted(tables.items())
    ]
