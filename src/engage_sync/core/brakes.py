"""The brakes: reasons to hold a run before any write (architecture §6 "Brakes"). Each is a pure function of what was
gathered; none reads a clock, computes a plan or stops anything.

Shares are compared exactly, and one at its limit still goes. All shares are off below `min_records`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl

from engage_sync.core.definitions import Brakes
from engage_sync.core.holds import NAMED, Hold, HoldKind, listed, way_out
from engage_sync.core.plan import EXECUTED, REFUSED, ObjectPlan

CLOCKS_APART = timedelta(minutes=10)
"""The difference between this machine's clock and a CRM's above which one of them is wrong."""

FieldFacts = Mapping[str, Any]
"""What is remembered of a declared field: `type` (text or null), `readable`, `writable`."""


def brakes(
    plans: Sequence[ObjectPlan], *, limits: Brakes, newest_message_at: datetime | None, as_of: datetime, run: int
) -> tuple[Hold, ...]:
    """Give the reasons to hold that stand in the plans and the age of the events; none means go.

    Shares are per connector and object. Records that lost their match and would be cleared lose values like linked
    ones: they count in the clear share, or an emptied user base would clear everything unbraked.
    """
    holds = _events_old(limits.max_event_age, newest_message_at, as_of, run)
    for plan in plans:
        holds += _change_share(plan, limits, run) + _clear_share(plan, limits, run)
    return tuple(holds)


def _events_old(limit: timedelta | None, newest: datetime | None, as_of: datetime, run: int) -> list[Hold]:
    if limit is None:
        return []
    if newest is None:
        sentence = "there is no message at all, so nothing is known about anybody (brakes.max_event_age)"
        return [Hold(HoldKind.EVENTS_OLD, sentence + way_out(run, "import the events"))]
    age = as_of - newest
    if age <= limit:
        return []
    since = f"the newest message is {span_text(age)} old ({_second(newest)})"
    sentence = f"{since}, more than the {span_text(limit)} of brakes.max_event_age"
    return [Hold(HoldKind.EVENTS_OLD, sentence + way_out(run, "import the events since then"))]


def _change_share(plan: ObjectPlan, limits: Brakes, run: int) -> list[Hold]:
    part, whole = plan.changing, plan.written_before
    if plan.linked < limits.min_records or not _above(part, whole, limits.max_change_share):
        return []
    told = f"{part} of {whole} records written before would be changed"
    ids = _executed(plan, pl.col("linked"))
    share = _Share(HoldKind.CHANGE_SHARE, "max_change_share", part / whole, "mend what made them change")
    return [_over(share, told, ids, limits, run, plan.connector, plan.object)]


def _clear_share(plan: ObjectPlan, limits: Brakes, run: int) -> list[Hold]:
    part, whole = plan.clearing, plan.written_before + plan.unlinking
    if plan.linked + plan.unlinking < limits.min_records or not _above(part, whole, limits.max_clear_share):
        return []
    told = f"{part} of {whole} records written before would have values cleared"
    cleared = (pl.col("decision") == "clear") | pl.col("after").is_null()
    ids = _executed(plan, pl.col("linked") | ~pl.col("ambiguous"), cleared)
    share = _Share(HoldKind.CLEAR_SHARE, "max_clear_share", part / whole, "mend what made them change")
    return [_over(share, told, ids, limits, run, plan.connector, plan.object)]


@dataclass(frozen=True, slots=True)
class _Share:
    """A share above the limit that `setting` of the brakes gives; `mend` says what a person can do about it."""

    kind: HoldKind
    setting: str
    share: float
    mend: str


def _over(
    found: _Share,
    told: str,
    ids: Sequence[str],
    limits: Brakes,
    run: int,
    connector: str | None = None,
    object_: str | None = None,
) -> Hold:
    """Hold because of a share; `told` says what it is a share of, `ids` what makes it."""
    place = "" if connector is None else f"{connector} {object_}: "
    limit = 100 * getattr(limits, found.setting)
    sentence = (
        f"{place}{told} ({100 * found.share:.1f} %), more than the {limit:g} % of brakes.{found.setting}:"
        f" {listed(ids, len(ids), run)}{way_out(run, found.mend)}"
    )
    return Hold(found.kind, sentence, connector, object_, tuple(ids), len(ids), found.share)


def _executed(plan: ObjectPlan, which: pl.Expr, change: pl.Expr | None = None) -> list[str]:
    """Give the records written before that would get such a change, in the plan's order."""
    changes = plan.changes.filter(pl.col("decision").is_in(EXECUTED))
    if change is not None:
        changes = changes.filter(change)
    known = plan.known.filter(pl.col("ever") & which)
    return known.join(changes, on="record", how="semi", maintain_order="left")["record"].to_list()


def _above(part: int, whole: int, limit: float) -> bool:
    return whole > 0 and part > Fraction(str(limit)) * whole


@dataclass(frozen=True, slots=True)
class Silence:
    """An event that came regularly and does not any more: its kind and name, its messages per span, the last one."""

    kind: str
    event: str
    usual: float
    last: datetime


def event_silent(silences: Sequence[Silence], *, limit: timedelta, run: int) -> list[Hold]:
    """Hold because of sources that are silent although others go on. `limit` is `max_event_age`, the span."""
    if not silences:
        return []
    told = [
        f"{one.kind} {one.event} (usually {one.usual:,.0f} in {span_text(limit)}, the last at {_second(one.last)})"
        for one in silences[:NAMED]
    ]
    more = f" … and {len(silences) - len(told):,} more" if len(silences) > len(told) else ""
    events = "event is" if len(silences) == 1 else "events are"
    sentence = f"{len(silences)} {events} silent although others go on (brakes.max_event_age): {', '.join(told)}{more}"
    names = tuple(f"{one.kind} {one.event}" for one in silences)
    mend = "mend what sends them"
    return [Hold(HoldKind.EVENT_SILENT, sentence + way_out(run, mend), count=len(names), subjects=names)]


def pull_shrank(
    connector: str, object_: str, *, gone: Sequence[str], live: int, limits: Brakes, run: int
) -> list[Hold]:
    """Hold where too many of the `live` records of the last push are `gone` since, without having been merged."""
    if live < limits.min_records or not _above(len(gone), live, limits.max_gone_share):
        return []
    mend = "bring them back, or give the credentials sight of them"
    share = _Share(HoldKind.PULL_SHRANK, "max_gone_share", len(gone) / live, mend)
    told = f"{len(gone)} of the {live} records of the last push are gone"
    return [_over(share, told, gone, limits, run, connector, object_)]


def inactive_share(flipped: Sequence[str], *, active: int, since: int, limits: Brakes, run: int) -> list[Hold]:
    """Hold where too many users that were `active` with run `since` are inactive now: the `flipped` ones."""
    if active < limits.min_records or not _above(len(flipped), active, limits.max_inactive_share):
        return []
    mend = "look whether their events arrive"
    share = _Share(HoldKind.INACTIVE_SHARE, "max_inactive_share", len(flipped) / active, mend)
    told = f"{len(flipped)} of {active} users that were active with run {since} would be inactive"
    return [_over(share, told, flipped, limits, run)]


def schema_changed(
    plan: ObjectPlan,
    before: Mapping[str, FieldFacts],
    now: Mapping[str, FieldFacts],
    written: Collection[str],
    *,
    run: int,
) -> list[Hold]:
    """Hold where a declared field is not what it was at the last push and there is something to write to the object."""
    changes = schema_changes(before, now, written)
    if not changes or not something_open(plan):
        return []
    told = "; ".join(changes[:NAMED]) + (f" … and {len(changes) - NAMED} more" if len(changes) > NAMED else "")
    sentence = (
        f"{plan.connector} {plan.object}: since the last push {told}"
        f"{way_out(run, f'mend the field, or correct connectors/{plan.connector}.yaml')}"
    )
    kind, subjects = HoldKind.SCHEMA_CHANGED, tuple(changes)
    return [Hold(kind, sentence, plan.connector, plan.object, count=len(changes), subjects=subjects)]


def something_open(plan: ObjectPlan) -> bool:
    """Tell whether any value is to be written, or would be if it were taken."""
    return not plan.changes.filter(pl.col("decision").is_in([*EXECUTED, *REFUSED])).is_empty()


def schema_changes(
    before: Mapping[str, FieldFacts], now: Mapping[str, FieldFacts], written: Collection[str]
) -> list[str]:
    """Say which fields have gone, are hidden, have become read-only (`written` ones) or are of another type. Fields
    that were not there before, and those declared since, say nothing."""
    changes = []
    for name, old in sorted(before.items()):
        new = now.get(name)
        if new is None:
            changes.append(f"the field {name} is gone")
        elif old["readable"] and not new["readable"]:
            changes.append(f"the field {name} is hidden from the credentials")
        elif not (old["readable"] and new["readable"]):
            continue
        elif old["type"] != new["type"]:
            changes.append(f"the type of {name} changed from {old['type']} to {new['type']}")
        elif name in written and old["writable"] and not new["writable"]:
            changes.append(f"the field {name} is read-only")
    return changes


def looks_back(now: datetime, newest_run: int, newest: datetime, *, run: int) -> Hold:
    """Hold a run whose clock is behind what is recorded."""
    sentence = (
        f"it is {_second(now)} by this machine's clock, before the newest recorded run ({newest_run}, as of"
        f" {_second(newest)}): the clock is behind, or it was ahead then, or that run was given a later --as-of;"
        " nothing is computed or written until the clock is past it. If the clock is right,"
        f" `engage-sync approve {run}` goes on as of now and forgets what was recorded for later; else"
        " set it right"
    )
    return Hold(HoldKind.CLOCK_WRONG, sentence)


def unsure_of_now(now: datetime, connector: str, theirs: datetime, *, run: int) -> list[Hold]:
    """Hold the run that would forget what is recorded for later instants, where a CRM's clock says that it is not yet,
    or no longer, now."""
    if abs(now - theirs) <= CLOCKS_APART:
        return []
    told = _told_apart(now, theirs, f"the clock of {connector}")
    end = "so nothing that was recorded is forgotten"
    return [Hold(HoldKind.CLOCK_WRONG, f"{told}, {end}: set the clock right, then `engage-sync approve {run}`")]


def clocks_apart(now: datetime, theirs: datetime, *, run: int) -> list[Hold]:
    """Hold where the CRM's clock and this machine's are too far apart: instants and ages would be wrong."""
    if abs(now - theirs) <= CLOCKS_APART:
        return []
    told = _told_apart(now, theirs, "the CRM's")
    return [Hold(HoldKind.CLOCK_WRONG, told + way_out(run, "set the clock right"))]


def _told_apart(now: datetime, theirs: datetime, whose: str) -> str:
    apart = now - theirs
    side = "ahead of" if apart > timedelta(0) else "behind"
    return (
        f"this machine's clock ({_second(now)}) is {span_text(abs(apart))} {side} {whose} ({_second(theirs)}),"
        f" more than the {span_text(CLOCKS_APART)} that may lie between them"
    )


def mirror_partial(connector: str, object_: str, *, run: int) -> Hold:
    """Hold because not all records of an object have been seen yet."""
    sentence = f"the mirror of {object_} is not whole yet; run `engage-sync pull {connector}` first"
    return Hold(HoldKind.MIRROR_PARTIAL, sentence + f", or approve what is known by `engage-sync approve {run}`",
                connector, object_)  # fmt: skip


def _second(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")


def span_text(span: timedelta) -> str:
    """Say how long: in days from two days on, in hours, or in minutes below two hours."""
    minutes = span.total_seconds() / 60
    if minutes >= 48 * 60:
        return f"{minutes / 1440:.1f} days"
    return f"{minutes / 60:.1f} h" if minutes >= 120 else f"{minutes:.0f} min"
