"""What surrounds a run and its steps, whatever they do: every log line within carries the run and the connector, the
time of each step is kept for `runs ID`, spans tell a collector, and at the end the run and its calls enter the running
totals. It decides nothing, and none of it can fail a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

import structlog
from structlog.contextvars import bound_contextvars

from engage_sync.errors import EngageError
from engage_sync.sync import tracing

if TYPE_CHECKING:
    from engage_sync.state.tallies import Tally
    from engage_sync.sync.reports import Running
    from engage_sync.sync.sessions import Session

RUNS, CALLS = "runs", "calls"
"""The names of the running totals."""
UNFINISHED = "unfinished"
"""How a run counts whose process died."""


class StepTaken(TypedDict):
    """One step of a run: pull, reconcile, compute, plan, push or deliver. `connector` is None where it is about all."""

    step: str
    connector: str | None
    seconds: float


@contextmanager
def followed(current: Running) -> Iterator[None]:
    """Surround a run that has its row in the run table."""
    state, project = current.workspace.state, current.workspace.project
    tallies: list[Tally] = []
    before = state.runs(2)[1:]  # under the lock: one that is not finished has died
    tallies += [(RUNS, {"command": one.command, "status": UNFINISHED}, 1) for one in before if one.finished_at is None]
    with (
        bound_contextvars(run=current.id),
        tracing.run(project, current.command, {"engage_sync.run": current.id, "engage_sync.as_of": f"{current.as_of}"}),
    ):
        try:
            yield
        finally:
            tallies += _calls(current.sessions)
            status = current.status
            if status is not None:
                tallies.append((RUNS, {"command": current.command, "status": status}, 1))
            noted = _noted(_counted(current.sessions))
            tracing.tell({"engage_sync.status": status or UNFINISHED, **noted}, failed=status in {None, "failed"})
            try:
                state.count(tallies)
            except EngageError as error:
                structlog.get_logger(__name__).warning("the running totals were not kept", error=str(error))


def _calls(sessions: Sequence[Session]) -> list[Tally]:
    return [
        (CALLS, {"connector": one.file.name, "kind": kind, "outcome": outcome}, n)
        for one in sessions
        for (kind, outcome), n in one.connector.ended.items()
    ]


@contextmanager
def step(taken: list[StepTaken], name: str, sessions: Sequence[Session], about: str | None) -> Iterator[None]:
    """Surround one step of a run, `about` one connector or all; `sessions` are those that it may call."""
    before = _counted(sessions)
    began = time.perf_counter()
    label = {} if about is None else {"connector": about}
    with bound_contextvars(**label), tracing.step(name, {f"engage_sync.{key}": text for key, text in label.items()}):
        met = {id(one): one.error for one in sessions}
        try:
            yield
        finally:
            seconds = round(time.perf_counter() - began, 3)
            taken.append({"step": name, "connector": about, "seconds": seconds})
            calls = _counted(sessions)
            calls.subtract(before)
            errors = [one.error for one in sessions if one.error is not met[id(one)]]
            tracing.tell(
                {**_noted(calls), **({"error.type": type(errors[0]).__name__} if errors else {})}, failed=bool(errors)
            )


def _noted(calls: Counter[str]) -> dict[str, int]:
    return {f"engage_sync.calls.{kind}": calls[kind] for kind in ("read", "write")}


def _counted(sessions: Sequence[Session]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for one in sessions:
        counts.update(one.connector.calls)
    return counts
