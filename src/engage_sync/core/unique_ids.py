"""External ids that a CRM would refuse because another record holds them: found before any call, so that the rest of
the record is written all the same, and those that one record hands on to another. Decides over one plan; calls nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque

import polars as pl

from engage_sync.core.plan import EXECUTED, ObjectPlan


def refuse_taken(plan: ObjectPlan, records: pl.DataFrame, field: str | None) -> ObjectPlan:
    """Refuse, in the plan, every value of the unique `field` that another live record holds and keeps.

    `records`: record and `crm.FIELD`…. A record whose own value the plan changes gives its old one up.
    """
    changes = plan.changes
    if field is None or f"crm.{field}" not in records.columns:
        return plan
    moving = changes.filter((pl.col("field") == field) & pl.col("decision").is_in(EXECUTED)).select("record", "after")
    if moving.is_empty():
        return plan
    held = records.select(holder="record", after=f"crm.{field}").filter(pl.col("after") != "")
    clashes = moving.join(held, on="after").filter(pl.col("record") != pl.col("holder")).sort("record", "holder")
    refused = _refused(clashes, frozenset(moving["record"]))
    if not refused:
        return plan
    named = pl.DataFrame({"record": list(refused), "holder": list(refused.values()), "field": field})
    changes = changes.join(named, on=["record", "field"], how="left", maintain_order="left")
    taken = pl.col("holder").is_not_null()
    changes = changes.with_columns(
        decision=pl.when(taken).then(pl.lit("refused")).otherwise("decision"),
        reason=pl.when(taken).then(pl.format("record {} holds this id already", "holder")).otherwise("reason"),
    )
    return plan.with_changes(changes.drop("holder"))


def _refused(clashes: pl.DataFrame, moving: frozenset[str]) -> dict[str, str]:
    """Give who cannot have its id, with who keeps it: a holder that does not move, or cannot. Each pair of `clashes`
    (record, holder) is walked once: ids that a list has shifted by one line hang on each other from end to end."""
    behind = defaultdict[str, list[str]](list)
    refused = dict[str, str]()
    for record, holder in clashes.select("record", "holder").iter_rows():
        behind[holder].append(record)
        if holder not in moving:
            refused.setdefault(record, holder)
    waiting = deque(refused)
    while waiting:
        holder = waiting.popleft()
        for record in behind[holder]:
            if record not in refused:
                refused[record] = holder
                waiting.append(record)
    return refused


def handed_on(changes: pl.DataFrame, field: str | None) -> pl.DataFrame:
    """Give which records of one object hold an id in the unique `field` that an `other` is about to get: record, other,
    field, before. `changes` are those to be written; a CRM takes them only after the holders are emptied."""
    ids = changes.filter(pl.col("field") == pl.lit(field, pl.String)).select("record", "field", "before", "after")
    gets = ids.select(other="record", before="after").drop_nulls("before")
    return ids.join(gets, on="before", maintain_order="left").select("record", "other", "field", "before")
