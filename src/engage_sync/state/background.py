"""The part of the state that the daemon works by: its schedule. The class `State` is built on it; nothing else is."""

from __future__ import annotations

from collections.abc import Iterable

from engage_sync.state import jobs as job_rows
from engage_sync.state.database import Database
from engage_sync.state.jobs import Job


class Schedule:
    """The methods of `State` about the daemon's jobs."""

    _database: Database

    def jobs(self) -> list[Job]:
        """Give the daemon's jobs by name."""
        return job_rows.jobs(self._database)

    def keep_jobs(self, kept: Iterable[Job], *, dropped: Iterable[str] = (), token: int) -> None:
        """Keep jobs and drop others, as who holds the lease `daemon` with this token. Raises Locked when that is
        another's by now."""
        job_rows.keep_jobs(self._database, kept, dropped, token)
