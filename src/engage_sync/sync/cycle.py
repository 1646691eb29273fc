"""One cycle: pull → match, measure, assess → plan → brakes → push → record. It reads like that sentence; each step is a
module beside this one. `plan` is the cycle stopped before the push. One `as_of` enters here and is passed down.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

import polars as pl

from engage_sync.core.plan import Bucket
from engage_sync.errors import Mistake
from engage_sync.sync.compute import compute, record
from engage_sync.sync.computed import Computed
from engage_sync.sync.deliver import deliver
from engage_sync.sync.doctor import remember_account
from engage_sync.sync.moves import moved, switching
from engage_sync.sync.planning import prepare, write_calls
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.pull import pull as pull_connector
from engage_sync.sync.push import Pushed, Target, count_buckets, push
from engage_sync.sync.reports import Clock, Report, Running, running
from engage_sync.sync.sessions import Session
from engage_sync.sync.wiring import Workspace, kind_of

__all__ = ["Report", "plan", "pull", "recompute", "sync"]


def pull(workspace: Workspace, only: str | None, *, clock: Clock, progress: Progress = SILENT) -> Report:
    """Mirror what changed in the CRMs, and nothing else. Without a connector there is nothing to do: a Mistake."""
    if not workspace.connector_files(only):
        raise Mistake("this project has no connectors/NAME.yaml, so there is no CRM to pull from")
    with (
        running(workspace, "pull", clock(), clock) as current,
        current.opened(only) as sessions,
    ):
        _pull(workspace, sessions, current, progress)
        return current.finish(None)


def recompute(
    workspace: Workspace, as_of: datetime, *, clock: Clock, progress: Progress = SILENT
) -> tuple[int | None, Computed]:
    """Compute on the mirror as it is and record it. A look back is computed and not recorded: its run is None."""
    if _is_look_back(workspace, as_of):
        return None, compute(workspace, as_of)
    with running(workspace, "compute", as_of, clock) as current:
        progress.step("computing")
        computed = compute(workspace, as_of)
        record(workspace, current.id, computed)
        current.finish(computed)
        return current.id, computed


def plan(
    workspace: Workspace, only: str | None, as_of: datetime, *, clock: Clock, progress: Progress = SILENT
) -> Report:
    """Pull, compute and plan; only the mirror is written."""
    with (
        running(workspace, "plan", as_of, clock) as current,
        current.opened(only) as sessions,
    ):
        _pull(workspace, sessions, current, progress)
        progress.step("computing")
        computed = compute(workspace, as_of)
        current.moves = moved(workspace, computed)
        current.switching = switching(computed)
        _plan(workspace, sessions, computed)
        for session in sessions:
            if session.prepared is not None:
                current.planned_writes += write_calls(session.prepared, session.file)
        return current.finish(computed)


def sync(
    workspace: Workspace,
    only: str | None,
    as_of: datetime,
    *,
    clock: Clock,
    pulling: bool = True,
    progress: Progress = SILENT,
) -> Report:
    """Do everything; without `pulling`, on the mirror as it is. A look back is refused."""
    if _is_look_back(workspace, as_of):
        raise Mistake(_look_back(workspace, as_of))
    with (
        running(workspace, "sync" if pulling else "push", as_of, clock) as current,
        current.opened(only) as sessions,
    ):
        if pulling:
            _pull(workspace, sessions, current, progress)
        progress.step("computing")
        computed = compute(workspace, as_of)
        record(workspace, current.id, computed)
        _plan(workspace, sessions, computed)
        _keep_held(workspace, sessions, current)
        for session in sessions:
            _push(workspace, session, current, progress)
        _deliver(workspace, sessions, current, progress)
        return current.finish(computed)


def _is_look_back(workspace: Workspace, as_of: datetime) -> bool:
    newest = workspace.state.newest_recorded()
    return newest is not None and as_of < newest.as_of


def _look_back(workspace: Workspace, as_of: datetime) -> str:
    """Say why a run at this instant cannot be pushed."""
    newest = workspace.state.newest_recorded()
    recorded = "" if newest is None else f" (run {newest.id}, as of {newest.as_of.isoformat()})"
    return f"{as_of.isoformat()} lies before the newest recorded run{recorded}: a look back can be shown, never pushed"


def _pull(workspace: Workspace, sessions: list[Session], current: Running, progress: Progress) -> None:
    for session in sessions:
        with session.guarded():
            pull_connector(workspace, session.file, session.connector, run=current.id, progress=progress.pulled)


def _plan(workspace: Workspace, sessions: list[Session], computed: Computed) -> None:
    for session in sessions:
        if session.error is not None:
            continue
        with session.guarded():
            session.schema = session.connector.check()
            remember_account(workspace, session.file, session.schema)
            session.prepared = prepare(workspace, session.file, computed, session.schema)
            held = bool(session.prepared.held)
            session.buckets = {
                name: count_buckets(found, None, held=held) for name, found in session.prepared.plans.items()
            }


def _keep_held(workspace: Workspace, sessions: list[Session], current: Running) -> None:
    """Keep the changes that brakes hold with their run, for the person who must decide."""
    held = [one.prepared.changes() for one in sessions if one.prepared is not None and one.prepared.held]
    if held:
        workspace.state.save_plan(current.id, pl.concat(held))


def _push(workspace: Workspace, session: Session, current: Running, progress: Progress) -> None:
    if session.error is not None or session.prepared is None or session.prepared.held:
        return
    for object_map in session.file.objects:
        found = session.prepared.plans[object_map.object]
        pushed = Pushed()
        if session.error is None:
            kind = kind_of(object_map, session.connector.limits)
            unique = object_map.match_external_id
            target = Target(workspace, session.connector, session.file.name, kind, current.id, current.clock, unique)
            pushed = push(target, found, partial(progress.pushed, object_map.object))
            session.error = pushed.error
            session.incomplete |= not {Bucket.FAILED, Bucket.REFUSED}.isdisjoint(pushed.buckets.values())
        else:
            pushed = Pushed.unsent(found)
        session.buckets[object_map.object] = count_buckets(found, pushed, held=False)


def _deliver(workspace: Workspace, sessions: list[Session], current: Running, progress: Progress) -> None:
    """Do what signals ask for, in the CRMs that no brake holds; where one is held, webhooks wait too."""
    open_ = {one.file.name: one for one in sessions if one.error is None and one.prepared is not None}
    free = {name: one for name, one in open_.items() if one.prepared is not None and not one.prepared.held}
    delivered = deliver(
        workspace,
        {name: session.connector for name, session in free.items()},
        run=current.id,
        clock=current.clock,
        progress=progress,
        webhooks=len(free) == len(open_),
    )
    current.signals = delivered.json()
    for name, error in delivered.errors.items():
        free[name].error = error
    current.undelivered = delivered.incomplete
