"""What differs between the two databases, as one small interface: connect, begin, JSON, locks, error sentences.

`sqlite.py` and `postgresql.py` implement it. Holds no query of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcDatabase

Value = str | int | bool | bytes | None
Row = tuple[Value, ...]
IDLE_TRUSTED = 1.0
"""Seconds without use after which a connection is asked whether it still lives."""


class Cursor(Protocol):
    """The part of a DB-API cursor that is used here."""

    @property
    def rowcount(self) -> int:
        """Give the number of rows the last statement changed."""

    def execute(self, sql: str, parameters: Sequence[Value] = ..., /) -> object:
        """Run one statement."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]], /) -> object:
        """Run one statement for each row."""

    def fetchall(self) -> list[Row]:
        """Give the rows of the last statement."""

    def close(self) -> None:
        """Let go of the last statement."""


class Connection(Protocol):
    """The part of a DB-API connection that is used here."""

    def cursor(self) -> Cursor:
        """Open a cursor."""

    def commit(self) -> None:
        """End the transaction, keeping it."""

    def rollback(self) -> None:
        """End the transaction, dropping it."""

    def close(self) -> None:
        """Close the connection."""


class Backend(ABC):
    """One database that state can live in."""

    dialect: str
    place: str
    """Names the database in sentences, without any secret."""
    mark: str
    """How a parameter is written in SQL."""
    as_document: str
    """Suffix that makes text a document."""
    now: str
    """The SQL of the database's clock, in seconds since 1970."""
    one_writes: bool
    """Whether one transaction at a time writes, whatever it writes to."""
    taking: str
    """Suffix of a query: its row is nobody else's to the end of the transaction. Waits for who has it."""
    standing: str
    """Suffix of a query: nobody takes its row before the end of the transaction; its plain columns may be changed."""
    hurried: str
    """The SQL of a value that ends a transaction in which nothing is asked for some seconds."""

    @abstractmethod
    def connect(self) -> Connection:
        """Open a connection for small statements."""

    @abstractmethod
    def alive(self, connection: Connection, idle: float) -> bool:
        """Tell whether a connection that was unused for `idle` seconds can still be used."""

    @abstractmethod
    def begin(self, cursor: Cursor, *, write: bool, durable: bool) -> None:
        """Begin a transaction; one that writes takes its lock at once, so that it cannot lose a race half way."""

    @abstractmethod
    def arrow(self) -> AdbcDatabase:
        """Open the database for Arrow traffic."""

    @abstractmethod
    def arrow_settings(self) -> Sequence[str]:
        """Give the statements that a new Arrow connection starts with."""

    @abstractmethod
    def merged(self, old: str, new: str) -> str:
        """Give the SQL of `old` with the fields of `new` laid over it. A null field may be kept or dropped."""

    @abstractmethod
    def void(self, document: str) -> str:
        """Give the SQL of a condition: no field of a document has a value."""

    @abstractmethod
    def field(self, document: str, name: str) -> str:
        """Give the SQL of one field of a document as text, null where it is unset or missing."""

    @abstractmethod
    def each(self, document: str) -> str:
        """Give what to join as `e` for a row per field of a document: `e.key`, `e.value`."""

    @abstractmethod
    def text_of(self, document: str) -> str:
        """Give the SQL of what another document holds in the field of the row `e` of `each`, as text or null."""

    @abstractmethod
    def each_record(self, parameter: str) -> str:
        """Give what to select from for a row per member of a text that is passed: `key`, and `value`, a document."""

    @abstractmethod
    def lock(self, owner: str) -> AbstractContextManager[None]:
        """Hold the run lock. Raises Locked, naming who has it."""

    def exists(self) -> bool:
        """Tell whether there is something to connect to; a server's database is asked by connecting."""
        return True

    @abstractmethod
    def setting_up(self) -> AbstractContextManager[None]:
        """Let one process at a time create or migrate the schema; the others wait."""

    @abstractmethod
    def reason(self, error: Exception) -> str | None:
        """Say why the database did not serve, for a person; None when the error is a fault of this program."""

    def keep_copy(self, revision: str) -> None:  # noqa: B027 - a server's database is backed up by its own means
        """Keep a copy of the database as it is before it is migrated to a revision."""

    def for_rows(self) -> AbstractContextManager[None]:
        """Guard the use of row connections."""
        return nullcontext()

    def for_arrow(self) -> AbstractContextManager[None]:
        """Guard the use of Arrow connections."""
        return nullcontext()

    def on_switch(self, close_idle: Callable[[], None]) -> None:  # noqa: B027 - one database needs it
        """Have `close_idle` called between rows and Arrow, where their connections may not be open at the same time."""

    def forget_switch(self, close_idle: Callable[[], None]) -> None:  # noqa: B027 - one database needs it
        """Undo `on_switch`."""
