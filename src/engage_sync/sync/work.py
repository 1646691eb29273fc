"""What a child of the daemon does: the jobs that it is given, one after the other, by the functions that the commands
call; and what it tells its parent. It schedules nothing, and an error of one job leaves the others to work.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import structlog

from engage_sync.config.project import Project
from engage_sync.core.holds import Hold
from engage_sync.core.overview import Snapshot
from engage_sync.errors import EXIT_BUG, EXIT_DONE, EngageError, Held, Locked, Mistake, Stopped, Suspended
from engage_sync.events.upkeep import compact
from engage_sync.sync import cycle
from engage_sync.sync.alert_settings import alert_settings, filled
from engage_sync.sync.pull import last_record_at
from engage_sync.sync.reports import Clock, Report
from engage_sync.sync.rows import iso_text
from engage_sync.sync.snapshot import take
from engage_sync.sync.wiring import Workspace, event_store
from engage_sync.sync.worked import JobDone, Settings, Worked

__all__ = ["Project", "Worked", "settings_of", "work"]

Opening = Callable[[Project], AbstractContextManager[Workspace]]
NOT_DONE = {Locked.exit_code: "locked", Stopped.exit_code: "stopped"}
"""How a job went that ended with such a code, whoever kept the error to itself: it is not done."""
BEHIND = (
    "the clock lies before the newest recorded run: nothing was computed; the next push is held and says what to do"
)


def work(
    jobs: Sequence[str], *, load: Callable[[], Project], opening: Opening, clock: Clock, files: Path | None = None
) -> Worked:
    """Do the jobs of a project and tell how it stands; without jobs only look. `files` is the folder whose
    configuration `load` reads. Raises nothing that a project, a CRM or a database can cause."""
    try:
        project = load()
        settings = settings_of(project, files)
    except Mistake as mistake:
        return _document([], None, [str(one) for one in mistake.problems])
    done: list[JobDone] = []
    snapshot: Snapshot | None = None
    mirror: str | None = None
    problems: list[str] = []
    try:
        with opening(project) as workspace, workspace.halt.at_signal():
            done.extend(_do(workspace, job, clock) for job in jobs)  # once asked to end, the rest is told as stopped
            mirror, snapshot = _mirror(workspace), take(workspace, clock())
    except EngageError as error:
        problems.append(str(error))
        now = clock()
        done += [_failed(job, now, now, error) for job in jobs[len(done) :]]
    return {**_document(done, settings, problems), "snapshot": snapshot, "mirror": mirror}


def _document(jobs: list[JobDone], settings: Settings | None, problems: list[str]) -> Worked:
    return {"jobs": jobs, "settings": settings, "snapshot": None, "mirror": None, "problems": problems}


def _mirror(workspace: Workspace) -> str:
    """Tell one mirror from another: when the pulls began that brought the newest records."""
    newest = {
        f"{file.name} {item.object}": last_record_at(workspace, file.name, item.object)
        for file in workspace.project.connectors
        for item in file.objects
    }
    return hashlib.sha256(json.dumps(newest, sort_keys=True).encode()).hexdigest()[:16]


def settings_of(project: Project, files: Path | None = None) -> Settings:
    """Give what the daemon must know of a project. Raises Mistake for a secret of `config/engage.yaml` that is not
    there."""
    background = project.background
    daemon = background.daemon
    settings: Settings = {
        "digest": "",
        "timezone": project.timezone,
        "connectors": {one.name: {"pull": one.schedule.pull, "push": one.schedule.push} for one in project.connectors},
        "daemon": {
            "lease": daemon.lease.total_seconds(),
            "jitter": daemon.jitter.total_seconds(),
            "compute": daemon.compute.total_seconds(),
            "reconcile": daemon.reconcile,
            "compact": daemon.compact,
            "keep": None if daemon.keep is None else daemon.keep.total_seconds(),
            "time_limit": daemon.time_limit.total_seconds(),
        },
        "alerts": alert_settings(project),
        "server": {"host": project.server_host, "port": project.server_port},
        "logs": {"format": background.logs, "level": background.level},
        "telemetry": filled(project, background.telemetry, "telemetry", "endpoint"),
        "database": project.database_url(),
        "events": project.events_location,
    }
    folder = files or project.root
    texts = [file.read_bytes() for part in ("config", "connectors") for file in sorted((folder / part).rglob("*.yaml"))]
    every = b"\0".join([json.dumps(settings, sort_keys=True).encode(), *texts])
    return {**settings, "digest": hashlib.sha256(every).hexdigest()[:16]}


def _do(workspace: Workspace, job: str, clock: Clock) -> JobDone:
    """Do one job; whatever ends it is told, and a bug is logged as such."""
    started = clock()
    try:
        workspace.halt.check()
        return _done(workspace, job, started, clock)
    except EngageError as error:
        return _failed(job, started, clock(), error)
    except Exception as error:  # noqa: BLE001  a bug in one job leaves the others to work, and is told
        # Its words may quote a secret: where it was tells enough.
        kind, where = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
        structlog.get_logger(__name__).error("a job ended by a bug", job=job, kind=kind, where=where)
        text = f"this is a bug ({kind}); the log of the daemon says where"
        return _told(job, started, clock(), "failed", EXIT_BUG, message=text)


def _done(workspace: Workspace, job: str, started: datetime, clock: Clock) -> JobDone:
    kind, _, name = job.partition(":")
    only = name or None
    if kind in {"pull", "reconcile"}:
        report = cycle.pull(workspace, only, clock=clock, reconciling=kind == "reconcile")
    elif kind in {"push", "sync"}:
        report = cycle.sync(workspace, only, started, clock=clock, pulling=kind == "sync", clocked=True)
    elif kind == "compute":
        run, _ = cycle.recompute(workspace, started, clock=clock)
        if run is None:
            return _told(job, started, clock(), "held", Held.exit_code, message=BEHIND)
        return _told(job, started, clock(), "ok", EXIT_DONE, run=run)
    elif kind == "compact":
        project = workspace.project
        store = event_store(project)
        if store.exists():  # nobody was told to import before the first night
            compact(store, keep=project.background.daemon.keep, now=started)
        return _told(job, started, clock(), "ok", EXIT_DONE)
    else:
        raise Mistake(f"there is no job {job!r}")
    return _reported(job, started, clock(), report)


def _reported(job: str, started: datetime, ended: datetime, report: Report) -> JobDone:
    counts: dict[str, int] = {}
    for objects in report.connectors.values():
        for buckets in objects.values():
            for bucket, count in buckets.items():
                counts[bucket] = counts.get(bucket, 0) + count
    told = [*(f"{name}: {text}" for name, text in report.errors.items()), *_sentences(report.holds)]
    ended_as = NOT_DONE.get(report.exit, report.status)
    status = "suspended" if report.suspended and ended_as == "failed" else ended_as
    return {
        **_told(job, started, ended, status, report.exit, run=report.run, message="; ".join(told) or None),
        "pulled": report.pulled,
        "errors": dict(report.errors),
        "held": _sentences(report.holds),
        "counts": counts,
    }


def _sentences(holds: Sequence[Hold]) -> list[str]:
    return list(dict.fromkeys(hold.sentence for hold in holds))


def _failed(job: str, started: datetime, ended: datetime, error: EngageError) -> JobDone:
    status = "suspended" if isinstance(error, Suspended) else NOT_DONE.get(error.exit_code, "failed")
    told = _told(job, started, ended, status, error.exit_code, message=str(error))
    name = job.partition(":")[2]
    return {**told, "errors": {name: str(error)} if name else {}}


def _told(
    job: str,
    started: datetime,
    ended: datetime,
    status: str,
    code: int,
    *,
    run: int | None = None,
    message: str | None = None,
) -> JobDone:
    return {
        "job": job,
        "run": run,
        "status": status,
        "exit": code,
        "message": message,
        "pulled": False,
        "errors": {},
        "held": [],
        "started_at": iso_text(started),
        "ended_at": iso_text(ended),
        "counts": {},
    }
