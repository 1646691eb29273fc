"""What a merge in the CRM makes of what we wrote: where the survivor still holds our text, that text is still ours.

Without this a survivor under a new id would look as if somebody else had filled its fields. Reads and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from engage_sync.core.definitions import ManagedField
from engage_sync.core.values import canonical


def inherited(
    written: pl.DataFrame,
    gone: pl.DataFrame,
    records: pl.DataFrame,
    fields: Sequence[ManagedField],
    *,
    datetime_digits: int,
) -> pl.DataFrame:
    """Give record and `last.FIELD`… of live survivors: what was written on a record merged into them, where they hold
    it and have nothing of their own there. `written`, `gone` and `records` are as the state gives them."""
    names = [f"last.{managed.field}" for managed in fields]
    moves = gone.select("record", "moved_to").drop_nulls()
    lost = written.join(moves, on="record").select(pl.col("moved_to").alias("record"), *names)
    if lost.is_empty():
        return lost
    seen = records.select("record", *(f"crm.{managed.field}" for managed in fields))
    own = written.select("record", *(pl.col(name).alias(f"own.{name}") for name in names))
    heirs = lost.join(seen, on="record").join(own, on="record", how="left")
    kept = [
        pl.when(
            pl.col(f"own.{name}").is_null()
            & (
                canonical(pl.col(name), managed.type, datetime_digits=datetime_digits)
                == canonical(pl.col(f"crm.{managed.field}"), managed.type, datetime_digits=datetime_digits)
            )
        )
        .then(pl.col(name))
        .alias(name)
        for name, managed in zip(names, fields, strict=True)
    ]
    found = heirs.select("record", *kept).group_by("record", maintain_order=True).agg(pl.all().drop_nulls().first())
    return found.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in names)) if names else found.clear()


def overlaid(written: pl.DataFrame, heirs: pl.DataFrame) -> pl.DataFrame:
    """Give what was last written, with what survivors inherited."""
    if heirs.is_empty():
        return written
    names = [name for name in heirs.columns if name != "record"]
    own = written.join(heirs.select("record"), on="record", how="semi").select("record", *names)
    both = pl.concat([own, heirs.select("record", *names)]).group_by("record").agg(pl.all().drop_nulls().first())
    rest = written.join(heirs.select("record"), on="record", how="anti")
    return pl.concat([rest, both.with_columns(ever=pl.lit(value=True)).select(rest.columns)])


def remembered(remember: pl.DataFrame, heirs: pl.DataFrame) -> pl.DataFrame:
    """Add what survivors inherited to what a plan remembers: record, values (a JSON object)."""
    if heirs.is_empty():
        return remember
    kept = {
        row.pop("record"): {name.removeprefix("last."): text for name, text in row.items() if text is not None}
        for row in heirs.iter_rows(named=True)
    }
    ours = pl.col("record").is_in(list(kept))
    for record, values in remember.filter(ours).iter_rows():
        kept[record] |= json.loads(values)
    lines = {"record": list(kept), "values": [json.dumps(values) for values in kept.values()]}
    return pl.concat([remember.filter(~ours), pl.DataFrame(lines, schema=remember.schema)])
