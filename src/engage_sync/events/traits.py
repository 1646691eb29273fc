"""Merging traits (semantics §2): by top-level key, the newest message that names a key holds all of it. Reads
`identify` for users and `group` for accounts; never decides what a trait means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import ibis
import ibis.expr.types as ir
import polars as pl

from engage_sync.core.definitions import Entity, Model
from engage_sync.core.facts import TRAITS
from engage_sync.events.aliases import SHOWN, shown

KINDS: Final = {Entity.USER: ("identify", "user"), Entity.ACCOUNT: ("group", "account")}
"""For each entity: the kind of message that carries its traits, and the column of its id."""

_BUILT_IN: Final = {
    Entity.USER: ("email", "name", "firstName", "lastName", "createdAt", "deactivatedAt"),
    Entity.ACCOUNT: ("name", "domain", "website", "createdAt"),
}


def wanted_paths(model: Model, entity: Entity) -> list[str]:
    """Give the dotted paths of the traits that the model or the product itself reads."""
    declared = [item.path for item in model.properties_of(entity) if item.connector is None]
    return list(dict.fromkeys([*_BUILT_IN[entity], *declared]))


def newest(table: ir.Table, paths: Sequence[str], entity: Entity) -> ir.Table:
    """Give, for each id as the messages have it and each top-level key that a wanted path can lie under, the rows of
    the newest message that names the key: id, key, path, value, timestamp, arrival."""
    kind, column = KINDS[entity]
    keys = sorted({".".join(path.split(".")[:size]) for path in paths for size in range(1, path.count(".") + 2)})
    told = table.filter((table["kind"] == kind) & table[column].notnull() & (table["traits"].length() > 0))
    each = told.select("timestamp", "arrival", id=told[column], trait=told["traits"].unnest())
    trait = each["trait"]
    flat = each.select("timestamp", "arrival", "id", key=trait["key"], path=trait["path"], value=trait["value"])
    flat = flat.filter(flat["key"].isin(keys))
    order = ibis.window(group_by=["id", "key"], order_by=[ibis.desc("timestamp"), ibis.desc("arrival")])
    ranked = flat.mutate(rank=ibis.rank().over(order))
    return ranked.filter(ranked["rank"] == 0).drop("rank")


def merge(rows: pl.DataFrame, paths: Sequence[str], aliases: pl.DataFrame) -> pl.DataFrame:
    """Give `TRAITS` from the rows of `newest`, joined over the ids of one user; only wanted paths that are set."""
    resolved = shown(rows, aliases, "id")
    newest_arrival = pl.col("arrival").sort_by("timestamp", "arrival").last().over("id", "key")
    last = resolved.filter(pl.col("arrival") == newest_arrival)
    told = last.filter(pl.col("path").is_in(list(paths)) & pl.col("value").is_not_null())
    one = told.sort("timestamp", "arrival").unique(["id", "path"], keep="last")
    return one.select(pl.col("id").alias(SHOWN), "path", "value").cast(pl.Schema(TRAITS)).sort(SHOWN, "path")
