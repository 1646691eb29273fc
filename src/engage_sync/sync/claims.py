"""Values in the CRM that a run without an answer was about to write: they are ours, not somebody else's. A process that
died after a write took effect, or a connection that ended before the answer came, leaves such values. It writes
nothing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.core.definitions import ManagedField
from engage_sync.core.values import canonical


def claimed(
    intents: pl.DataFrame,
    written: pl.DataFrame,
    records: pl.DataFrame,
    fields: Sequence[ManagedField],
    *,
    datetime_digits: int,
) -> pl.DataFrame:
    """Give record and `last.FIELD`…: values that live records hold and that we meant to write, where we do not know yet
    that we did. `intents` has record, field, value; `written` and `records` are as the state gives them."""
    names = [f"last.{managed.field}" for managed in fields]
    nothing = pl.DataFrame(schema={"record": pl.String, **dict.fromkeys(names, pl.String)})
    if intents.is_empty():
        return nothing
    found = [nothing]
    for managed in fields:
        last, seen, meant = (pl.col(name) for name in ("last", "seen", "value"))
        known = written.select("record", last=f"last.{managed.field}")
        sides = (
            intents.filter(pl.col("field") == managed.field)
            .join(records.select("record", seen=f"crm.{managed.field}"), on="record")
            .join(known, on="record", how="left")
            .with_columns(canonical(one, managed.type, datetime_digits=datetime_digits) for one in (last, seen, meant))
        )
        ours = sides.filter((seen == meant) & seen.ne_missing(last)).unique("record")
        found.append(ours.select("record", meant.alias(f"last.{managed.field}")))
    together = pl.concat(found, how="diagonal")
    return together.group_by("record", maintain_order=True).agg(pl.all().drop_nulls().first())


def laid_over(written: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Give what was last written, claims first."""
    if claims.is_empty():
        return written
    names = [name for name in written.columns if name.startswith("last.")]
    own = written.join(claims.select("record"), on="record", how="semi").select("record", *names)
    both = pl.concat([claims.select("record", *names), own]).group_by("record").agg(pl.all().drop_nulls().first())
    rest = written.join(claims.select("record"), on="record", how="anti")
    return pl.concat([rest, both.with_columns(ever=pl.lit(value=True)).select(rest.columns)])
