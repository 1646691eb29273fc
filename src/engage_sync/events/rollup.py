"""From partial sums per (user, account) to users, accounts, memberships and attribution (semantics §2, §6). Frames in,
frames out; it reads no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from engage_sync.core.facts import ATTRIBUTED, MEMBERSHIPS
from engage_sync.events.aliases import SHOWN

FIRST = "first_message_at"
FIRST_EVENT = "first_event_at"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a facts frame: how the partial sums merge, the value of who has none, and its dtype."""

    merged: pl.Expr
    empty: float | None
    dtype: pl.DataType


def memberships(pairs: pl.DataFrame) -> pl.DataFrame:
    """Give `MEMBERSHIPS` from pairs whose users are shown ids."""
    both = pairs.filter(pl.col("user").is_not_null() & pl.col("account").is_not_null())
    found = both.group_by("user", "account").agg(pl.col(FIRST).min().alias("entered_at"))
    return found.cast(pl.Schema(MEMBERSHIPS)).sort("user", "account")


def attribute(frame: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """Add the column `attributed`: the account a message names, else its user's only account, else null."""
    only = members.group_by("user").agg(pl.len(), pl.col("account").first().alias("__only")).filter(pl.col("len") == 1)
    joined = frame.join(only.drop("len"), on="user", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("account", "__only").alias("attributed")).drop("__only")


def entities(pairs: pl.DataFrame, key: str, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Give one row per id in the column `key`, with its columns merged."""
    named = pairs.filter(pl.col(key).is_not_null())
    merged = [column.merged.alias(name) for name, column in columns.items()]
    return finished(named.group_by(pl.col(key).alias(SHOWN)).agg(merged), columns)


def with_counts(frame: pl.DataFrame, name: str, counted: pl.DataFrame) -> pl.DataFrame:
    """Fill a column that was counted apart: `counted` has external_id and count."""
    found = frame.select(SHOWN).join(counted.select(SHOWN, "count"), on=SHOWN, how="left", maintain_order="left")
    return frame.with_columns(found["count"].fill_null(0).alias(name))


def finished(frame: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Order the columns, give the dtypes that the schema declares, and fill what nobody has."""
    shaped = [pl.col(name).cast(column.dtype).fill_null(pl.lit(column.empty)) for name, column in columns.items()]
    return frame.select(pl.col(SHOWN).cast(pl.String), *shaped).sort(SHOWN)


def attributed_activity(pairs: pl.DataFrame, events: str) -> pl.DataFrame:
    """Give `ATTRIBUTED`: pairs with activity in the window, from attributed pairs and their column of events."""
    active = pairs.filter((pl.col(events) > 0) & pl.col("user").is_not_null() & pl.col("attributed").is_not_null())
    found = active.select("user", pl.col("attributed").alias("account")).unique()
    return found.cast(pl.Schema(ATTRIBUTED)).sort("user", "account")
