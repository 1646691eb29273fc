"""Apply a plan to a CRM and record every outcome when it arrives. Decides nothing: what to write stands in the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Status
from engage_sync.connectors.wrappers import NOT_SENT
from engage_sync.core.plan import DEFERRED, DRIFT_WRITTEN, EXECUTED, REFUSED, Bucket, ObjectPlan
from engage_sync.core.priority import REASON as OUT_OF_QUOTA
from engage_sync.core.unique_ids import handed_on
from engage_sync.core.waiting import WAITING
from engage_sync.errors import EngageError, Locked, Stopped, Suspended
from engage_sync.state.outcomes import OutcomeRow
from engage_sync.sync.failures import NOT_FITTING
from engage_sync.sync.wiring import Workspace

SLICE = 100_000
"""Records handed to a connector at once: enough to keep its calls in flight, little enough to keep memory flat."""
RECORDED_AT_ONCE = 100
NO_ANSWER = "NO_ANSWER"
"""The code of an outcome without an answer (`connectors/*_push.py`)."""
UNCLAIMED = timedelta(days=1)
"""After so long a value that was sent without an answer shows in a pull, or never will."""

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
    unanswered: set[str] = field(default_factory=set)
    """The records that the CRM's answers say nothing of: they failed, as far as is known."""

    @classmethod
    def unsent(cls, plan: ObjectPlan, error: EngageError) -> Pushed:
        """Give the outcome of a push that never began because the connector had failed: all to be sent failed, or wait
        where nothing more may be asked of the CRM."""
        records = plan.changes.filter(pl.col("decision").is_in(EXECUTED))["record"].unique()
        return cls(dict.fromkeys(records.to_list(), _unsent(error)))


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
    described: str | None = None
    """Tells one description of the object's fields from another (`sync/failures.py`)."""
    settles: bool = True
    """Whether a record that the plan leaves alone needs no change, so that what is noted about it is over."""
    theirs: frozenset[tuple[str, str]] = frozenset()
    """Records and fields whose new values are a person's, which a rollback puts back: never to be claimed as ours."""
    ranked: bool = False
    """The changes are in the order in which they matter: what the day's calls do not reach waits."""


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
    theirs = _theirs(sent)
    parts = [_freeing(sent, target.unique), *_by_lock(target, records).iter_slices(SLICE)] if records.height else []
    for number, part in enumerate(parts, start=1):
        before, after = _values(part)
        changes = [Change(record, values) for record, values in after.items()]
        meant = _meant(target, after)
        over = target.clock() + _lasts(target, len(changes))
        state.intend(target.name, object_, meant, target.run, before=before, theirs=theirs, at=over)
        pushed.buckets.update(dict.fromkeys(after, Bucket.FAILED))
        try:
            for outcomes in _in_groups(target.connector.push(target.kind, changes), _group(target, len(changes))):
                tried = [outcome for outcome in outcomes if outcome.code not in NOT_SENT]
                state.record_outcomes(target.run, target.name, object_, _rows(target, tried, before, after, theirs))
                pushed.buckets.update((outcome.record, _bucket(outcome)) for outcome in outcomes)
                pushed.unanswered.update(outcome.record for outcome in tried if outcome.code == NO_ANSWER)
                done += len(outcomes)
                progress(min(done, records.height), records.height)
        except EngageError as error:
            pushed.error = error
        _settle_intents(target, after, pushed)
        if pushed.error is not None:
            unsent = _unsent(pushed.error)
            pushed.buckets.update((record, unsent) for later in parts[number:] for record in later["record"])
            break
    _record_not_fitting(target, plan, pushed)
    note_deferred(target, plan, pushed)
    return pushed


def note_deferred(target: Target, plan: ObjectPlan, pushed: Pushed) -> None:
    """Note since when the records wait that there was no quota for, until they are written or need nothing."""
    if not target.settles:
        return
    state, object_ = target.workspace.state, target.kind.object
    before = state.deferred(target.name, object_)["record"]
    unsent = [record for record, bucket in pushed.buckets.items() if bucket is Bucket.HELD]
    short = plan.changes.filter((pl.col("decision") == DEFERRED) & (pl.col("reason") == OUT_OF_QUOTA))["record"]
    waits = pl.concat([short, pl.Series("record", unsent, pl.String)]).unique(maintain_order=True)
    ended = before.clear()
    if not before.is_empty():
        answered = [record for record, bucket in pushed.buckets.items() if bucket not in {Bucket.HELD, Bucket.FAILED}]
        done = pl.Series(answered, dtype=pl.String)
        open_ = plan.changes.filter(pl.col("decision").is_in([*EXECUTED, DEFERRED]))["record"]
        ended = before.filter(~before.is_in(open_.implode()) | before.is_in(done.implode()))
    state.change_deferred(target.name, object_, waits.filter(~waits.is_in(before.implode())), ended, target.run)


def _bucket(outcome: Outcome) -> Bucket:
    """Say where a record ends: one that was not sent for want of quota, or of time, waits, and has not failed."""
    return Bucket.HELD if outcome.code in NOT_SENT else _BUCKETS[outcome.status]


def _unsent(error: EngageError | None) -> Bucket:
    return Bucket.HELD if isinstance(error, Suspended | Stopped | Locked) else Bucket.FAILED


def _meant(target: Target, after: Mapping[str, Values]) -> Mapping[str, Values]:
    """Give what is noted before it is sent: all but a person's own values that are put back."""
    if not target.theirs:
        return after
    own = {
        record: {name: text for name, text in values.items() if (record, name) not in target.theirs}
        for record, values in after.items()
    }
    return {record: values for record, values in own.items() if values}


def _settle_intents(target: Target, sent: Mapping[str, Values], pushed: Pushed) -> None:
    """Drop the notes of what this run was about to write, but not to records that the CRM gave no answer for."""
    if not sent:
        return
    answered = (record for record in sent if pushed.buckets[record] is not Bucket.FAILED)
    old = target.clock() - UNCLAIMED
    target.workspace.state.settle_intents(target.name, target.kind.object, target.run, answered=answered, before=old)


def _theirs(sent: pl.DataFrame) -> Mapping[str, Sequence[str]]:
    """Give, by record, the fields whose value is somebody else's, and is overwritten."""
    rows = sent.filter(pl.col("decision") == DRIFT_WRITTEN).group_by("record").agg("field")
    return dict(rows.iter_rows())


def _lasts(target: Target, changes: int) -> timedelta:
    """Say how long something may be under way in the CRM of so many changes that are sent now."""
    limits = target.connector.limits
    whole = limits.whole_above is not None and changes > limits.whole_above
    return timedelta(seconds=limits.whole_lasts if whole else 0)


def _by_lock(target: Target, records: pl.DataFrame) -> pl.DataFrame:
    """Put records that lock the same other record beside each other: in one call they do not wait for one another.
    Where the order is that in which they matter, only those of one call change places."""
    locked = target.connector.limits.locked_with.get(target.kind.object)
    if locked is None:
        return records
    held = target.workspace.state.records(target.name, target.kind.object, [locked])
    held = held.select("record", locked=f"crm.{locked}")
    limits = target.connector.limits
    whole = limits.whole_above is not None and records.height > limits.whole_above
    size = records.height if not target.ranked else SLICE if whole else limits.push_batch
    calls = records.with_columns(call=pl.int_range(pl.len()) // max(size, 1))
    beside = calls.join(held, on="record", how="left").sort("call", "locked", "record", nulls_last=True)
    return beside.drop("call", "locked")


def _group(target: Target, changes: int) -> int:
    """Say how many outcomes are recorded at once: those of a push that is handed over whole come all together."""
    whole = target.connector.limits.whole_above
    return RECORDED_AT_ONCE if whole is None or changes <= whole else whole


def _freeing(sent: pl.DataFrame, unique: str | None) -> pl.DataFrame:
    """Give the records that hold an id which another record is about to get: emptied first, for the CRM refuses two."""
    holders = handed_on(sent, unique).unique("record", keep="first", maintain_order=True)
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
    target: Target,
    outcomes: Sequence[Outcome],
    before: Mapping[str, Values],
    after: Mapping[str, Values],
    theirs: Mapping[str, Sequence[str]],
) -> list[OutcomeRow]:
    at = target.clock()
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
            described=target.described,
            theirs=theirs.get(outcome.record, ()),
        )
        for outcome in outcomes
    ]


def _settle(target: Target, plan: ObjectPlan) -> None:
    """Drop the failures of records that now hold what is wanted."""
    if not target.settles:
        return
    waiting = target.workspace.state.failures(target.name, target.kind.object).select("record")
    open_ = plan.changes.filter(pl.col("decision").is_in([*EXECUTED, *REFUSED, DEFERRED])).select("record")
    settled = waiting.join(open_, on="record", how="anti")
    target.workspace.state.settle(target.name, target.kind.object, settled["record"].to_list())


def _record_not_fitting(target: Target, plan: ObjectPlan, pushed: Pushed) -> None:
    """Keep the values that were refused before any call, one row per record, beside what the CRM refuses.

    After the send: what was written of the same record must not settle its failure. What stands there already, in the
    same words, is not written again by every run; what the CRM itself refused of a record, now or before, and what it
    did not answer, says when that record is tried again and stays.
    """
    state = target.workspace.state
    refused = plan.changes.filter(pl.col("decision") == "refused")
    if refused.is_empty():
        return
    known = state.failures(target.name, target.kind.object).filter(pl.col("code") == NOT_FITTING)
    told = [name for name, bucket in pushed.buckets.items() if bucket in {Bucket.REFUSED, Bucket.FAILED}]
    told += plan.changes.filter(pl.col("decision") == WAITING)["record"].to_list()
    records = (
        refused.filter(~pl.col("record").is_in(told))
        .group_by("record", maintain_order=True)
        .agg("field", "before", "after", pl.col("reason").str.join("; ").alias("message"))
        .join(known, on=["record", "message"], how="anti", maintain_order="left")
    )
    for part in records.iter_slices(RECORDED_AT_ONCE * 10):
        rows = ended(part, Status.REFUSED, target.clock(), code=NOT_FITTING, described=target.described, sent=False)
        state.record_outcomes(target.run, target.name, target.kind.object, rows)


def ended(
    lines: pl.DataFrame,
    status: Status,
    at: datetime,
    *,
    code: str | None = None,
    stamps: Values | None = None,
    described: str | None = None,
    sent: bool = True,
) -> list[OutcomeRow]:
    """Give how records ended that no answer tells about. `lines` has a row per record: record, message, and as lists
    beside each other field, before, after and, where the last-written values go back, last. `theirs` are those of the
    fields whose `before` was somebody else's, where that is known. `stamps` are the CRM's, by record."""
    return [
        OutcomeRow(
            record=line["record"],
            status=status.value,
            code=code,
            message=line["message"],
            request=None,
            before=dict(zip(line["field"], line["before"], strict=True)),
            after=dict(zip(line["field"], line["after"], strict=True)),
            at=at,
            updated_at=None if stamps is None else stamps.get(line["record"]),
            described=described,
            sent=sent,
            last=dict(zip(line["field"], line["last"], strict=True)) if "last" in line else None,
            theirs=line.get("theirs"),
        )
        for line in lines.iter_rows(named=True)
    ]


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
        overruling = (Bucket.GONE.value, Bucket.HELD.value, Bucket.FAILED.value, Bucket.REFUSED.value)
        can_change = pl.col("bucket").is_in([Bucket.WRITTEN.value, Bucket.REFUSED.value])
        buckets = buckets.join(ended, on="record", how="left").with_columns(
            pl.when(can_change & pl.col("ended").is_in(overruling)).then("ended").otherwise("bucket").alias("bucket")
        )
    counted = dict(buckets.group_by("bucket").len().iter_rows())
    return {bucket.value: counted.get(bucket.value, 0) for bucket in plan.told}
