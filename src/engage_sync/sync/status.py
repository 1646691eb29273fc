"""What `status` says: each connector's last success and what waits. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.overview import ConnectorView
from engage_sync.state.jobs import Job
from engage_sync.state.leases import Lease
from engage_sync.state.links import CONTESTED
from engage_sync.state.runs import Run
from engage_sync.state.store import State
from engage_sync.sync.drift_answers import Counts, drift_counts
from engage_sync.sync.failures import declared_failures
from engage_sync.sync.pull import last_record_at
from engage_sync.sync.reconcile import note_of
from engage_sync.sync.rows import iso_text
from engage_sync.sync.shown import stored
from engage_sync.sync.suspension import QuotaAnswer, quota, suspension
from engage_sync.sync.views import DELIVERED, Json, RunAnswer, run_json
from engage_sync.sync.waiting_runs import WaitingRun, waiting_runs
from engage_sync.sync.wiring import Workspace

RUNS_LOOKED_AT = 200
"""Newest runs, and newest of those that push: many pulls may lie between two pushes."""
PLANNING = ("sync", "push", "approve", "retry")
"""The commands that look at the clock before they push."""
PUSHING = (*PLANNING, "rollback")
DELIVERIES_SHOWN = 50
DELIVERY_ENDS = ("delivered", "pending", "failed", "skipped", "expired")


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
    comparison with the CRM; `drift` counts the fields of others that the last push kept and overwrote; `holds` are the
    kinds of the brakes that it waits for."""

    last_pull: str | None
    last_push: str | None
    records: dict[str, dict[str, int]]
    linked: dict[str, int]
    failures: int
    holds: list[str]
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
    past = Past.of(workspace.state)
    newest = workspace.state.newest_recorded()
    files = workspace.project.connectors
    waiting, failing = waiting_runs(workspace, now), declared_failures(workspace)
    return {
        "newest_run": past.runs[0][1] if past.runs else None,
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
        "jobs": [job_answer(one) for one in workspace.state.jobs()],
        "connectors": {file.name: _connector_status(workspace, file, past, waiting, failing, now) for file in files},
    }


@dataclass(frozen=True, slots=True)
class Past:
    """The newest runs, the newest of those that push, each with how it is told, and what the newest snapshot knows of
    connectors whose last runs lie before all of these."""

    runs: list[tuple[Run, RunAnswer]]
    pushes: list[tuple[Run, RunAnswer]]
    known: Mapping[str, ConnectorView]

    @classmethod
    def of(cls, state: State) -> Past:
        """Read it."""
        every, pushes = state.runs(RUNS_LOOKED_AT), state.runs(RUNS_LOOKED_AT, *PUSHING)
        kept = stored(state)
        known = {} if kept is None else kept["connectors"]
        return cls([(run, run_json(run)) for run in every], [(run, run_json(run)) for run in pushes], known)


def _holder(one: Lease) -> HolderAnswer:
    return {"name": one.name, "holder": one.holder, "host": one.host, "pid": one.pid, "since": one.since}


def job_answer(one: Job) -> JobAnswer:
    """Give a job of the daemon as it is shown."""
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
    past: Past,
    waiting: Sequence[WaitingRun],
    failing: pl.DataFrame,
    now: datetime,
) -> ConnectorAnswer:
    push = _last_push(past, file.name)
    return {
        "last_pull": _last_pull(past, file.name),
        "last_push": push["last_push"],
        "records": push["records"],
        "linked": {item.object: _linked(workspace, file.name, item.object) for item in file.objects},
        "failures": failing.filter(pl.col("connector") == file.name).height,
        "holds": _holds(past, waiting, file.name),
        "drift": push["drift"],
        "last_record_at": {item.object: last_record_at(workspace, file.name, item.object) for item in file.objects},
        "reconciled": note_of(workspace, file.name),
        "suspended": _suspended(workspace, file.name, now),
        "quota": quota(workspace.state, file.name),
    }


class _LastPush(TypedDict):
    """When a push last reached a connector, and what it did there."""

    last_push: str | None
    records: dict[str, dict[str, int]]
    drift: Counts


def _last_pull(past: Past, connector: str) -> str | None:
    reached = (told for _, told in past.runs if connector in told["connectors"] and connector not in told["errors"])
    pulled = next((told for told in reached if told["command"] in {"sync", "plan", "pull"}), None)
    known = past.known.get(connector)
    return pulled["started_at"] if pulled is not None else None if known is None else known["last_pull"]


def _last_push(past: Past, connector: str) -> _LastPush:
    for run, told in past.pushes:
        if connector in told["connectors"] and _is_push(told, connector):
            drift = drift_counts(run, connector)
            return {"last_push": told["started_at"], "records": told["connectors"][connector], "drift": drift}
    known = past.known.get(connector)
    if known is None:
        return {"last_push": None, "records": {}, "drift": {"kept": 0, "overwritten": 0}}
    drift = {"kept": known["drift"]["kept"], "overwritten": known["drift"]["overwritten"]}
    return {"last_push": known["last_push"], "records": known["records"], "drift": drift}


def _holds(past: Past, waiting: Sequence[WaitingRun], connector: str) -> list[str]:
    """Give the kinds of the brakes that hold a connector: those of a run that waits, and those that held the newest run
    about it as a whole, until one goes through; what does not push says nothing of that."""
    mine = [hold for run in waiting for hold in run["holds"] if hold["connector"] == connector]
    about = (told for _, told in past.pushes if told["command"] in PLANNING and connector in told["connectors"])
    newest = next(about, None)
    whole = [] if newest is None else [hold for hold in newest["holds"] if hold["connector"] is None]
    return sorted({str(hold["kind"]) for hold in [*mine, *whole]})


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
