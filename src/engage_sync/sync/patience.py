"""When a job is tried again that failed for a reason that passes, as a CRM that does not answer: soon, then after
pauses that grow, and never later than by its schedule. Pure but for what it remembers; starts nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from engage_sync.errors import Unreachable
from engage_sync.state.jobs import Job
from engage_sync.sync.stint import UNFINISHED

FIRST = timedelta(minutes=1)
"""The pause after the first failure; each further one doubles it, up to the schedule's own."""
OFF_THE_CLOCK = timedelta(minutes=16)
"""The longest pause of a job with a cron line, which names its hours: half an hour of trying may leave them."""


class Patience:
    """Counts how often each job has failed in a row. A daemon that begins begins to count anew."""

    def __init__(self) -> None:
        self._pauses: dict[str, tuple[datetime | None, timedelta | None]] = {}
        """By job, when it started that failed last, and the pause after that; None: it was left to its schedule."""

    def after(self, job: Job, now: datetime) -> Job:
        """Give a job that has just ended with the instant that it is due at. One that a quota ended waits for that; one
        that was not done, or was ended for the time it took, is due as it was."""
        if job.status in UNFINISHED:
            return job
        if job.exit != Unreachable.exit_code or job.status != "failed":
            self._pauses.pop(job.name, None)
            return job
        started, pause = self._pauses.get(job.name, (None, None))
        if started is None or started != job.started_at:  # else it is asked again about one failure
            pause = FIRST if pause is None else min(2 * pause, timedelta(days=1))
            if " " in job.schedule and pause > OFF_THE_CLOCK:
                pause = None
            self._pauses[job.name] = job.started_at, pause
        return job if pause is None else replace(job, due=min(job.due, now + pause))
