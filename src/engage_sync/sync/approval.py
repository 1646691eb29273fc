"""`approve RUN`: continue a run that brakes held, at its own instant and on the mirror as it is, because a person says
so; and let what a rollback of it took back be written again. Tells which run waits. Draws nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from engage_sync.core.holds import Hold, HoldKind
from engage_sync.errors import Mistake
from engage_sync.state.runs import Run
from engage_sync.sync.cycle import Way, go
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.reports import Clock, Report
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

COMMAND = "approve"
RUNS_LOOKED_AT = 50
AGAIN = "run `engage-sync sync`, and approve that if it is held"


def approve(workspace: Workspace, run_id: int, *, clock: Clock, progress: Progress = SILENT) -> Report:
    """Continue a held run for the connectors that were held, its holds waived; it may be held again for another reason.

    Raises Mistake for an unknown run, and for one of which nothing waits: it was not held, is approved already, or a
    newer recorded run has overtaken it.
    """
    run = known_run(workspace, run_id)
    undone = _undone(workspace, run_id)
    why_not = _why_not(workspace, run)
    if why_not is not None and not undone:
        raise Mistake(why_not)
    holds = holds_of(run) if why_not is None else ()
    held = frozenset(hold.connector for hold in holds if hold.connector is not None)
    at = run.as_of if why_not is None else _now(workspace, clock())
    way = Way(COMMAND, approved=run_id, approvals=holds)
    report = go(workspace, held | undone, at, way, clock=clock, progress=progress)
    if why_not is None and not report.holds and held.isdisjoint(report.errors):
        _note_approval(workspace, run_id, report.run)
    return report


def known_run(workspace: Workspace, run_id: int) -> Run:
    """Give a run. An unknown id is a Mistake."""
    run = workspace.state.run(run_id)
    if run is None:
        newest = workspace.state.runs(1)
        known = f"the newest is run {newest[0].id}" if newest else "there are no runs yet"
        raise Mistake(f"there is no run {run_id}; {known}")
    return run


def summary_of(run: Run) -> Mapping[str, Any]:
    """Give what was kept with a run."""
    found: dict[str, Any] = json.loads(run.summary or "{}")
    return found


def holds_of(run: Run) -> tuple[Hold, ...]:
    """Give what held a run."""
    return tuple(Hold.from_json(hold) for hold in summary_of(run).get("holds", ()))


class WaitingRun(TypedDict):
    """A held run that waits, as `status` shows it."""

    run: int
    command: str
    as_of: str
    held: list[str]
    holds: list[dict[str, object]]


def waiting_run(workspace: Workspace) -> WaitingRun | None:
    """Give the held run that waits for a person or for its cause to go."""
    for run in _candidates(workspace):
        if _why_not(workspace, run) is None:
            return {
                "run": run.id,
                "command": run.command,
                "as_of": iso_text(run.as_of),
                "held": list(run.held),
                "holds": [hold.json() for hold in holds_of(run)],
            }
    return None


def _candidates(workspace: Workspace) -> list[Run]:
    """Give the runs that may wait: the newest recorded one, the one that it continued in vain, and the newest plan."""
    newest = workspace.state.newest_recorded()
    found = [] if newest is None else [newest]
    if newest is not None and (before := summary_of(newest).get("approved")) is not None:
        found.append(known_run(workspace, before))
    latest = workspace.state.runs(RUNS_LOOKED_AT)
    return found + [run for run in latest if run.command == "plan" and run.finished_at is not None][:1]


def _why_not(workspace: Workspace, run: Run) -> str | None:
    """Say why a run cannot be continued; None where it can."""
    holds = holds_of(run)
    if not holds:
        ended = "is not finished" if run.finished_at is None else f"ended {run.status}"
        older = f": it was held by an older version; {AGAIN}" if run.held else ""
        return (
            f"run {run.id} was not held (it {ended}), so nothing of it waits" if not older else f"run {run.id}{older}"
        )
    if (by := summary_of(run).get("approved_by")) is not None:
        return f"run {run.id} was approved already: run {by} went on with it, and nothing of it waits"
    if all(hold.connector is None for hold in holds):
        kinds = {hold.kind for hold in holds}
        cause = "the clock" if kinds == {HoldKind.CLOCK_WRONG} else "what held it"
        return f"run {run.id} was held before anything was planned: mend {cause}, then run `engage-sync sync`"
    return _overtaken(workspace, run)


def _overtaken(workspace: Workspace, run: Run) -> str | None:
    newest = workspace.state.newest_recorded()
    if newest is None or newest.id <= run.id:
        return None
    if summary_of(newest).get("approved") == run.id and not newest.held:
        return None  # it was approved, and the CRM was not reached: it may be tried again
    what = f"run {run.id} was overtaken by run {newest.id} ({newest.command}, as of {iso_text(newest.as_of)})"
    if newest.held and holds_of(newest):
        return f"{what}, which is held too: `engage-sync approve {newest.id}`"
    return f"{what}: {AGAIN}"


def _undone(workspace: Workspace, run_id: int) -> frozenset[str]:
    """Give the connectors in which a rollback of a run keeps values back."""
    return frozenset(
        file.name
        for file in workspace.project.connectors
        for item in file.objects
        if run_id in workspace.state.undone(file.name, item.object)["undone"]
    )


def _now(workspace: Workspace, now: datetime) -> datetime:
    """Give the time now, or the instant of the newest recorded run where that lies ahead."""
    newest = workspace.state.newest_recorded()
    return now if newest is None else max(now, newest.as_of)


def _note_approval(workspace: Workspace, run_id: int, by: int) -> None:
    """Note with a held run which run went on with it."""
    summary = {**summary_of(known_run(workspace, run_id)), "approved_by": by}
    workspace.state.keep_summary(run_id, json.dumps(summary))
