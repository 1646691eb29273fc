"""The day's calls of a CRM: what a plan costs in calls and minutes, and which records are written when they do not all
fit. It reads what the CRM told of its quota, reorders and defers; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil

import polars as pl

from engage_sync.connectors.base import CallKind, Limits, Rate
from engage_sync.connectors.throttle import Today
from engage_sync.core.accounts import money
from engage_sync.core.definitions import Entity
from engage_sync.core.plan import EXECUTED
from engage_sync.core.priority import LATE, RANKED, WORTH, deferred, fitting, ranked, together
from engage_sync.sync.computed import Computed
from engage_sync.sync.documents import read_fields
from engage_sync.sync.history import frame_of
from engage_sync.sync.holding import baseline
from engage_sync.sync.planning import Prepared
from engage_sync.sync.push import SLICE
from engage_sync.sync.readback import ALL, AT_ONCE, NONE, verify_calls
from engage_sync.sync.sessions import Session, Short
from engage_sync.sync.wiring import Workspace

AMPLE = 2
"""A budget of so many times what is needed is not short, even if another integration takes some of it meanwhile."""
CALLS_PER_DELIVERY = 3
"""Calls that a batch of signals' tasks or fields takes at most, usually: looking, creating, associating."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a push of a plan costs, and what the CRM's day holds. None is unknown: no plan, or a CRM that tells nothing.

    `used` is everybody's; `left` what our `share` of `daily_limit` leaves to us, and `fits` whether that is enough.
    """

    share: float
    write_calls: int | None = None
    verify_calls: int | None = None
    minutes: float | None = None
    daily_limit: int | None = None
    used: int | None = None
    left: int | None = None
    fits: bool | None = None

    def json(self) -> dict[str, object]:
        """Give it as `plan --json` does."""
        names = ("write_calls", "verify_calls", "minutes", "daily_limit", "used", "share", "left", "fits")
        told = asdict(self)
        return {name: told[name] for name in names}

    def sentence(self, connector: str) -> str | None:
        """Say it to a person; None without a plan."""
        if self.write_calls is None or self.minutes is None:
            return None
        calls = f"{self.write_calls:,} write call{'s' * (self.write_calls != 1)}"
        about = max(1, round(self.minutes))
        cost = (
            f"{connector}: {calls}, about {about:,} minute{'s' * (about != 1)}"
            if self.write_calls
            else (f"{connector}: no write calls")
        )
        if self.daily_limit is None or self.used is None or self.left is None:
            return f"{cost}; how many calls of today are left is not known"
        day = f"{self.used:,} of today's {self.daily_limit:,} calls are used by all integrations"
        room = f"{day}, our share is {100 * self.share:g} %, so {self.left:,} are left"
        if self.fits is False:
            room += ": too few for all, so the records that matter most would go first and the rest would wait"
        return f"{cost}; {room}"


def price(session: Session) -> Price:
    """Price a connector's plan. Held or not: it is what a push would cost."""
    share, today = session.file.daily_share, session.connector.today
    if session.prepared is None:
        return _with_day(Price(share), today)
    limits = session.connector.limits
    records = _counts(session.prepared)
    writes = sum(_write_calls(limits, count) for count in records)
    verify = sum(verify_calls(count, session.file.verify) for count in records)
    minutes = round(seconds(limits, session.connector.rates.get(CallKind.WRITE), records) / 60, 2)
    looks = limits.whole_looks * sum(_is_whole(limits, count) for count in records)
    return _with_day(Price(share, writes, verify, minutes), today, looks)


def _with_day(found: Price, today: Today | None, looks: int = 0) -> Price:
    """Add what the CRM's day holds. A push that is handed over whole is looked after by so many calls more."""
    if today is None:
        return found
    need = None if found.write_calls is None else found.write_calls + (found.verify_calls or 0) + looks
    fits = None if need is None else need <= today.left
    return replace(found, daily_limit=today.limit, used=today.used, left=today.left, fits=fits)


def seconds(limits: Limits, rate: Rate | None, records: Sequence[int]) -> float:
    """Estimate how long a push of so many records of each object takes. Those handed over whole go at `whole_rows` a
    second. For the others calls take `calls × call_seconds ÷ in_flight`, but no less than the rate allows: a burst of
    `rate.calls`, then each further burst an `interval` later, `(ceil(calls ÷ rate.calls) − 1) × interval`."""
    whole = [count for count in records if _is_whole(limits, count)]
    calls = sum(_write_calls(limits, count) for count in records if not _is_whole(limits, count))
    by_rate = (ceil(calls / rate.calls) - 1) * rate.interval if rate is not None and calls else 0.0
    return sum(whole) / limits.whole_rows + max(calls * limits.call_seconds / limits.in_flight, by_rate)


def _is_whole(limits: Limits, records: int) -> bool:
    return limits.whole_above is not None and records > limits.whole_above


def _write_calls(limits: Limits, records: int) -> int:
    if _is_whole(limits, records):
        return limits.whole_calls * ceil(records / SLICE)
    return ceil(records / limits.push_batch)


def ration(workspace: Workspace, session: Session, computed: Computed, *, retrying: bool = False) -> None:
    """Before a push: where the day's calls may not do, put the records that matter most first; defer what does not fit.

    The budget is what our share leaves to us, others' calls counted, less what the actions of signals need (at most
    half). Each beginning of the order is priced with the calls that empty an id first, and with reading back. While
    `retrying`, the records that are left out still wait: what is noted of the short days before stays.
    """
    today = session.connector.today
    if today is None or session.prepared is None or session.prepared.held or session.error is not None:
        return
    since = _first(workspace, session)
    _rationed(workspace, session, computed, today.left - min(_deliveries(workspace, session), today.left // 2))
    if not retrying:
        _note_short(workspace, session, since if session.short is not None else None)


def _rationed(workspace: Workspace, session: Session, computed: Computed, budget: int) -> None:
    if session.prepared is None or budget >= AMPLE * _most(session, session.prepared):
        return
    changes = session.prepared.changes().filter(pl.col("decision").is_in(EXECUTED))
    pairs = _freeing(session, changes)
    records = changes.select("object", "record").unique(maintain_order=True)
    need = _last(_prices(session, records, pairs))
    if need == 0 or budget >= AMPLE * need:
        return
    late = _late(workspace, session)
    waited = changes.join(late, on=list(RANKED), how="semi")
    then = [(waited, _first(workspace, session)), (changes, _last_push(workspace, session))]
    worth = pl.concat([_worth(workspace, computed, some, since) for some, since in then])
    order = together(ranked(changes, worth, late), pairs)
    fit = fitting(order, _prices(session, order, pairs), budget)
    plans = {name: deferred(plan, order, fit.chosen) for name, plan in session.prepared.plans.items()}
    session.prepared = replace(session.prepared, plans=plans)
    session.ranked = True
    session.short = Short(fit.count, fit.of) if fit.count < fit.of else None


def _most(session: Session, prepared: Prepared) -> int:
    """Give a number of calls that a push does not exceed: every record in two calls, and all reading back."""
    limits = session.connector.limits
    return sum(
        2 * ceil(count / limits.push_batch) + verify_calls(count, session.file.verify) for count in _counts(prepared)
    )


def _counts(prepared: Prepared) -> list[int]:
    """Give how many records of each object are to be written."""
    return [
        plan.changes.filter(pl.col("decision").is_in(EXECUTED))["record"].n_unique() for plan in prepared.plans.values()
    ]


def _last_push(workspace: Workspace, session: Session) -> int:
    """Give the last run that wrote to this CRM, 0 for none: what fell while nothing was asked of it is still urgent."""
    since = baseline(workspace, session.file.name)
    return 0 if since is None else since.run


def _first(workspace: Workspace, session: Session) -> int:
    """Give the run that records are compared with which waited: that before the first of several short ones. What fell
    on a day without quota for it is still urgent on the next."""
    noted = workspace.state.note(f"short.{session.file.name}")
    return _last_push(workspace, session) if noted is None else int(noted)


def _late(workspace: Workspace, session: Session) -> pl.DataFrame:
    """Give the records that earlier runs deferred, as LATE."""
    name = session.file.name
    found = [
        workspace.state.deferred(name, item.object).select(pl.lit(item.object).alias("object"), "record", "since_run")
        for item in session.file.objects
    ]
    return pl.concat([pl.DataFrame(schema=LATE), *found])


def _note_short(workspace: Workspace, session: Session, since: int | None) -> None:
    key = f"short.{session.file.name}"
    wanted = None if since is None else str(since)
    if workspace.state.note(key) != wanted:
        workspace.state.set_note(key, wanted)


def _last(prices: pl.Series) -> int:
    return int(prices[-1]) if prices.len() else 0


def _deliveries(workspace: Workspace, session: Session) -> int:
    """Estimate the calls that waiting actions of signals take."""
    waiting = workspace.state.pending_deliveries().filter(pl.col("connector") == session.file.name).height
    return CALLS_PER_DELIVERY * ceil(waiting / session.connector.limits.push_batch)


def _prices(session: Session, order: pl.DataFrame, pairs: pl.DataFrame) -> pl.Series:
    """Give for each row the calls that it and all rows before it take together, reading back included."""
    limits = session.connector.limits
    holders = pairs.select("object", "record").unique().with_columns(holds=pl.lit(value=True))
    marked = order.join(holders, on=["object", "record"], how="left", maintain_order="left")
    prices = pl.zeros(order.height, dtype=pl.Int64, eager=True)
    for name in order["object"].unique().to_list():
        mine = pl.col("object") == name
        count = mine.cast(pl.Int64).cum_sum()
        freed = (mine & pl.col("holds").fill_null(value=False)).cast(pl.Int64).cum_sum()
        price = _vector(limits, count) + _up(freed, limits.push_batch) + _verified(session.file.verify, count)
        prices = prices + marked.select(price).to_series()
    return prices


def _verified(setting: str, count: pl.Expr) -> pl.Expr:
    """Count the calls of `readback.verify_calls`, row by row."""
    if setting == NONE:
        return pl.lit(0)
    return _up(count, AT_ONCE) if setting == ALL else (count > 0).cast(pl.Int64)


def _vector(limits: Limits, count: pl.Expr) -> pl.Expr:
    single = _up(count, limits.push_batch)
    if limits.whole_above is None:
        return single
    whole = _up(count, SLICE) * (limits.whole_calls + limits.whole_looks)
    return pl.when(count > limits.whole_above).then(whole).otherwise(single)


def _up(count: pl.Expr, size: int) -> pl.Expr:
    return (count + (size - 1)) // size


def _freeing(session: Session, changes: pl.DataFrame) -> pl.DataFrame:
    """Give the records that hold an id which another is about to get: object, record, other (see `push._freeing`)."""
    unique = {item.object: item.match_external_id for item in session.file.objects if item.match_external_id}
    named = pl.col("object").replace_strict(unique, default=None, return_dtype=pl.String)
    ids = changes.filter(pl.col("field") == named)
    gets = ids.select("object", other="record", id="after").drop_nulls("id")
    return ids.select("object", "record", id="before").join(gets, on=["object", "id"]).drop("id")


def _worth(workspace: Workspace, computed: Computed, changes: pl.DataFrame, since: int) -> pl.DataFrame:
    """Give what makes each entity of the changes urgent against run `since`, as WORTH."""
    frames = [pl.DataFrame(schema=WORTH)]
    for entity in Entity:
        ids = changes.filter(pl.col("entity") == entity.value)["external_id"].drop_nulls().unique()
        if not ids.is_empty():
            frames.append(_worth_of(workspace, computed, entity, ids, since))
    return pl.concat(frames)


def _worth_of(workspace: Workspace, computed: Computed, entity: Entity, ids: pl.Series, since: int) -> pl.DataFrame:
    model, zone = workspace.project.model, workspace.project.timezone
    now = frame_of(computed, entity).filter(pl.col("external_id").is_in(ids.implode()))
    mrr = pl.col("mrr") if entity is Entity.USER else money(model, zone)["mrr"]
    fields = {"health": pl.String(), "signals": pl.List(pl.String)}
    then = read_fields(workspace.state.verdicts(entity, run=since, ids=ids.to_list()), fields)
    then = then.select("external_id", before="health", signals_before=pl.col("signals").fill_null([]))
    joined = now.select("external_id", "health", "signals", mrr=mrr.cast(pl.Float64)).join(
        then, on="external_id", how="left"
    )
    new = pl.col("signals").fill_null([]).list.set_difference(pl.col("signals_before").fill_null([]))
    return joined.select(
        pl.lit(entity.value).alias("entity"),
        "external_id",
        "health",
        "before",
        signalled=new.list.len() > 0,
        mrr="mrr",
    ).select(list(WORTH))
