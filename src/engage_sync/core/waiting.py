"""When a record that the CRM refused is tried again: pauses that grow, cut short as soon as other values are wanted or
the fields are described differently. Decides over one plan; calls nothing and asks no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from engage_sync.core.plan import EXECUTED, ObjectPlan

WAITING = "waiting"
LEFT = "not part of this retry; the next run writes it"
PAUSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=24))
"""How long a refused record is left alone after its first refusal, its second, and so on; the last one repeats."""
REFUSALS: Mapping[str, pl.DataType] = {
    "record": pl.String(),
    "field": pl.String(),
    "value": pl.String(),
    "message": pl.String(),
}
"""One row per field of the attempt that the CRM refused, of the records whose next attempt is later."""


def next_pause(last: timedelta | None) -> timedelta:
    """Give the pause after a refusal; `last` is the pause before this attempt, None where there was none."""
    return next((pause for pause in PAUSES if last is None or pause > last), PAUSES[-1])


def leave_waiting(plan: ObjectPlan, refusals: pl.DataFrame) -> ObjectPlan:
    """Give the plan without the writes that the CRM refused with exactly these values, as REFUSALS. What a record of
    theirs is to get now, field by field, must be what it was to get then; anything else is worth another try."""
    if refusals.is_empty():
        return plan
    executed = pl.col("decision").is_in(EXECUTED)
    asked = (
        plan.changes.filter(executed)
        .select("record", "field", "after", asked=pl.lit(value=True))
        .join(refusals.select("record").unique(), on="record", how="semi")
    )
    held = refusals.select("record", "field", "value", "message", known=pl.lit(value=True))
    both = asked.join(held, on=["record", "field"], how="full", coalesce=True)
    alike = pl.col("asked").is_not_null() & pl.col("known").is_not_null() & pl.col("after").eq_missing(pl.col("value"))
    waits = (
        both.group_by("record")
        .agg(alike.all().alias("alike"), pl.col("message").drop_nulls().first())
        .filter("alike")
        .select("record", "message")
    )
    if waits.is_empty():
        return plan
    left = pl.col("message").is_not_null() & executed
    changes = plan.changes.join(waits, on="record", how="left", maintain_order="left").with_columns(
        decision=pl.when(left).then(pl.lit(WAITING)).otherwise("decision"),
        reason=pl.when(left).then("message").otherwise("reason"),
    )
    return plan.with_changes(changes.drop("message"))
