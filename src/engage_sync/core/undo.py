"""What undoing a run means, as pure frames: which of its values can be taken back, and what a later plan leaves as the
rollback put it. Never calls a CRM, never writes, and never asks the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import polars as pl

from engage_sync.core.definitions import ManagedField, ValueType
from engage_sync.core.plan import EXECUTED, ObjectPlan
from engage_sync.core.values import canonical

UNDONE = ("record", "field", "value", "restored", "ours", "undone", "run")
"""The columns of what a rollback took back: see `kept_undone`."""
RESTORE = "restore"
LEFT = "left"
_PLACE = ("connector", "object", "record", "field")


def canonical_by(
    texts: Sequence[str],
    frame: pl.DataFrame,
    types: Mapping[str, ValueType],
    digits: int,
    blanks: Mapping[str, str] = MappingProxyType({}),
) -> pl.DataFrame:
    """Add `c.NAME` for columns of texts: the canonical form, each row by the type of its `field`; one without a type is
    plain text. `blanks` are the texts that mean empty in fields that never are."""
    wanted = frame.with_row_index(".row").with_columns(pl.col(name).alias(f"c.{name}") for name in texts)
    parts = [wanted.clear()]
    names = frame["field"].unique().to_list()
    for kind in dict.fromkeys(types.get(name, ValueType.TEXT) for name in names):
        here = [name for name in names if types.get(name, ValueType.TEXT) is kind]
        parts.append(
            wanted.filter(pl.col("field").is_in(here)).with_columns(
                canonical(pl.col(f"c.{name}"), kind, datetime_digits=digits) for name in texts
            )
        )
    blank = pl.lit(None, dtype=pl.String())
    for name in sorted(blanks.keys() & names):
        blank = pl.when(pl.col("field") == name).then(pl.lit(blanks[name])).otherwise(blank)
    emptied = [pl.when(pl.col(f"c.{name}").ne_missing(blank)).then(f"c.{name}") for name in texts]
    return pl.concat(parts).sort(".row").drop(".row").with_columns(emptied)


def kept_undone(
    plan: ObjectPlan, undone: pl.DataFrame, fields: Sequence[ManagedField], *, datetime_digits: int
) -> ObjectPlan:
    """Leave what a rollback put back as long as nothing else is wanted than what it took back, and it still stands.

    `undone` has UNDONE: `value` is what run `undone` had written and run `run` took back, `restored` what that put in
    its place.
    """
    if undone.is_empty() or plan.changes.is_empty():
        return plan
    types = {managed.field: managed.type for managed in fields}
    open_ = plan.changes.with_row_index("at").filter(pl.col("decision").is_in(EXECUTED))
    sides = open_.join(undone.select(UNDONE), on=["record", "field"])
    sides = canonical_by(("after", "before", "value", "restored"), sides, types, datetime_digits)
    kept = sides.filter(
        pl.col("c.after").eq_missing(pl.col("c.value")) & pl.col("c.before").eq_missing(pl.col("c.restored"))
    )
    if kept.is_empty():
        return plan
    why = pl.format(
        "run {} was rolled back (run {}); written again when another value is wanted,"
        " or after `engage-sync approve {}`",
        "undone",
        "run",
        "undone",
    )
    reasons = kept.select("at", why=why)
    changes = plan.changes.with_row_index("at").join(reasons, on="at", how="left", maintain_order="left")
    told = pl.col("why").is_not_null()
    return plan.with_changes(
        changes.with_columns(
            decision=pl.when(told).then(pl.lit("rolled_back")).otherwise("decision"),
            reason=pl.coalesce("why", "reason"),
        ).drop("at", "why")
    )


def superseded(plan: ObjectPlan, undone: pl.DataFrame) -> pl.DataFrame:
    """Give record and field of what was taken back once and is no matter any more: another value is wanted or stands
    there, or the record is gone. `plan` is one that `kept_undone` gave."""
    if undone.is_empty():
        return undone.select("record", "field")
    executed = pl.col("decision").is_in(EXECUTED)
    done = plan.changes.filter(executed).select("record", "field")
    still = plan.changes.filter(~executed).select("record", "field")
    ended = pl.concat([plan.known.filter("linked").select("record"), plan.lost.select("record")])
    over = undone.join(ended, on="record", how="semi").join(still, on=["record", "field"], how="anti")
    return pl.concat([over, undone.join(done, on=["record", "field"], how="semi")]).select("record", "field").unique()


def disowned(written: pl.DataFrame, undone: pl.DataFrame) -> pl.DataFrame:
    """Give what was last written without what a rollback put back that had never been ours: it counts as a person's, so
    that nothing takes it away. `written` is as the state gives it: record, `last.FIELD`…, ever."""
    theirs = undone.filter(~pl.col("ours") & pl.col("restored").is_not_null())
    names = [name for name in theirs["field"].unique().sort().to_list() if f"last.{name}" in written.columns]
    if not names:
        return written
    marks = theirs.filter(pl.col("field").is_in(names)).select("record", "field", "restored")
    marks = marks.pivot("field", index="record", values="restored").rename({name: f"not.{name}" for name in names})
    return (
        written.join(marks, on="record", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col(f"last.{name}").ne_missing(pl.col(f"not.{name}"))).then(f"last.{name}") for name in names
        )
        .select(written.columns)
    )


def standing(around: pl.DataFrame, rollbacks: Mapping[int, int], run: int) -> pl.DataFrame:
    """Give the values of a run that no rollback has taken back since: the rows of `around` of that run, with `later`,
    the newest run that wrote the same field after it (null: none), and `earlier`, what was written there before it.

    `around` has run, connector, object, record, field, before, after, newest per run; `rollbacks` run → the run that it
    rolled back. A rollback and what it took back cancel each other out, and so does the rollback of a rollback.
    """
    after = _uncancelled(around.filter(pl.col("run") >= run), {one: of for one, of in rollbacks.items() if one > run})
    before = _uncancelled(around.filter(pl.col("run") < run), {one: of for one, of in rollbacks.items() if one < run})
    later = after.filter(pl.col("run") > run).group_by(_PLACE).agg(later=pl.col("run").max())
    earlier = before.sort("run").group_by(_PLACE, maintain_order=True).agg(earlier=pl.col("after").last())
    mine = after.filter(pl.col("run") == run).join(later, on=_PLACE, how="left", maintain_order="left")
    return mine.join(earlier, on=_PLACE, how="left", maintain_order="left")


def _uncancelled(rows: pl.DataFrame, rollbacks: Mapping[int, int]) -> pl.DataFrame:
    """Drop what rollbacks took back, and what they wrote for that, the newest first."""
    for rollback, undone in sorted(rollbacks.items(), reverse=True):
        keys = rows.filter(pl.col("run") == rollback).select(_PLACE)
        both = rows.filter(pl.col("run").is_in([rollback, undone])).join(keys, on=_PLACE, how="semi")
        rows = rows.join(both.select("run", *_PLACE), on=["run", *_PLACE], how="anti", maintain_order="left")
    return rows


def taken_back(judged: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Give what a rollback takes back of one object, a row per RESTORE: record, field, value, restored, ours, undone.

    `held` has UNDONE as earlier rollbacks left it. Where one put back the very value that goes now, what is kept back
    stays what it was: of runs taken back one after the other it is the newest whose value is still wanted.
    """
    rows = judged.filter(pl.col("decision") == RESTORE).select(
        "record", "field", "ours", value="after", restored="before", undone="run"
    )
    before = held.select("record", "field", old="value", put_back="restored", of="undone")
    both = rows.join(before, on=["record", "field"], how="left", maintain_order="left")
    follows = (
        pl.col("of").is_not_null()
        & pl.col("put_back").eq_missing(pl.col("value"))
        & pl.col("old").ne_missing(pl.col("restored"))
    )
    return both.select(
        "record",
        "field",
        "ours",
        "restored",
        value=pl.when(follows).then("old").otherwise("value"),
        undone=pl.when(follows).then("of").otherwise("undone"),
    )


def judged(
    values: pl.DataFrame,
    live: pl.DataFrame,
    hindrances: pl.DataFrame,
    types: Mapping[str, ValueType],
    blanks: Mapping[str, str],
    *,
    datetime_digits: int,
) -> pl.DataFrame:
    """Say of each value of one object what becomes of it: adds `live`, `decision` (RESTORE or LEFT), `reason` and
    `ours`; values that stand as they were before the run are left out.

    `values` as `standing` gives them; `live`: record, field, live of the records that are there; `hindrances`: record,
    field (null: all of the record), why.
    """
    whole = hindrances.filter(pl.col("field").is_null()).select("record", of_record="why")
    of_field = hindrances.drop_nulls("field").select("field", of_field="why").unique("field")
    sides = (
        values.join(
            live.with_columns(there=pl.lit(value=True)), on=["record", "field"], how="left", maintain_order="left"
        )
        .join(whole, on="record", how="left", maintain_order="left")
        .join(of_field, on="field", how="left", maintain_order="left")
    )
    sides = canonical_by(("before", "after", "live", "earlier"), sides, types, datetime_digits, blanks)
    hindered = pl.coalesce("of_record", "of_field")
    unchanged = pl.col("c.live").eq_missing(pl.col("c.after"))
    nothing = (hindered.is_null() & pl.col("there") & pl.col("c.live").eq_missing(pl.col("c.before"))) | pl.col(
        "c.before"
    ).eq_missing(pl.col("c.after"))
    why = (
        pl.when(hindered.is_not_null())
        .then(hindered)
        .when(pl.col("later").is_not_null())
        .then(pl.format("run {} wrote this field since", "later"))
        .when(pl.col("written_as") != pl.col("record"))
        .then(pl.format("the run wrote it to {}, which was merged into this record just then", "written_as"))
        .when(pl.col("there").is_null())
        .then(pl.lit("the CRM does not tell what the field holds now"))
        .when(~unchanged)
        .then(pl.lit("somebody changed it since"))
    )
    return (
        sides.filter(~nothing.fill_null(value=False))
        .with_columns(why=why)
        .with_columns(
            decision=pl.when(pl.col("why").is_null()).then(pl.lit(RESTORE)).otherwise(pl.lit(LEFT)),
            reason=pl.coalesce("why", pl.format("run {} wrote it, and nobody changed it since", "run")),
            ours=pl.col("c.before").eq_missing(pl.col("c.earlier")),
        )
        .select(*values.columns, "live", "decision", "reason", "ours")
    )
