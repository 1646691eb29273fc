"""`show timeline`: one user's or account's stages, segments, signals and scores through the recorded runs, and what
changed in each with its reasons (semantics §7). Read from the kept verdicts; nothing is computed again or written.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.sync.link_history import Link, link_history, links_json
from engage_sync.sync.rows import iso_text
from engage_sync.sync.unknown import unknown
from engage_sync.sync.views import Json
from engage_sync.sync.wiring import Workspace

_SCORES = "scores."
_BAND = "_band"
_DERIVED = (_BAND, "_trend", "_heat", "_sum")


@dataclass(frozen=True, slots=True)
class Interval:
    """From the first recorded run in which something held to the first in which it did not; None: it still holds."""

    name: str
    entered_at: datetime
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one verdict, between two recorded runs. `before` None: there was nothing; `after` likewise."""

    at: datetime
    run: int
    kind: str
    name: str
    before: str | None
    after: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The scores and bands of the last recorded run of a calendar day in the project's time zone."""

    day: str
    scores: Mapping[str, Json]
    bands: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All that is kept of one user or account through time, oldest first."""

    entity: Entity
    external_id: str
    timezone: str
    stages: tuple[Interval, ...]
    segments: tuple[Interval, ...]
    signals: tuple[Interval, ...]
    transitions: tuple[Change, ...]
    scores: tuple[Day, ...]
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs that count, in order: their ids and their instants."""

    ids: Sequence[int]
    at: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A document and the counted runs in which it stood: places `first` to `last` in their order."""

    document: Mapping[str, Json]
    first: int
    last: int


def timeline(workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None = None) -> Timeline:
    """Read the timeline of one user or account, with `as_of` that of the runs up to then.

    An id that no such run knows is a Mistake with the nearest ones. Documents are read as they were kept, so that a
    score or a segment which the model no longer declares keeps its past.
    """
    counted = workspace.state.counted_runs().filter(True if as_of is None else pl.col("as_of") <= as_of).sort("run")
    runs = _Runs(counted["run"].to_list(), counted["as_of"].to_list())
    stretches = list(_stretches(workspace.state.history(entity, external_id), runs))
    if not stretches:
        raise unknown(workspace, entity, external_id, as_of)
    zone = workspace.project.timezone
    return Timeline(
        entity=entity,
        external_id=external_id,
        timezone=zone,
        stages=_intervals(stretches, runs, "stage"),
        segments=_intervals(stretches, runs, "segments"),
        signals=_intervals(stretches, runs, "signals"),
        transitions=tuple(_changes(workspace, entity, external_id, runs)),
        scores=tuple(_days(stretches, runs, ZoneInfo(zone))),
        links=_links_until(workspace, entity, external_id, as_of),
    )


def _links_until(workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None) -> tuple[Link, ...]:
    """Give the links that had begun at an instant; one that ended later had not ended."""
    links = link_history(workspace, entity, [external_id])
    if as_of is None:
        return links
    return tuple(
        replace(one, until=None, moved_to=None) if one.until is not None and one.until > as_of else one
        for one in links
        if one.since <= as_of
    )


def timeline_json(found: Timeline) -> Json:
    """Give the answer of `show timeline`."""
    return {
        "entity": found.entity.value,
        "external_id": found.external_id,
        "stages": [_interval_json("stage", one) for one in found.stages],
        "segments": [_interval_json("segment", one) for one in found.segments],
        "signals": [_interval_json("signal", one) for one in found.signals],
        "transitions": [
            {
                "at": iso_text(change.at),
                "run": change.run,
                "kind": change.kind,
                "name": change.name,
                "from": change.before,
                "to": change.after,
                "reasons": list(change.reasons),
            }
            for change in found.transitions
        ],
        "links": links_json(found.links),
        "scores": [{"day": one.day, "scores": dict(one.scores), "bands": dict(one.bands)} for one in found.scores],
    }


def _interval_json(kind: str, one: Interval) -> Json:
    left = None if one.left_at is None else iso_text(one.left_at)
    return {kind: one.name, "entered_at": iso_text(one.entered_at), "left_at": left}


def _stretches(history: pl.DataFrame, runs: _Runs) -> Iterator[_Stretch]:
    """Give the documents that stood in a counted run, oldest first; those of replaced runs alone are left out."""
    for start, end, document in history.sort("valid_from").iter_rows():
        first = bisect_left(runs.ids, start)
        last = (len(runs.ids) if end is None else bisect_left(runs.ids, end)) - 1
        if first <= last:
            yield _Stretch(json.loads(document), first, last)


def _intervals(stretches: Sequence[_Stretch], runs: _Runs, key: str) -> tuple[Interval, ...]:
    """Give the intervals of the names that the documents hold under `key`, in order of entering, then of name."""
    found: list[Interval] = []
    open_since: dict[str, datetime] = {}

    def leave(names: Iterable[str], place: int) -> None:
        found.extend(Interval(name, open_since.pop(name), runs.at[place]) for name in list(names))

    previous = -1
    for stretch in stretches:
        if stretch.first > previous + 1:
            leave(open_since, previous + 1)  # there were runs that did not know it
        names = _names(stretch.document.get(key))
        leave(open_since.keys() - names, stretch.first)
        for name in names - open_since.keys():
            open_since[name] = runs.at[stretch.first]
        previous = stretch.last
    if previous + 1 < len(runs.ids):
        leave(open_since, previous + 1)
    found.extend(Interval(name, since, None) for name, since in open_since.items())
    return tuple(sorted(found, key=lambda one: (one.entered_at, one.name)))


def _names(value: Json) -> set[str]:
    if isinstance(value, list):
        return {str(name) for name in value}
    return set() if value is None else {str(value)}


def _days(stretches: Sequence[_Stretch], runs: _Runs, zone: ZoneInfo) -> Iterator[Day]:
    last_of_day: dict[str, _Stretch] = {}
    for stretch in stretches:
        for instant in runs.at[stretch.first : stretch.last + 1]:
            last_of_day[instant.astimezone(zone).date().isoformat()] = stretch
    for day, stretch in last_of_day.items():
        held = {
            name.removeprefix(_SCORES): value for name, value in stretch.document.items() if name.startswith(_SCORES)
        }
        yield Day(
            day,
            scores={name: value for name, value in held.items() if not name.endswith(_DERIVED)},
            bands={name.removesuffix(_BAND): value for name, value in held.items() if name.endswith(_BAND)},
        )


def _changes(workspace: Workspace, entity: Entity, external_id: str, runs: _Runs) -> Iterator[Change]:
    """Give the kept transitions of the counted runs, oldest first."""
    known = set(runs.ids)
    for row in workspace.state.transitions(entity, external_id).iter_rows(named=True):
        if row["run"] in known:
            yield Change(
                at=datetime.fromisoformat(row["at"]),
                run=row["run"],
                kind=row["kind"],
                name=row["name"],
                before=row["before"],
                after=row["after"],
                reasons=tuple(json.loads(row["reasons"] or "[]")),
            )
