"""Undo a run: pull, find what runs without an answer wrote, read from the journal what the run wrote, read the records
live, plan which of the values that it replaced can come back, and write those like any other plan. What somebody, or a
later run, changed since is left.

What is taken back is noted before the first write, so that no later run brings it back by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from engage_sync.core.plan import Bucket, ObjectPlan
from engage_sync.core.undo import standing, superseded
from engage_sync.state.undone import ROLLBACK
from engage_sync.sync.accounts import remember_account
from engage_sync.sync.claims import catch_up
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.pull import pull as pull_connector
from engage_sync.sync.push import Target, count_buckets
from engage_sync.sync.readback import verified_json
from engage_sync.sync.reports import Clock, Report, Running, known_run, running
from engage_sync.sync.sending import leave, send
from engage_sync.sync.sessions import Session
from engage_sync.sync.undo_plan import (
    Taking,
    Undoing,
    changes_of,
    declared,
    judge,
    note_standing,
    plan_of,
    taken,
    taking,
    unanswered,
    unreached,
)
from engage_sync.sync.wiring import Workspace, kind_of


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of a rollback. `confirmed` is false where it was only shown; `restored` counts values written."""

    plan: Undoing
    report: Report
    confirmed: bool
    restored: int

    def json(self) -> dict[str, object]:
        """Give the answer of `rollback`."""
        report, names = self.report, ("connector", "object", "record", "field", "before", "after", "decision", "reason")
        return {
            "run": self.plan.run,
            "undone": self.plan.undone,
            "status": report.status,
            "exit": report.exit,
            "restored": self.restored,
            "planned": self.plan.restores().height,
            "left": self.plan.changes.height - self.plan.restores().height,
            "changes": self.plan.changes.select(names).to_dicts(),
            "actions_not_undone": self.plan.actions,
            "nothing": self.plan.nothing,
            "connectors": report.connectors,
            "verified": verified_json(report.verified),
            "calls": {"read": report.reads, "write": report.writes},
            "errors": report.errors,
        }


Confirm = Callable[[Undoing], bool]
"""Shown the plan; says whether to go on."""


def rollback(
    workspace: Workspace, undone: int, *, clock: Clock, confirm: Confirm, progress: Progress = SILENT
) -> Undone:
    """Take back what run `undone` wrote. An unknown run is a Mistake."""
    state = workspace.state
    known_run(workspace, undone)
    with running(workspace, ROLLBACK, clock(), clock) as current:
        current.undone = undone
        state.add_to_summary(current.id, {"undone": undone})
        known = _concerned(workspace, undone)
        if not known:
            around, values = _written(workspace, undone)
            nothing = _nothing(workspace, around, values, undone)
            return _finish(workspace, current, [], unreached(values, {}), nothing, confirm, progress)
        with current.opened(known) as sessions:
            for session in sessions:
                _catch_up(workspace, session, current, progress)
            around, values = _written(workspace, undone)
            objects = [one for session in sessions for one in _planned(workspace, session, values, progress)]
            open_ = unanswered(workspace, undone, values)
            left = pl.concat([unreached(values, {one.file.name: one for one in sessions}, objects), open_])
            nothing = _nothing(workspace, around, values, undone) if open_.is_empty() else None
            return _finish(workspace, current, objects, left, nothing, confirm, progress)


def _written(workspace: Workspace, undone: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the journal around a run, and the values of the run that stand."""
    around = workspace.state.journal_around(undone)
    return around, standing(around, workspace.state.rollbacks(), undone)


def _concerned(workspace: Workspace, undone: int) -> frozenset[str]:
    """Give the connectors in which something of a run stands, or may: it had no answer, or what came after it had."""
    around, values = _written(workspace, undone)
    touched = frozenset(around.filter(pl.col("run") == undone)["connector"])
    names = set(values["connector"])
    for file, item in declared(workspace):
        meant = workspace.state.intents(file.name, item.object)
        if (meant["run"] == undone).any() or (file.name in touched and not meant.is_empty()):
            names.add(file.name)
    return frozenset(file.name for file in workspace.connector_files() if file.name in names)


def forget_undone(
    target: Target, plan: ObjectPlan, undone: pl.DataFrame, gone: pl.DataFrame, *, whole: bool
) -> frozenset[tuple[str, str]]:
    """Forget what a rollback took back where it is no matter any more, before a push writes anything; give the record
    and field of a person's values that the plan puts back. `undone` and `gone` are as the state gives them. Not
    `whole`: the plan is about a part of what is wanted."""
    state, object_ = target.workspace.state, target.kind.object
    if undone.is_empty():
        return frozenset()
    moves = gone.drop_nulls("moved_to").join(undone, on="record", how="semi")
    if not moves.is_empty():
        state.follow_undone(target.name, object_, moves)
        undone = state.undone(target.name, object_)
    over = superseded(plan, undone, whole=whole)
    state.drop_undone(target.name, object_, over)
    left = undone.join(over, on=["record", "field"], how="anti").filter(~pl.col("ours"))
    return frozenset(left.select("record", "field").iter_rows())


def release_undone(target: Target, undone: pl.DataFrame, releases: int) -> pl.DataFrame:
    """Forget what a rollback of run `releases` took back of one object, because a person wants it written again; give
    what is left of `undone`."""
    released = pl.col("undone") == releases
    target.workspace.state.drop_undone(target.name, target.kind.object, undone.filter(released))
    return undone.filter(~released)


def _nothing(workspace: Workspace, around: pl.DataFrame, values: pl.DataFrame, undone: int) -> str | None:
    """Say why there is nothing to plan."""
    if not values.is_empty():
        return None
    if (around["run"] == undone).any():
        by = [run for run, of in workspace.state.rollbacks().items() if of == undone and (around["run"] == run).any()]
        return f"run {undone} was rolled back already, by run {max(by)}: nothing is left of it to take back"
    return f"run {undone} wrote nothing to a CRM: there is nothing to take back"


def _catch_up(workspace: Workspace, session: Session, current: Running, progress: Progress) -> None:
    """Pull one connector, and record what runs without an answer turn out to have written; an error of it ends its
    part."""
    if session.error is not None:
        return
    since = current.clock()
    with session.guarded():
        pull_connector(workspace, session.file, session.connector, run=current.id, progress=progress.pulled)
        session.schema = session.connector.check()
        remember_account(workspace, session.file, session.schema, session.connector.quota_key)
        for item in session.file.objects:
            kind = kind_of(item, session.connector.limits)
            target = Target(workspace, session.connector, session.file.name, kind, current.id, current.clock)
            catch_up(target, item, pulled_since=since)


def _planned(workspace: Workspace, session: Session, values: pl.DataFrame, progress: Progress) -> list[Taking]:
    """Judge what the run wrote in one connector; an error of it ends its part."""
    mine = values.filter(pl.col("connector") == session.file.name)
    found: list[Taking] = []
    if session.error is not None:
        return found
    with session.guarded():
        for (name,), rows in mine.group_by("object", maintain_order=True):
            one = taking(session, str(name), rows)
            if one is not None:
                progress.step(f"reading {session.file.name} {name}")
                judge(workspace, one)
                found.append(one)
    return found if session.error is None else []


def _finish(
    workspace: Workspace,
    current: Running,
    objects: list[Taking],
    left: pl.DataFrame,
    nothing: str | None,
    confirm: Confirm,
    progress: Progress,
) -> Undone:
    """Show the plan, keep it with the run, and where it is confirmed write it. One that restores nothing, about which
    nobody was asked, changes nothing."""
    undone = current.undone or 0
    parts = [changes_of(workspace, one) for one in objects]
    delivered = workspace.state.deliveries(run=undone)
    actions = int((delivered["status"] == "delivered").sum())
    plan = Undoing(current.id, undone, pl.concat([*parts, left]), actions, nothing)
    workspace.state.save_plan(current.id, plan.changes)
    for one, changes in zip(objects, parts, strict=True):
        object_plan = plan_of(one, changes)
        one.session.buckets[one.kind.object] = count_buckets(object_plan, None, held=False)
    agreed = confirm(plan)
    current.only_shown = not agreed
    go_on = agreed and not plan.restores().is_empty()
    restored = 0
    if go_on:
        rows = pl.concat(taken(workspace, one) for one in objects)
        workspace.state.save_undone(rows, current.id)  # first: it says what of the rest is somebody else's
        for one in objects:
            note_standing(workspace, one, current.id)
        for one, changes in zip(objects, parts, strict=True):
            restored += _write(workspace, current, one, plan_of(one, changes), progress)
    return Undone(plan, current.finish(None), go_on, restored)


def _write(workspace: Workspace, current: Running, one: Taking, plan: ObjectPlan, progress: Progress) -> int:
    """Write the values of one object back; give how many were."""
    session = one.session
    if session.error is not None:
        leave(session, plan, session.error)
        return 0
    unique = None if one.map is None else one.map.match_external_id
    target = Target(
        *(workspace, session.connector, session.file.name, one.kind, current.id, current.clock, unique),
        settles=False,
        theirs=frozenset(one.judged.filter(~pl.col("ours")).select("record", "field").iter_rows()),
    )
    pushed = send(session, target, plan, one.fields, progress)
    written = [record for record, bucket in pushed.buckets.items() if bucket is Bucket.WRITTEN]
    return plan.changes.filter(pl.col("record").is_in(written)).height
