"""Whose value stands in a field that somebody else set: the plan after it is known who set it and when (decision 0008).
A person's value under `human_lock` stays until its time is over. Pure: `as_of` decides, no clock; calls nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

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
    "asked_at": INSTANT,
}
"""What is known of a drifting field: the value, when a run first saw it, who set it when, whether it was a person, and
when that was asked. An author of '' was asked for and is not known; null was not asked for."""
MARGIN = timedelta(minutes=10)
"""A CRM's search shows a change up to so much later, and its clock and ours may differ (crm-apis §B5)."""
_ONE = ["record", "field"]


def drifting(plan: ObjectPlan) -> pl.DataFrame:
    """Give record, field and value of what somebody else set."""
    return plan.changes.filter(pl.col("decision").is_in(DRIFTS)).select("record", "field", value="before")


def met(drift: pl.DataFrame, stored: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    """Give what is known (KNOWN) of `drift`, as `drifting` gives it: what is `stored` (KNOWN) of the same value, else
    that it was first seen at `as_of`."""
    known = drift.join(stored, on=["record", "field", "value"], how="left", maintain_order="left")
    return known.with_columns(pl.col("seen_at").fill_null(pl.lit(as_of, INSTANT)))


def doubtful(
    known: pl.DataFrame, stamps: pl.DataFrame, fields: Sequence[ManagedField], *, as_of: datetime
) -> pl.DataFrame:
    """Give the rows of `known` (KNOWN) in locked fields that are to be overwritten by what was told before the record
    changed: somebody may have emptied the field and typed the same anew since, which is to be asked.
    `stamps` are the instants of the records' last changes: record, stamp."""
    locks = _locks(fields)
    if not locks or known.is_empty():
        return known.clear()
    over = _no_person() | (pl.coalesce("changed_at", "seen_at") + _lock(locks) <= pl.lit(as_of, INSTANT))
    since = (pl.col("stamp") > pl.col("asked_at") - MARGIN).fill_null(value=True)
    told = pl.col("author").is_not_null() & _lock(locks).is_not_null()
    found = known.join(stamps, on="record", how="left", maintain_order="left").filter(told & over & since)
    return found.select(known.columns)


def answered(known: pl.DataFrame, told: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """Lay what the CRM `told` (record, field, author, changed_at, human, of_record) when asked at `at` over what is
    `known` (KNOWN). Where something was known, only a later change of that field is news: one of the record is not."""
    names = ("author", "changed_at", "human")
    news = told.with_columns(told=pl.lit(value=True))
    both = known.join(news, on=_ONE, how="left", maintain_order="left", suffix="_2")
    later = ~pl.col("of_record") & (pl.col("changed_at_2") > pl.col("changed_at"))
    taken = (pl.col("told") & (pl.col("author").is_null() | later)).fill_null(value=False)
    return both.with_columns(
        *(pl.when(taken).then(f"{name}_2").otherwise(name).alias(name) for name in names),
        asked_at=pl.when("told").then(pl.lit(at, INSTANT)).otherwise("asked_at"),
    ).select(known.columns)


def owned(
    plan: ObjectPlan,
    fields: Sequence[ManagedField],
    known: pl.DataFrame,
    unsure: pl.DataFrame,
    *,
    as_of: datetime,
    limits: Mapping[str, FieldLimit] | None,
) -> ObjectPlan:
    """Decide about drift in locked fields, over `known` (KNOWN): kept while a person's lock runs, else written.

    The lock runs from when the value was set; not known, from when it was first seen. Not known who counts as a person.
    What is `unsure` (as `doubtful` gives it) stays until it is. What is written must fit, as everything that is
    (`limits` as in `plan_object`).
    """
    locks = _locks(fields)
    locked = [managed for managed in fields if managed.field in locks]
    stands = pl.col("field").is_in(list(locks)) & (pl.col("decision") == "drift_kept")
    if not locked or plan.changes.filter(stands).is_empty():
        return plan
    told = known.select(*_ONE, "seen_at", "author", "changed_at", "human")
    rows = plan.changes.join(told, on=_ONE, how="left", maintain_order="left")
    rows = rows.join(unsure.select(*_ONE, unsure=pl.lit(value=True)), on=_ONE, how="left", maintain_order="left")
    rows = rows.with_columns(
        stands=stands,
        since=pl.coalesce("changed_at", "seen_at", pl.lit(as_of, INSTANT)),
        lock=_lock(locks),
    )
    until = pl.col("since") + pl.col("lock")
    over = _no_person() | (until <= pl.lit(as_of, INSTANT))
    rows = rows.with_columns(until=until, over=over, refusal=_refusal(plan, locked, limits))
    waits = pl.col("stands") & pl.col("unsure").is_not_null()
    ends = pl.col("over") & pl.col("stands") & ~waits
    decided = (
        pl.when(ends & pl.col("refusal").is_not_null())
        .then(pl.lit("refused"))
        .when(ends)
        .then(pl.lit("drift_written"))
        .otherwise("decision")
    )
    sentence = (
        pl.when(ends)
        .then(pl.coalesce("refusal", _written()))
        .when(waits)
        .then(pl.format("{}; the record has changed since; it stays until the CRM tells by whom", _whose()))
        .when("stands")
        .then(pl.format("{}; on_drift keeps it until {}", _whose(), _minute("until")))
        .otherwise("reason")
    )
    return plan.with_changes(rows.with_columns(decision=decided, reason=sentence).select(*CHANGES))


def _locks(fields: Sequence[ManagedField]) -> dict[str, timedelta | None]:
    return {managed.field: managed.lock for managed in fields if managed.on_drift is OnDrift.HUMAN_LOCK}


def _lock(locks: Mapping[str, timedelta | None]) -> pl.Expr:
    return pl.col("field").replace_strict(locks, default=None, return_dtype=pl.Duration("us"))


def _no_person() -> pl.Expr:
    return pl.col("human").eq_missing(pl.lit(value=False))


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
    return pl.when(_no_person()).then(nobody).otherwise(over)


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
