"""What undoing a run means, as pure frames: which of its values can be taken back, and what a later plan leaves as the
rollback put it. Never calls a CRM, never writes, and never asks the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import polars as pl

from engage_sync.core.definitions import ManagedField, ObjectMap, ValueType
from engage_sync.core.plan import CHANGES, EXECUTED, ObjectPlan
from engage_sync.core.values import canonical

UNDONE = ("record", "field", "value", "restored", "ours", "undone", "run")
"""The columns of what a rollback took back: see `kept_undone`."""
RESTORE = "restore"
LEFT = "left"
AGAIN = "the CRM did not take it: tried again"
"""How the reason of a change ends that a rollback was to make already."""
STANDS = "stands"
"""What becomes of a value that is no more ours: what stood there before the run stands there again."""
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
    """Leave what a rollback took back as long as nothing else is wanted, whatever stands there by now: what it put
    back, or what somebody made of that.

    `undone` has UNDONE: `value` is what run `undone` had written and run `run` took back, `restored` what that put in
    its place.
    """
    if undone.is_empty() or plan.changes.is_empty():
        return plan
    types = {managed.field: managed.type for managed in fields}
    open_ = plan.changes.with_row_index("at").filter(pl.col("decision").is_in(EXECUTED))
    sides = open_.join(undone.select(UNDONE), on=["record", "field"])
    sides = canonical_by(("after", "value"), sides, types, datetime_digits)
    kept = sides.filter(pl.col("c.after").eq_missing(pl.col("c.value")))
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


def followed(undone: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """Let what was taken back on a merged record count for the survivor, beside its own: `gone` has record, moved_to.
    The rows of the merged record stay, too."""
    moves = gone.select("record", "moved_to").drop_nulls()
    if undone.is_empty() or moves.is_empty():
        return undone
    moved = undone.join(moves, on="record").with_columns(record="moved_to").select(undone.columns)
    return pl.concat([undone, moved]).unique(["record", "field"], keep="first", maintain_order=True)


def unfinished(
    plan: ObjectPlan,
    undone: pl.DataFrame,
    written: pl.DataFrame,
    records: pl.DataFrame,
    object_map: ObjectMap,
    *,
    datetime_digits: int,
) -> ObjectPlan:
    """Add what a rollback was to put back and did not, for want of an answer: the undone value is wanted, stands there,
    and is what we know to have written last. `plan` is one that `kept_undone` gave; `written` as the state gives it."""
    if undone.is_empty():
        return plan
    types = {managed.field: managed.type for managed in object_map.write}
    open_ = undone.filter(pl.col("field").is_in(list(types))).join(
        plan.changes.select("record", "field"), on=["record", "field"], how="anti", maintain_order="left"
    )
    linked = plan.known.filter(pl.col("linked") & ~pl.col("ambiguous")).select("record", "external_id")
    open_ = open_.join(linked, on="record", maintain_order="left")
    if open_.is_empty():
        return plan
    sides = with_text(with_text(open_, records, "crm.", "seen"), written, "last.", "last")
    sides = canonical_by(("value", "seen", "last", "restored"), sides, types, datetime_digits)
    value = pl.col("c.value")
    never = value.eq_missing(pl.col("c.seen")) & value.eq_missing(pl.col("c.last"))
    never = never & value.ne_missing(pl.col("c.restored"))
    rows = sides.filter(never).select(
        "record",
        "external_id",
        "field",
        connector=pl.lit(plan.connector),
        object=pl.lit(plan.object),
        entity=pl.lit(object_map.entity.value),
        before="seen",
        after="restored",
        decision=pl.when(pl.col("restored").is_null()).then(pl.lit("clear")).otherwise(pl.lit("write")),
        reason=pl.format("run {} was rolled back (run {}), and {}", "undone", "run", pl.lit(AGAIN)),
    )
    return plan if rows.is_empty() else plan.with_changes(pl.concat([plan.changes, rows.select(*CHANGES)]))


def with_text(rows: pl.DataFrame, frame: pl.DataFrame, prefix: str, name: str) -> pl.DataFrame:
    """Add what the column `PREFIX + field` of a wide frame says of each row's record, null where it says nothing."""
    fields = [one for one in rows["field"].unique().to_list() if prefix + one in frame.columns]
    here = frame.join(rows.select("record").unique(), on="record", how="semi")
    texts = here.select("record", *(pl.col(prefix + one).alias(one) for one in fields))
    long = texts.unpivot(fields, index="record", variable_name="field", value_name=name)
    long = long.cast({"field": pl.String, name: pl.String})
    return rows.join(long, on=["record", "field"], how="left", maintain_order="left")


def superseded(plan: ObjectPlan, undone: pl.DataFrame, *, whole: bool = True) -> pl.DataFrame:
    """Give record and field of what was taken back once and is no matter any more: another value is wanted or stands
    there, or the record is gone. `plan` is one that `kept_undone` gave."""
    if undone.is_empty():
        return undone.select("record", "field")
    executed = pl.col("decision").is_in(EXECUTED)
    both = plan.changes.join(undone.select("record", "field", "restored"), on=["record", "field"])
    again = both.filter(pl.col("after").eq_missing(pl.col("restored")) & pl.col("reason").str.ends_with(AGAIN))
    done = plan.changes.filter(executed).select("record", "field").join(again, on=["record", "field"], how="anti")
    if not whole:
        return undone.join(done, on=["record", "field"], how="semi").select("record", "field").unique()
    still = pl.concat([plan.changes.filter(~executed).select("record", "field"), again.select("record", "field")])
    ended = pl.concat([plan.known.filter("linked").select("record"), plan.lost.select("record")])
    over = undone.join(ended, on="record", how="semi").join(still, on=["record", "field"], how="anti")
    return pl.concat([over, undone.join(done, on=["record", "field"], how="semi")]).select("record", "field").unique()


def disowned(written: pl.DataFrame, undone: pl.DataFrame) -> pl.DataFrame:
    """Give what was last written without what a rollback put back that had never been ours: it counts as a person's, so
    that nothing takes it away. `written` is as the state gives it: record, `last.FIELD`…, ever."""
    if undone.is_empty():
        return written
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
    """Give what a rollback takes back of one object, a row per RESTORE, and per value that is somebody else's by now or
    is `back`: record, field, value, restored (what comes back, or what stands there), ours, undone.

    `held` has UNDONE as earlier rollbacks left it. Where one put back the very value that goes now, what is kept back
    stays what it was: of runs taken back one after the other it is the newest whose value is still wanted.
    """
    restore = pl.col("decision") == RESTORE
    rows = judged.filter(restore | pl.col("theirs") | pl.col("back")).select(
        "record",
        "field",
        ours=pl.col("ours") & ~pl.col("theirs"),
        value="after",
        restored=pl.when(restore).then("before").otherwise("live"),
        undone="run",
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
    """Say of each value of one object what becomes of it: adds `live`, `decision` (RESTORE or LEFT), `reason`, `ours`
    (what stood there before the run was), `theirs` (what stands there now is somebody else's) and `back` (what stands
    there now is what was ours before); values that stand as they were before the run are STANDS, or left out where the
    run changed nothing.

    `values` as `standing` gives them, with `was_ours` (null: not noted; then it was ours where we are known to have
    written it) and `last`, what we are known to have written last; `live`: record, field, live of the records that are
    there; `hindrances`: record, field (null: all of the record), why.
    """
    sides = _met(values, live, hindrances)
    sides = canonical_by(("before", "after", "live", "earlier", "last"), sides, types, datetime_digits, blanks)
    hindered = pl.coalesce("of_record", "of_field")
    unchanged = pl.col("c.live").eq_missing(pl.col("c.after"))
    nothing = pl.col("c.before").eq_missing(pl.col("c.after"))
    present = hindered.is_null() & pl.col("there")
    own = present & pl.col("later").is_null() & (pl.col("written_as") == pl.col("record"))
    taken_over = pl.col("c.live").is_not_null() & pl.col("c.live").eq_missing(pl.col("c.last"))
    stands = (present & pl.col("c.live").eq_missing(pl.col("c.before"))).fill_null(value=False)
    ours = pl.coalesce("was_ours", pl.col("c.before").eq_missing(pl.col("c.earlier")))
    back = (own & stands & ours).fill_null(value=False)
    theirs = (own & ~unchanged & ~taken_over & ~back).fill_null(value=False)
    return (
        sides.filter(~nothing.fill_null(value=False))
        .with_columns(why=_why(hindered, unchanged, taken_over))
        .with_columns(
            decision=pl.when(stands)
            .then(pl.lit(STANDS))
            .when(pl.col("why").is_null())
            .then(pl.lit(RESTORE))
            .otherwise(pl.lit(LEFT)),
            theirs=theirs,
            back=back,
            reason=pl.coalesce("why", pl.format("run {} wrote it, and nobody changed it since", "run")),
            ours=ours,
        )
        .select(*values.columns, "live", "decision", "reason", "ours", "theirs", "back")
    )


def _met(values: pl.DataFrame, live: pl.DataFrame, hindrances: pl.DataFrame) -> pl.DataFrame:
    """Add to values `live`, whether it is `there`, and what stands in their way: `of_record`, `of_field`."""
    whole = hindrances.filter(pl.col("field").is_null()).select("record", of_record="why")
    of_field = hindrances.drop_nulls("field").select("field", of_field="why").unique("field")
    there = live.with_columns(there=pl.lit(value=True))
    met = values.join(there, on=["record", "field"], how="left", maintain_order="left")
    met = met.join(whole, on="record", how="left", maintain_order="left")
    return met.join(of_field, on="field", how="left", maintain_order="left")


def _why(hindered: pl.Expr, unchanged: pl.Expr, taken_over: pl.Expr) -> pl.Expr:
    """Give the sentence why a value cannot come back; null where it can."""
    return (
        pl.when(hindered.is_not_null())
        .then(hindered)
        .when(pl.col("later").is_not_null())
        .then(pl.format("run {} wrote this field since", "later"))
        .when(pl.col("written_as") != pl.col("record"))
        .then(pl.format("the run wrote it to {}, which was merged into this record just then", "written_as"))
        .when(pl.col("there").is_null())
        .then(pl.lit("the CRM does not tell what the field holds now"))
        .when(~unchanged & taken_over)
        .then(pl.lit("it holds another value since, which is what a later run wanted there"))
        .when(~unchanged)
        .then(pl.lit("somebody changed it since"))
    )
