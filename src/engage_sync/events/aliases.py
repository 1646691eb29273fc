"""Which ids are one user (semantics §2): the alias messages joined into groups, each under its shown id. Frames in, a
frame out; it reads no store."""

from __future__ import annotations

import polars as pl

from engage_sync.core.facts import ALIASES

SHOWN = "external_id"


def resolve(messages: pl.DataFrame) -> pl.DataFrame:
    """Give `ALIASES` from alias messages (user, previous, timestamp, arrival), in any order.

    Circles and forks are one group. Its shown id is the `user` of its latest message, at one instant of the later
    arrival. An alias to oneself changes nothing. Union-find with path halving.
    """
    told = messages.filter(pl.col("user") != pl.col("previous")).sort("timestamp", "arrival")
    pairs = told.unique(["user", "previous"], keep="last").sort("timestamp", "arrival").select("user", "previous")
    parents: dict[str, str] = {}

    def root(one: str) -> str:
        while (above := parents.setdefault(one, one)) != one:
            parents[one] = one = parents[above]
        return one

    for user, previous in pairs.iter_rows():
        parents[root(previous)] = root(user)
    shown = {root(user): user for user in pairs["user"]}
    rows = [(one, shown[root(one)]) for one in list(parents)]
    return pl.DataFrame(rows, schema=ALIASES, orient="row").filter(pl.col("alias") != pl.col(SHOWN)).sort("alias")


def shown(frame: pl.DataFrame, aliases: pl.DataFrame, column: str = "user") -> pl.DataFrame:
    """Replace the ids of a column by the ids their users are shown under."""
    if aliases.is_empty():
        return frame
    known = aliases.rename({"alias": column, SHOWN: "__shown"})
    joined = frame.join(known, on=column, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("__shown", column).alias(column)).drop("__shown")
