"""A run and its report: the row in the run table that the process fills under the lock, and at its end the counts, the
status, the exit code and the summary that is kept. Pulls, decides and pushes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from engage_sync.core.plan import Bucket
from engage_sync.errors import EXIT_BUG, EXIT_DONE, EXIT_ORDER, EXIT_PARTIAL, EngageError, Held, Mistake
from engage_sync.sync import kept_answers
from engage_sync.sync.compute import summary_of, without_record
from engage_sync.sync.computed import Computed
from engage_sync.sync.deliver import NOTHING_DELIVERED
from engage_sync.sync.moves import Moved
from engage_sync.sync.sessions import Buckets, Session, open_sessions
from engage_sync.sync.wiring import Workspace

Clock = Callable[[], datetime]
_NOTHING: Buckets = {bucket.value: 0 for bucket in Bucket}


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


@dataclass(slots=True)
class Running:
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
    sessions: list[Session] = field(default_factory=list)

    @contextmanager
    def opened(self, only: str | None) -> Iterator[list[Session]]:
        """Open the project's connectors, or one, for the length of a `with` block."""
        with open_sessions(self.workspace, only, self.unopened) as self.sessions:
            yield self.sessions

    def finish(self, computed: Computed | None) -> Report:
        """Count, decide status and exit code, keep the summary, and give the report."""
        codes = {session.exit() for session in self.sessions} | ({EXIT_PARTIAL} if self.undelivered else set())
        exit_code = next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)
        if self.unopened:
            exit_code = Mistake.exit_code
        status = {EXIT_DONE: "ok", EXIT_PARTIAL: "partial", Held.exit_code: "held"}.get(exit_code, "failed")
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
            held=tuple(_named(found.connector, reason) for found in prepared for reason in found.held),
            errors={
                one.file.name: self._told(one.file.name, one.error) for one in self.sessions if one.error is not None
            }
            | {name: str(mistake) for name, mistake in self.unopened.items()},
            changes=pl.concat([found.changes() for found in prepared]) if prepared else pl.DataFrame(),
            counts=computed.counts if computed is not None else {},
            signals=self.signals,
            switching=self.switching,
            moves=self.moves,
        )
        self._keep(report, computed)
        return report

    def _errors(self) -> dict[str, str]:
        met = {one.file.name: self._told(one.file.name, one.error) for one in self.sessions if one.error is not None}
        return met | {name: str(mistake) for name, mistake in self.unopened.items()}

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
def running(workspace: Workspace, command: str, as_of: datetime, clock: Clock) -> Iterator[Running]:
    """Hold the lock and a row in the run table for the length of a run; an exception ends the row as failed."""
    with workspace.state.lock(f"engage-sync {command}"):
        started = workspace.state.start_run(command, as_of, clock())
        current = Running(workspace, started, as_of, clock)
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
