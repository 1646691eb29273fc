"""Reasons: which rules made a verdict, with the values they read, as plain sentences per user or account. The order is
what a customer-success manager should know first: signals that are on, then health, then the stage. Decides nothing.

What is written to a CRM says nothing that changes by the clock alone (`days_to_X` is told as the date), else every
record would be written anew every day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from polars import selectors

from engage_sync.core.asking import Asking
from engage_sync.core.columns import DAYS_TO, declared_names, value_of
from engage_sync.core.definitions import Entity
from engage_sync.core.verdict_rules import Health, Profile, Rule, Stages
from engage_sync.core.words import plain, sentence, told

TOP = 3
SEPARATOR = "; "
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that may be a reason, and for whom it is one."""

    rule: Rule
    holders: pl.Expr


def top(frame: pl.DataFrame, asking: Asking) -> pl.Series:
    """Give the first three reasons of each row, a list of sentences."""
    parts = [pl.DataFrame(schema={"row": pl.UInt32, "order": pl.Int32, "text": pl.String})]
    numbered = frame.with_row_index(".at")
    for order, candidate in enumerate(candidates(asking)):
        held = numbered.filter(candidate.holders)
        if held.height:
            held = held.filter(asking.matched(held, candidate.rule.when))
        if held.height:
            parts.append(
                pl.DataFrame({"row": held[".at"], "text": _lasting(held, candidate.rule, asking)}).select(
                    "row", pl.lit(order, pl.Int32()).alias("order"), "text"
                )
            )
    if asking.entity is Entity.USER:
        parts.append(_types(numbered, len(parts)))
    best = pl.concat(parts).sort("row", "order").group_by("row", maintain_order=True).agg(pl.col("text").head(TOP))
    rows = pl.DataFrame({"row": pl.int_range(frame.height, dtype=pl.UInt32, eager=True)})
    return rows.join(best, on="row", how="left", maintain_order="left")["text"].fill_null([])


def fitted(reasons: pl.Expr, room: int | None) -> pl.Expr:
    """Join reasons into one text, as many whole ones as `room` characters take. A first one that is longer than the
    room ends in an ellipsis. Null without any reason."""
    whole = [reasons.list.head(count).list.join(SEPARATOR) for count in range(TOP, 0, -1)]
    if room is None:
        text = whole[0]
    else:
        shortened = reasons.list.first().str.slice(0, max(room - 1, 0)) + _ELLIPSIS
        text = pl.coalesce([pl.when(one.str.len_chars() <= room).then(one) for one in whole] + [shortened])
    return pl.when(reasons.list.len() > 0).then(text)


def because(frame: pl.DataFrame, rule: Rule, asking: Asking) -> pl.Series:
    """Give the sentence of a rule for each row, with the values that it read."""
    read = asking.read(frame, [rule.when])
    values = [pl.lit(f"{plain(name)} ") + told(name, read.schema[name]) for name in sorted(rule.when.names)]
    return _said(rule, read, values)


def _lasting(frame: pl.DataFrame, rule: Rule, asking: Asking) -> pl.Series:
    """Give the same for a CRM: no yes or no, which the sentence says already, and nothing that changes by the clock
    alone: the date in place of the days to it, no age."""
    declared = declared_names(asking.model, asking.entity)
    names = dict.fromkeys(_lasting_name(name, declared) for name in sorted(rule.when.names))
    values = {
        name: value_of(name, asking.model, asking.entity, as_of=asking.as_of, timezone=asking.timezone)
        for name in names
        if name is not None
    }
    days = selectors.datetime().dt.convert_time_zone(asking.timezone).dt.date()
    read = frame.select(**values).with_columns(days) if values else frame
    spoken = [name for name in values if not isinstance(read.schema[name], pl.Boolean)]
    return _said(rule, read, [pl.lit(f"{plain(name)} ") + told(name, read.schema[name]) for name in spoken])


def _lasting_name(name: str, declared: frozenset[str]) -> str | None:
    """Give the name whose value says the same and stays; None where none does."""
    if name == "days_since_active":
        return "last_active_at"
    date = name.removeprefix(DAYS_TO)
    if date != name and date in declared:
        return date
    passing = {"age_days", "account.age_days", "account.days_since_active"}
    return None if name in passing or name.startswith(f"account.{DAYS_TO}") else name


def _said(rule: Rule, read: pl.DataFrame, values: Sequence[pl.Expr]) -> pl.Series:
    if not values:
        return read.select(pl.repeat(sentence(rule), pl.len()).alias("text"))["text"]
    text = pl.lit(f"{sentence(rule)} (") + pl.concat_str(values, separator=", ") + ")"
    return read.select(text.alias("text"))["text"]


def candidates(asking: Asking) -> Iterator[Candidate]:
    """Give every rule that can be a reason, the weightiest first."""
    model, entity = asking.model, asking.entity
    for signal in model.signals_of(entity):
        yield Candidate(signal.rule, pl.col("signals").list.contains(signal.name))
    health = model.health.get(entity)
    if health is not None:
        yield from _health(health)
    for step in model.stages.get(entity, Stages()).steps:
        yield Candidate(step, pl.col("stage") == step.name)


def profiles(health: Health) -> Iterator[tuple[str | None, Profile, pl.Expr]]:
    """Give each profile with the stage it is for (None: the default) and for whom it counts."""
    for stage, profile in health.stages.items():
        yield stage, profile, pl.col("stage") == stage
    if health.default is not None:
        others = (
            ~pl.col("stage").is_in(list(health.stages)).fill_null(value=False) if health.stages else pl.lit(value=True)
        )
        yield None, health.default, others


def _health(health: Health) -> Iterator[Candidate]:
    sides: Sequence[str] = ("bad", "good")
    for side in sides:
        for _, profile, mine in profiles(health):
            for rule in profile.bad if side == "bad" else profile.good:
                yield Candidate(rule, mine & (pl.col("health") == side))


def _types(numbered: pl.DataFrame, order: int) -> pl.DataFrame:
    """Say what somebody does, as the last reason."""
    count, since = pl.col("events").cast(pl.String), pl.col("last_active_at").dt.strftime("%Y-%m-%d")
    text = (
        pl.when("active")
        .then(pl.col("primary_user_type") + " user (" + count + " events)")
        .when(pl.col("last_active_at").is_not_null())
        .then("inactive, last active on " + since)
        .otherwise(pl.lit("has never used the product"))
    )
    return numbered.select(pl.col(".at").alias("row"), pl.lit(order, pl.Int32()).alias("order"), text.alias("text"))
