"""Which held runs wait for a person: of each connector the newest run that planned it, whatever ran beside or since.
Reads the run table; approves, plans and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from engage_sync.core.holds import Hold, HoldKind
from engage_sync.state.runs import Run
from engage_sync.sync.planning import Scope
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

LOOKED_AT = (50, 1_000)
"""Runs looked at for the newest that planned each connector, and again where those do not reach."""
CLOCKED = ("sync", "push", "approve", "plan")
"""The commands that the clock may hold as a whole."""
AGAIN = "run `engage-sync sync`, and approve that if it is held"


class WaitingRun(TypedDict):
    """A held run that waits, as `status` shows it, with what holds the connectors that it still waits for."""

    run: int
    command: str
    as_of: str
    held: list[str]
    holds: list[dict[str, object]]


def holds_of(run: Run) -> tuple[Hold, ...]:
    """Give what held a run."""
    return tuple(Hold.from_json(hold) for hold in run.summary.get("holds", ()))


def scope_of(run: Run) -> Scope:
    """Tell what a run planned."""
    return Scope(run.summary.get("scope", Scope.FAILED if run.command == "retry" else Scope.ALL))


@dataclass(frozen=True, slots=True)
class Like:
    """What makes runs alike: a run ends only what waits of its like. `releases` is the run whose values a release was
    to write again, which a rollback took back."""

    only_planned: bool
    scope: Scope
    releases: int | None = None

    @classmethod
    def of(cls, run: Run) -> Like:
        """Tell what a run was like."""
        scope = scope_of(run)
        return cls(run.command == "plan", scope, run.summary.get("releases") if scope is Scope.RELEASED else None)


PUSHED_ALL = Like(only_planned=False, scope=Scope.ALL)


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept with a run that tells whether it waits, read once."""

    run: Run
    like: Like
    holds: tuple[Hold, ...]
    reached: frozenset[str]
    """The connectors that it planned."""
    approved_by: int | None

    @classmethod
    def of(cls, run: Run) -> Kept:
        """Read a run."""
        return cls(run, Like.of(run), holds_of(run), _reached(run), run.summary.get("approved_by"))

    def held(self) -> frozenset[str]:
        """Give the connectors that it held."""
        return frozenset(hold.connector for hold in self.holds if hold.connector is not None)


@dataclass(frozen=True, slots=True)
class Planned:
    """The runs that planned each connector, newest first, down to the newest that planned all of it to push it. A
    `plan` writes nothing, a retry is about a part: such a run ends only what waits of its like. A release waits for as
    long as a value that it is about is kept back: no other run writes that."""

    by: Mapping[str, Sequence[Kept]]
    kept_back: Mapping[str, frozenset[int]]
    """By connector, the runs of which a rollback keeps values back."""

    def waiting(self, run: Run) -> frozenset[str]:
        """Give the connectors for which a run waits: it held them, and none that planned the same came after it."""
        one = Kept.of(run)
        if one.approved_by is not None:
            return frozenset()
        return frozenset(
            name
            for name in self._matters(one, one.held() & self.by.keys())
            if self._newest(name).get(one.like) == run.id
        )

    def _matters(self, one: Kept, names: Iterable[str]) -> list[str]:
        """Give those connectors in which a run can still change anything."""
        if one.like.scope is not Scope.RELEASED:
            return list(names)
        return [name for name in names if one.like.releases in self.kept_back.get(name, ())]

    def _newest(self, connector: str) -> dict[Like, int]:
        """Give, of each like, the newest run that planned a connector."""
        return {one.like: one.run.id for one in reversed(self.by[connector])}

    def open(self, connector: str) -> list[Kept]:
        """Give the runs that wait for a connector."""
        newest = self._newest(connector)
        return [
            one
            for one in self.by[connector]
            if one.approved_by is None
            and connector in one.held()
            and newest[one.like] == one.run.id
            and self._matters(one, [connector])
        ]

    def after(self, run: Run) -> Run | None:
        """Give the newest run that overtook a run in a connector that it held and that it still mattered to."""
        this = Kept.of(run)
        ends = {this.like} if this.like.scope is Scope.RELEASED else {this.like, PUSHED_ALL}
        names = self._matters(this, this.held() & self.by.keys())
        runs = [one.run for name in names for one in self.by[name] if one.like in ends]
        return max((one for one in runs if one.id > run.id), key=lambda one: one.id, default=None)


def planned(workspace: Workspace) -> Planned:
    """Look through the newest runs."""
    names = [file.name for file in workspace.project.connectors]
    undone = workspace.state.undone_runs()
    kept_back = {name: frozenset(of for connector, of, _ in undone if connector == name) for name in names}
    taken_back = min((by for _, _, by in undone), default=None)
    found: dict[str, list[Kept]] = {}
    for limit in LOOKED_AT:
        runs = workspace.state.runs(limit)
        found, open_ = {name: [] for name in names}, set(names)
        for one in map(Kept.of, runs):
            if not open_ and (taken_back is None or one.run.id < taken_back):
                return Planned(found, kept_back)
            for name in one.reached & kept_back.keys():
                if name in open_ or one.like.releases in kept_back[name]:
                    found[name].append(one)
            if one.like == PUSHED_ALL:
                open_ -= one.reached
        if len(runs) < limit:
            break
    return Planned(found, kept_back)


def _reached(run: Run) -> frozenset[str]:
    """Give the connectors that a run planned. An approval that did not reach its CRM, or died, counts for nothing: the
    run that it continued can be approved again."""
    summary = run.summary
    if run.finished_at is None or "counts" not in summary or "connectors" not in summary:
        return frozenset()
    errors = frozenset(summary.get("errors", ()))
    if "planned" not in summary:
        return frozenset(summary["connectors"]) - errors
    names = frozenset(summary["planned"])
    return names - errors if summary.get("approved") is not None else names


def held_by_clock(run: Run) -> bool:
    """Tell whether a run was held because one is recorded for a later instant."""
    return any(hold.kind is HoldKind.CLOCK_WRONG and hold.connector is None for hold in holds_of(run))


def look_ahead(workspace: Workspace, now: datetime) -> bool:
    """Tell whether what stands was recorded for an instant that is still to come."""
    newest = workspace.state.newest_recorded()
    return newest is not None and now < newest.as_of


def waits_for_clock(workspace: Workspace, run: Run, now: datetime) -> bool:
    """Tell whether a run waits for the clock to pass what is recorded, or for a person who says that it is right. All
    that were held by it do: the daemon holds another one each time; and so does one whose own clock was ahead of a
    CRM's and was set right since."""
    ahead = read_from_clock(run) and any(hold.kind is HoldKind.CLOCK_WRONG for hold in holds_of(run))
    return (held_by_clock(run) or ahead) and run.summary.get("approved_by") is None and look_ahead(workspace, now)


def read_from_clock(run: Run) -> bool:
    """Tell whether a run was as of its clock, and not as of an instant that somebody named."""
    return bool(run.summary.get("clocked"))


def waiting_runs(workspace: Workspace, now: datetime) -> list[WaitingRun]:
    """Give the held runs that wait for a person or for their cause to go, the newest first; for each connector one:
    where several wait, the one about all of it. While the clock is behind what is recorded, the newest that was held by
    that is the only one: no other goes through before it."""
    if look_ahead(workspace, now):
        pushes = workspace.state.runs(LOOKED_AT[0], *CLOCKED)
        behind = next((run for run in pushes if waits_for_clock(workspace, run, now)), None)
        if behind is not None:
            return [_told_of_clock(behind)]
    known = planned(workspace)
    chosen: dict[int, tuple[Kept, set[str]]] = {}
    for name in known.by:
        waits = known.open(name)
        if waits:
            one = min(waits, key=lambda kept: (kept.like != PUSHED_ALL, -kept.run.id))
            chosen.setdefault(one.run.id, (one, set()))[1].add(name)
    return [_told(kept, names) for _, (kept, names) in sorted(chosen.items(), reverse=True)]


def _told_of_clock(run: Run) -> WaitingRun:
    return _answer(run, [hold for hold in holds_of(run) if hold.kind is HoldKind.CLOCK_WRONG])


def _told(kept: Kept, names: set[str]) -> WaitingRun:
    return _answer(kept.run, [hold for hold in kept.holds if hold.connector in names])


def _answer(run: Run, holds: Sequence[Hold]) -> WaitingRun:
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
    if (by := run.summary.get("approved_by")) is not None:
        return f"run {run.id} was approved already: run {by} went on with it, and nothing of it waits"
    if held_by_clock(run):
        return f"run {run.id} was held by the clock, which is past what is recorded now: run `engage-sync sync`"
    return None if known.waiting(run) else _overtaken(known, run)


def _overtaken(known: Planned, run: Run) -> str:
    newer, releases = known.after(run), Like.of(run).releases
    if newer is None and releases is not None:
        of = f"no value that a rollback of run {releases} took back is kept back"
        return f"nothing of run {run.id} waits any more: {of}"
    if newer is None:
        return f"nothing of run {run.id} waits any more: {AGAIN}"
    what = f"run {run.id} was overtaken by run {newer.id} ({newer.command}, as of {iso_text(newer.as_of)})"
    if known.waiting(newer):
        return f"{what}, which is held too: `engage-sync approve {newer.id}`"
    return f"{what}: {AGAIN}"
