"""What differs between a CRM's list of its records and the mirror of them, and which of that the cursor has lost.

Two full sides are compared by a hash of their values; what differs is only a candidate, for records change while a list
is read. Whether something was lost is judged by reading the candidate again. Pure: reads no CRM and mends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import polars as pl

from engage_sync.core.definitions import ValueType
from engage_sync.core.values import canonical

LATE = timedelta(minutes=10)
"""For so long an index may trail the records (lessons 13): every increment reaches back as far. What changed within it
is not lost when it is not in the mirror yet."""

PRINTS: Mapping[str, pl.DataType] = {"record": pl.String(), "updated_at": pl.String(), "print": pl.UInt64()}
"""One side: each record once, its stamp without the `Z`, and a hash of its values."""
SIDES: Mapping[str, pl.DataType] = {
    "record": pl.String(),
    "listed": pl.String(),
    "mirrored": pl.String(),
    "kind": pl.String(),
}
"""A candidate, with its stamp in the CRM's list and in the mirror; null where it is not there."""


class Loss(StrEnum):
    """What is wrong with a record of the mirror."""

    MISSING = "missing"
    """It is in the CRM and not in the mirror."""
    EXTRA = "extra"
    """It is in the mirror and not in the CRM."""
    STALE = "stale"
    """The mirror holds an older version of it, or other values."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Candidates after they were read again. `lost` by kind; `fresh` differ too, but changed so lately that the next
    increment is bound to show them. Both are to be mended."""

    lost: Mapping[Loss, Sequence[str]]
    fresh: Sequence[str]


def prints(records: pl.DataFrame, types: Mapping[str, ValueType | None], *, datetime_digits: int) -> pl.DataFrame:
    """Give PRINTS of records (record, updated_at, `crm.FIELD`…). `types` names the fields that count; those with a type
    are compared in their canonical text, for what we wrote stands in the mirror in our notation."""
    stamp = pl.col("updated_at").str.strip_suffix("Z")
    values = records.select(_comparable(types, datetime_digits))
    hashes = values.hash_rows() if values.width else pl.repeat(0, records.height, dtype=pl.UInt64, eager=True)
    return records.select("record", stamp).with_columns(hashes.alias("print"))


def _comparable(types: Mapping[str, ValueType | None], digits: int) -> list[pl.Expr]:
    return [
        canonical(pl.col(f"crm.{name}"), kind or ValueType.TEXT, datetime_digits=digits) for name, kind in types.items()
    ]


def candidates(listed: pl.DataFrame, mirror: pl.DataFrame) -> pl.DataFrame:
    """Give SIDES of every record that the two sides (PRINTS) do not agree on."""
    both = listed.join(mirror, on="record", how="full", coalesce=True, suffix="_mirror")
    here, there = pl.col("print").is_not_null(), pl.col("print_mirror").is_not_null()
    differs = (pl.col("print") != pl.col("print_mirror")) | (pl.col("updated_at") != pl.col("updated_at_mirror"))
    kind = (
        pl.when(here & ~there)
        .then(pl.lit(Loss.MISSING.value))
        .when(there & ~here)
        .then(pl.lit(Loss.EXTRA.value))
        .when(differs)
        .then(pl.lit(Loss.STALE.value))
    )
    found = both.select("record", listed="updated_at", mirrored="updated_at_mirror", kind=kind)
    return found.drop_nulls("kind").sort("record")


def judge(sides: pl.DataFrame, live: pl.DataFrame, mirror: pl.DataFrame, *, began: datetime) -> Judged:
    """Say which candidates the cursor has lost. `live` and `mirror` are PRINTS of the candidates as the CRM answers for
    them now, and as the mirror holds them.

    An increment came after the list: what the list saw must be in the mirror, unless it was fresh (`LATE`) when all
    began. A version newer than the listed one may have come after that increment; it is nobody's loss.
    """
    now = live.select("record", now="updated_at", now_print="print")
    held = mirror.select("record", held_print="print")
    rows = sides.join(now, on="record", how="left").join(held, on="record", how="left")
    here, same = pl.col("now").is_not_null(), pl.col("now_print") == pl.col("held_print")
    fresh = pl.col("listed") >= fresh_since(began)
    told = (pl.col("listed") != "") & (pl.col("mirrored") != "") & (pl.col("now") != "")
    behind = told & (pl.col("mirrored") < pl.col("listed"))
    wrong = pl.when(told).then((pl.col("mirrored") > pl.col("now")) | ((pl.col("mirrored") == pl.col("now")) & ~same))
    kind = pl.col("kind")
    stale = (kind == Loss.STALE.value) & here
    lost = (
        ((kind == Loss.MISSING.value) & here & ~fresh)
        | ((kind == Loss.EXTRA.value) & ~here)
        | (stale & ((behind & ~fresh) | wrong.otherwise(~same)))
    )
    late = fresh & here & ((kind == Loss.MISSING.value) | (stale & behind))
    verdict = rows.select("record", "kind", lost=lost.fill_null(value=False), late=late.fill_null(value=False))
    return Judged(
        {one: verdict.filter("lost", kind == one.value)["record"].to_list() for one in Loss},
        verdict.filter("late", ~pl.col("lost"))["record"].to_list(),
    )


def unread(sides: pl.DataFrame, *, began: datetime) -> Judged:
    """Say it without reading again, for a connector that cannot: what changed lately is left out on both sides."""
    since = fresh_since(began)
    settled = sides.filter(
        (pl.col("listed").fill_null("") < since) & (pl.col("mirrored").fill_null("") < since),
    )
    kind = pl.col("kind")
    return Judged({one: settled.filter(kind == one.value)["record"].to_list() for one in Loss}, ())


def fresh_since(began: datetime) -> str:
    """Give the stamp from which a change is too fresh to be lost."""
    return (began - LATE).strftime("%Y-%m-%dT%H:%M:%S")


def shortfall(expected: int | None, listed: int, told_gone: int) -> int:
    """Give how many records the CRM counts and its list does not show. Records that went while the list was read
    (`told_gone`: vanished, merged, converted) explain as many; new ones make the list longer, never shorter."""
    return 0 if expected is None else max(0, expected - listed - told_gone)
