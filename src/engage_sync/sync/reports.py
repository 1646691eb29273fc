"""A run and its report: the row in the run table that the process fills under the lock, and at its end the counts, the
status, the exit code and the summary that is kept. Pulls, decides and pushes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from engage_sync.core.holds import Hold
from engage_sync.core.plan import buckets_of
from engage_sync.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_ORDER,
    EXIT_PARTIAL,
    EngageError,
    Held,
    Mistake,
    Suspended,
)
from engage_sync.state.runs import Run
from engage_sync.sync import kept_answers
from engage_sync.sync.accounts import recognised
from engage_sync.sync.buckets import Miscounted, miscounts
from engage_sync.sync.compute import summary_of, without_record
from engage_sync.sync.computed import Computed
from engage_sync.sync.deliver import NOTHING_DELIVERED
from engage_sync.sync.drift import LISTING, Onlooker, counted
from engage_sync.sync.failures import Waiting, still_waiting
from engage_sync.sync.moves import Moved
from engage_sync.sync.quota import Price
from engage_sync.sync.readback import Verified, verified_json
from engage_sync.sync.sessions import Buckets, Session, Short, open_sessions
from engage_sync.sync.steps import StepTaken, followed, step
from engage_sync.sync.suspension import ask_only, conclude
from engage_sync.sync.wiring import Only, Workspace

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, for people and machines. `errors` are sentences by connector, `holds` what brakes held."""

    run: int
    as_of: datetime
    status: str
    exit: int
    connectors: Mapping[str, Mapping[str, Buckets]]
    no_record: int
    reads: int
    writes: int
    holds: tuple[Hold, ...]
    errors: Mapping[str, str]
    changes: pl.DataFrame
    counts: Mapping[str, int]
    signals: Mapping[str, object] = field(default_factory=lambda: NOTHING_DELIVERED)
    """What became of the signals' actions, as `Delivered.json` gives it."""
    switching: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of a plan: how many would go `on` and `off`, by signal."""
    moves: tuple[Moved, ...] = ()
    """Of a plan: how many verdicts would change against the newest recorded run."""
    price: Mapping[str, Price] = field(default_factory=dict)
    """Of a plan: what a push of it costs, by connector."""
    verified: Mapping[str, Mapping[str, Verified]] = field(default_factory=dict)
    """By connector and object what reading back showed, where anything was written."""
    reconciled: Mapping[str, Mapping[str, object]] | None = None
    """Of a pull that reconciles: by connector and object what was found, None for an object not reached."""
    approved: int | None = None
    """The held run that this one continues."""

    @property
    def held(self) -> tuple[str, ...]:
        """The sentences of the brakes that held."""
        return tuple(hold.sentence for hold in self.holds)

    drift: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LISTING))
    """What somebody else set, and what became of it."""
    waiting: Waiting | None = None
    """The refused records whose next attempt is later, None where there are none."""
    pulled: bool = False
    """Whether the run got as far as a pull."""
    suspended: bool = False
    """Whether it ended with exit 5 because its CRMs are suspended, and for no other reason."""


@dataclass(slots=True)
class Running:
    """The row of the run table that this process is filling, under the lock."""

    workspace: Workspace
    id: int
    command: str
    as_of: datetime
    clock: Clock
    planned_writes: int = 0
    signals: Mapping[str, object] = field(default_factory=lambda: NOTHING_DELIVERED)
    switching: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    undelivered: bool = False
    undone: int | None = None
    """Of a rollback: the run that it takes back."""
    only_shown: bool = False
    """Of a rollback: it was not confirmed, so nothing of its plan was written."""
    moves: tuple[Moved, ...] = ()
    price: Mapping[str, Price] = field(default_factory=dict)
    finished: bool = False
    status: str | None = None
    """How the run ended, once it has."""
    steps: list[StepTaken] = field(default_factory=list)
    unopened: dict[str, Mistake] = field(default_factory=dict)
    """The connectors whose files are wrong, with what is."""
    sessions: list[Session] = field(default_factory=list)
    holds: tuple[Hold, ...] = ()
    """What holds the run as a whole, beside what holds its connectors."""
    approved: int | None = None
    """The held run that this one continues."""
    pulled_since: datetime | None = None
    """When the pull began that the plans are made from; None: it was another run's."""
    drift: Onlooker | None = None
    """What this run learns about values that somebody else set."""

    def step(self, name: str, session: Session | None = None) -> AbstractContextManager[None]:
        """Surround one step of the run, about one connector or all (`steps.step`)."""
        sessions = self.sessions if session is None else [session]
        return step(self.steps, name, sessions, None if session is None else session.file.name)

    @contextmanager
    def opened(self, only: Only) -> Iterator[list[Session]]:
        """Open the project's connectors, or one, for the length of a `with` block."""
        with open_sessions(self.workspace, only, self.unopened) as sessions:
            ask_only(self.workspace, sessions, self.clock())
            self.sessions = recognised(self.workspace, sessions, self.unopened)
            yield self.sessions

    def finish(self, computed: Computed | None) -> Report:
        """Count, decide status and exit code, keep the summary, and give the report."""
        for session in self.sessions:
            conclude(self.workspace, session, self.clock())
        codes = {session.exit() for session in self.sessions} | ({EXIT_PARTIAL} if self.undelivered else set())
        codes |= {Held.exit_code} if self.holds else set()
        exit_code = next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)
        if self.unopened:
            exit_code = Mistake.exit_code
        wrong = "; ".join(self._miscounts(computed))
        if wrong:
            exit_code = EXIT_BUG
        status = {EXIT_DONE: "ok", EXIT_PARTIAL: "partial", Held.exit_code: "held"}.get(exit_code, "failed")
        if exit_code == Short.exit_code and _only_waits(self.sessions):
            status = "partial"
        prepared = [session.prepared for session in self.sessions if session.prepared is not None]
        report = Report(
            run=self.id,
            as_of=self.as_of,
            status=status,
            exit=exit_code,
            connectors={session.file.name: _all_buckets(session) for session in self.sessions},
            no_record=0 if computed is None else without_record(self.workspace, computed),
            reads=sum(session.connector.calls["read"] for session in self.sessions),
            writes=self.planned_writes + sum(session.connector.calls["write"] for session in self.sessions),
            holds=(*self.holds, *(hold for found in prepared for hold in found.holds)),
            approved=self.approved,
            errors=self._errors(),
            changes=pl.concat([found.changes() for found in prepared]) if prepared else pl.DataFrame(),
            counts=computed.counts if computed is not None else {},
            signals=self.signals,
            switching=self.switching,
            moves=self.moves,
            price=self.price,
            verified={one.file.name: one.verified for one in self.sessions if one.verified},
            reconciled=_reconciled(self.sessions),
            drift=self._drift(),
            waiting=still_waiting(self.workspace, [one.file.name for one in self.sessions], self.clock()),
            pulled=any(one["step"] in {"pull", "reconcile"} for one in self.steps),
            suspended=exit_code == Suspended.exit_code and _only_suspended(self.sessions),
        )
        self._keep(report, computed, wrong)
        if wrong:
            raise Miscounted(wrong)
        return report

    def end(self, error: BaseException) -> None:
        """Keep that an exception ended the run."""
        code, text = _ended_by(error)
        self.workspace.state.finish_run(
            self.id,
            status="failed",
            exit=code,
            finished_at=self.clock(),
            summary={"steps": self.steps, "error": text},
            held=(),
        )
        self.status = "failed"

    def _drift(self) -> pl.DataFrame:
        """List what somebody else set, and keep the list with a run that pushes."""
        if self.drift is None:
            return pl.DataFrame(schema=LISTING)
        open_ = [(one.planned(), one.prepared is not None and one.prepared.held) for one in self.sessions]
        ways = [self.drift.listing([*plans.values()], otherwise="held" if held else "failed") for plans, held in open_]
        listing = pl.concat([pl.DataFrame(schema=LISTING), *ways])
        self.drift.keep(listing)
        return listing

    def _miscounts(self, computed: Computed | None) -> Iterator[str]:
        """Hold the counts of every connector that was planned against what was read for it."""
        for session in self.sessions:
            if computed is not None and session.prepared is not None:
                yield from miscounts(session.file.name, session.prepared.plans, session.buckets, computed.records)

    def _errors(self) -> dict[str, str]:
        met = {one.file.name: str(one.short) for one in self.sessions if one.short is not None}
        met |= {one.file.name: self._told(one.file.name, one.error) for one in self.sessions if one.error is not None}
        return met | {name: str(mistake) for name, mistake in self.unopened.items()}

    def _told(self, connector: str, error: EngageError) -> str:
        return kept_answers.told(self.workspace.project.root, f"run-{self.id}-{connector}", error)

    def _keep(self, report: Report, computed: Computed | None, wrong: str) -> None:
        summary = {
            "connectors": report.connectors,
            "no_record": report.no_record,
            "calls": {"read": report.reads, "write": report.writes},
            "errors": report.errors,
            "signals": report.signals,
            "holds": [hold.json() for hold in report.holds],
            "planned": [one.file.name for one in self.sessions if one.prepared is not None],
            "verified": verified_json(report.verified),
            "reconciled": report.reconciled,
            "drift": counted(report.drift),
            "steps": self.steps,
            **({} if self.undone is None else {"only_shown": self.only_shown}),
            **({} if computed is None else summary_of(self.workspace, computed)),
            **({"error": wrong} if wrong else {}),
        }
        self.workspace.state.finish_run(
            self.id,
            status=report.status,
            exit=report.exit,
            finished_at=self.clock(),
            summary=summary,
            held=report.held,
        )
        self.finished, self.status = True, report.status


def known_run(workspace: Workspace, run_id: int) -> Run:
    """Give a run. An unknown id is a Mistake."""
    run = workspace.state.run(run_id)
    if run is None:
        newest = workspace.state.runs(1)
        known = f"the newest is run {newest[0].id}" if newest else "there are no runs yet"
        raise Mistake(f"there is no run {run_id}; {known}")
    return run


@contextmanager
def running(workspace: Workspace, command: str, as_of: datetime, clock: Clock) -> Iterator[Running]:
    """Hold the lock and a row in the run table for the length of a run; an exception, or Ctrl-C, ends the row as
    failed."""
    halt, length = workspace.halt, workspace.project.background.daemon.lease.total_seconds()
    with (
        workspace.state.lock(f"engage-sync {command}", lease=length) as lease,
        halt.at_signal(),
        halt.guarded(lease.check),
    ):
        started = workspace.state.start_run(command, as_of, clock())
        current = Running(workspace, started, command, as_of, clock)
        with followed(current):
            try:
                yield current
            except (Exception, KeyboardInterrupt) as error:
                if not current.finished:
                    current.end(error)
                raise


def _ended_by(error: BaseException) -> tuple[int, str]:
    """Give the exit code and the sentence of a run that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted"
    return (error.exit_code, str(error)) if isinstance(error, EngageError) else (EXIT_BUG, type(error).__name__)


def _reconciled(sessions: list[Session]) -> Mapping[str, Mapping[str, object]] | None:
    """Give what the reconciliation of every declared object found; None where the run did not reconcile."""
    found = {one.file.name: (one.file, one.reconciled) for one in sessions if one.reconciled is not None}
    return {
        name: {item.object: None if (one := by.get(item.object)) is None else one.json() for item in file.objects}
        for name, (file, by) in found.items()
    } or None


def _only_waits(sessions: list[Session]) -> bool:
    """Tell whether part of what was planned waits for quota, and nothing else ended a connector."""
    ended = [one for one in sessions if isinstance(one.error, Suspended) and one.prepared is not None]
    waits = any(one.short is not None for one in sessions)
    waits |= any(not one.prepared.held for one in ended if one.prepared is not None)
    return waits and _only_suspended(sessions)


def _only_suspended(sessions: list[Session]) -> bool:
    """Tell whether whatever ended a connector was a suspension."""
    return all(one.error is None or isinstance(one.error, Suspended) for one in sessions)


def _all_buckets(session: Session) -> dict[str, Buckets]:
    """Give every declared object its counts, zeros where the run did not get that far."""
    from_plan = session.buckets
    return {
        item.object: from_plan.get(item.object) or {bucket.value: 0 for bucket in buckets_of(item.only)}
        for item in session.file.objects
    }
