"""What `status` says: each connector's last success and what waits. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.state.jobs import Job
from engage_sync.state.leases import Lease
from engage_sync.state.links import CONTESTED
from engage_sync.state.runs import Run
from engage_sync.sync.drift_answers import Counts, drift_counts
from engage_sync.sync.failures import declared_failures
from engage_sync.sync.pull import last_record_at
from engage_sync.sync.reconcile import note_of
from engage_sync.sync.rows import iso_text
from engage_sync.sync.suspension import QuotaAnswer, quota, suspension
from engage_sync.sync.views import DELIVERED, Json, RunAnswer, run_json
from engage_sync.sync.waiting_runs import WaitingRun, waiting_runs
from engage_sync.sync.wiring import Workspace

RUNS_LOOKED_AT = 200
PUSHING = ("sync", "push", "approve", "retry", "rollback")
DELIVERIES_SHOWN = 50
DELIVERY_ENDS = ("delivered", "pending", "failed", "skipped")


class SuspendedAnswer(TypedDict):
    """Until when nothing is asked of a CRM, and why; `told` says both as a person reads it."""

    until: str
    why: str
    told: str


class AlertAnswer(TypedDict):
    """Something that fails since an instant, as the daemon found it. The first line of `sentence` says what, those
    below what to do."""

    name: str
    since: str
    sentence: str


class ConnectorAnswer(TypedDict):
    """One connector as `status` shows it. `linked` counts the linked records of each object; `last_record_at` says when
    the last pull of each began that brought something new; `reconciled` has at, run, lost and whole of the newest
    comparison with the CRM; `drift` counts the fields of others that the last push kept and overwrote."""

    last_pull: str | None
    last_push: str | None
    records: dict[str, dict[str, int]]
    linked: dict[str, int]
    failures: int
    drift: Counts
    last_record_at: dict[str, str | None]
    reconciled: dict[str, Json] | None
    suspended: SuspendedAnswer | None
    quota: QuotaAnswer | None


class HolderAnswer(TypedDict):
    """Who holds a lease: `daemon`, who schedules, or `writer`, whose run goes on."""

    name: str
    holder: str
    host: str
    pid: int
    since: str


class JobAnswer(TypedDict):
    """A job of the daemon: when it is due next, when it began and last went well, and how it ended last. `connector` is
    None for what needs none."""

    name: str
    connector: str | None
    due: str
    started_at: str | None
    succeeded_at: str | None
    status: str | None
    exit: int | None
    message: str | None


class StatusAnswer(TypedDict):
    """The answer of `status`. `held` is the newest run that waits for `approve` or for its cause to go, `waiting` are
    all of them: connectors may wait for different runs."""

    newest_run: RunAnswer | None
    held: WaitingRun | None
    waiting: list[WaitingRun]
    signals: dict[str, int]
    deliveries: list[dict[str, Json]]
    recorded: dict[str, Json] | None
    alerts: list[AlertAnswer]
    leases: list[HolderAnswer]
    jobs: list[JobAnswer]
    connectors: dict[str, ConnectorAnswer]


def status_json(workspace: Workspace, now: datetime) -> StatusAnswer:
    """Give each connector's last successful pull and push, and the newest run."""
    latest = [(run, run_json(run)) for run in workspace.state.runs(RUNS_LOOKED_AT)]
    newest = workspace.state.newest_recorded()
    files = workspace.project.connectors
    waiting, failing = waiting_runs(workspace), declared_failures(workspace)
    return {
        "newest_run": latest[0][1] if latest else None,
        "held": waiting[0] if waiting else None,
        "waiting": waiting,
        "signals": dict.fromkeys(DELIVERY_ENDS, 0) | workspace.state.delivery_counts(),
        "deliveries": workspace.state.open_deliveries(DELIVERIES_SHOWN).select(DELIVERED).to_dicts(),
        "recorded": None if newest is None else {"run": newest.id, "as_of": iso_text(newest.as_of)},
        "alerts": [
            {"name": one.name, "since": iso_text(one.since), "sentence": one.sentence}
            for one in workspace.state.alerts()
            if one.active
        ],
        "leases": [_holder(one) for one in workspace.state.leases()],
        "jobs": [_job(one) for one in workspace.state.jobs()],
        "connectors": {file.name: _connector_status(workspace, file, latest, failing, now) for file in files},
    }


def _holder(one: Lease) -> HolderAnswer:
    return {"name": one.name, "holder": one.holder, "host": one.host, "pid": one.pid, "since": one.since}


def _job(one: Job) -> JobAnswer:
    return {
        "name": one.name,
        "connector": one.name.partition(":")[2] or None,
        "due": iso_text(one.due),
        "started_at": None if one.started_at is None else iso_text(one.started_at),
        "succeeded_at": None if one.succeeded_at is None else iso_text(one.succeeded_at),
        "status": one.status,
        "exit": one.exit,
        "message": one.message,
    }


def _connector_status(
    workspace: Workspace,
    file: ConnectorFile,
    latest: list[tuple[Run, RunAnswer]],
    failing: pl.DataFrame,
    now: datetime,
) -> ConnectorAnswer:
    mine = [(run, told) for run, told in latest if file.name in told["connectors"]]
    reached = [told for _, told in mine if file.name not in told["errors"]]
    pulled = next((told for told in reached if told["command"] in {"sync", "plan", "pull"}), None)
    push, pushed = next(((run, told) for run, told in mine if _is_push(told, file.name)), (None, None))
    return {
        "last_pull": None if pulled is None else pulled["started_at"],
        "last_push": None if pushed is None else pushed["started_at"],
        "records": {} if pushed is None else pushed["connectors"][file.name],
        "linked": {item.object: _linked(workspace, file.name, item.object) for item in file.objects},
        "failures": failing.filter(pl.col("connector") == file.name).height,
        "drift": drift_counts(push, file.name),
        "last_record_at": {item.object: last_record_at(workspace, file.name, item.object) for item in file.objects},
        "reconciled": note_of(workspace, file.name),
        "suspended": _suspended(workspace, file.name, now),
        "quota": quota(workspace.state, file.name),
    }


def _is_push(run: RunAnswer, connector: str) -> bool:
    """Tell whether a run pushed to a connector to its end, or as far as the day's quota went."""
    went = run["status"] == "partial" or connector not in run["errors"]
    return run["command"] in PUSHING and went and run["status"] != "held" and not run["only_shown"]


def _suspended(workspace: Workspace, connector: str, now: datetime) -> SuspendedAnswer | None:
    found = suspension(workspace.state, connector, now)
    if found is None:
        return None
    return {"until": iso_text(found.until), "why": found.why, "told": f"suspended until {found.told(now)}: {found.why}"}


def _linked(workspace: Workspace, connector: str, object_: str) -> int:
    return workspace.state.links(connector, object_).filter(pl.col("level") != CONTESTED).height
