"""Read back what was written: after a push some of its records, or all, are read live by id and compared with what the
CRM acknowledged. "200 and nothing happened" becomes a failure, and the value stays dirty. It writes to no CRM, and a
read that fails is told and fails nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import structlog

from engage_sync.connectors.base import Page, Record, Schema, Status
from engage_sync.core.definitions import ManagedField, ValueType
from engage_sync.core.plan import DRIFT_WRITTEN, EXECUTED, Bucket, ObjectPlan
from engage_sync.core.undo import canonical_by
from engage_sync.errors import EngageError
from engage_sync.state.undone import NOT_HELD
from engage_sync.sync.pull import as_rows
from engage_sync.sync.push import Pushed, Target, ended

AT_ONCE = 100
"""Records of one read call, which is also the size of a sample."""
ALL, NONE = "all", "none"
MESSAGE = "the CRM answered that it wrote this, but it still holds the old value"
HOLDS = "the CRM did not answer for it, and holds it"
_SIDES = ("before", "after", "live")


@dataclass(slots=True)
class Verified:
    """What reading back the records of one object showed. Of the `written` records `checked` were found and compared:
    `held` hold what was written, `not_held` what they held before, and `overruled` were changed at once by somebody, or
    by a workflow. `error` says why the reading ended early."""

    written: int
    checked: int = 0
    held: int = 0
    not_held: int = 0
    overruled: int = 0
    error: str | None = None

    def json(self) -> dict[str, object]:
        """Give it as the reports show it."""
        return {
            "checked": self.checked,
            "held": self.held,
            "not_held": self.not_held,
            "overruled": self.overruled,
            "error": self.error,
            "written": self.written,
        }


def verified_json(found: Mapping[str, Mapping[str, Verified]]) -> dict[str, dict[str, dict[str, object]]]:
    """Give what reading back showed by connector and object."""
    return {name: {object_: one.json() for object_, one in objects.items()} for name, objects in found.items()}


@dataclass(frozen=True, slots=True)
class Fields:
    """How the values of an object's fields compare: their types, and the text that is empty in those never empty."""

    types: Mapping[str, ValueType]
    blanks: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, managed: Sequence[ManagedField], schema: Schema | None, object_name: str) -> Fields:
        """Take the types from our declarations, else from what the CRM describes."""
        described = {} if schema is None else schema.objects.get(object_name, {})
        types = {name: one.type for name, one in described.items() if one.type is not None}
        blanks = {name: one.blank for name, one in described.items() if one.blank is not None}
        return cls({**types, **{one.field: one.type for one in managed}}, blanks)


def read_back(target: Target, plan: ObjectPlan, pushed: Pushed, setting: str, fields: Fields) -> Verified | None:
    """Compare a sample of what was written, or all (`setting`), with the live records; None where there is nothing to
    compare. One record that does not hold what was acknowledged makes it all. Those are recorded as failed, and so
    `pushed` has them."""
    written = [record for record, bucket in pushed.buckets.items() if bucket is Bucket.WRITTEN]
    if setting == NONE or not written or pushed.error is not None:
        return None
    found = Verified(len(written))
    chosen = written if setting == ALL else sample(written, target.run)
    try:
        _compare(target, plan, pushed, chosen, fields, found)
        if found.not_held and len(chosen) < len(written):
            first = set(chosen)
            _compare(target, plan, pushed, [one for one in written if one not in first], fields, found)
    except EngageError as error:
        found.error = str(error)
    return found


def look_after(target: Target, plan: ObjectPlan, pushed: Pushed, fields: Fields) -> None:
    """Read the records that the CRM's answers say nothing of: one that holds all that it was to get was written, and
    so `pushed` has it (lessons 20, 21). A read that fails leaves them failed, and the next run tries them again."""
    unsure = [record for record in pushed.buckets if record in pushed.unanswered]
    if not unsure or pushed.error is not None:
        return
    sent = plan.changes.filter(pl.col("decision").is_in(EXECUTED))
    try:
        for part in _parts(sent, unsure):
            page = target.connector.read(target.kind, part["record"].unique(maintain_order=True).to_list())
            found = part.join(_texts(page, part), on=["record", "field"], how="left", coalesce=False)
            found = _ended(found.with_columns(told=pl.col("field_right").is_not_null()), fields, target)
            whole = (pl.col("told") & (pl.col("end") == "held")).all().over("record")
            _record_written(target, found.filter(whole), {record.id: record for record in page.records}, pushed)
    except EngageError as error:
        structlog.get_logger(__name__).warning("could not read what was not answered for", error=str(error))


def _record_written(target: Target, rows: pl.DataFrame, live: Mapping[str, Record], pushed: Pushed) -> None:
    """Record values that the CRM holds, though it did not say so, as written."""
    theirs = pl.col("field").filter(pl.col("decision") == DRIFT_WRITTEN)
    lines = rows.group_by("record", maintain_order=True).agg("field", "before", "after", theirs=theirs)
    told = lines.with_columns(message=pl.lit(HOLDS))
    outcomes = ended(told, Status.WRITTEN, target.clock(), stamps=_stamps(live))
    target.workspace.state.record_outcomes(target.run, target.name, target.kind.object, outcomes)
    pushed.buckets.update(dict.fromkeys(lines["record"].to_list(), Bucket.WRITTEN))


def sample(records: Sequence[str], run: int) -> list[str]:
    """Give up to AT_ONCE records, spread evenly; another run begins at another one."""
    size = min(len(records), AT_ONCE)
    first = run % max(1, len(records) // max(1, size))
    return [records[(first + number * len(records) // size) % len(records)] for number in range(size)]


def _compare(
    target: Target, plan: ObjectPlan, pushed: Pushed, records: Sequence[str], fields: Fields, found: Verified
) -> None:
    """Read records by id, a call at a time, and record at once what does not hold."""
    sent = plan.changes.filter(pl.col("decision").is_in(EXECUTED))
    for part in _parts(sent, records):
        page = target.connector.read(target.kind, part["record"].unique(maintain_order=True).to_list())
        live = {record.id: record for record in page.records}
        rows = _ended(part.join(_texts(page, part), on=["record", "field"]), fields, target)
        gone_wrong = rows.filter(pl.col("end") == "not_held")
        failed = gone_wrong["record"].unique(maintain_order=True)
        other = rows.filter(pl.col("end") == "overruled")["record"].unique(maintain_order=True)
        _mend(target, [live[record] for record in other.to_list()])
        _record(target, gone_wrong, live)
        pushed.buckets.update(dict.fromkeys(failed.to_list(), Bucket.FAILED))
        checked = rows["record"].n_unique()
        overruled = other.filter(~other.is_in(failed.implode())).len()
        found.checked += checked
        found.not_held += failed.len()
        found.overruled += overruled
        found.held += checked - failed.len() - overruled


def _parts(sent: pl.DataFrame, records: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Give the changes of AT_ONCE records after the other."""
    numbered = pl.DataFrame({"record": list(records)}, schema={"record": pl.String}).with_row_index("part")
    numbered = numbered.with_columns(pl.col("part") // AT_ONCE)
    columns = ("record", "field", "before", "after", "decision")
    mine = numbered.join(sent.select(columns), on="record", maintain_order="left")
    yield from mine.partition_by("part", maintain_order=True, include_key=False)


def _texts(page: Page, part: pl.DataFrame) -> pl.DataFrame:
    """Give record, field, live of the records that are there under their own id; a field left out has no row."""
    names = part["field"].unique(maintain_order=True).to_list()
    rows = [(one.id, name, one.values[name]) for one in page.records for name in names if name in one.values]
    return pl.DataFrame(rows, schema=dict.fromkeys(("record", "field", "live"), pl.String), orient="row")


def _ended(rows: pl.DataFrame, fields: Fields, target: Target) -> pl.DataFrame:
    """Add `end` to each value: held, not_held or overruled."""
    digits = target.connector.limits.datetime_digits
    sides = canonical_by(_SIDES, rows, fields.types, digits, fields.blanks)
    held = pl.col("c.live").eq_missing(pl.col("c.after"))
    as_before = pl.col("c.live").eq_missing(pl.col("c.before"))
    end = pl.when(held).then(pl.lit("held")).when(as_before).then(pl.lit("not_held")).otherwise(pl.lit("overruled"))
    return sides.with_columns(end=end)


def _mend(target: Target, records: Sequence[Record]) -> None:
    """Let the mirror hold what the CRM holds by now."""
    if records:
        target.workspace.state.mend(target.name, target.kind.object, records=as_rows(records), run=target.run)


def _record(target: Target, rows: pl.DataFrame, live: Mapping[str, Record]) -> None:
    """Record the values that do not hold as failed. What was written last goes back: to what stood there where that was
    ours, else to nothing, so that a value of somebody else stays theirs."""
    ours = pl.col("decision") != DRIFT_WRITTEN
    lines = (
        rows.with_columns(last=pl.when(ours).then("before"))
        .group_by("record", maintain_order=True)
        .agg("field", "before", "after", "last")
    )
    told = lines.with_columns(message=pl.lit(MESSAGE))
    outcomes = ended(told, Status.FAILED, target.clock(), code=NOT_HELD, stamps=_stamps(live))
    target.workspace.state.record_outcomes(target.run, target.name, target.kind.object, outcomes)


def _stamps(live: Mapping[str, Record]) -> Mapping[str, str | None]:
    return {name: record.updated_at for name, record in live.items()}
