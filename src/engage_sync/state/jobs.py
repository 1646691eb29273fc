"""The durable schedule of the daemon: each job, when it is due next and how it went last. Only who holds the lease
`daemon` changes it; one who has lost that changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from engage_sync.errors import Locked
from engage_sync.state import instants, leases
from engage_sync.state.backend import Row, Value
from engage_sync.state.database import Database

DAEMON = "daemon"
"""The lease of who schedules."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `due` is the scheduled instant that is next, or that it has not started for yet; a job that has started
    and not ended runs, or was cut off with its daemon. `succeeded_at` is when the last start was that went well."""

    name: str
    schedule: str
    due: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run: int | None = None
    status: str | None = None
    exit: int | None = None
    succeeded_at: datetime | None = None
    message: str | None = None


_COLUMNS = tuple(field.name for field in fields(Job))
_INSTANTS = frozenset({"due", "started_at", "ended_at", "succeeded_at"})


def jobs(database: Database) -> list[Job]:
    """Give all jobs by name."""
    with database.reading() as transaction:
        return [_job(row) for row in transaction.all(f"SELECT {', '.join(_COLUMNS)} FROM engage_job ORDER BY name")]


def keep_jobs(database: Database, kept: Iterable[Job], dropped: Iterable[str], token: int) -> None:
    """Keep jobs and drop others, as the holder of the lease `daemon` with this token. Raises Locked when that is
    another's by now."""
    replaced = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    with database.writing() as transaction:
        if not leases.holds(transaction, database.backend, DAEMON, token):
            raise Locked("another daemon has taken over")
        for job in kept:
            transaction.run(
                f"INSERT INTO engage_job ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"
                f" ON CONFLICT (name) DO UPDATE SET {replaced}",
                *_values(job),
            )
        for name in dropped:
            transaction.run("DELETE FROM engage_job WHERE name = ?", name)


def _values(job: Job) -> list[Value]:
    values = [getattr(job, name) for name in _COLUMNS]
    return [instants.to_text(value) if isinstance(value, datetime) else value for value in values]


def _job(row: Row) -> Job:
    values = dict(zip(_COLUMNS, row, strict=True))
    read = {
        name: instants.from_text(str(value)) if name in _INSTANTS and value is not None else value
        for name, value in values.items()
    }
    return Job(**read)  # type: ignore[arg-type]  # the table has the types of the fields
