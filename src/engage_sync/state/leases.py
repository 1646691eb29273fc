"""Leases: what one process at a time may do, for as long as it renews. Instants are the database's own, so that the
clocks of two machines need not agree; a lease whose process has died on this machine is free at once.

Each taking has a higher token than the one before: who was too slow to renew finds another's token there, and stops.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from engage_sync.errors import Locked
from engage_sync.state.database import Database, Transaction

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
    with database.writing() as transaction:
        now = _now(transaction, database)
        found = _find(transaction, name, now)
        over = found is None or found.free or (even_from_this_process and found.of_this_process)
        if found is None or over:
            return _taken(transaction, name, holder, now, seconds, token=1 if found is None else found.token + 1)
        if found.left > found.length + CORRECTION:
            _count_anew(transaction, found, now)
    raise Locked(f"{found.told} holds the lease, for {min(found.left, found.length):.0f} s at least")


def _taken(transaction: Transaction, name: str, holder: str, now: float, seconds: float, *, token: int) -> Lease:
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lease = Lease(name, token, holder, socket.gethostname(), _place(), os.getpid(), since, seconds, seconds)
    transaction.run(
        "INSERT INTO engage_lease (name, token, holder, host, place, pid, since, renewed_at, expires_at)"
        f" VALUES (?, ?, ?, ?, ?, ?, ?, {now!r}, {now + seconds!r}) ON CONFLICT (name) DO UPDATE SET"
        " token = excluded.token, holder = excluded.holder, host = excluded.host, place = excluded.place,"
        " pid = excluded.pid, since = excluded.since, renewed_at = excluded.renewed_at,"
        " expires_at = excluded.expires_at",
        *(name, token, holder, lease.host, lease.place, lease.pid, since),
    )
    return lease


def _count_anew(transaction: Transaction, lease: Lease, now: float) -> None:
    """Let a lease end its length from now: it was renewed by a clock that was put back since, and who held it may have
    died where that cannot be seen. Who lives renews it before."""
    transaction.run(
        f"UPDATE engage_lease SET renewed_at = {now!r}, expires_at = {now + lease.length!r}"
        " WHERE name = ? AND token = ?",
        *(lease.name, lease.token),
    )


def renew(database: Database, lease: Lease, seconds: float) -> bool:
    """Hold on to a lease for so long from now; False when another process has it, or it was given up."""
    with database.writing() as transaction:
        now = _now(transaction, database)
        return (
            transaction.run(
                f"UPDATE engage_lease SET renewed_at = {now!r}, expires_at = {now + seconds!r} WHERE name = ?"
                " AND token = ? AND expires_at > renewed_at",
                *(lease.name, lease.token),
            )
            == 1
        )


def holds(transaction: Transaction, lease: Lease) -> bool:
    """Tell whether nobody has taken a lease since."""
    row = transaction.first("SELECT token FROM engage_lease WHERE name = ?", lease.name)
    return row is not None and row[0] == lease.token


def release(database: Database, lease: Lease) -> None:
    """Give a lease up, if it is still ours. Its token stays, so that the next one is higher."""
    with database.writing() as transaction:
        transaction.run(
            "UPDATE engage_lease SET expires_at = renewed_at WHERE name = ? AND token = ?", lease.name, lease.token
        )


def leases(database: Database) -> list[Lease]:
    """Give the leases that somebody holds."""
    with database.reading() as transaction:
        now = _now(transaction, database)
        rows = transaction.all("SELECT name FROM engage_lease ORDER BY name")
        found = [_find(transaction, str(name), now) for (name,) in rows]
    return [one for one in found if one is not None and not one.free]


def _find(transaction: Transaction, name: str, now: float) -> Lease | None:
    columns = "name, token, holder, host, place, pid, since, expires_at, renewed_at"
    row = transaction.first(f"SELECT {columns} FROM engage_lease WHERE name = ?", name)
    if row is None:
        return None
    text = [str(value) for value in row]
    ends, renewed = float(text[7]), float(text[8])
    return Lease(text[0], int(text[1]), text[2], text[3], text[4], int(text[5]), text[6], ends - now, ends - renewed)


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
