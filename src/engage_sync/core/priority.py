"""Which records matter most when not all can be written today, and how many of them fit into a number of calls. Pure:
frames in, frames out; it knows no quota and decides about no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from engage_sync.core.plan import EXECUTED, ObjectPlan

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
RESERVED = 10
"""One place in so many is for the record that waits longest, whatever is urgent."""


def ranked(changes: pl.DataFrame, worth: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    """Give the records with executed changes (CHANGES, of all objects of a connector) as RANKED.

    First those whose health fell, or became bad; then those with a signal that switched on; then those that waited
    longest; then by MRR, the largest first and the unknown last; then by external id (records of nobody last), object
    and record. Before all that, the first place and each RESERVED-th after it are for those that waited longest: none
    waits for ever where every day is full of what is urgent. `worth` as WORTH, of an entity's rows the first counts;
    `late` as LATE.
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
    return _reserved(ordered).select(list(RANKED))


def _reserved(ordered: pl.DataFrame) -> pl.DataFrame:
    """Put those of an order that wait since the earliest runs (`since_run`, null: not at all) at the reserved places.

    Each gets the smaller of two numbers: that of its rank among the places that are not reserved, and that of its turn
    among those that are. No two numbers are alike, so nobody comes later than at either.
    """
    rank = pl.col("rank").cast(pl.Int64)
    usual = rank // (RESERVED - 1) * RESERVED + rank % (RESERVED - 1) + 1
    rows = ordered.with_row_index("rank")
    turns = (
        rows.drop_nulls("since_run").sort("since_run", "rank").select("rank", turn=pl.int_range(pl.len()) * RESERVED)
    )
    return rows.join(turns, on="rank", how="left").sort(pl.min_horizontal(usual, "turn"))


def together(order: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Put records that must be written in one go beside each other, at the place of the foremost, and mark with `last`
    where such a group ends. `pairs`: object, record, other; a record may be in several."""
    placed = order.with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    one = placed.select("object", "record", one="place")
    other = placed.select("object", other="record", two="place")
    ties = pairs.join(one, on=["object", "record"]).join(other, on=["object", "other"])
    placed = placed.with_columns(group=_foremost(placed["place"], ties["one"], ties["two"]))
    placed = placed.sort("group", "place")
    last = placed["group"].ne_missing(placed["group"].shift(-1))
    return placed.select("object", "record").with_columns(last=last)


def _foremost(places: pl.Series, one: pl.Series, two: pl.Series) -> pl.Series:
    """Give for each place (0, 1, …) the foremost that it is tied to, over however many ties, `one` with `two`.

    Groups begin as single places. In each round those that are tied to groups further in front join the foremost of
    them, and links of links are followed to their end: two rounds at least halve what is still to join.
    """
    first = places.clone()
    while True:
        ties = pl.DataFrame({"one": first.gather(one), "two": first.gather(two)}).filter(pl.col("one") != pl.col("two"))
        if ties.is_empty():
            return first
        joins = ties.group_by(high=pl.max_horizontal("one", "two")).agg(low=pl.min_horizontal("one", "two").min())
        first = first.scatter(joins["high"], joins["low"])
        while not (further := first.gather(first)).equals(first):
            first = further


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
    changes = plan.changes.join(mine, on="record", how="left", maintain_order="left")
    changes = changes.sort("place", nulls_last=True, maintain_order=True).drop("place")
    return replace(plan, changes=changes).put_off(~pl.col("record").is_in(kept.implode()), REASON)
