"""An object that names a segment (`only: SEGMENT`, decision 0012): no value of any other record is written, cleared or
called refused; it stays in the plan, decided as left outside. Decides over one plan; knows no rule and calls nothing.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from engage_sync.core.assess import Verdicts
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.plan import EXECUTED, OUTSIDE, REFUSED, ObjectPlan


def members(verdicts: Verdicts, object_map: ObjectMap) -> pl.Series | None:
    """Give the external ids of those whose records of an object may be written; None: everybody's."""
    if object_map.only is None:
        return None
    frame = verdicts.users if object_map.entity is Entity.USER else verdicts.accounts
    return frame.filter(pl.col("segments").list.contains(object_map.only))["external_id"]


def confined(plan: ObjectPlan, object_map: ObjectMap, ids: pl.Series | None) -> ObjectPlan:
    """Give the plan without the writes of records that belong to nobody in `ids` (`members`).

    Also a record that nobody is matched with any more keeps what we wrote there, and stays known to hold it. A value
    outside that is as wanted already is not taken for ours: by a field that is never empty every record would be.
    """
    if ids is None:
        return plan
    inside = pl.col("external_id").is_in(ids.implode()).fill_null(value=False)
    here = plan.known.filter(inside).select("record")
    plan = replace(
        plan,
        known=plan.known.with_columns(inside=inside),
        remember=plan.remember.join(here, on="record", how="semi", maintain_order="left"),
    )
    left = pl.col("decision").is_in([*EXECUTED, *REFUSED]) & ~inside
    return plan.with_changes(
        plan.changes.with_columns(
            decision=pl.when(left).then(pl.lit(OUTSIDE)).otherwise("decision"),
            reason=pl.when(left).then(_why(object_map)).otherwise("reason"),
        )
    )


def _why(object_map: ObjectMap) -> pl.Expr:
    """Say of a change why it is left out."""
    here = f"`objects.{object_map.object}.only` lets nothing else be written"
    return (
        pl.when(pl.col("external_id").is_null())
        .then(pl.lit(f"the record belongs to nobody in the segment {object_map.only}; {here}"))
        .otherwise(pl.lit(f"the {object_map.entity} is not in the segment {object_map.only}; {here}"))
    )
