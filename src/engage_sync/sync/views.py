"""What the faces print: verdict rows, runs and status, as frames and plain JSON documents. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.core.types import TYPES
from engage_sync.errors import Mistake
from engage_sync.state.runs import Run
from engage_sync.sync.acceptance import Accepted
from engage_sync.sync.addresses import record_urls
from engage_sync.sync.compute import compute, documents
from engage_sync.sync.computed import Computed
from engage_sync.sync.cycle import Report
from engage_sync.sync.doctor import Examination
from engage_sync.sync.documents import decode, with_ages
from engage_sync.sync.drift_answers import drift_of, with_authors
from engage_sync.sync.failures import waiting_json
from engage_sync.sync.moves import switching
from engage_sync.sync.provisioning import Provisioning
from engage_sync.sync.readback import verified_json
from engage_sync.sync.reports import known_run
from engage_sync.sync.rows import BOOKKEEPING, iso_text, json_value, rows
from engage_sync.sync.steps import StepTaken
from engage_sync.sync.wiring import Workspace

DELIVERED = (
    *("signal", "phase", "entity", "external_id", "episode", "action", "connector"),
    *("status", "attempts", "message", "result", "last_at", "key"),
)
"""What is shown of a delivery; its payload is the receiver's."""
UNREADABLE_SHOWN = 100
"""Property values that could not be read which are named; all are counted."""
Json = object
"""A value that `json.dumps` takes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The verdicts of one entity at one instant: `frame` as decoded, with ages. `run` None: not recorded."""

    entity: Entity
    run: int | None
    as_of: datetime
    frame: pl.DataFrame
    counts: Mapping[str, int]


def show(workspace: Workspace, entity: Entity, as_of: datetime | None, *, everyone: bool = True) -> Shown:
    """Give the newest recorded verdicts, or those at `as_of`: recorded then, else computed now and not recorded.

    Without `everyone` deactivated users are left out. Rows come in order of external id.
    """
    state, model = workspace.state, workspace.project.model
    run = state.newest_recorded() if as_of is None else state.recorded_at(as_of)
    if run is not None:
        frame = decode(state.verdicts(entity, run=run.id), model, entity)
        shown = Shown(entity, run.id, run.as_of, frame, counts_of(run))
    elif as_of is None:
        raise Mistake("nothing has been computed yet: run `engage-sync compute` or `engage-sync sync`")
    else:
        computed = compute(workspace, as_of)
        shown = Shown(entity, None, as_of, documents(workspace, computed, entity), computed.counts)
    own = [name for name in shown.frame.columns if name in BOOKKEEPING or name.startswith("raw.")]
    frame = with_ages(shown.frame.drop(own), shown.as_of).sort("external_id")
    if entity is Entity.USER and not everyone:
        frame = frame.filter(~pl.col("deactivated").fill_null(value=False))
    return Shown(entity, shown.run, shown.as_of, frame, shown.counts)


def json_rows(workspace: Workspace, shown: Shown) -> pl.Series:
    """Give one JSON text per shown row."""
    project = workspace.project
    return rows(shown.frame, project.model, shown.entity, timezone=project.timezone, urls=record_urls(workspace))


def counts_of(run: Run) -> dict[str, int]:
    """Give the tallies kept with a run."""
    return {str(name): int(value) for name, value in run.summary.get("counts", {}).items()}


def report_json(report: Report) -> Json:
    """Give the answer of `sync`, `push` and `pull`."""
    return {
        "run": report.run,
        "as_of": iso_text(report.as_of),
        "status": report.status,
        "exit": report.exit,
        "connectors": report.connectors,
        "no_record": report.no_record,
        "calls": {"read": report.reads, "write": report.writes},
        "held": list(report.held),
        "errors": report.errors,
        "holds": [hold.json() for hold in report.holds],
        "approved": report.approved,
        "signals": report.signals,
        "verified": verified_json(report.verified),
        "reconciled": report.reconciled,
        "waiting": waiting_json(report.waiting),
    }


def plan_json(report: Report) -> Json:
    """Give the answer of `plan`."""
    names = ("connector", "object", "record", "entity", "field", "before", "after", "decision", "reason", "external_id")
    changes = with_authors(report.changes.select(names), report.drift) if report.changes.height else []
    return {
        "run": report.run,
        "as_of": iso_text(report.as_of),
        "held": list(report.held),
        "holds": [hold.json() for hold in report.holds],
        "calls": {"read": report.reads, "write": report.writes},
        "changes": changes,
        "connectors": report.connectors,
        "no_record": report.no_record,
        "errors": report.errors,
        "waiting": waiting_json(report.waiting),
        "switching": report.switching,
        "price": {name: one.json() for name, one in report.price.items()},
        "verdicts": [
            {
                "entity": one.entity.value,
                "kind": one.kind,
                "name": one.name,
                "changed": one.changed,
                "of": one.of,
                "commonest": list(one.commonest),
            }
            for one in report.moves
        ],
    }


def check_json(found: Examination, accepted: Accepted | None = None) -> Json:
    """Give the answer of `check`. `advice` is there only where there is any, `accepted` with --accept-account."""
    problems = [
        {
            "file": gap.file,
            "line": gap.line,
            "object": gap.object,
            "field": gap.field,
            "problem": gap.problem,
            "todo": gap.todo,
        }
        for gap in found.gaps
    ]
    advice = [sentence for sentences in found.advice.values() for sentence in sentences]
    more = {"advice": advice, "accepted": None if accepted is None else accepted.json()}
    return {"ok": not problems, "problems": problems, **{name: value for name, value in more.items() if value}}


def mistake_json(mistake: Mistake) -> Json:
    """Give the answer of `check` when the files themselves are wrong."""
    problems = [
        {
            "file": found.file,
            "line": found.line,
            "object": None,
            "field": None,
            "problem": found.what,
            "todo": "correct it",
        }
        for found in mistake.problems
    ]
    return {"ok": False, "problems": problems}


def provision_json(made: Provisioning, *, applied: bool) -> Json:
    """Give the answer of `provision`."""
    return {
        "applied": applied,
        "fields": [
            {
                "connector": one.connector,
                "object": one.object,
                "field": one.field,
                "type": one.type,
                "result": one.result,
                "message": one.message,
            }
            for one in made.fields
        ],
        "advice": [sentence for sentences in made.advice.values() for sentence in sentences],
        "errors": dict(made.sentences),
    }


class RunAnswer(TypedDict):
    """One run as `runs` and `status` show it. `approved` is the held run that it went on with, `approved_by` the run
    that went on with it, `undone` the run that it rolled back; `only_shown`: that was not confirmed. `steps` are in the
    order in which they ended."""

    run: int
    command: str
    as_of: str
    started_at: str
    finished_at: str | None
    status: str
    exit: int | None
    held: list[str]
    holds: list[dict[str, Any]]
    approved: int | None
    approved_by: int | None
    undone: int | None
    only_shown: bool
    connectors: dict[str, dict[str, dict[str, int]]]
    calls: dict[str, int]
    errors: dict[str, str]
    no_record: int
    reconciled: dict[str, dict[str, Json]] | None
    steps: list[StepTaken]


class JournalAnswer(RunAnswer):
    """One run with every value it wrote, or tried to, the changes that a brake held, what somebody else had set, and
    what its signals asked for."""

    journal: list[dict[str, Json]]
    held_changes: list[dict[str, Json]]
    drift: list[dict[str, Json]]
    deliveries: list[dict[str, Json]]


class ComputedAnswer(TypedDict):
    """The answer of `compute`. `run` is None for a look back."""

    run: int | None
    as_of: str
    users: int
    accounts: int
    user_types: dict[str, int]
    counts: dict[str, int]
    unreadable: list[dict[str, Json]]
    signals: dict[str, dict[str, int]]


def run_json(run: Run) -> RunAnswer:
    """Give one run as `runs` and `status` show it."""
    summary = run.summary
    errors = summary.get("errors", {})
    return {
        "run": run.id,
        "command": run.command,
        "as_of": iso_text(run.as_of),
        "started_at": iso_text(run.started_at),
        "finished_at": None if run.finished_at is None else iso_text(run.finished_at),
        "status": "unfinished" if run.finished_at is None else run.status,
        "exit": run.exit,
        "held": list(run.held),
        "holds": summary.get("holds", []),
        "approved": summary.get("approved"),
        "approved_by": summary.get("approved_by"),
        "undone": summary.get("undone"),
        "only_shown": summary.get("only_shown", False),
        "connectors": summary.get("connectors", {}),
        "calls": summary.get("calls", {"read": 0, "write": 0}),
        "errors": errors | {"run": summary["error"]} if "error" in summary else errors,
        "no_record": summary.get("no_record", 0),
        "reconciled": summary.get("reconciled"),
        "steps": summary.get("steps", []),
    }


def runs_json(workspace: Workspace, limit: int) -> list[RunAnswer]:
    """Give the newest runs, newest first."""
    return [run_json(run) for run in workspace.state.runs(limit)]


def run_with_journal(workspace: Workspace, run_id: int) -> JournalAnswer:
    """Give one run with what it wrote, record by record. An unknown id is a Mistake."""
    run = known_run(workspace, run_id)
    journal = workspace.state.journal(run=run_id)
    lines = [{key: json_value(value) for key, value in line.items()} for line in journal.iter_rows(named=True)]
    held = workspace.state.plan(run_id)
    deliveries = workspace.state.deliveries(run=run_id).select(DELIVERED)
    return {
        **run_json(run),
        "journal": lines,
        "held_changes": [] if held is None else held.to_dicts(),
        "drift": drift_of(workspace, run_id),
        "deliveries": deliveries.to_dicts(),
    }


def computed_json(run: int | None, computed: Computed) -> ComputedAnswer:
    """Give the answer of `compute`: how many users are of each type, and the tallies of the run."""
    users = computed.verdicts.users
    types = users.select(pl.col("user_types").explode()).to_series()
    return {
        "run": run,
        "as_of": iso_text(computed.as_of),
        "users": users.height,
        "accounts": computed.verdicts.accounts.height,
        "user_types": {name: int((types == name).sum()) for name in TYPES},
        "counts": dict(computed.counts),
        "unreadable": computed.population.unreadable.head(UNREADABLE_SHOWN).to_dicts(),
        "signals": switching(computed),
    }
