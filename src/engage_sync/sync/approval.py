"""`approve RUN`: continue a run that brakes held, after a pull, because a person says so; and write again what a
rollback of it took back. Decides what a person has approved so far. Draws nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.core.holds import Hold, HoldKind
from engage_sync.core.plan import EXECUTED
from engage_sync.errors import Mistake
from engage_sync.state.runs import Run
from engage_sync.sync.cycle import Way, go
from engage_sync.sync.documents import read_fields
from engage_sync.sync.holding import IDLE, kept_inactive
from engage_sync.sync.planning import Portion, Scope
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.reports import Clock, Report, known_run
from engage_sync.sync.waiting_runs import (
    holds_of,
    look_ahead,
    planned,
    read_from_clock,
    scope_of,
    waits_for_clock,
    why_not,
)
from engage_sync.sync.wiring import Workspace

COMMAND = "approve"


def approve(workspace: Workspace, run_id: int, *, clock: Clock, progress: Progress = SILENT) -> Report:
    """Continue a held run for the connectors that still wait, its holds waived; it may be held again for another
    reason. Where nothing of it waits, write what a rollback of it took back, and nothing else. One that was held
    because a run is recorded for later goes on as of now, and that run is forgotten.

    Raises Mistake for an unknown run, for one of which nothing waits and nothing was taken back (it was not held, is
    approved already, or newer runs have overtaken it), and while something is recorded for later that a clock which was
    ahead has put there: what is wanted then is not what is wanted now.
    """
    run, known = known_run(workspace, run_id), planned(workspace)
    if waits_for_clock(workspace, run, now := clock()):
        report = _from_now_on(workspace, run, now, clock, progress)
        if not look_ahead(workspace, report.as_of):
            _note_approval(workspace, run_id, report.run)
        return report
    if read_from_clock(run) and look_ahead(workspace, now):
        raise Mistake(
            f"a clock that was ahead has recorded a run for an instant still to come, so run {run_id} cannot go on: run"
            " `engage-sync sync`, approve that run, which is held by the clock, and what still waits then"
        )
    held = known.waiting(run)
    if held:
        report = go(workspace, held, _at(workspace, run.as_of), _on(workspace, run), clock=clock, progress=progress)
        if not report.holds and held.isdisjoint(report.errors):
            _note_approval(workspace, run_id, report.run)
        return report
    undone = _undone(workspace, run_id)
    if not undone:
        raise Mistake(why_not(known, run) or f"nothing of run {run_id} waits")
    way = Way(COMMAND, pulling=True, approved=run_id, portion=Portion(Scope.RELEASED, run_id))
    return go(workspace, undone, _at(workspace, clock()), way, clock=clock, progress=progress)


def _on(workspace: Workspace, run: Run) -> Way:
    """Give the way on for a held run: what it was about, and no more."""
    scope, releases = scope_of(run), run.summary.get("releases")
    return Way(
        COMMAND,
        pulling=True,
        approved=run.id,
        approvals=_approvals(workspace, run),
        portion=Portion(scope, run.id if releases is None else releases),
    )


def _from_now_on(workspace: Workspace, run: Run, now: datetime, clock: Clock, progress: Progress) -> Report:
    """Go on with what a run was about, as of now, and forget what was recorded for later. All brakes hold as ever."""
    names = frozenset(run.summary.get("connectors", ())) & {file.name for file in workspace.project.connectors}
    way = Way(COMMAND, pulling=True, clocked=True, approved=run.id, forgetting=True)
    return go(workspace, names or None, now, way, clock=clock, progress=progress)


def _approvals(workspace: Workspace, run: Run) -> tuple[Hold, ...]:
    """Give what is approved with a run: its holds, and those of the runs that it continued, of each kind about each
    object the newest."""
    found: dict[tuple[HoldKind, str | None, str | None], Hold] = {}
    one: Run | None = run
    while one is not None:
        for hold in holds_of(one):
            key = (hold.kind, hold.connector, hold.object)
            if key not in found:
                found[key] = _with_all(workspace, one, hold)
        before = one.summary.get("approved")
        if before is None or (scope_of(one) is Scope.RELEASED and before == one.summary.get("releases")):
            break  # a release approves no holds
        one = workspace.state.run(before)
    return tuple(found.values())


def _with_all(workspace: Workspace, run: Run, hold: Hold) -> Hold:
    """Give a hold of a run with all the ids that it is about, where not all of them were kept with the run."""
    if hold.count <= len(hold.records):
        return hold
    state = workspace.state
    if hold.kind in {HoldKind.CHANGE_SHARE, HoldKind.CLEAR_SHARE}:
        ids = _of_plan(state.plan(run.id), hold)
    elif hold.kind is HoldKind.PULL_SHRANK:
        gone = state.gone(hold.connector or "", hold.object or "")
        ids = gone.filter(pl.col("since_run") <= run.id)["record"]
    elif hold.kind is HoldKind.INACTIVE_SHARE:
        planned_with = kept_inactive(workspace, hold.connector, run.id)
        if planned_with is not None:
            return replace(hold, records=tuple(planned_with))
        users = read_fields(state.verdicts(Entity.USER.value, run=run.id), {"primary_user_type": pl.String()})
        ids = users.filter(pl.col("primary_user_type").is_in(IDLE))["external_id"]
    else:
        return hold
    return replace(hold, records=tuple(ids.to_list()))


def _of_plan(changes: pl.DataFrame | None, hold: Hold) -> pl.Series:
    """Give the records that the plan kept with a held run would have changed, or cleared."""
    if changes is None:
        return pl.Series(dtype=pl.String)
    here = (pl.col("connector") == hold.connector) & (pl.col("object") == hold.object)
    executed = changes.filter(here & pl.col("decision").is_in(EXECUTED))
    if hold.kind is HoldKind.CLEAR_SHARE:
        executed = executed.filter((pl.col("decision") == "clear") | pl.col("after").is_null())
    return executed["record"].unique()


def _undone(workspace: Workspace, run_id: int) -> frozenset[str]:
    """Give the connectors in which a rollback of a run keeps values back."""
    return frozenset(
        file.name
        for file in workspace.project.connectors
        for item in file.objects
        if run_id in workspace.state.undone(file.name, item.object)["undone"]
    )


def _at(workspace: Workspace, at: datetime) -> datetime:
    """Give an instant, or that of the newest recorded run where it is later: nothing goes back behind that."""
    newest = workspace.state.newest_recorded()
    return at if newest is None else max(at, newest.as_of)


def _note_approval(workspace: Workspace, run_id: int, by: int) -> None:
    """Note with a held run which run went on with it."""
    workspace.state.add_to_summary(run_id, {"approved_by": by})
