"""What the state keeps for the faces of a project, as they show it: the newest snapshot, the daemon's jobs and alerts,
and who schedules. Decides nothing, changes nothing, and imports no heavy library: the daemon itself shows it, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Protocol

from engage_sync.core.alerting import Alert
from engage_sync.core.overview import AlertView, JobView, LeaseView, Snapshot
from engage_sync.state.jobs import Job
from engage_sync.state.leases import Lease

SNAPSHOT = "snapshot"
"""The note that every child of the daemon leaves."""


class Notes(Protocol):
    """The small facts of a project, as `State` keeps them."""

    def note(self, key: str) -> str | None:
        """Give one."""

    def set_note(self, key: str, value: str | None) -> None:
        """Keep one."""


def stored(notes: Notes) -> Snapshot | None:
    """Give the newest snapshot that was kept; None where none was."""
    text = notes.note(SNAPSHOT)
    return None if text is None else json.loads(text)


def shown_jobs(jobs: Iterable[Job]) -> list[JobView]:
    """Give jobs as they are shown."""
    return [
        JobView(one.name, one.due, one.started_at, one.ended_at, one.succeeded_at, one.status, one.exit) for one in jobs
    ]


def shown_alerts(alerts: Iterable[Alert]) -> list[AlertView]:
    """Give the alerts that are active as they are shown."""
    return [AlertView(one.name, one.since, one.sentence) for one in alerts if one.active]


def shown_lease(held: Lease | None) -> LeaseView | None:
    """Give who schedules as it is shown."""
    return None if held is None else {"holder": held.holder, "host": held.host, "pid": held.pid, "since": held.since}
