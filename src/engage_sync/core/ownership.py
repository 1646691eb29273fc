"""Whose value stands in a field that somebody else set: the plan after it is known who set it and when (decision 0008).
A person's value under `human_lock` stays until its time is over. Pure: `as_of` decides, no clock; calls nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from engage_sync.core.definitions import ManagedField, OnDrift
from engage_sync.core.fitting import FieldLimit, misfit
from engage_sync.core.plan import CHANGES, ObjectPlan

DRIFTS = ("drift_kept", "drift_written")
"""The decisions about a value that somebody else set."""
INSTANT = pl.Datetime("us", "UTC")
KNOWN: Mapping[str, pl.DataType] = {
    "record": pl.String(),
    "field": pl.String(),
    "value": pl.String(),
    "seen_at": INSTANT,
    "author": pl.String(),
    "changed_at": INSTANT,
    "human": pl.Boolean(),
}
"""What is known of a drifting field: the value, when a run first saw it, who set it when, and whether it was a person.
An author of '' was asked for and is not known; null was not asked for."""


def drifting(plan: ObjectPlan) -> pl.DataFrame:
    """Give record, field and value of what somebody else set."""
    return plan.changes.filter(pl.col("decision").is_in(DRIFTS)).select("record", "field", value="before")


def met(drift: pl.DataFrame, stored: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Give what is known (KNOWN) of `drift`, as `drifting` gives it: what is `stored` (KNOWN) of the same value, else
    that it was first seen at `as_of`."""
    known = drift.join(stored, on=["record", "field", "value"], how="left", maintain_order="left")
    return known.with_columns(pl.col("seen_at").fill_null(pl.lit(as_of, INSTANT)))


def lapsed(fields: Sequence[ManagedField], as_of: datetime) -> pl.Expr:
    """Tell of which rows of KNOWN the value is a person's, as far as was asked, and its lock over at `as_of`."""
    locks = {managed.field: managed.lock for managed in fields if managed.on_drift is OnDrift.HUMAN_LOCK}
    lock = pl.col("field").replace_strict(locks, default=None, return_dtype=pl.Duration("us"))
    over = pl.coalesce("changed_at", "seen_at") + lock <= pl.lit(as_of, INSTANT)
    asked = pl.col("author").is_not_null() & pl.col("human").ne_missing(pl.lit(value=False))
    return (over & asked).fill_null(value=False)


def owned(
    plan: ObjectPlan,
    fields: Sequence[ManagedField],
    known: pl.DataFrame,
    *,
    as_of: datetime,
    limits: Mapping[str, FieldLimit] | None,
) -> ObjectPlan:
    """Decide about drift in locked fields, over `known` (KNOWN): kept while a person's lock runs, else written.

    The lock runs from when the value was set; not known, from when it was first seen. Not known who counts as a person.
    What is written must fit, as everything that is (`limits` as in `plan_object`).
    """
    locked = {managed.field: managed for managed in fields if managed.on_drift is OnDrift.HUMAN_LOCK}
    stands = pl.col("field").is_in(list(locked)) & (pl.col("decision") == "drift_kept")
    if not locked or plan.changes.filter(stands).is_empty():
        return plan
    locks = {name: managed.lock for name, managed in locked.items()}
    rows = plan.changes.join(
        known.select("record", "field", "seen_at", "author", "changed_at", "human"),
        on=["record", "field"],
        how="left",
        maintain_order="left",
    ).with_columns(
        stands=stands,
        since=pl.coalesce("changed_at", "seen_at", pl.lit(as_of, INSTANT)),
        lock=pl.col("field").replace_strict(locks, default=None, return_dtype=pl.Duration("us")),
    )
    until = pl.col("since") + pl.col("lock")
    over = pl.col("human").eq_missing(pl.lit(value=False)) | (until <= pl.lit(as_of, INSTANT))
    rows = rows.with_columns(until=until, over=over, refusal=_refusal(plan, list(locked.values()), limits))
    ends = pl.col("over") & pl.col("stands")
    decided = (
        pl.when(ends & pl.col("refusal").is_not_null())
        .then(pl.lit("refused"))
        .when(ends)
        .then(pl.lit("drift_written"))
        .otherwise("decision")
    )
    told = (
        pl.when(ends)
        .then(pl.coalesce("refusal", _written()))
        .when("stands")
        .then(pl.format("{}; on_drift keeps it until {}", _whose(), _minute("until")))
        .otherwise("reason")
    )
    return plan.with_changes(rows.with_columns(decision=decided, reason=told).select(*CHANGES))


def _refusal(plan: ObjectPlan, fields: Sequence[ManagedField], limits: Mapping[str, FieldLimit] | None) -> pl.Expr:
    """Give the sentence for a value that its field cannot hold; null where it can."""
    found: pl.Expr = pl.lit(None, dtype=pl.String())
    for managed in fields if limits is not None else ():
        sentence = misfit(pl.col("after"), managed, (limits or {}).get(managed.field), plan.object)
        found = pl.when(pl.col("field") == managed.field).then(sentence).otherwise(found)
    return found


def _written() -> pl.Expr:
    nobody = pl.format("{}; that was no person, so on_drift overwrites it", _whose())
    over = pl.format("{}; its lock ended on {}", _whose(), _minute("until"))
    return pl.when(pl.col("human").eq_missing(pl.lit(value=False))).then(nobody).otherwise(over)


def _whose() -> pl.Expr:
    """Say who set a value and when, as far as it is known: `somebody else set this value (Ann Lee, 2026-06-01 …)`."""
    when = (
        pl.when(pl.col("changed_at").is_not_null())
        .then(_minute("changed_at"))
        .otherwise(pl.format("first seen {}", _minute("since")))
    )
    who = pl.when(pl.col("author") != "").then(pl.format("{}, ", "author")).otherwise(pl.lit(""))
    return pl.format("somebody else set this value ({}{})", who.fill_null(""), when)


def _minute(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%Y-%m-%d %H:%M UTC")
