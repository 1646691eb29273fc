"""Leases: what one process at a time may do, for as long as it renews. Instants are the database's own, so that the
clocks of two machines need not agree; a lease whose process has died on this machine is free at once.

Each taking has a higher token than the one before: who was too slow to renew finds another's token there, and stops.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from engage_sync.errors import Locked
from engage_sync.state.backend import Backend
from engage_sync.state.bulk import literal
from engage_sync.state.database import Asked, Database, Transaction

MOMENT = 0.3
"""Seconds in which who waits for SQLite's lock has it: it looks every tenth of a second."""
CORRECTION = 1.0
"""Seconds by which the database's clock may go back without counting as put back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as it stands. `left` is how many seconds it still holds, at most 0 when it has ended, `length` how many
    it was given for."""

    name: str
    token: int
    holder: str
    host: str
    place: str
    pid: int
    since: str
    left: float
    length: float

    @property
    def free(self) -> bool:
        """Whether anybody may take it: it has ended, or its process on this machine has."""
        return self.left <= 0 or (self.place == _place() and not _lives(self.pid))

    @property
    def ended_alive(self) -> bool:
        """Whether it ended by its time, not given up, while its process on this machine lives."""
        return self.left <= 0 < self.length and self.place == _place() and _lives(self.pid)

    @property
    def of_this_process(self) -> bool:
        """Whether this process took it."""
        return self.place == _place() and self.pid == os.getpid()

    @property
    def told(self) -> str:
        """Say who holds it."""
        return f"{self.holder} on {self.host} (process {self.pid}) since {self.since}"


def take(database: Database, name: str, holder: str, seconds: float, *, even_from_this_process: bool = False) -> Lease:
    """Take a lease for so long. Raises Locked while somebody else holds it; `even_from_this_process` tells that what
    this process holds is over."""

    def demand(found: Lease) -> None:
        if not (found.free or (even_from_this_process and found.of_this_process)):
            raise Locked(f"{found.told} holds the lease, for {min(found.left, found.length):.0f} s at least")

    with database.reading() as transaction:  # who only stands by waits for nobody that writes
        known = _read(transaction, database, name)
    for found in known:
        _count_anew(database, found)
        demand(found)
        if database.backend.one_writes and found.ended_alive and not even_from_this_process:
            _leave_a_moment(database)
    with database.writing(fenced=False) as transaction:
        transaction.run(
            "INSERT INTO engage_lease (name, token, holder, host, place, pid, since, renewed_at, expires_at)"
            " VALUES (?, 0, '', '', '', 0, '', 0, 0) ON CONFLICT (name) DO NOTHING",
            name,
        )
        transaction.all(f"SELECT token FROM engage_lease WHERE name = ?{database.backend.taking}", name)
        (found,) = _read(transaction, database, name)
        demand(found)
        now, since = _now(transaction, database), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lease = Lease(
            name, found.token + 1, holder, socket.gethostname(), _place(), os.getpid(), since, seconds, seconds
        )
        transaction.run(
            "UPDATE engage_lease SET token = ?, holder = ?, host = ?, place = ?, pid = ?, since = ?,"
            f" renewed_at = {now!r}, expires_at = {now + seconds!r} WHERE name = ?",
            *(lease.token, holder, lease.host, lease.place, lease.pid, since, name),
        )
    return lease


def _leave_a_moment(database: Database) -> None:
    """Let who had a lease renew it. Where one transaction writes at a time, one that took longer than the lease kept
    its holder from that, who waits for its end as we do: without this, chance would decide who comes first."""
    with database.writing(fenced=False):
        pass
    time.sleep(MOMENT)


def _count_anew(database: Database, lease: Lease) -> None:
    """Let a lease that was renewed by a clock that was put back since end its length from now: who held it may have
    died where that cannot be seen. Who lives renews it before."""
    if lease.left <= lease.length + CORRECTION:
        return
    with database.writing(fenced=False) as transaction:
        now = _now(transaction, database)
        transaction.run(
            f"UPDATE engage_lease SET renewed_at = {now!r}, expires_at = {now + lease.length!r}"
            " WHERE name = ? AND token = ?",
            *(lease.name, lease.token),
        )


def renew(database: Database, lease: Lease, seconds: float) -> bool:
    """Hold on to a lease for so long from now; False when another process has it, or it was given up."""
    with database.writing(fenced=False) as transaction:
        now = _now(transaction, database)
        return (
            transaction.run(
                f"UPDATE engage_lease SET renewed_at = {now!r}, expires_at = {now + seconds!r} WHERE name = ?"
                " AND token = ? AND expires_at > renewed_at",
                *(lease.name, lease.token),
            )
            == 1
        )


def holds(transaction: Asked, backend: Backend, name: str, token: int) -> bool:
    """Tell whether nobody has taken a lease since the taking with this token. Then nobody does before the transaction
    ends, which a database on a server sees to when the process goes silent; renewing goes on."""
    row = transaction.first(
        f"SELECT token, {backend.hurried} FROM engage_lease WHERE name = {literal(name)}{backend.standing}"
    )
    return row is not None and row[0] == token


def release(database: Database, lease: Lease) -> None:
    """Give a lease up, if it is still ours. Its token stays, so that the next one is higher."""
    with database.writing(fenced=False) as transaction:
        transaction.run(
            "UPDATE engage_lease SET renewed_at = 0, expires_at = 0 WHERE name = ? AND token = ?",
            *(lease.name, lease.token),
        )


def leases(database: Database) -> list[Lease]:
    """Give the leases that somebody holds."""
    with database.reading() as transaction:
        return [one for one in _read(transaction, database) if not one.free]


def _read(transaction: Transaction, database: Database, name: str | None = None) -> list[Lease]:
    """Give all leases by name, or one, as they stand by the database's clock."""
    columns = f"name, token, holder, host, place, pid, since, expires_at, renewed_at, {database.backend.now}"
    query = f"SELECT {columns} FROM engage_lease"
    rows = (
        transaction.all(f"{query} ORDER BY name") if name is None else transaction.all(f"{query} WHERE name = ?", name)
    )
    return [_lease(*(str(value) for value in row)) for row in rows]


def _lease(name: str, token: str, holder: str, host: str, place: str, pid: str, since: str, *instants: str) -> Lease:
    end, renewed, now = map(float, instants)
    return Lease(name, int(token), holder, host, place, int(pid), since, end - now, end - renewed)


def _now(transaction: Transaction, database: Database) -> float:
    """Give the database's clock, in seconds since 1970."""
    row = transaction.first(f"SELECT {database.backend.now}")
    return float(str(row[0])) if row is not None else 0.0


@cache
def _place() -> str:
    """Name what process ids are of: this start of this machine, and the container, where there are such."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _lives(pid: int) -> bool:
    """Tell whether a process still runs; one that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
