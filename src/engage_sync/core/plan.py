"""The plan of one object: wanted × seen in the CRM × last written, decided per managed field (architecture §5).

Pure data with several readers: push applies it, the faces print it, state keeps it. Text is compared in its canonical
form, so `5.0` in the CRM is the 5 that is wanted. Never calls a CRM, and never weighs whether to go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import polars as pl

from engage_sync.core.decisions import decision, reason
from engage_sync.core.definitions import ManagedField, ObjectMap, ValueType
from engage_sync.core.fitting import FieldLimit, misfit
from engage_sync.core.values import canonical
from engage_sync.core.wanted import DEACTIVATED

__all__ = ["Bucket", "FieldLimit", "ObjectPlan", "plan_object"]

CHANGES: Mapping[str, pl.DataType] = {
    "connector": pl.String(),
    "object": pl.String(),
    "record": pl.String(),
    "entity": pl.String(),
    "external_id": pl.String(),
    "field": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "decision": pl.String(),
    "reason": pl.String(),
}
"""One row per field that differs from what is wanted, with what is decided about it. `before` is what the CRM holds."""

BUCKETS: Mapping[str, pl.DataType] = {"record": pl.String(), "bucket": pl.String()}
REMEMBER: Mapping[str, pl.DataType] = {"record": pl.String(), "values": pl.String()}
FORGET: Mapping[str, pl.DataType] = {"record": pl.String()}

_ROWS: Mapping[str, pl.DataType] = {
    "row": pl.UInt32(),
    "record": pl.String(),
    "external_id": pl.String(),
    "field": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "decision": pl.String(),
    "reason": pl.String(),
}

_UNLINKED = ~pl.col("linked") & ~pl.col("ambiguous")

DRIFT_WRITTEN = "drift_written"
"""The decision that overwrites a value of somebody else."""
EXECUTED = ("write", "clear", DRIFT_WRITTEN)
"""The decisions that push carries out."""
REFUSED = ("refused", "waiting")
"""The decisions about values that do not fit, or that the CRM refused and that wait for their next attempt."""
KEPT = ("drift_kept", "rolled_back")
"""The decisions that leave a value as somebody, or an undone run, wants it."""
DEFERRED = "deferred"
"""The decision about values that wait until there is quota for them."""
OUTSIDE = "outside"
"""The decision about values of records that are not of the segment which the object names (decision 0012)."""


class Bucket(StrEnum):
    """Where a record of a run ends: the first that applies (semantics §9)."""

    GONE = "gone"
    AMBIGUOUS = "ambiguous"
    UNLINKED = "unlinked"
    OUTSIDE = "outside"
    HELD = "held"
    FAILED = "failed"
    REFUSED = "refused"
    WRITTEN = "written"
    DRIFT_KEPT = "drift_kept"
    UNCHANGED = "unchanged"


def buckets_of(only: str | None) -> tuple[Bucket, ...]:
    """Give the buckets that records of an object are counted in: none can be outside where no segment is named."""
    return tuple(bucket for bucket in Bucket if bucket is not Bucket.OUTSIDE or only is not None)


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """What is to be done with the records of one object.

    `changes` as CHANGES, `buckets` as BUCKETS for every live and gone record, `remember` as REMEMBER (a JSON object of
    the fields that hold what is wanted though it was not we who are known to have written it), `forget` as FORGET.
    Records for the brakes: `linked`; of them `written_before` (without those left outside); of those `changing`;
    `clearing` (losing a value, linked or not); `unlinking` (written before, not matched any more, to be cleared).
    `no_record` counts entities, not deactivated, that have no record and no candidates. `known` has a row per live
    record: row, record, external_id, linked, ambiguous, ever, inside (it may be written); `lost` the gone records:
    record, written (we had written to it). `only` is the segment whose records alone are written, None: all.
    """

    connector: str
    object: str
    changes: pl.DataFrame
    buckets: pl.DataFrame
    remember: pl.DataFrame
    forget: pl.DataFrame
    no_record: int
    linked: int
    written_before: int
    changing: int
    clearing: int
    unlinking: int
    known: pl.DataFrame = field(repr=False)
    lost: pl.DataFrame = field(repr=False)
    only: str | None = None

    @property
    def told(self) -> tuple[Bucket, ...]:
        """Give the buckets that its records are counted in."""
        return buckets_of(self.only)

    def with_changes(self, changes: pl.DataFrame) -> ObjectPlan:
        """Give the plan with other decisions about the same records."""
        marks = _marks(self.known, changes, "record")
        return replace(
            self,
            changes=changes,
            buckets=_buckets(marks, self.lost),
            forget=_forget(marks, self.lost),
            **_tallies(marks),
        )

    def put_off(self, which: pl.Expr, reason: str) -> ObjectPlan:
        """Give the plan without the writes of `which` rows of `changes`: they are still to come, `reason` says when."""
        later = pl.col("decision").is_in(EXECUTED) & which
        if self.changes.filter(later).is_empty():
            return self
        return self.with_changes(
            self.changes.with_columns(
                decision=pl.when(later).then(pl.lit(DEFERRED)).otherwise("decision"),
                reason=pl.when(later).then(pl.lit(reason)).otherwise("reason"),
            )
        )


def plan_object(  # noqa: PLR0913  (the three sides of the table, the match, and the CRM's limits: all apart on purpose)
    object_map: ObjectMap,
    wanted: pl.DataFrame,
    links: pl.DataFrame,
    ambiguous: pl.DataFrame,
    records: pl.DataFrame,
    written: pl.DataFrame,
    gone: pl.DataFrame,
    *,
    limits: Mapping[str, FieldLimit] | None,
    datetime_digits: int,
) -> ObjectPlan:
    """Decide. `wanted`: external_id and a column per field; `links`: record, external_id; `ambiguous` as in matching;
    `records` (live): record, `crm.FIELD`…; `written`: record, `last.FIELD`…, ever; `gone`: record. Without `limits` no
    value is checked against the CRM's fields."""
    fields = object_map.write
    base = _base(fields, wanted, links, ambiguous, records, written)
    rows = pl.concat(
        [pl.DataFrame(schema=_ROWS)]
        + [_decided(base, managed, object_map.object, datetime_digits, limits) for managed in fields if base.height]
    )
    changes = rows.filter(pl.col("decision") != "same")
    known = base.select("row", "record", "external_id", "linked", "ambiguous", "ever", inside=pl.lit(value=True))
    marks = _marks(known, changes, "row")
    lost = _lost(gone, records, written)
    return ObjectPlan(
        connector=object_map.connector,
        object=object_map.object,
        changes=_changes(changes, object_map),
        buckets=_buckets(marks, lost),
        remember=_remember(rows, [managed.field for managed in fields]),
        forget=_forget(marks, lost),
        no_record=_no_record(wanted, marks, ambiguous),
        **_tallies(marks),
        known=known,
        lost=lost,
        only=object_map.only,
    )


def _base(
    fields: Sequence[ManagedField],
    wanted: pl.DataFrame,
    links: pl.DataFrame,
    ambiguous: pl.DataFrame,
    records: pl.DataFrame,
    written: pl.DataFrame,
) -> pl.DataFrame:
    """One row per live record: row, record, external_id, linked, ambiguous, ever, and `w.`, `s.`, `l.` for the wanted,
    seen and last written text of each field. Text is joined once, to find row numbers."""
    names = [field.field for field in fields]
    ids = records.select("record")
    numbered = wanted.select("external_id").with_row_index("at")
    matched = links.select("record", "external_id").join(numbered, on="external_id").select("record", "at")
    want = _aligned(ids, matched)
    last = _aligned(ids, written.select("record").with_row_index("at"))
    stopped = ids["record"].is_in(ambiguous["record"].drop_nulls().implode())
    ever = written["ever"].gather(last).fill_null(value=False)
    linked = want.is_not_null() & ~stopped
    return (
        records.select("record", *_present(records, names, "crm.", "s."))
        .with_row_index("row")
        .hstack(wanted.select("external_id", *_present(wanted, names, "", "w.")).select(pl.all().gather(want)))
        .hstack(written.select(_present(written, names, "last.", "l.")).select(pl.all().gather(last)))
        .with_columns(linked=linked, ambiguous=stopped, ever=ever)
    )


def _aligned(ids: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
    """Give the row number `at` of each record, null where it has none."""
    return ids.join(rows, on="record", how="left", maintain_order="left")["at"]


def _present(frame: pl.DataFrame, names: Sequence[str], prefix: str, new: str) -> list[pl.Expr]:
    """Select `PREFIX + name` as `NEW + name`, null where the frame lacks it."""
    missing = pl.lit(None, dtype=pl.String()).repeat_by(pl.len()).list.explode()
    return [(pl.col(prefix + name) if prefix + name in frame.columns else missing).alias(new + name) for name in names]


def _decided(
    base: pl.DataFrame,
    field: ManagedField,
    object_name: str,
    digits: int,
    limits: Mapping[str, FieldLimit] | None,
) -> pl.DataFrame:
    """Apply the decision table to one field: a row as _ROWS where there is something to do, to keep or to remember.

    Raw text is compared first, canonical text only where it differs: most records agree already.
    """
    want, seen, last = (pl.col(f"{side}.{field.field}") for side in "wsl")
    limit = None if limits is None else limits.get(field.field)
    blank = None if limit is None else limit.blank
    stirred = pl.when("linked").then(want.ne_missing(seen) | last.ne_missing(want)).otherwise(last.is_not_null())
    sides = _sides(base, field, digits, limit).filter(stirred & ~base["ambiguous"])
    if sides.is_empty():
        return pl.DataFrame(schema=_ROWS)
    rows = sides.select(
        "void",
        "row",
        "record",
        "external_id",
        "linked",
        field=pl.lit(field.field),
        before=pl.when(seen != "").then(seen),
        after=want,
        seen=canonical(seen, field.type, datetime_digits=digits),
        last=canonical(last, field.type, datetime_digits=digits),
    )
    rows = rows.with_columns(decision=decision(field.on_drift, blank)).drop_nulls("decision")
    refusal = pl.lit(None, dtype=pl.String())
    if limits is not None:
        refusal = misfit(pl.col("after"), field, limit, object_name)
        refusal = pl.when(pl.col("decision").is_in(EXECUTED)).then(refusal)
    return rows.with_columns(refusal=refusal).select(
        "row",
        "record",
        "external_id",
        "field",
        "before",
        "after",
        decision=pl.when(pl.col("refusal").is_not_null()).then(pl.lit("refused")).otherwise("decision"),
        reason=pl.coalesce("refusal", reason(field.on_drift)),
    )


def _sides(base: pl.DataFrame, field: ManagedField, digits: int, limit: FieldLimit | None) -> pl.DataFrame:
    """Give the sides of one field as the CRM would show what is wanted, with `void`: nothing is."""
    sides = base.select("row", "record", "external_id", "linked", *(f"{side}.{field.field}" for side in "wsl"))
    want, seen, last = (pl.col(f"{side}.{field.field}") for side in "wsl")
    if field.type is ValueType.DATETIME and digits != 3:
        sides = sides.with_columns(canonical(want, field.type, datetime_digits=digits))
    if limit is not None and limit.trimmed:
        sides = sides.with_columns(want.str.strip_chars().replace("", None))
    sides = sides.with_columns(void=want.is_null())
    if limit is None or limit.blank is None:
        return sides
    return sides.with_columns(_unblanked(want, seen, last, limit.blank))


def _unblanked(want: pl.Expr, seen: pl.Expr, last: pl.Expr, blank: str) -> list[pl.Expr]:
    """Bring the sides of a field that is never empty to one measure: nothing wanted is the blank value, and on a record
    that is not matched a blank value is nothing left to clear."""
    alone = ~pl.col("linked")
    left = [pl.when(~(alone & (side == blank))).then(side).name.keep() for side in (seen, last)]
    return [pl.when("linked").then(want.fill_null(blank)).otherwise(want).name.keep(), *left]


def _changes(rows: pl.DataFrame, object_map: ObjectMap) -> pl.DataFrame:
    constants = {
        "connector": object_map.connector,
        "object": object_map.object,
        "entity": object_map.entity.value,
    }
    return (
        rows.sort("row", maintain_order=True)
        .with_columns(pl.lit(value).alias(name) for name, value in constants.items())
        .select(*CHANGES)
    )


def _marks(known: pl.DataFrame, changes: pl.DataFrame, key: str) -> pl.DataFrame:
    """Add to `known` whether any field is executed, cleared, kept, refused, deferred, outside; `key` joins both."""
    decision = pl.col("decision")
    executed = decision.is_in(EXECUTED)
    flags = changes.group_by(key).agg(
        executed=executed.any(),
        clears=(executed & ((decision == "clear") | pl.col("after").is_null())).any(),
        kept=decision.is_in(KEPT).any(),
        refused=decision.is_in(REFUSED).any(),
        deferred=(decision == DEFERRED).any(),
        outside=(decision == OUTSIDE).any(),
    )
    names = ["executed", "clears", "kept", "refused", "deferred", "outside"]
    joined = known.join(flags, on=key, how="left", maintain_order="left")
    return joined.with_columns(pl.col(names).fill_null(value=False))


def _buckets(marks: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    first = (
        ("ambiguous", Bucket.AMBIGUOUS),
        (~pl.col("linked"), Bucket.UNLINKED),
        ("outside", Bucket.OUTSIDE),
        ("deferred", Bucket.HELD),
        ("refused", Bucket.REFUSED),
        ("executed", Bucket.WRITTEN),
        ("kept", Bucket.DRIFT_KEPT),
    )
    bucket = pl.lit(Bucket.UNCHANGED.value)
    for condition, name in reversed(first):
        bucket = pl.when(condition).then(pl.lit(name.value)).otherwise(bucket)
    gone = lost.select("record", bucket=pl.lit(Bucket.GONE.value))
    return pl.concat([marks.select("record", bucket=bucket), gone])


def _lost(gone: pl.DataFrame, records: pl.DataFrame, written: pl.DataFrame) -> pl.DataFrame:
    """Give the gone records that did not come back: record, written."""
    if gone.is_empty():
        return pl.DataFrame(schema={**FORGET, "written": pl.Boolean()})
    once = gone.select("record").unique(maintain_order=True)
    return once.filter(~pl.col("record").is_in(records["record"].implode())).with_columns(
        written=pl.col("record").is_in(written["record"].implode())
    )


def _remember(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Give a JSON object per record with exactly the fields to remember: one that is being written keeps its own."""
    same = rows.filter(pl.col("decision") == "same")
    if same.is_empty():
        return pl.DataFrame(schema=REMEMBER)
    quoted = pl.col("field").replace_strict(list(names), [json.dumps(name) for name in names], return_dtype=pl.String)
    value = pl.struct(v="after").struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    pairs = same.select("row", "record", pair=pl.concat_str(quoted, pl.lit(":"), value))
    together = pairs.group_by("row", maintain_order=True).agg(pl.col("record").first(), pl.col("pair").str.join(","))
    return together.select("record", values=pl.concat_str(pl.lit("{"), "pair", pl.lit("}")))


def _forget(marks: pl.DataFrame, lost: pl.DataFrame) -> pl.DataFrame:
    """Gone records, and unmatched ones of which nothing is left that we wrote. One with values still to be cleared is
    remembered until they are: forgotten before, a failed call would leave them for ever."""
    open_ = pl.any_horizontal("executed", "refused", "deferred", "kept", "outside")
    settled = _UNLINKED & pl.col("ever") & ~open_
    return pl.concat([marks.filter(settled).select("record"), lost.filter("written").select("record")])


def _no_record(wanted: pl.DataFrame, marks: pl.DataFrame, ambiguous: pl.DataFrame) -> int:
    """Count the entities, not deactivated, that are neither linked nor named in an ambiguity."""
    found = [marks.filter("linked").select("external_id"), ambiguous.select("external_id").drop_nulls()]
    away = (
        wanted.filter(DEACTIVATED)["external_id"] if DEACTIVATED in wanted.columns else pl.Series([], dtype=pl.String)
    )
    known = pl.concat(found)
    return wanted.height - away.len() - known.filter(~pl.col("external_id").is_in(away.implode())).height


def _tallies(marks: pl.DataFrame) -> dict[str, Any]:
    ever, clears = pl.col("ever"), pl.col("clears")
    before = pl.col("linked") & ever & pl.col("inside")
    leaving = _UNLINKED & ever & clears
    counts = marks.select(
        linked=pl.col("linked").sum(),
        written_before=before.sum(),
        changing=(before & pl.col("executed")).sum(),
        clearing=((before & clears) | leaving).sum(),
        unlinking=leaving.sum(),
    )
    return {name: int(value) for name, value in counts.row(0, named=True).items()}
