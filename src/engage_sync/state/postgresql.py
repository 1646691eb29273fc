"""State in a PostgreSQL database: psycopg for small statements, ADBC for Arrow, advisory locks for runs.

The run lock belongs to a connection of its own, so the server frees it when that connection ends, however that ends.
"""

from __future__ import annotations

import os
import re
import select
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import adbc_driver_manager
import adbc_driver_postgresql
import psycopg

from engage_sync.errors import Locked, Mistake
from engage_sync.state.backend import IDLE_TRUSTED, Backend, Connection, Cursor

if TYPE_CHECKING:
    from adbc_driver_manager import AdbcDatabase

_RUN, _SCHEMA = 7_104_021, 7_104_022
"""The first half of the advisory locks' keys; the second half is the database schema the tables live in."""
_LOST = re.compile(
    r"connect|terminat|server closed|no space|could not (extend|write)|shutting down|starting up|recovery|timeout"
    r"|too many clients|read-only|deadlock|permission denied|does not exist|password authentication",
    re.IGNORECASE,
)


_OF_RUN = (
    "l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname ="
    " current_database()) AND l.classid = %s AND l.objid::bigint = (hashtext(current_schema())::bigint & 4294967295)"
)
"""The run lock among the locks of the server; its parameter is `_RUN`."""


_ATTENDED: Mapping[str, object] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Seconds, their number, and milliseconds after which a connection is given up whose server's machine is gone, as after
a failover: by itself the kernel waits for a quarter of an hour, and without end where nothing is on its way."""


class PostgreSQL(Backend):
    """The database of a `postgresql+psycopg://` URL."""

    dialect = "postgresql"
    mark = "%s"
    now = "extract(epoch FROM clock_timestamp())::float8"
    one_writes = False
    taking = " FOR UPDATE"
    standing = " FOR KEY SHARE"
    hurried = "set_config('idle_in_transaction_session_timeout', '5000', true)"
    as_document = "::jsonb"

    def __init__(self, uri: str) -> None:
        try:
            known = psycopg.conninfo.conninfo_to_dict(uri)
        except psycopg.ProgrammingError:
            # The driver's words quote the URL, password and all.
            raise Mistake("`database` is no PostgreSQL URL; special characters in it must be percent-encoded") from None
        self.uri = _attended(uri, known)
        self._lock: psycopg.Connection[tuple[object, ...]] | None = None
        self._owner = ""
        self._guard = threading.Lock()
        self.place = f"PostgreSQL database {known.get('dbname') or 'postgres'} at {known.get('host') or 'localhost'}"

    def connect(self) -> Connection:
        """Open a connection."""
        self._keep_lock()
        return cast("Connection", self._connect("engage-sync"))

    def _connect(self, name: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.uri, application_name=name[:63], connect_timeout=10, client_encoding="utf8")

    def alive(self, connection: Connection, idle: float) -> bool:
        """Ask the server when the connection was long unused: it may have hung up meanwhile."""
        actual = cast("psycopg.Connection[tuple[object, ...]]", connection)
        if actual.closed:
            return False
        if idle < IDLE_TRUSTED and not _heard(actual):
            return True
        try:
            actual.execute("SELECT 1")
            actual.rollback()
        except psycopg.Error:
            return False
        return True

    def begin(self, cursor: Cursor, *, write: bool, durable: bool) -> None:
        """Leave it to psycopg, which begins with the first statement; every commit waits for the disk."""

    def arrow(self) -> AdbcDatabase:
        """Open the database through the Arrow driver."""
        self._keep_lock()
        return adbc_driver_postgresql.connect(self.uri)

    def arrow_settings(self) -> Sequence[str]:
        """Give nothing."""
        return ()

    def merged(self, old: str, new: str) -> str:
        """Lay one object over another, keeping nulls."""
        return f"{old} || {new}"

    def void(self, document: str) -> str:
        """Hold for an object of nulls too: `merged` keeps them."""
        return f"jsonb_strip_nulls({document}) = '{{}}'::jsonb"

    def field(self, document: str, name: str) -> str:
        """Read one member."""
        return f"{document} ->> '{name.replace(chr(39), chr(39) * 2)}'"

    def each(self, document: str) -> str:
        """Take a text or a document apart."""
        return f"LATERAL json_each_text({document}::json) e"

    def text_of(self, document: str) -> str:
        """Read by the name."""
        return f"{document}::json ->> e.key"

    def each_record(self, parameter: str) -> str:
        """Take a text apart."""
        return f"jsonb_each(CAST({parameter} AS jsonb))"

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        """Hold the advisory lock on a connection whose name says who holds it."""
        taken, before = self._take_lock(owner), (self._lock, self._owner)
        self._lock, self._owner = taken, owner
        try:
            yield
        finally:
            _unlock(self._lock)
            self._lock, self._owner = before

    def _take_lock(self, owner: str) -> psycopg.Connection[tuple[object, ...]]:
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        connection = self._connect(f"{owner[:24]} (process {os.getpid()}) since {since}")
        try:
            connection.autocommit = True
            if not _try_lock(connection) and not (_end_overdue(connection) and _try_lock(connection)):
                raise Locked(_held_by(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep_lock(self) -> None:
        """Before a connection is opened: a server that was restarted has let go of the run lock, so take it again.
        Raises Locked where another run was faster."""
        with self._guard:
            if self._lock is not None and not self.alive(cast("Connection", self._lock), IDLE_TRUSTED):
                self._lock.close()
                self._lock = self._take_lock(self._owner)

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """Hold another advisory lock, waiting for it."""
        with self._connect("engage-sync setting up") as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", (_SCHEMA,))
            yield

    def reason(self, error: Exception) -> str | None:
        """Say why the server did not serve. Mistakes in SQL and broken constraints are none of these."""
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return _first_line(error)
        if isinstance(error, psycopg.Error | adbc_driver_manager.Error) and _LOST.search(str(error)):
            return _first_line(error)
        return None


def _heard(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Tell whether the server said something to an idle connection: as a rule that it hangs up."""
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return bool(look.poll(0))


def _try_lock(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    taken = connection.execute("SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))", (_RUN,)).fetchone()
    return taken is not None and bool(taken[0])


def _end_overdue(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """End the connection of a holder whose lease is over: it froze, or its machine is gone and the server does not know
    yet. A holder that began after the lease's end is another, which is about to take it. Tells whether one was ended.
    """
    if connection.execute("SELECT to_regclass('engage_lease')").fetchone() == (None,):
        return False  # a schema from before the leases
    ended = connection.execute(
        "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " JOIN engage_lease e ON e.name = 'writer' AND e.expires_at < extract(epoch FROM clock_timestamp())"
        " AND extract(epoch FROM a.backend_start) < e.expires_at"
        f" WHERE {_OF_RUN}",
        (_RUN,),
    ).fetchall()
    return bool(ended)


def _unlock(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Let go of the run lock and its connection. By the closing alone the server would free it only when it notices,
    and the next run, a moment later, would find it taken."""
    with suppress(psycopg.Error), connection:  # a server that is gone has let go
        connection.execute("SELECT pg_advisory_unlock_all()")
    connection.close()


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n", maxsplit=1)[0]
    return f"{text}; check that the server runs and has room, then run the command again"


def _held_by(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """Name the connection that holds the run lock."""
    holder = connection.execute(
        f"SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE {_OF_RUN}",
        (_RUN,),
    ).fetchone()
    return f"another run holds the lock: {holder[0]}" if holder else "another run holds the lock"


def _attended(uri: str, known: Mapping[str, object]) -> str:
    """Give the URL with the options that it leaves out of those that notice a server which is gone."""
    more = {name: str(value) for name, value in _ATTENDED.items() if name not in known}
    told = uri + ("&" if "?" in uri else "?") + "&".join(f"{name}={value}" for name, value in more.items())
    return told if more and psycopg.conninfo.conninfo_to_dict(told) == {**known, **more} else uri
