"""Which held runs wait for a person: of each connector the newest run that planned it, whatever ran beside or since.
Reads the run table; approves, plans and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from engage_sync.core.holds import Hold, HoldKind
from engage_sync.state.runs import Run
from engage_sync.sync.planning import Scope
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

LOOKED_AT = (50, 1_000)
"""Runs looked at for the newest that planned each connector, and again where those do not reach."""
AGAIN = "run `engage-sync sync`, and approve that if it is held"


class WaitingRun(TypedDict):
    """A held run that waits, as `status` shows it, with what holds the connectors that it still waits for."""

    run: int
    command: str
    as_of: str
    held: list[str]
    holds: list[dict[str, object]]


def summary_of(run: Run) -> Mapping[str, Any]:
    """Give what was kept with a run."""
    found: dict[str, Any] = json.loads(run.summary or "{}")
    return found


def holds_of(run: Run) -> tuple[Hold, ...]:
    """Give what held a run."""
    return tuple(Hold.from_json(hold) for hold in summary_of(run).get("holds", ()))


def scope_of(run: Run) -> Scope:
    """Tell what a run planned."""
    return Scope(summary_of(run).get("scope", Scope.FAILED if run.command == "retry" else Scope.ALL))


@dataclass(frozen=True, slots=True)
class Planned:
    """The runs that planned each connector, newest first, down to the newest that planned all of it to push it. A
    `plan` writes nothing, a retry or a release is about a part: such a run ends only what waits of its like."""

    by: Mapping[str, Sequence[Run]]

    def waiting(self, run: Run) -> frozenset[str]:
        """Give the connectors for which a run waits: it held them, and none that planned the same came after it."""
        if "approved_by" in summary_of(run):
            return frozenset()
        held = {hold.connector for hold in holds_of(run)}
        return frozenset(
            name
            for name, runs in self.by.items()
            if name in held and next((one.id for one in runs if _like(one) == _like(run)), None) == run.id
        )

    def after(self, run: Run) -> Run | None:
        """Give the newest run that overtook a run in a connector that it held."""
        held = {hold.connector for hold in holds_of(run)}
        ends = {_like(run), (False, Scope.ALL)}
        runs = [one for name in held & self.by.keys() for one in self.by[name or ""] if _like(one) in ends]
        return max((one for one in runs if one.id > run.id), key=lambda one: one.id, default=None)


def _like(run: Run) -> tuple[bool, Scope]:
    return run.command == "plan", scope_of(run)


def planned(workspace: Workspace) -> Planned:
    """Look through the newest runs."""
    names = [file.name for file in workspace.project.connectors]
    found: dict[str, list[Run]] = {}
    for limit in LOOKED_AT:
        runs = workspace.state.runs(limit)
        found, open_ = {name: [] for name in names}, set(names)
        for run in runs:
            if not open_:
                break
            here = open_ & _reached(run)
            for name in here:
                found[name].append(run)
            if _like(run) == (False, Scope.ALL):
                open_ -= here
        if not open_ or len(runs) < limit:
            break
    return Planned(found)


def _reached(run: Run) -> frozenset[str]:
    """Give the connectors that a run planned. An approval that did not reach its CRM, or died, counts for nothing: the
    run that it continued can be approved again."""
    summary = summary_of(run)
    if run.finished_at is None or "counts" not in summary or "connectors" not in summary:
        return frozenset()
    errors = frozenset(summary.get("errors", ()))
    if "planned" not in summary:
        return frozenset(summary["connectors"]) - errors
    names = frozenset(summary["planned"])
    return names - errors if summary.get("approved") is not None else names


def waiting_runs(workspace: Workspace) -> list[WaitingRun]:
    """Give the held runs that wait for a person or for their cause to go, the newest first; for each connector one:
    where several wait, the one about all of it."""
    known = planned(workspace)
    chosen: dict[int, tuple[Run, set[str]]] = {}
    for name, runs in known.by.items():
        held = [run for run in runs if name in known.waiting(run)]
        if held:
            run = min(held, key=lambda one: (_like(one) != (False, Scope.ALL), -one.id))
            chosen.setdefault(run.id, (run, set()))[1].add(name)
    return [_told(run, names) for _, (run, names) in sorted(chosen.items(), reverse=True)]


def _told(run: Run, names: set[str]) -> WaitingRun:
    holds = [hold for hold in holds_of(run) if hold.connector in names]
    return {
        "run": run.id,
        "command": run.command,
        "as_of": iso_text(run.as_of),
        "held": [hold.sentence for hold in holds],
        "holds": [hold.json() for hold in holds],
    }


def why_not(known: Planned, run: Run) -> str | None:
    """Say why a run cannot be continued; None where it can."""
    holds = holds_of(run)
    if not holds and run.held:
        return f"run {run.id}: it was held by an older version; {AGAIN}"
    if not holds:
        ended = "is not finished" if run.finished_at is None else f"ended {run.status}"
        return f"run {run.id} was not held (it {ended}), so nothing of it waits"
    if (by := summary_of(run).get("approved_by")) is not None:
        return f"run {run.id} was approved already: run {by} went on with it, and nothing of it waits"
    if all(hold.connector is None for hold in holds):
        kinds = {hold.kind for hold in holds}
        cause = "the clock" if kinds == {HoldKind.CLOCK_WRONG} else "what held it"
        return f"run {run.id} was held before anything was planned: mend {cause}, then run `engage-sync sync`"
    return None if known.waiting(run) else _overtaken(known, run)


def _overtaken(known: Planned, run: Run) -> str:
    newer = known.after(run)
    if newer is None:
        return f"nothing of run {run.id} waits any more: {AGAIN}"
    what = f"run {run.id} was overtaken by run {newer.id} ({newer.command}, as of {iso_text(newer.as_of)})"
    if known.waiting(newer):
        return f"{what}, which is held too: `engage-sync approve {newer.id}`"
    return f"{what}: {AGAIN}"
