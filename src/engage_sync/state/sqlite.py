"""State in one SQLite file: write-ahead log, so that readers work beside a writer, and a lock file for runs.

The lock is the operating system's (`flock`), so it ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, cast

import adbc_driver_manager
import adbc_driver_sqlite

from engage_sync.errors import Locked, Mistake, Unreachable
from engage_sync.state.backend import Backend, Connection, Cursor
from engage_sync.state.gate import Side, gate_of

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcDatabase

BUSY_SECONDS = 30
COPIES = 2
"""Copies from before migrations that are kept."""
_FULL = "the disk is full: make room; then a daemon goes on by itself, any other command is run again"
_WORDS = {
    "locked": "another program keeps it locked: run the command again when that has ended",
    "full": _FULL,
    "no space": _FULL,
    "unable to open": "it cannot be opened: check that its folder exists and may be written",
    "permission denied": "permission denied",
    "is a directory": "it is a folder",
    "not a directory": "its folder is a file",
    "file exists": "its folder is a file",
    "readonly": "it may only be read: check the permissions of the file and its folder",
    "disk i/o": "the disk reports an error: check that it is sound and has room, then run the command again",
    "malformed": "the file is damaged: restore a backup",
}


class SQLite(Backend):
    """The file of a `sqlite:///` URL."""

    dialect = "sqlite"
    mark = "?"
    now = "(julianday('now') - 2440587.5) * 86400.0"
    one_writes = True
    taking = standing = ""
    hurried = "NULL"
    as_document = ""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Wait `busy_seconds` for another process that writes."""
        self.path = Path(os.path.realpath(path))
        self.place = str(path)
        self.busy_seconds = busy_seconds
        self.gate = gate_of(str(self.path))
        self._file: tuple[int, int] | None = None
        """Which file was opened first, as the operating system knows it."""

    def connect(self) -> Connection:
        """Open the file, creating it; the first connection ever switches it to the write-ahead log."""
        self._same_file()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path, timeout=self.busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error:
            connection.close()
            raise
        if self._file is None:
            self._file = _identity(self.path)
        return cast("Connection", connection)

    def exists(self) -> bool:
        """Look for the file, which connecting would create."""
        return self.path.exists()

    def alive(self, connection: Connection, idle: float) -> bool:  # noqa: ARG002 - a file needs no question
        """Say yes: a file does not hang up. It may be taken away, though."""
        self._same_file()
        return True

    def _same_file(self) -> None:
        """Refuse to go on with a file that was deleted or replaced: what is written to the old one is lost, and a new
        one would be created empty. Raises Unreachable."""
        if self._file is not None and _identity(self.path) != self._file:
            raise Unreachable(
                f"the state database {self.place} was deleted or replaced while it was in use: put it back, or run the"
                " command again, which begins with what is there now"
            )

    def begin(self, cursor: Cursor, *, write: bool, durable: bool) -> None:
        """Begin; `durable` waits for the disk, so that the commit outlives a power cut too."""
        if write:
            cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        cursor.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def arrow(self) -> AdbcDatabase:
        """Open the file through the Arrow driver's own SQLite."""
        self._same_file()
        return adbc_driver_sqlite.connect(str(self.path))

    def arrow_settings(self) -> Sequence[str]:
        """Give the settings of `connect`."""
        return (
            f"PRAGMA busy_timeout = {round(self.busy_seconds * 1000)}",
            "PRAGMA synchronous = NORMAL",
            "PRAGMA foreign_keys = ON",
            "PRAGMA journal_size_limit = 67108864",
            "PRAGMA cache_size = -65536",
        )

    def merged(self, old: str, new: str) -> str:
        """Lay one object over another (RFC 7396: a null drops the field, which reads as null again)."""
        return f"json_patch({old}, {new})"

    def void(self, document: str) -> str:
        """Compare the text: `merged` leaves no null in it."""
        return f"CAST({document} AS TEXT) = '{{}}'"

    def field(self, document: str, name: str) -> str:
        """Read one member; the cast keeps a number that stands unquoted in the JSON from changing the column's type."""
        path = '$."' + json.dumps(name, ensure_ascii=False)[1:-1].replace("'", "''") + '"'
        return f"CAST({document} ->> '{path}' AS TEXT)"

    def each(self, document: str) -> str:
        """Take a text apart."""
        return f"json_each({document}) e"

    def text_of(self, document: str) -> str:
        """Read by the path that `json_each` gives; the cast as in `field`."""
        return f"CAST({document} ->> e.fullkey AS TEXT)"

    def each_record(self, parameter: str) -> str:
        """Take a text apart."""
        return f"json_each({parameter})"

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        """Hold `<file>.lock`; its text says who holds it."""
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Locked(_held_by(os.pread(descriptor, 4096, 0))) from error
            since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"owner": owner, "pid": os.getpid(), "since": since}).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """Lock the folder: nothing is left behind, and a lock on the file itself would upset SQLite's own."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def keep_copy(self, revision: str) -> None:
        """Copy the file to `FILE.before-REVISION`, which is there whole or not at all; the newest copies are kept."""
        kept = self.path.with_name(f"{self.path.name}.before-{revision}")
        draft = kept.with_name(f".{kept.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(draft)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            with draft.open("rb+") as written:
                os.fsync(written.fileno())
            draft.replace(kept)
        finally:
            draft.unlink(missing_ok=True)
        copies = sorted(self.path.parent.glob(f"{escape(self.path.name)}.before-*"), key=lambda one: one.name)
        for old in copies[:-COPIES]:
            old.unlink()

    def reason(self, error: Exception) -> str | None:
        """Say why the file did not serve. Mistakes in SQL and broken constraints are none of these."""
        if not isinstance(error, sqlite3.Error | adbc_driver_manager.Error | OSError):
            return None
        text = str(error).lower()
        if "not a database" in text:
            raise Mistake(f"{self.place} is not an SQLite database: check `database` in config/engage.yaml") from error
        known = next((sentence for words, sentence in _WORDS.items() if words in text), None)
        return known or (error.strerror if isinstance(error, OSError) else None)

    def for_rows(self) -> AbstractContextManager[None]:
        """Take the rows side of the gate."""
        return self.gate.held(Side.ROWS)

    def for_arrow(self) -> AbstractContextManager[None]:
        """Take the Arrow side of the gate."""
        return self.gate.held(Side.ARROW)

    def on_switch(self, close_idle: Callable[[], None]) -> None:
        """Register with the gate."""
        self.gate.on_switch(close_idle)

    def forget_switch(self, close_idle: Callable[[], None]) -> None:
        """Leave the gate."""
        self.gate.forget(close_idle)


def _identity(path: Path) -> tuple[int, int] | None:
    """Give device and inode of a file, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _held_by(text: bytes) -> str:
    """Make the sentence of the lock file's text, which is empty in the instant before its holder has written it."""
    try:
        holder = json.loads(text)
        return f"another run holds the lock: {holder['owner']} (process {holder['pid']}) since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another run holds the lock"
