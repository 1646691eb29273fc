"""Apply a plan to a CRM and record every outcome when it arrives. Decides nothing: what to write stands in the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Status
from engage_sync.core.plan import EXECUTED, Bucket, ObjectPlan
from engage_sync.errors import EngageError
from engage_sync.state.outcomes import OutcomeRow
from engage_sync.sync.wiring import Workspace

SLICE = 100_000
"""Records handed to a connector at once: enough to keep its calls in flight, little enough to keep memory flat."""
RECORDED_AT_ONCE = 100
NOT_FITTING = "DOES_NOT_FIT"

_BUCKETS = {
    Status.WRITTEN: Bucket.WRITTEN,
    Status.REFUSED: Bucket.REFUSED,
    Status.FAILED: Bucket.FAILED,
    Status.GONE: Bucket.GONE,
}
Values = Mapping[str, str | None]


@dataclass(slots=True)
class Pushed:
    """How the push of one object went: the bucket of each record that was sent, and the error that ended it early."""

    buckets: dict[str, Bucket] = field(default_factory=dict)
    error: EngageError | None = None

    @classmethod
    def unsent(cls, plan: ObjectPlan) -> Pushed:
        """Give the outcome of a push that never began because the connector had failed: all to be sent failed."""
        records = plan.changes.filter(pl.col("decision").is_in(EXECUTED))["record"].unique()
        return cls(dict.fromkeys(records.to_list(), Bucket.FAILED))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a push goes and how it is recorded."""

    workspace: Workspace
    connector: Connector
    name: str
    kind: Kind
    run: int
    clock: Callable[[], datetime]
    unique: str | None = None
    """The field that no two records may hold the same value of: the external id."""


def push(target: Target, plan: ObjectPlan, progress: Callable[[int, int], None]) -> Pushed:
    """Write the changes of one object's plan. An error of the connector is returned, not raised: others go on."""
    state, object_ = target.workspace.state, target.kind.object
    state.remember(target.name, object_, plan.remember, target.run)
    state.forget(target.name, object_, plan.forget["record"].to_list())
    _settle(target, plan)
    sent = plan.changes.filter(pl.col("decision").is_in(EXECUTED))
    records = sent.group_by("record", maintain_order=True).agg("field", "before", "after")
    pushed = Pushed(dict.fromkeys(records["record"].to_list(), Bucket.FAILED))
    done = 0
    for part in (_freeing(sent, target.unique), *_by_lock(target, records).iter_slices(SLICE)):
        before, after = _values(part)
        changes = [Change(record, values) for record, values in after.items()]
        try:
            for outcomes in _in_groups(target.connector.push(target.kind, changes), _group(target, len(changes))):
                state.record_outcomes(target.run, target.name, object_, _rows(outcomes, before, after, target.clock()))
                pushed.buckets.update((outcome.record, _BUCKETS[outcome.status]) for outcome in outcomes)
                done += len(outcomes)
                progress(min(done, records.height), records.height)
        except EngageError as error:
            pushed.error = error
            break
    _record_not_fitting(target, plan)
    return pushed


def _by_lock(target: Target, records: pl.DataFrame) -> pl.DataFrame:
    """Put records that lock the same other record beside each other: in one call they do not wait for one another."""
    locked = target.connector.limits.locked_with.get(target.kind.object)
    if locked is None:
        return records
    held = target.workspace.state.records(target.name, target.kind.object, [locked])
    held = held.select("record", locked=f"crm.{locked}")
    return records.join(held, on="record", how="left").sort("locked", "record", nulls_last=True).drop("locked")


def _group(target: Target, changes: int) -> int:
    """Say how many outcomes are recorded at once: those of a push that is handed over whole come all together."""
    whole = target.connector.limits.whole_above
    return RECORDED_AT_ONCE if whole is None or changes <= whole else whole


def _freeing(sent: pl.DataFrame, unique: str | None) -> pl.DataFrame:
    """Give the records that hold an id which another record is about to get: emptied first, for the CRM refuses two."""
    ids = sent.filter(pl.col("field") == pl.lit(unique, pl.String)).select("record", "field", "before", "after")
    holders = ids.join(ids.select(before="after").drop_nulls().unique(), on="before", how="semi")
    return holders.select(
        "record", pl.concat_list("field"), pl.concat_list("before"), after=pl.lit([None], pl.List(pl.String))
    )


def _values(part: pl.DataFrame) -> tuple[Mapping[str, Values], Mapping[str, Values]]:
    before: dict[str, Values] = {}
    after: dict[str, Values] = {}
    for record, fields, old, new in part.iter_rows():
        before[record] = dict(zip(fields, old, strict=True))
        after[record] = dict(zip(fields, new, strict=True))
    return before, after


def _in_groups(outcomes: Iterator[Outcome], size: int) -> Iterator[list[Outcome]]:
    """Gather outcomes for one transaction each. What arrived before an error is given before the error goes up."""
    group: list[Outcome] = []
    try:
        for outcome in outcomes:
            group.append(outcome)
            if len(group) >= size:
                yield group
                group = []
    except (EngageError, KeyboardInterrupt):
        if group:
            yield group
        raise
    if group:
        yield group


def _rows(
    outcomes: Sequence[Outcome], before: Mapping[str, Values], after: Mapping[str, Values], at: datetime
) -> list[OutcomeRow]:
    return [
        OutcomeRow(
            record=outcome.record,
            status=outcome.status.value,
            code=outcome.code,
            message=outcome.message,
            request=outcome.request,
            before=before[outcome.record],
            after=after[outcome.record],
            at=at,
            moved_to=outcome.moved_to,
            updated_at=outcome.updated_at,
        )
        for outcome in outcomes
    ]


def _settle(target: Target, plan: ObjectPlan) -> None:
    """Drop the failures of records that now hold what is wanted."""
    here = (pl.col("connector") == target.name) & (pl.col("object") == target.kind.object)
    waiting = target.workspace.state.failures().filter(here).select("record").unique()
    open_ = plan.changes.filter(pl.col("decision").is_in([*EXECUTED, "refused"])).select("record")
    settled = waiting.join(open_, on="record", how="anti")
    target.workspace.state.settle(target.name, target.kind.object, settled["record"].to_list())


def _record_not_fitting(target: Target, plan: ObjectPlan) -> None:
    """Keep the values that were refused before any call, one row per record, beside what the CRM refuses.

    After the send: what was written of the same record must not settle its failure. What stands there already, in the
    same words, is not written again by every run.
    """
    state = target.workspace.state
    refused = plan.changes.filter(pl.col("decision") == "refused")
    here = (pl.col("connector") == target.name) & (pl.col("object") == target.kind.object)
    known = state.failures().filter(here & (pl.col("code") == NOT_FITTING)).select("record", "message")
    records = (
        refused.group_by("record", maintain_order=True)
        .agg("field", "before", "after", pl.col("reason").str.join("; ").alias("message"))
        .join(known, on=["record", "message"], how="anti", maintain_order="left")
    )
    for part in records.iter_slices(RECORDED_AT_ONCE * 10):
        rows = [
            OutcomeRow(
                record=record,
                status=Status.REFUSED.value,
                code=NOT_FITTING,
                message=message,
                request=None,
                before=dict(zip(fields, before, strict=True)),
                after=dict(zip(fields, after, strict=True)),
                at=target.clock(),
                moved_to=None,
            )
            for record, fields, before, after, message in part.iter_rows()
        ]
        state.record_outcomes(target.run, target.name, target.kind.object, rows)


def count_buckets(plan: ObjectPlan, pushed: Pushed | None, *, held: bool) -> dict[str, int]:
    """Count every record of one object in exactly one bucket (semantics §9): the plan's, or the push's."""
    buckets = plan.buckets
    if held:
        stopped = plan.changes.filter(pl.col("decision").is_in(EXECUTED))["record"].unique()
        linked = pl.col("bucket").is_in([Bucket.WRITTEN.value, Bucket.REFUSED.value])
        buckets = buckets.with_columns(
            pl.when(linked & pl.col("record").is_in(stopped.implode()))
            .then(pl.lit(Bucket.HELD.value))
            .otherwise("bucket")
            .alias("bucket")
        )
    elif pushed is not None and pushed.buckets:
        ended = pl.DataFrame(
            {"record": list(pushed.buckets), "ended": [bucket.value for bucket in pushed.buckets.values()]}
        )
        overruling = (Bucket.GONE.value, Bucket.FAILED.value, Bucket.REFUSED.value)
        can_change = pl.col("bucket").is_in([Bucket.WRITTEN.value, Bucket.REFUSED.value])
        buckets = buckets.join(ended, on="record", how="left").with_columns(
            pl.when(can_change & pl.col("ended").is_in(overruling)).then("ended").otherwise("bucket").alias("bucket")
        )
    counted = dict(buckets.group_by("bucket").len().iter_rows())
    return {bucket.value: counted.get(bucket.value, 0) for bucket in Bucket}
