"""What changed between two runs: transitions of types, stage, health, segments, signals and score bands, from the rows
of the entities whose document changed (semantics §7). Reasons are added by who knows the rules' values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.reasons import SEPARATOR, because, profiles
from engage_sync.core.verdict_rules import Rule, Stages

TRANSITIONS: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),
    "kind": pl.String(),  # type, stage, health, segment, signal, band
    "name": pl.String(),  # of the segment, signal or score; empty where there is only one
    "before": pl.String(),
    "after": pl.String(),
}
"""One row per change. A segment goes from null to `in` and back, a signal from null to `on`; types are one text."""


def watched(model: Model, entity: Entity) -> dict[str, pl.DataType]:
    """Give the columns whose changes are transitions."""
    lists = ("user_types", "segments", "signals") if entity is Entity.USER else ("segments", "signals")
    bands = [f"scores.{score.name}_band" for score in model.scores_of(entity)]
    return dict.fromkeys(lists, pl.List(pl.String())) | dict.fromkeys(("stage", "health", *bands), pl.String())


def transitions(before: pl.DataFrame, after: pl.DataFrame, model: Model, entity: Entity) -> pl.DataFrame:
    """Give what differs between two frames of `external_id` and the `watched` columns, as TRANSITIONS. An id that
    stands on one side only is no transition: it has just begun, or ended."""
    both = after.join(before, on="external_id", how="inner", suffix=".before")
    found = [pl.DataFrame(schema=TRANSITIONS)]
    for kind, name, column, joined in _watched(model, entity):
        old, new = pl.col(f"{column}.before"), pl.col(column)
        if joined:
            old, new = old.list.join(";").replace("", None), new.list.join(";").replace("", None)
        found.append(_changed(both, kind, name, old, new))
    for kind, column, holds in (("segment", "segments", "in"), ("signal", "signals", "on")):
        for name in _named(both, column):
            held = pl.when(pl.col(column).list.contains(name)).then(pl.lit(holds))
            held_before = pl.when(pl.col(f"{column}.before").list.contains(name)).then(pl.lit(holds))
            found.append(_changed(both, kind, name, held_before, held))
    return pl.concat(found)


def _watched(model: Model, entity: Entity) -> list[tuple[str, str, str, bool]]:
    """Give kind, name, column, and whether the column is a list that counts as one value."""
    types = [("type", "", "user_types", True)] if entity is Entity.USER else []
    bands = [("band", score.name, f"scores.{score.name}_band", False) for score in model.scores_of(entity)]
    return [*types, ("stage", "", "stage", False), ("health", "", "health", False), *bands]


def _changed(both: pl.DataFrame, kind: str, name: str, before: pl.Expr, after: pl.Expr) -> pl.DataFrame:
    rows = both.select(
        "external_id", kind=pl.lit(kind), name=pl.lit(name), before=before.cast(pl.String), after=after.cast(pl.String)
    )
    return rows.filter(pl.col("before").ne_missing(pl.col("after")))


def _named(both: pl.DataFrame, column: str) -> list[str]:
    names = pl.concat([both[column], both[f"{column}.before"]]).explode().drop_nulls().unique()
    return sorted(names.to_list())


Marks = Mapping[str, tuple[float | None, float | None]]
"""The benchmark of each weighted score in the last run and in this one; None: nobody had any, or it is not known."""


def with_reasons(changes: pl.DataFrame, frame: pl.DataFrame, asking: Asking, marks: Marks) -> pl.DataFrame:
    """Add `reasons`, a list of sentences with the values that the rules read now. `frame` holds the verdict rows of
    those ids that still have verdicts."""
    told = [pl.DataFrame(schema={**TRANSITIONS, "reasons": pl.List(pl.String)})]
    for (kind, name), rows in changes.sort("external_id").group_by("kind", "name", maintain_order=True):
        about = rows.select("external_id").join(frame, on="external_id", how="inner", maintain_order="left")
        mine = rows.join(frame.select("external_id"), on="external_id", how="inner", maintain_order="left")
        others = rows.join(frame, on="external_id", how="anti")
        told.append(others.with_columns(pl.lit(["has no verdicts any more"], pl.List(pl.String)).alias("reasons")))
        if mine.height:
            texts = _texts(str(kind), str(name), about, asking, marks)
            told.append(mine.select(*TRANSITIONS).with_columns(texts.alias("reasons")))
    return pl.concat(told)


def _texts(kind: str, name: str, mine: pl.DataFrame, asking: Asking, marks: Marks) -> pl.Series:
    """Give the reasons of the changes of one kind and name, a list per row."""
    if kind == "band":
        return _of_band(name, mine, marks)
    if kind == "type":
        return _of_types(mine)
    sentences = [
        pl.DataFrame({"at": held[".at"], "text": _asked(held, rule, asking)})
        for rule, holders in _rules(kind, name, asking)
        if (held := mine.with_row_index(".at").filter(holders)).height
    ]
    parts = pl.concat([pl.DataFrame(schema={"at": pl.UInt32, "text": pl.String}), *sentences])
    grouped = parts.drop_nulls().group_by("at", maintain_order=True).agg("text")
    rows = pl.DataFrame({"at": pl.int_range(mine.height, dtype=pl.UInt32, eager=True)})
    none = pl.lit([_without(kind, name, asking)], pl.List(pl.String))
    return rows.join(grouped, on="at", how="left", maintain_order="left").select(pl.col("text").fill_null(none))["text"]


def _without(kind: str, name: str, asking: Asking) -> str:
    """Say why something changed though no rule of it matches."""
    names = {
        "segment": [one.name for one in asking.model.segments_of(asking.entity)],
        "signal": [one.name for one in asking.model.signals_of(asking.entity)],
    }
    if kind in names and name not in names[kind]:
        return "is not in the model any more"
    return "no good and no bad rule matches" if kind == "health" else "no rule matches any more"


def _asked(held: pl.DataFrame, rule: Rule, asking: Asking) -> pl.Series:
    """Give a rule's sentence where it matches, null elsewhere."""
    texts = pl.DataFrame({"text": because(held, rule, asking), "matched": asking.matched(held, rule.when)})
    return texts.select(pl.when("matched").then("text").alias("text"))["text"]


def _rules(kind: str, name: str, asking: Asking) -> Sequence[tuple[Rule, pl.Expr]]:
    """Give the rules that may have made the new value, with whom each is about."""
    model, entity, everyone = asking.model, asking.entity, pl.lit(value=True)
    if kind == "stage":
        return [(step, pl.col("stage") == step.name) for step in model.stages.get(entity, Stages()).steps]
    if kind == "segment":
        return [(one.rule, everyone) for one in model.segments_of(entity) if one.name == name]
    if kind == "signal":
        return [(one.rule, everyone) for one in model.signals_of(entity) if one.name == name]
    health = model.health.get(entity)
    found = [] if health is None else list(profiles(health))
    return [
        (rule, mine.fill_null(value=False) & (pl.col("health") == side))
        for _, profile, mine in found
        for side, rules in (("good", profile.good), ("bad", profile.bad))
        for rule in rules
    ]


def _of_band(name: str, mine: pl.DataFrame, marks: Marks) -> pl.Series:
    score = pl.col(f"scores.{name}").cast(pl.String).fill_null("unknown")
    moved = benchmark_moved(name, marks)
    text = pl.concat_str(pl.lit(f"{name.replace('_', ' ')} score is "), score, pl.lit(moved))
    return mine.select(pl.concat_list(text).alias("text"))["text"]


def benchmark_moved(name: str, marks: Marks) -> str:
    """Say how a score's benchmark moved since the last run, as the end of a sentence; empty where it did not."""
    then, now = marks.get(name, (None, None))
    if now is None or then is None or now == then:
        return ""
    return f"; its benchmark {'rose' if now > then else 'fell'} {then:.10g} → {now:.10g}"


def _of_types(mine: pl.DataFrame) -> pl.Series:
    events = pl.col("events").cast(pl.String)
    rank = pl.when("active").then(SEPARATOR + "rank " + pl.col("power_rank").cast(pl.String) + " of the active users")
    linked = pl.when("linked").then(pl.lit(f"{SEPARATOR}has a contact in a CRM"))
    text = pl.concat_str(events, pl.lit(" events in the activity window"), rank.fill_null(""), linked.fill_null(""))
    return mine.select(pl.concat_list(text).alias("text"))["text"]
