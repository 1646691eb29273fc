"""What the daemon has to do: the jobs that a configuration asks for, and which of them to begin with now. Pure: reads
no clock and starts nothing.

A job is durable: `due` stays until it is started, so that a daemon that was away finds it late, and does it once
however many instants have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from engage_sync.errors import EXIT_INTERRUPTED
from engage_sync.state.jobs import Job
from engage_sync.sync.timetable import following, start_of
from engage_sync.sync.worked import Settings

EXITS = (70, 2, 7, 6, 5, 4, 3, 1)
"""Of several jobs, the first of these that any of them met is what a process ends with."""
COMPUTE, COMPACT = "compute", "compact"
AT_ONCE = frozenset({"pull", "push", COMPUTE})
"""The kinds of jobs that a new project, or a new connector, begins with."""
BACK = timedelta(minutes=1)
"""A clock that shows so much less than it has shown was put back; less than that is a correction."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one child does: its jobs in order, and for each the jobs of the schedule that it does with it."""

    works: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def jobs(self) -> tuple[str, ...]:
        """The jobs for the child."""
        return tuple(job for job, _ in self.works)

    @property
    def covered(self) -> frozenset[str]:
        """The jobs of the schedule that are done with it."""
        return frozenset(name for _, names in self.works for name in names)


def schedules(settings: Settings) -> dict[str, str]:
    """Give the schedule of each job that a project asks for."""
    daemon = settings["daemon"]
    found = {COMPUTE: f"{int(daemon['compute'])}s"}
    for name, schedule in settings["connectors"].items():
        found |= {f"pull:{name}": schedule["pull"], f"push:{name}": schedule["push"]}
        if daemon["reconcile"] is not None:
            found[f"reconcile:{name}"] = daemon["reconcile"]
    if daemon["compact"] is not None:
        found[COMPACT] = daemon["compact"]
    return found


def planned(settings: Settings, jobs: Iterable[Job], now: datetime) -> dict[str, Job]:
    """Give the jobs as the configuration asks for them: the ones there are, with their dues where the schedule is the
    same and the clock was not put back, and new ones."""
    known, zone = {job.name: job for job in jobs}, settings["timezone"]
    found = {}
    for name, schedule in schedules(settings).items():
        written = schedule if " " not in schedule.strip() else f"{schedule} {zone}"
        job = known.get(name)
        if job is None:
            due = now if name.partition(":")[0] in AT_ONCE else following(schedule, zone, now)
            found[name] = Job(name, written, due)
        elif job.due > now and (job.schedule != written or job.due > _latest(schedule, zone, now)):
            found[name] = replace(_at_most(job, now), schedule=written, due=following(schedule, zone, now))
        else:
            found[name] = replace(_at_most(job, now), schedule=written)
    return found


def _latest(schedule: str, zone: str, now: datetime) -> datetime:
    """Give the latest instant that a job may be due at: each due was the first after what a clock showed, so a later
    one is of a clock that was put back. It is asked with every tick and worked out once a minute."""
    return _following((now + 2 * BACK).replace(second=0, microsecond=0), schedule, zone)


@lru_cache(maxsize=256)
def _following(after: datetime, schedule: str, zone: str) -> datetime:
    return following(schedule, zone, after)


def _at_most(job: Job, now: datetime) -> Job:
    """Give a job as if what it did in a future, by a clock that was put back since, was done now: else it would count
    as newer than all that comes."""
    instants = [
        now if at is not None and at > now + BACK else at for at in (job.started_at, job.ended_at, job.succeeded_at)
    ]
    return replace(job, started_at=instants[0], ended_at=instants[1], succeeded_at=instants[2])


def resumed(jobs: Iterable[Job], now: datetime) -> list[Job]:
    """Give the jobs that were cut off with the daemon that had started them, due again."""
    return [
        replace(
            job,
            due=min(job.due, now),
            status="stopped",
            exit=EXIT_INTERRUPTED,
            ended_at=now,
            message="cut off with its daemon",
        )
        for job in jobs
        if job.started_at is not None and job.ended_at is None
    ]


def after(settings: Settings, job: Job, now: datetime) -> datetime:
    """Give the instant that a job is due at next when it starts now."""
    schedule = schedules(settings).get(job.name)
    return job.due if schedule is None else following(schedule, settings["timezone"], now)


def group_of(name: str) -> str:
    """Give what does not overlap and is done together: a connector's jobs, or the job itself."""
    kind, _, connector = name.partition(":")
    return connector or f"{kind}:"


def choose(
    settings: Settings, jobs: Mapping[str, Job], now: datetime, *, salt: str, barred: Iterable[str] = ()
) -> Batch | None:
    """Choose what to start now, None when nothing is due: of the connectors the one that waits longest, then what needs
    none. `barred` are groups that are not to be started yet; without a salt nothing is put off."""
    waiting = [job for job in jobs.values() if job.due <= now]
    if any(":" in job.name for job in waiting):
        waiting = [
            job for job in waiting if job.name != COMPUTE
        ]  # a push computes anyway, a pull brings more to do it on
    left_out = frozenset(barred)
    due = [job for job in waiting if group_of(job.name) not in left_out]
    starts = sorted(
        (":" not in job.name, start, job.name) for job in due for start in [_start(settings, job, salt)] if start <= now
    )
    if not starts:
        return None
    group = group_of(starts[0][2])
    return combined([job.name for job in due if group_of(job.name) == group], settings)


def _start(settings: Settings, job: Job, salt: str) -> datetime:
    if not salt:
        return job.due
    jitter = timedelta(seconds=settings["daemon"]["jitter"])
    return start_of(group_of(job.name), salt, job.due, after(settings, job, job.due), jitter)


def combined(names: Sequence[str], settings: Settings) -> Batch:
    """Make one batch of due jobs of one group. A reconciliation pulls, too; a push after a pull is a sync."""
    kinds = {name.partition(":")[0] for name in names}
    connector = names[0].partition(":")[2]
    if not connector:
        whole = names[0] == COMPUTE and not settings["connectors"]  # without a CRM only a sync delivers webhooks
        return Batch((("sync" if whole else names[0], (names[0],)),))
    pull, push, reconcile = (f"{kind}:{connector}" for kind in ("pull", "push", "reconcile"))
    works: list[tuple[str, tuple[str, ...]]] = []
    if "reconcile" in kinds:
        works.append((reconcile, tuple(name for name in (reconcile, pull) if name in names)))
    elif kinds == {"pull", "push"}:
        return Batch(((f"sync:{connector}", (pull, push)),))
    elif "pull" in kinds:
        works.append((pull, (pull,)))
    if "push" in kinds:
        works.append((push, (push,)))
    return Batch(tuple(works))
