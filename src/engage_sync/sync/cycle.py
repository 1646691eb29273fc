"""One cycle: pull → match, measure, assess → plan → brakes → push → record. It reads like that sentence; each step is a
module beside this one. `plan` is the cycle stopped before the push. One `as_of` enters here and is passed down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import polars as pl

from engage_sync.core.brakes import looks_back, unsure_of_now
from engage_sync.core.holds import Hold
from engage_sync.errors import Mistake
from engage_sync.sync.accounts import remember_account
from engage_sync.sync.claims import forget_strangers, settle_claims
from engage_sync.sync.compute import compute, record
from engage_sync.sync.computed import Computed
from engage_sync.sync.deciding import Others
from engage_sync.sync.deliver import deliver
from engage_sync.sync.drift import Onlooker
from engage_sync.sync.field_limits import keep_limits
from engage_sync.sync.holding import Terms, Watch, keep_baseline, keep_inactive, keep_silences, watch
from engage_sync.sync.moves import moved, switching
from engage_sync.sync.planning import EVERYTHING, FAILED, Portion, Scope, prepare
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.pull import pull as pull_connector
from engage_sync.sync.push import Target, count_buckets, note_deferred
from engage_sync.sync.quota import price, ration
from engage_sync.sync.readback import Fields
from engage_sync.sync.reconcile import reconcile
from engage_sync.sync.reports import Clock, Report, Running, running
from engage_sync.sync.rollback import forget_undone, release_undone
from engage_sync.sync.sending import leave, send
from engage_sync.sync.sessions import Session
from engage_sync.sync.wiring import Only, Workspace, kind_of

__all__ = ["Report", "plan", "pull", "recompute", "sync"]


def pull(
    workspace: Workspace, only: str | None, *, clock: Clock, reconciling: bool = False, progress: Progress = SILENT
) -> Report:
    """Mirror what changed in the CRMs, and nothing else; `reconciling`, compare the mirror with all they hold, too.
    Without a connector there is nothing to do: a Mistake."""
    if not workspace.connector_files(only):
        raise Mistake("this project has no connectors/NAME.yaml, so there is no CRM to pull from")
    with (
        running(workspace, "pull", clock(), clock) as current,
        current.opened(only) as sessions,
    ):
        if reconciling:
            _reconcile(workspace, sessions, current, progress)
        else:
            _pull(workspace, sessions, current, progress)
        return current.finish(None)


def recompute(
    workspace: Workspace, as_of: datetime, *, clock: Clock, progress: Progress = SILENT
) -> tuple[int | None, Computed]:
    """Compute on the mirror as it is and record it. A look back is computed and not recorded: its run is None."""
    if _is_look_back(workspace, as_of):
        return None, compute(workspace, as_of)
    with running(workspace, "compute", as_of, clock) as current:
        workspace.halt.check()
        progress.step("computing")
        with current.step("compute"):
            computed = compute(workspace, as_of)
            record(workspace, current.id, computed)
        current.finish(computed)
        return current.id, computed


def plan(
    workspace: Workspace,
    only: Only,
    as_of: datetime,
    *,
    clock: Clock,
    clocked: bool = False,
    progress: Progress = SILENT,
) -> Report:
    """Pull, compute and plan; only the mirror is written. `clocked` tells that `as_of` was read from the clock."""
    workspace.connector_files(only)  # a mistyped name is no run
    with (
        running(workspace, "plan", as_of, clock) as current,
        current.opened(only) as sessions,
    ):
        _pull(workspace, sessions, current, progress)
        workspace.halt.check()
        progress.step("computing")
        with current.step("compute"):
            computed = compute(workspace, as_of)
        current.moves = moved(workspace, computed)
        current.switching = switching(computed)
        current.holds = _clock_behind(workspace, as_of, current.id) if clocked else ()
        _plan(workspace, sessions, computed, current, Way(clocked=clocked))
        _keep_held(workspace, sessions, current)
        current.price = {session.file.name: price(workspace, session) for session in sessions}
        current.planned_writes = sum(one.write_calls or 0 for one in current.price.values())
        report = current.finish(computed)
        keep_inactive(workspace, report.run, report.holds)
        return report


def sync(
    workspace: Workspace,
    only: str | None,
    as_of: datetime,
    *,
    clock: Clock,
    pulling: bool = True,
    retrying: bool = False,
    clocked: bool = False,
    progress: Progress = SILENT,
) -> Report:
    """Do everything; without `pulling`, on the mirror as it is; `retrying`, write what failed before and nothing else.
    A look back is refused; where `as_of` was read from the clock (`clocked`), it is held."""
    command = "sync" if pulling else "retry" if retrying else "push"
    way = Way(command, pulling=pulling, portion=FAILED if retrying else EVERYTHING, clocked=clocked)
    return go(workspace, only, as_of, way, clock=clock, progress=progress)


@dataclass(frozen=True, slots=True)
class Way:
    """How a cycle goes. `approved` is the run that it continues, `approvals` are the holds that a person approved with
    it; `forgetting` says that it stands instead of what was recorded for later instants, by a clock that was ahead."""

    command: str = "plan"
    pulling: bool = False
    portion: Portion = EVERYTHING
    clocked: bool = False
    approved: int | None = None
    approvals: tuple[Hold, ...] = ()
    forgetting: bool = False

    def course(self) -> dict[str, object]:
        """Give what is kept with the run about the way that it goes."""
        return {
            "approved": self.approved,
            "releases": self.portion.releases,
            "scope": self.portion.scope.value,
            "clocked": self.clocked,
        }


def go(
    workspace: Workspace, only: Only, as_of: datetime, way: Way, *, clock: Clock, progress: Progress = SILENT
) -> Report:
    """Go through one cycle to its end."""
    if _is_look_back(workspace, as_of) and not way.clocked:
        raise Mistake(_look_back(workspace, as_of))
    workspace.connector_files(only)  # a mistyped name is no run
    with (
        running(workspace, way.command, as_of, clock) as current,
        current.opened(only) as sessions,
    ):
        current.approved = way.approved
        workspace.state.add_to_summary(current.id, way.course())  # an approval that dies can be repeated
        if way.forgetting:
            current.holds = _unsure_of_now(sessions, current)
        else:
            current.holds = _clock_behind(workspace, as_of, current.id)
        if current.holds or (way.forgetting and sessions and all(one.error is not None for one in sessions)):
            return current.finish(None)
        if way.pulling:
            current.pulled_since = current.clock()
            _pull(workspace, sessions, current, progress)
        workspace.halt.check()
        progress.step("computing")
        with current.step("compute"):
            computed = compute(workspace, as_of)
            record(workspace, current.id, computed, forgetting=way.forgetting)
        looking = _plan(workspace, sessions, computed, current, way)
        keep_silences(looking)
        _keep_held(workspace, sessions, current)
        for session in sessions:
            with current.step("push", session):
                ration(workspace, session, computed, retrying=not way.portion.whole)
                _push(workspace, session, computed, current, way, progress)
            if way.portion.whole and session.free() is not None and session.schema is not None:
                keep_baseline(looking, session.file, session.schema, session.planned())
        if way.portion.whole:
            forget_strangers(workspace, current.clock())
            with current.step("deliver"):
                _deliver(workspace, sessions, current, progress)
        return current.finish(computed)


def _is_look_back(workspace: Workspace, as_of: datetime) -> bool:
    newest = workspace.state.newest_recorded()
    return newest is not None and as_of < newest.as_of


def _clock_behind(workspace: Workspace, as_of: datetime, run: int) -> tuple[Hold, ...]:
    """Give the hold of a run whose instant lies before what is recorded."""
    newest = workspace.state.newest_recorded()
    if newest is None or as_of >= newest.as_of:
        return ()
    return (looks_back(as_of, newest.id, newest.as_of, run=run),)


def _unsure_of_now(sessions: list[Session], current: Running) -> tuple[Hold, ...]:
    """Ask the CRMs what time it is, and give what holds a run that would forget: a person, too, may take a wrong clock
    for a right one. The word of those that tell none, or do not answer, is not needed where another answers."""
    found: list[Hold] = []
    for session in sessions:
        if session.error is not None:
            continue
        with session.guarded():
            told = session.connector.check().at
            if told:
                theirs = datetime.fromisoformat(told)
                found += unsure_of_now(current.clock(), session.file.name, theirs, run=current.id)
    return tuple(found)


def _look_back(workspace: Workspace, as_of: datetime) -> str:
    """Say why a run at this instant cannot be pushed."""
    newest = workspace.state.newest_recorded()
    recorded = "" if newest is None else f" (run {newest.id}, as of {newest.as_of.isoformat()})"
    return f"{as_of.isoformat()} lies before the newest recorded run{recorded}: a look back can be shown, never pushed"


def _pull(workspace: Workspace, sessions: list[Session], current: Running, progress: Progress) -> None:
    for session in sessions:
        if session.error is not None:
            continue
        with current.step("pull", session), session.guarded():
            pull_connector(workspace, session.file, session.connector, run=current.id, progress=progress.pulled)


def _reconcile(workspace: Workspace, sessions: list[Session], current: Running, progress: Progress) -> None:
    for session in sessions:
        session.reconciled = {}
        if session.error is not None:
            continue
        found = partial(reconcile, workspace, session.file, session.connector, run=current.id, progress=progress)
        with current.step("reconcile", session), session.guarded():
            for one in found(began=current.clock()):
                session.reconciled[one.object] = one


def _plan(workspace: Workspace, sessions: list[Session], computed: Computed, current: Running, way: Way) -> Watch:
    now = current.clock()
    terms = Terms(current.id, current.clock if way.clocked else None, way.approvals)
    looking = watch(workspace, computed, terms, [session.file.name for session in sessions])
    current.drift = Onlooker(workspace, current.id, keeps=way.command != "plan")
    for session in sessions:
        if session.error is not None:
            continue
        with current.step("plan", session), session.guarded():
            session.schema = session.connector.check()
            remember_account(workspace, session.file, session.schema, session.connector.quota_key)
            keep_limits(workspace, session.file, session.schema)
            others = Others(
                partial(current.drift.owned, session.connector, computed.as_of),
                partial(current.drift.told, session.connector),
            )
            session.prepared = prepare(
                workspace,
                session.file,
                computed,
                session.schema,
                now=now,
                looking=looking,
                portion=way.portion,
                others=others,
            )
            session.incomplete = session.prepared.refuses()
            held = session.prepared.held
            session.buckets = {
                name: count_buckets(found, None, held=held) for name, found in session.prepared.plans.items()
            }
    current.drift.ask_rest()
    return looking


def _keep_held(workspace: Workspace, sessions: list[Session], current: Running) -> None:
    """Keep the changes that brakes hold with their run, for the person who must decide."""
    held = [one.prepared.changes() for one in sessions if one.prepared is not None and one.prepared.held]
    if held:
        workspace.state.save_plan(current.id, pl.concat(held))


def _push(
    workspace: Workspace, session: Session, computed: Computed, current: Running, way: Way, progress: Progress
) -> None:
    prepared = session.free()
    if prepared is None:
        return
    for object_map in session.file.objects:
        found = prepared.plans[object_map.object]
        kind, unique = kind_of(object_map, session.connector.limits), object_map.match_external_id
        told = prepared.described.get(object_map.object)
        target = Target(
            *(workspace, session.connector, session.file.name, kind, current.id, current.clock, unique, told),
            settles=way.portion.scope is not Scope.RELEASED,
            ranked=session.ranked,
        )
        if session.error is not None:
            left = leave(session, found, session.error)
            note_deferred(target, found, left)
            if current.drift is not None:
                current.drift.settle(found, left.buckets)
            continue
        name, undone = object_map.object, prepared.undone[object_map.object]
        if way.portion.releases is not None:
            undone = release_undone(target, undone, way.portion.releases)
        settle_claims(target, prepared.claims[name], pulled_since=current.pulled_since)
        gone = computed.gone[session.file.name, name]
        target = replace(target, theirs=forget_undone(target, found, undone, gone, whole=way.portion.whole))
        fields = Fields.of(object_map.write, session.schema, object_map.object)
        pushed = send(session, target, found, fields, progress)
        if current.drift is not None:
            current.drift.settle(found, pushed.buckets)


def _deliver(workspace: Workspace, sessions: list[Session], current: Running, progress: Progress) -> None:
    """Do what signals ask for, in the CRMs that no brake holds; where one is held, webhooks wait too."""
    open_ = [one for one in sessions if one.error is None and one.prepared is not None]
    free = {one.file.name: one for one in open_ if one.free() is not None}
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
