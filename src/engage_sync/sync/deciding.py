"""What is decided about one object once everything is gathered: the one order in which the plan's passes follow one
another. A cycle asks it about all records, `explain` about one. Reads no state, calls no CRM, keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from engage_sync.core.confined import confined
from engage_sync.core.definitions import ObjectMap
from engage_sync.core.fitting import FieldLimit
from engage_sync.core.plan import ObjectPlan, plan_object
from engage_sync.core.undo import disowned, followed, kept_undone, unfinished
from engage_sync.core.unique_ids import refuse_taken
from engage_sync.sync.claims import Claims, Telling, claimed, laid_over, recognised, untold
from engage_sync.sync.inheritance import inherited, overlaid, remembered

Owning = Callable[[ObjectPlan, ObjectMap, pl.DataFrame, Mapping[str, FieldLimit] | None], ObjectPlan]
"""Decides, over a plan and the mirrored records it is made from, about what somebody else set."""


@dataclass(frozen=True, slots=True)
class Others:
    """What is known about values that somebody else may have set: how it is decided about them (`owning`), and whom to
    ask who set them (`telling`)."""

    owning: Owning
    telling: Telling


@dataclass(frozen=True, slots=True)
class Sides:
    """What the plan of one object is made from: what is wanted (`core/wanted.py`), who is who (`core/matching.py`), the
    live records, and what the state knows of them, each as the state gives it. Without `limits` no value is checked
    against the CRM's fields. `members` are those whose records may be written (`core/confined.py`), None: all."""

    wanted: pl.DataFrame
    links: pl.DataFrame
    ambiguous: pl.DataFrame
    records: pl.DataFrame
    gone: pl.DataFrame
    written: pl.DataFrame
    intents: pl.DataFrame
    undone: pl.DataFrame
    limits: Mapping[str, FieldLimit] | None
    datetime_digits: int
    members: pl.Series | None = None


def decide(
    object_map: ObjectMap,
    sides: Sides,
    *,
    others: Others,
    now: datetime,
    releases: int | None = None,
) -> tuple[ObjectPlan, Claims]:
    """Plan one object; give what runs without an answer turn out to have written, too (`claims.recognised`). What a
    rollback of run `releases` took back is planned as if it stood."""
    fields, records, digits = object_map.write, sides.records, sides.datetime_digits
    found = recognised(
        sides.intents, sides.written, records, object_map, now=now, datetime_digits=digits, telling=others.telling
    )
    claims = claimed(found.found, fields)
    undone = followed(sides.undone, sides.gone)
    written = disowned(laid_over(sides.written, claims), undone)
    heirs = inherited(written, sides.gone, records, fields, datetime_digits=digits)
    undone = undone.join(sides.gone.select("record"), on="record", how="anti")
    written = disowned(overlaid(written, heirs), undone)
    plan = plan_object(
        object_map,
        sides.wanted,
        sides.links,
        sides.ambiguous,
        records,
        written,
        sides.gone.join(written, on="record", how="semi"),
        limits=sides.limits,
        datetime_digits=digits,
    )
    plan = others.owning(plan, object_map, records, sides.limits)
    plan = confined(plan, object_map, sides.members)  # who keeps its id gives none up: before ids are compared
    plan = refuse_taken(plan, records, object_map.match_external_id)
    kept = undone.filter(pl.col("undone").ne_missing(pl.lit(releases, pl.Int64)))
    plan = kept_undone(plan, kept, fields, datetime_digits=digits)
    plan = unfinished(plan, kept, sides.written, records, object_map, datetime_digits=digits)
    plan = confined(plan, object_map, sides.members)  # also what is still to be put back
    kept = remembered(remembered(untold(plan.remember, found.open), heirs), claims)
    return replace(plan, remember=kept), found
