"""One child's time at work: what it was given, and what becomes of its jobs when it has ended, whatever its end was.
Pure but for the child it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from engage_sync.errors import EXIT_BUG, EXIT_DONE, Held, Mistake, Unreachable
from engage_sync.state.jobs import Job
from engage_sync.sync.agenda import Batch
from engage_sync.sync.children import Child, Ended
from engage_sync.sync.rows import iso_text
from engage_sync.sync.worked import JobDone

UNFINISHED = frozenset({"locked", "stopped"})
"""How a job ends that stays due: somebody else's run was in its way, or it was cut off."""


@dataclass(slots=True)
class Working:
    """A child at work: what it does, since when by the monotonic clock and by the other, what was due before, and the
    files that it works by."""

    child: Child
    batch: Batch
    since: float
    started: datetime
    dues: Mapping[str, datetime]
    files: Path
    salt: str | None
    """The schedule that waits for how it ended, by its salt; None where none does any more."""
    over: str | None = None
    """Why it was asked to end."""
    result: Ended | None = None

    def told(self, ended: Ended, now: datetime) -> dict[str, JobDone]:
        """Give how each job of the batch went, those too of which the child said nothing."""
        worked = ended.worked
        said = {} if worked is None else {one["job"]: one for one in worked["jobs"]}
        why = ended.why or "; ".join([] if worked is None else worked["problems"])
        code = EXIT_BUG if worked is None else Mistake.exit_code
        if self.over is not None:
            why, code = self.over, Unreachable.exit_code
            said = {job: one for job, one in said.items() if one["status"] != "stopped"}
        return {job: said.get(job) or self._undone(job, now, why, code) for job in self.batch.jobs}

    def after(self, job: Job, done: JobDone, now: datetime) -> Job:
        """Give a job of the schedule as it stands after it was done, or not."""
        status, code, message = done["status"], done["exit"], done["message"]
        if code == Held.exit_code and job.name.startswith("pull:") and done["pulled"]:
            status, code, message = "ok", EXIT_DONE, None  # what holds a push came after the pull
        ended = replace(job, ended_at=now, run=done["run"], status=status, exit=code, message=message)
        if status in UNFINISHED:
            return replace(ended, due=self.dues[job.name])
        return replace(ended, succeeded_at=self.started) if status in {"ok", "partial"} else ended

    def _undone(self, job: str, now: datetime, why: str, code: int) -> JobDone:
        return {
            "job": job,
            "run": None,
            "status": "failed",
            "exit": code,
            "message": why,
            "pulled": False,
            "errors": {},
            "held": [],
            "started_at": iso_text(self.started),
            "ended_at": iso_text(now),
            "counts": {},
        }


@dataclass(frozen=True, slots=True)
class Unborn:
    """A child that could not be started."""

    why: str

    def ended(self) -> Ended:
        """Say why."""
        return Ended(None, self.why)

    def stop(self) -> None:
        """Do nothing."""
