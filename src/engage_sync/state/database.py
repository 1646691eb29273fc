"""The door to the database: which one a URL names, transactions on it, and errors turned into sentences.

`reading` and `writing` are for small statements over rows, `arrow` (see `bulk.py`) for frames. Knows no table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from engage_sync.errors import Mistake, Unreachable
from engage_sync.state.backend import IDLE_TRUSTED, Backend, Connection, Cursor, Row, Value
from engage_sync.state.bulk import Arrow
from engage_sync.state.sqlite import SQLite

SPARE_CONNECTIONS = 4
Kept = TypeVar("Kept")


class Transaction:
    """Small statements of one transaction. Parameters are written `?` whatever the database."""

    def __init__(self, cursor: Cursor, mark: str) -> None:
        self._cursor = cursor
        self._mark = mark

    def run(self, sql: str, *parameters: Value) -> int:
        """Run one statement; give the number of rows it changed."""
        self._cursor.execute(sql.replace("?", self._mark), parameters)
        return self._cursor.rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run one statement for each row."""
        self._cursor.executemany(sql.replace("?", self._mark), rows)

    def all(self, sql: str, *parameters: Value) -> list[Row]:
        """Give every row of a query."""
        self._cursor.execute(sql.replace("?", self._mark), parameters)
        return self._cursor.fetchall()

    def first(self, sql: str, *parameters: Value) -> Row | None:
        """Give the first row of a query, None without one."""
        rows = self.all(sql, *parameters)
        return rows[0] if rows else None


class Spare(Generic[Kept]):
    """Connections that wait for their next use."""

    def __init__(self) -> None:
        self._kept: list[tuple[Kept, float]] = []
        self._guard = threading.Lock()

    def take(self) -> tuple[Kept, float] | None:
        """Take the one used last, with the seconds it waited; None without any."""
        with self._guard:
            if not self._kept:
                return None
            kept, since = self._kept.pop()
        return kept, time.monotonic() - since

    def give(self, kept: Kept) -> bool:
        """Keep one for later; False when enough are kept."""
        with self._guard:
            if len(self._kept) >= SPARE_CONNECTIONS:
                return False
            self._kept.append((kept, time.monotonic()))
            return True


class Asked(Protocol):
    """A transaction, of rows or of frames, that answers a question."""

    def first(self, sql: str, /) -> Row | None:
        """Give the first row of a query, None without one."""


class Fence(Protocol):
    """Says whether this process may still write. Both raise Locked where it may not."""

    def check(self) -> None:
        """Ask before a transaction, without the database where possible."""

    def check_in(self, transaction: Asked) -> None:
        """Ask inside the transaction, as the last before its commit: to that, the answer holds."""


class Database:
    """An open database. Safe to use from several threads."""

    fence: Fence | None = None
    """Asked in every transaction that writes, while this process holds the lease of who writes."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._connections: Spare[Connection] = Spare()
        self._arrows: Spare[Arrow] = Spare()
        self._closed = False
        self.numbers: dict[tuple[str, str], int] = {}
        """Numbers that never change once given: `objects` asks for them before every frame."""
        backend.on_switch(self._close_spare)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read from one consistent state of the database."""
        with self._transaction(write=False, durable=False) as transaction:
            yield transaction

    @contextmanager
    def writing(self, *, durable: bool = False, fenced: bool = True) -> Iterator[Transaction]:
        """Write in one transaction: all of it stands, or nothing. `durable` outlives a power cut too. Only what the
        fence itself asks is not `fenced`."""
        fence = self.fence if fenced else None
        if fence is not None:
            fence.check()
        with self._transaction(write=True, durable=durable) as transaction:
            yield transaction
            if fence is not None:
                fence.check_in(transaction)

    @contextmanager
    def arrow(self) -> Iterator[Arrow]:
        """Read and write frames in one transaction. Never inside `reading` or `writing`."""
        self._demand_open()
        fence = self.fence
        if fence is not None:
            fence.check()
        with self.sentences(), self.backend.for_arrow():
            arrow = self._take_arrow()
            try:
                yield arrow
                if fence is not None and arrow.wrote:
                    fence.check_in(arrow)
                arrow.commit()
                arrow.drop_staged()
            except BaseException:
                arrow.close()
                raise
            if self._closed or not self._arrows.give(arrow):
                arrow.close()

    @contextmanager
    def behind(self, fence: Fence) -> Iterator[None]:
        """Have `fence` asked in every transaction that writes, for the length of a `with` block."""
        self.fence = fence
        try:
            yield
        finally:
            self.fence = None

    @contextmanager
    def sentences(self) -> Iterator[None]:
        """Turn what the database cannot help into Unreachable; faults of this program pass as they are."""
        try:
            yield
        except Exception as error:
            reason = self.backend.reason(error)
            if reason is None:
                raise
            raise Unreachable(f"the state database {self.backend.place} does not answer: {reason}") from error

    def close(self) -> None:
        """Close every connection that is not in use; what is in use is closed after it. Using it later, which would
        open the file behind the gate's back, is a bug and raises RuntimeError. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            self.backend.forget_switch(self._close_spare)
        self._close_spare()

    @contextmanager
    def _transaction(self, *, write: bool, durable: bool) -> Iterator[Transaction]:
        self._demand_open()
        with self.sentences(), self.backend.for_rows():
            connection = self._take()
            cursor = connection.cursor()
            try:
                self.backend.begin(cursor, write=write, durable=durable)
                yield Transaction(cursor, self.backend.mark)
                connection.commit()
            except BaseException:
                # The cursor first: while an error remembers it, SQLite keeps the file of a closed connection open.
                cursor.close()
                connection.close()
                raise
            if self._closed or not self._connections.give(connection):
                connection.close()

    def _demand_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the state database {self.backend.place} was closed here before")

    def _take(self) -> Connection:
        while (spare := self._connections.take()) is not None:
            connection, idle = spare
            alive = False
            try:
                alive = self.backend.alive(connection, idle)
            finally:
                if not alive:
                    connection.close()
            if alive:
                return connection
            self._close_spare()  # what ended this one, as a server's restart does, has ended the others
        return self.backend.connect()

    def _take_arrow(self) -> Arrow:
        while (spare := self._arrows.take()) is not None:
            arrow, idle = spare
            if idle < IDLE_TRUSTED or arrow.alive():
                return arrow
            arrow.close()
        return Arrow(self.backend)

    def _close_spare(self) -> None:
        while (spare := self._connections.take()) is not None:
            spare[0].close()
        while (arrow := self._arrows.take()) is not None:
            arrow[0].close()


def backend_of(url: str) -> Backend:
    """Give the backend a database URL names. Raises Mistake for any other."""
    scheme, found, rest = url.partition("://")
    if found and scheme == "sqlite":
        path = rest.removeprefix("/")
        if not path or path.startswith(":"):
            raise Mistake("database: SQLite needs a file, for example sqlite:///var/engage.db")
        return SQLite(Path(path))
    if found and scheme in {"postgresql+psycopg", "postgresql", "postgres"}:
        # Measured at start-up: a project on SQLite does not pay 0.2 s for psycopg.
        from engage_sync.state.postgresql import PostgreSQL  # noqa: PLC0415

        return PostgreSQL(f"postgresql://{rest}")
    raise Mistake(
        f"database: {scheme if found else 'a text without ://'} names no database that state can live in;"
        " use sqlite:///var/engage.db or postgresql+psycopg://user@host/name"
    )
