"""Which records matter most when not all can be written today, and how many of them fit into a number of calls. Pure:
frames in, frames out; it knows no quota and decides about no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from engage_sync.core.plan import DEFERRED, EXECUTED, ObjectPlan

WORTH: Mapping[str, pl.DataType] = {
    "entity": pl.String(),
    "external_id": pl.String(),
    "health": pl.String(),
    "before": pl.String(),
    "signalled": pl.Boolean(),
    "mrr": pl.Float64(),
}
"""What makes an entity urgent: its health now and in the previous recorded run (null: none, or unknown), whether a
signal of its switched on in this run, and its MRR (semantics §8; null: unknown)."""

RANKED: Mapping[str, pl.DataType] = {"object": pl.String(), "record": pl.String()}
"""The records to be written, those that matter most first."""

_HEIGHT = {"bad": 0, "normal": 1, "good": 2}
REASON = "the day's quota is short; it is written when there is quota again"
LATE: Mapping[str, pl.DataType] = {**RANKED, "since_run": pl.Int64()}
"""The records that an earlier run deferred, and the first run that did, since they were written last."""


def ranked(changes: pl.DataFrame, worth: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Give the records with executed changes (CHANGES, of all objects of a connector) as RANKED.

    First those whose health fell, or became bad; then those with a signal that switched on; then those that waited
    longest, so that none waits for ever; then by MRR, the largest first and the unknown last; then by external id
    (records of nobody last), object and record. `worth` as WORTH, of an entity's rows the first counts; `late` as LATE.
    """
    records = (
        changes.filter(pl.col("decision").is_in(EXECUTED))
        .select("object", "record", "entity", "external_id")
        .unique(["object", "record"], keep="first", maintain_order=True)
    )
    now, before = (pl.col(name).replace_strict(_HEIGHT, default=None) for name in ("health", "before"))
    fell = (now < before) | ((pl.col("health") == "bad") & pl.col("before").ne_missing("bad"))
    known = worth.select(
        "entity",
        "external_id",
        pl.col("signalled").fill_null(value=False),
        pl.col("mrr").fill_nan(None),
        fell=fell.fill_null(value=False),
    ).unique(["entity", "external_id"], keep="first", maintain_order=True)
    joined = records.join(known, on=["entity", "external_id"], how="left", maintain_order="left")
    joined = joined.with_columns(pl.col("fell", "signalled").fill_null(value=False))
    joined = joined.join(late, on=list(RANKED), how="left", maintain_order="left")
    ordered = joined.sort(
        ["fell", "signalled", "since_run", "mrr", "external_id", "object", "record"],
        descending=[True, True, False, True, False, False, False],
        nulls_last=True,
    )
    return ordered.select(list(RANKED))


def together(order: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Put records that must be written in one go beside each other, at the place of the foremost, and mark with `last`
    where such a group ends. `pairs`: object, record, other; a record may be in several."""
    placed = order.with_row_index("place").with_columns(
        pl.col("place").cast(pl.Int64), group=pl.col("place").cast(pl.Int64)
    )
    both = [pairs.select("object", "record", "other"), pairs.select("object", record="other", other="record")]
    ties = pl.concat(both).unique()
    while not ties.is_empty():
        other = placed.select("object", other="record", reach="group")
        reach = ties.join(other, on=["object", "other"]).group_by("object", "record").agg(pl.col("reach").min())
        lower = placed.join(reach, on=["object", "record"], how="left", maintain_order="left")
        lower = lower.with_columns(group=pl.min_horizontal("group", "reach")).drop("reach")
        if lower["group"].equals(placed["group"]):
            break
        placed = lower
    placed = placed.sort("group", "place")
    last = placed["group"].ne_missing(placed["group"].shift(-1))
    return placed.select("object", "record").with_columns(last=last)


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits into a number of calls: the chosen records (RANKED, in order), how many there are, and of how many."""

    chosen: pl.DataFrame
    count: int
    of: int


def fitting(order: pl.DataFrame, price: pl.Series, calls: int) -> Fit:
    """Give as many of the foremost records as `calls` can write, groups whole. `order` is as `together` gives it.

    `price` gives for each row the calls that it and all rows before it take together. That need not grow with every
    record: one bulk job is cheaper than many batches.
    """
    ends = (order["last"] & (price <= calls)).arg_true()
    count = int(ends[-1]) + 1 if ends.len() else 0
    return Fit(order.head(count).select(list(RANKED)), count, order.height)


def deferred(plan: ObjectPlan, order: pl.DataFrame, chosen: pl.DataFrame) -> ObjectPlan:
    """Give the plan of one object with the executed changes of records that are not `chosen` deferred, and the others
    in the order in which they matter. `order` and `chosen` are RANKED, of all objects."""
    mine = order.filter(pl.col("object") == plan.object).select("record").with_row_index("place")
    kept = chosen.filter(pl.col("object") == plan.object)["record"]
    waits = pl.col("decision").is_in(EXECUTED) & ~pl.col("record").is_in(kept.implode())
    changes = (
        plan.changes.with_columns(
            decision=pl.when(waits).then(pl.lit(DEFERRED)).otherwise("decision"),
            reason=pl.when(waits).then(pl.lit(REASON)).otherwise("reason"),
        )
        .join(mine, on="record", how="left", maintain_order="left")
        .sort("place", nulls_last=True, maintain_order=True)
        .drop("place")
    )
    return plan.with_changes(changes)
