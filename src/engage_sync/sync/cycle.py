"""One cycle: pull → match, measure, assess → plan → brakes → push → record. It reads like that sentence; each step is a
module beside this one. `plan` is the cycle stopped before the push. One `as_of` enters here and is passed down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Schema, Unsupported
from engage_sync.connectors.wrappers import Observed
from engage_sync.core.plan import Bucket
from engage_sync.errors import EXIT_BUG, EXIT_DONE, EXIT_ORDER, EXIT_PARTIAL, EngageError, Held, Mistake
from engage_sync.sync import kept_answers
from engage_sync.sync.compute import compute, record, summary_of, without_record
from engage_sync.sync.computed import Computed
from engage_sync.sync.deliver import NOTHING_DELIVERED, deliver
from engage_sync.sync.doctor import remember_account
from engage_sync.sync.moves import Moved, moved, switching
from engage_sync.sync.planning import Prepared, prepare, write_calls
from engage_sync.sync.progress import SILENT, Progress
from engage_sync.sync.pull import pull as pull_connector
from engage_sync.sync.push import Pushed, Target, count_buckets, push
from engage_sync.sync.wiring import Workspace, kind_of, open_connector

Clock = Callable[[], datetime]
Buckets = Mapping[str, int]
_NOTHING: Buckets = {bucket.value: 0 for bucket in Bucket}


@dataclass(slots=True)
class Session:
    """One connector during a run: what the CRM described, the plan, the counts, and the error that ended it, if any."""

    file: ConnectorFile
    connector: Observed
    schema: Schema | None = None
    prepared: Prepared | None = None
    buckets: dict[str, Buckets] = field(default_factory=dict)
    error: EngageError | None = None
    incomplete: bool = False
    """A write failed or was refused, also one to a record that counts as unlinked."""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep an error of this connector to itself, so that the others' work is done."""
        try:
            yield
        except (Mistake, Unsupported):
            raise  # a mistake in the project's files is nothing that a CRM met: the run ends
        except EngageError as error:
            self.error = error

    def exit(self) -> int:
        """Give the exit code this connector asks for."""
        if self.error is not None:
            return self.error.exit_code
        if self.prepared is not None and self.prepared.held:
            return Held.exit_code
        failed = any(counts.get("failed", 0) + counts.get("refused", 0) for counts in self.buckets.values())
        return EXIT_PARTIAL if failed or self.incomplete else EXIT_DONE


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, for people and machines. `errors` and `held` are sentences by connector."""

    run: int
    as_of: datetime
    status: str
    exit: int
    connectors: Mapping[str, Mapping[str, Buckets]]
    no_record: int
    reads: int
    writes: int
    held: tuple[str, ...]
    errors: Mapping[str, str]
    changes: pl.DataFrame
    counts: Mapping[str, int]
    signals: Mapping[str, object] = field(default_factory=lambda: NOTHING_DELIVERED)
    """What became of the signals' actions, as `Delivered.json` gives it."""
    switching: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of a plan: how many would go `on` and `off`, by signal."""
    moves: tuple[Moved, ...] = ()
    """Of a plan: how many verdicts would change against the newest recorded run."""


def pull(workspace: Workspace, only: str | None, *, clock: Clock, progress: Progress = SILENT) -> Report:
    """Mirror what changed in the CRMs, and nothing else. Without a connector there is nothing to do: a Mistake."""
    if not workspace.connector_files(only):
        raise Mistake("this project has no connectors/NAME.yaml, so there is no CRM to pull from")
    with _run(workspace, "pull", clock(), clock) as current, _sessions(workspace, only, current) as sessions:
        _pull(workspace, sessions, current, progress)
        return current.finish(sessions, None)


def recompute(
    workspace: Workspace, as_of: datetime, *, clock: Clock, progress: Progress = SILENT
) -> tuple[int | None, Computed]:
    """Compute on the mirror as it is and record it. A look back is computed and not recorded: its run is None."""
    if _is_look_back(workspace, as_of):
        return None, compute(workspace, as_of)
    with _run(workspace, "compute", as_of, clock) as current:
        progress.step("computing")
        computed = compute(workspace, as_of)
        record(workspace, current.id, computed)
        current.finish([], computed)
        return current.id, computed


def plan(
    workspace: Workspace, only: str | None, as_of: datetime, *, clock: Clock, progress: Progress = SILENT
) -> Report:
    """Pull, compute and plan; only the mirror is written."""
    with _run(workspace, "plan", as_of, clock) as current, _sessions(workspace, only, current) as sessions:
        _pull(workspace, sessions, current, progress)
        progress.step("computing")
        computed = compute(workspace, as_of)
        current.moves = moved(workspace, computed)
        current.switching = switching(computed)
        _plan(workspace, sessions, computed)
        for session in sessions:
            if session.prepared is not None:
                current.planned_writes += write_calls(session.prepared, session.file)
        return current.finish(sessions, computed)


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
        _run(workspace, "sync" if pulling else "push", as_of, clock) as current,
        _sessions(workspace, only, current) as sessions,
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
        return current.finish(sessions, computed)


def _is_look_back(workspace: Workspace, as_of: datetime) -> bool:
    newest = workspace.state.newest_recorded()
    return newest is not None and as_of < newest.as_of


def _look_back(workspace: Workspace, as_of: datetime) -> str:
    """Say why a run at this instant cannot be pushed."""
    newest = workspace.state.newest_recorded()
    recorded = "" if newest is None else f" (run {newest.id}, as of {newest.as_of.isoformat()})"
    return f"{as_of.isoformat()} lies before the newest recorded run{recorded}: a look back can be shown, never pushed"


def _pull(workspace: Workspace, sessions: list[Session], current: _Run, progress: Progress) -> None:
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


def _keep_held(workspace: Workspace, sessions: list[Session], current: _Run) -> None:
    """Keep the changes that brakes hold with their run, for the person who must decide."""
    held = [one.prepared.changes() for one in sessions if one.prepared is not None and one.prepared.held]
    if held:
        workspace.state.save_plan(current.id, pl.concat(held))


def _push(workspace: Workspace, session: Session, current: _Run, progress: Progress) -> None:
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


def _deliver(workspace: Workspace, sessions: list[Session], current: _Run, progress: Progress) -> None:
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


@contextmanager
def _sessions(workspace: Workspace, only: str | None, current: _Run) -> Iterator[list[Session]]:
    """Open the connectors. One whose file is wrong, as with a variable that is not set, leaves the others to work. A
    project without any has none: what it records, and its webhooks, need no CRM."""
    files = workspace.connector_files(only)
    sessions: list[Session] = []
    with ExitStack() as stack:
        for file in files:
            try:
                connector = open_connector(workspace, file)
            except Mistake as mistake:
                if len(files) == 1:
                    raise
                current.unopened[file.name] = mistake
                continue
            stack.callback(connector.close)
            sessions.append(Session(file, connector))
        if files and not sessions:
            raise Mistake([problem for mistake in current.unopened.values() for problem in mistake.problems])
        yield sessions


@dataclass(slots=True)
class _Run:
    """The row of the run table that this process is filling, under the lock."""

    workspace: Workspace
    id: int
    as_of: datetime
    clock: Clock
    planned_writes: int = 0
    signals: Mapping[str, object] = field(default_factory=lambda: NOTHING_DELIVERED)
    switching: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    undelivered: bool = False
    moves: tuple[Moved, ...] = ()
    finished: bool = False
    unopened: dict[str, Mistake] = field(default_factory=dict)
    """The connectors whose files are wrong, with what is."""

    def finish(self, sessions: list[Session], computed: Computed | None) -> Report:
        """Count, decide status and exit code, keep the summary, and give the report."""
        codes = {session.exit() for session in sessions} | ({EXIT_PARTIAL} if self.undelivered else set())
        exit_code = next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)
        if self.unopened:
            exit_code = Mistake.exit_code
        status = {EXIT_DONE: "ok", EXIT_PARTIAL: "partial", Held.exit_code: "held"}.get(exit_code, "failed")
        prepared = [session.prepared for session in sessions if session.prepared is not None]
        report = Report(
            run=self.id,
            as_of=self.as_of,
            status=status,
            exit=exit_code,
            connectors={session.file.name: _all_buckets(session) for session in sessions},
            no_record=0 if computed is None else without_record(self.workspace, computed),
            reads=sum(session.connector.calls["read"] for session in sessions),
            writes=self.planned_writes + sum(session.connector.calls["write"] for session in sessions),
            held=tuple(_named(found.connector, reason) for found in prepared for reason in found.held),
            errors={one.file.name: self._told(one.file.name, one.error) for one in sessions if one.error is not None}
            | {name: str(mistake) for name, mistake in self.unopened.items()},
            changes=pl.concat([found.changes() for found in prepared]) if prepared else pl.DataFrame(),
            counts=computed.counts if computed is not None else {},
            signals=self.signals,
            switching=self.switching,
            moves=self.moves,
        )
        self._keep(report, computed)
        return report

    def _told(self, connector: str, error: EngageError) -> str:
        return kept_answers.told(self.workspace.project.root, f"run-{self.id}-{connector}", error)

    def _keep(self, report: Report, computed: Computed | None) -> None:
        summary = {
            "connectors": report.connectors,
            "no_record": report.no_record,
            "calls": {"read": report.reads, "write": report.writes},
            "errors": report.errors,
            "signals": report.signals,
            **({} if computed is None else summary_of(self.workspace, computed)),
        }
        self.workspace.state.finish_run(
            self.id,
            status=report.status,
            exit=report.exit,
            finished_at=self.clock(),
            summary=json.dumps(summary),
            held=report.held,
        )
        self.finished = True


@contextmanager
def _run(workspace: Workspace, command: str, as_of: datetime, clock: Clock) -> Iterator[_Run]:
    """Hold the lock and a row in the run table for the length of a run; an exception ends the row as failed."""
    with workspace.state.lock(f"engage-sync {command}"):
        started = workspace.state.start_run(command, as_of, clock())
        current = _Run(workspace, started, as_of, clock)
        try:
            yield current
        except Exception as error:
            if not current.finished:
                code = error.exit_code if isinstance(error, EngageError) else EXIT_BUG
                text = str(error) if isinstance(error, EngageError) else type(error).__name__
                kept = workspace.state.run(started)
                summary = {} if kept is None else json.loads(kept.summary or "{}")
                workspace.state.finish_run(
                    started,
                    status="failed",
                    exit=code,
                    finished_at=clock(),
                    summary=json.dumps({**summary, "error": text}),
                    held=(),
                )
            raise


def _named(connector: str, reason: str) -> str:
    """Put the connector's name before a reason that does not begin with it."""
    return reason if reason.startswith(f"{connector} ") else f"{connector}: {reason}"


def _all_buckets(session: Session) -> dict[str, Buckets]:
    """Give every declared object its counts, zeros where the run did not get that far."""
    from_plan = session.buckets
    return {item.object: from_plan.get(item.object) or _NOTHING for item in session.file.objects}
