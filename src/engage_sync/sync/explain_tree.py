"""The tree of `explain`: each verdict of one user or account, with the rules, values, thresholds and sums that made it,
down to the markers of `core/markers.py`. Reads values only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.health import UNKNOWN
from engage_sync.core.history import Marks, benchmark_moved
from engage_sync.core.markers import Marker, markers
from engage_sync.core.verdict_rules import Score, WeightedScore
from engage_sync.sync.views import Json


@dataclass(frozen=True, slots=True)
class Node:
    """One verdict: its value, a sentence on how it came about, and the markers of its rules."""

    verdict: str
    value: Json
    why: str
    rules: tuple[Marker, ...] = ()


def tree(frame: pl.DataFrame, asking: Asking, marks: Marks) -> tuple[Node, ...]:
    """Give the verdicts after the types, in the order in which they are decided. `frame` is the one row, with all that
    its rules read; `marks` the benchmarks of the scores."""
    row = frame.row(0, named=True)
    found: dict[str, list[Marker]] = {}
    for marker in markers(frame, asking):
        found.setdefault(marker.place, []).append(marker)
    return tuple(_nodes(row, asking, found, marks))


def _nodes(
    row: Mapping[str, Json], asking: Asking, found: Mapping[str, Sequence[Marker]], marks: Marks
) -> Iterator[Node]:
    model, entity = asking.model, asking.entity
    if "stage" in found:
        yield Node("stage", row["stage"], _stage_why(row, found["stage"], model, entity), tuple(found["stage"]))
    if entity in model.health:
        rules = tuple(found.get("health", ()))
        yield Node("health", row["health"], _health_why(row, rules, model, entity), rules)
    for score in model.scores_of(entity):
        name = f"scores.{score.name}"
        yield Node(name, row[name], _score_why(row, score, entity, marks), tuple(found.get(name, ())))
    for kind, names in (("segments", model.segments_of(entity)), ("signals", model.signals_of(entity))):
        for one in names:
            place = f"{kind}.{one.name}"
            holds = one.name in (row[kind] or ())  # type: ignore[operator]  # a list of names
            yield Node(place, holds, one.rule.why or "", tuple(found.get(place, ())))


def _stage_why(row: Mapping[str, Json], rules: Sequence[Marker], model: Model, entity: Entity) -> str:
    matched = [marker.part for marker in rules if marker.matched]
    if not matched:
        return "no stage's rule matches" + (f"; it stays {row['stage']}" if row["stage"] else "")
    if matched[0] == row["stage"]:
        return "the last stage whose rule matches"
    way = "stages are monotonic: nobody moves back" if model.stages[entity].monotonic else "the model has changed since"
    return f"the last stage whose rule matches is {matched[0]}; {way}"


def _health_why(row: Mapping[str, Json], rules: Sequence[Marker], model: Model, entity: Entity) -> str:
    health, value = model.health[entity], row["health"]
    if value is None:
        return "its stage has no profile, and there is no default"
    if value == UNKNOWN:
        return f"younger than the grace of {health.grace.total_seconds() / 86_400:g} days"
    profile = row["stage"] if row["stage"] in health.stages else "default"
    sides = {side: sum(marker.matched is True for marker in rules if marker.part == side) for side in ("good", "bad")}
    order = "bad rules first" if health.bad_first else "good rules first"
    why = f"profile {profile}: {sides['good']} good and {sides['bad']} bad rules match, {order}"
    raw, runs = row["health_raw"], row["health_runs"]
    if raw is not None and raw != value:
        why += f"; it would be {raw}, for {runs} of {health.confirm} runs in a row"
    return why


def _score_why(row: Mapping[str, Json], score: Score, entity: Entity, marks: Marks) -> str:
    name = f"scores.{score.name}"
    band = f"band {row[f'{name}_band']}" if row[f"{name}_band"] is not None else "no band"
    if not isinstance(score, WeightedScore):
        known = "the share of the known weight that matches" if row[name] is not None else "less than half is known"
        return f"{known}; {band}"
    trend = row[f"{name}_trend"]
    told = "no trend: nobody had any in the window before" if trend is None else f"trend {trend:+d}"
    if entity is Entity.ACCOUNT:
        return f"mean of its active users, who have {row[f'{name}_sum']} together; {band}; {told}"
    _, mark = marks.get(score.name, (None, None))
    raw = row[f"raw.{score.name}"]
    weighed = 0 if raw is None else float(raw) / score.scale  # type: ignore[arg-type]  # a whole number
    share = f"100 × {weighed:.10g} ÷ {mark:.10g}" if mark is not None else f"{weighed:.10g} weighted events"
    days = score.window.total_seconds() / 86_400
    moved = benchmark_moved(score.name, marks)
    return f"{share}, weighted events of {days:g} days ÷ the benchmark (90th percentile){moved}; {band}; {told}"
