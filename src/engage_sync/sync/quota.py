"""The day's calls of a CRM: what a plan costs in calls and minutes, and which records are written when they do not all
fit. It reads what the CRM told of its quota, reorders and defers; it sends nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import ceil

import polars as pl

from engage_sync.connectors.base import CallKind, Limits, Rate
from engage_sync.connectors.throttle import Today
from engage_sync.core.accounts import money
from engage_sync.core.definitions import Entity
from engage_sync.core.plan import EXECUTED
from engage_sync.core.priority import LATE, RANKED, WORTH, deferred, fitting, ranked, together
from engage_sync.core.unique_ids import handed_on
from engage_sync.sync.computed import Computed
from engage_sync.sync.documents import read_fields
from engage_sync.sync.history import frame_of
from engage_sync.sync.holding import baseline
from engage_sync.sync.planning import Prepared
from engage_sync.sync.push import SLICE
from engage_sync.sync.readback import ALL, AT_ONCE, NONE
from engage_sync.sync.sessions import Session, Short
from engage_sync.sync.wiring import Workspace

AMPLE = 2
"""A budget of so many times what is needed is not short, even if another integration takes some of it meanwhile."""
NEED = pl.sum_horizontal("single", "whole", "looks", "verify")
"""`Calls.need` of a frame with its fields."""
CALLS_PER_DELIVERY = 3
"""Calls that a batch of signals' tasks or fields takes at most, usually: looking, creating, associating."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a push of a plan costs, and what the CRM's day holds. None is unknown: no plan, or a CRM that tells nothing.

    `used` is everybody's; `left` what our `share` of `daily_limit` leaves to us, `for_actions` the part of it that the
    actions of signals need which wait already, and `fits` whether the rest of it is enough.
    """

    share: float
    write_calls: int | None = None
    verify_calls: int | None = None
    minutes: float | None = None
    daily_limit: int | None = None
    used: int | None = None
    left: int | None = None
    fits: bool | None = None
    for_actions: int | None = None

    def json(self) -> dict[str, object]:
        """Give it as `plan --json` does."""
        names = ("write_calls", "verify_calls", "minutes", "daily_limit", "used", "share", "left")
        told = asdict(self)
        return {name: told[name] for name in (*names, "for_actions", "fits")}

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
        if self.for_actions:
            room += f", {self.for_actions:,} of them for the actions of signals"
        if self.fits is False:
            room += ": too few for all, so the records that matter most would go first and the rest would wait"
        return f"{cost}; {room}"


def price(workspace: Workspace, session: Session) -> Price:
    """Price a connector's plan. Held or not: it is what a push would cost, and `ration` counts the same."""
    share, today = session.file.daily_share, session.connector.today
    found, room = Price(share), 0
    if today is not None:
        kept = _for_actions(workspace, session, today)
        found = replace(found, daily_limit=today.limit, used=today.used, left=today.left, for_actions=kept)
        room = today.left - kept
    if session.prepared is None:
        return found
    changes = _executed(session.prepared)
    calls = _last(_prices(session, _records(changes), _freeing(session, changes)))
    minutes = seconds(session.connector.limits, session.connector.rates.get(CallKind.WRITE), calls) / 60
    fits = None if today is None else calls.need <= room
    return replace(found, write_calls=calls.writes, verify_calls=calls.verify, minutes=round(minutes, 2), fits=fits)


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that writing some records takes: write calls of batches and of what is handed over whole, so many
    `rows` of it, which is looked after by `looks`, and calls that read back."""

    single: int = 0
    whole: int = 0
    rows: int = 0
    looks: int = 0
    verify: int = 0

    @property
    def writes(self) -> int:
        """All write calls."""
        return self.single + self.whole

    @property
    def need(self) -> int:
        """All calls that the day must hold."""
        return self.writes + self.looks + self.verify


def seconds(limits: Limits, rate: Rate | None, calls: Calls) -> float:
    """Estimate how long a push takes. What is handed over whole goes at `whole_rows` a second. The other calls take
    `calls × call_seconds ÷ in_flight`, but no less than the rate allows: a burst of `rate.calls`, then each further
    burst an `interval` later, `(ceil(calls ÷ rate.calls) − 1) × interval`."""
    by_rate = (ceil(calls.single / rate.calls) - 1) * rate.interval if rate is not None and calls.single else 0.0
    return calls.rows / limits.whole_rows + max(calls.single * limits.call_seconds / limits.in_flight, by_rate)


def ration(workspace: Workspace, session: Session, computed: Computed, *, retrying: bool = False) -> None:
    """Before a push: where the day's calls may not do, put the records that matter most first; defer what does not fit.

    The budget is what our share leaves to us, others' calls counted, less what the actions of signals need (at most
    half). Each beginning of the order is priced with the calls that empty an id first, and with reading back. While
    `retrying`, the records that are left out still wait: what is noted of the short days before stays.
    """
    today = session.connector.today
    if today is None or session.free() is None:
        return
    since = _first(workspace, session)
    _rationed(workspace, session, computed, today.left - _for_actions(workspace, session, today))
    if not retrying:
        _note_short(workspace, session, since if session.short is not None else None)


def _rationed(workspace: Workspace, session: Session, computed: Computed, budget: int) -> None:
    if session.prepared is None:
        return
    changes = _executed(session.prepared)
    pairs = _freeing(session, changes)
    need = _last(_prices(session, _records(changes), pairs)).need
    if need == 0 or budget >= AMPLE * need:
        return
    late = _late(workspace, session)
    waited = changes.join(late, on=list(RANKED), how="semi")
    then = [(waited, _first(workspace, session)), (changes, _last_push(workspace, session))]
    worth = pl.concat([_worth(workspace, computed, some, since) for some, since in then])
    order = together(ranked(changes, worth, late), pairs)
    orders = (order, _hopeless_last(session, order, pairs, budget))
    fits = [fitting(one, _prices(session, one, pairs).select(NEED).to_series(), budget) for one in orders]
    fit = max(fits, key=lambda one: one.count)
    plans = {name: deferred(plan, order, fit.chosen) for name, plan in session.prepared.plans.items()}
    session.prepared = replace(session.prepared, plans=plans)
    session.ranked = True
    session.short = Short(fit.count, fit.of) if fit.count < fit.of else None


def _executed(prepared: Prepared) -> pl.DataFrame:
    """Give the changes that are to be written."""
    return prepared.changes().filter(pl.col("decision").is_in(EXECUTED))


def _records(changes: pl.DataFrame) -> pl.DataFrame:
    return changes.select(list(RANKED)).unique(maintain_order=True)


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


def _last(prices: pl.DataFrame) -> Calls:
    return Calls(*map(int, prices.row(-1))) if prices.height else Calls()


def _for_actions(workspace: Workspace, session: Session, today: Today) -> int:
    """Estimate the calls that waiting actions of signals take of what is left to us: at most half of that is theirs."""
    waiting = workspace.state.pending_deliveries().filter(pl.col("connector") == session.file.name).height
    return min(CALLS_PER_DELIVERY * ceil(waiting / session.connector.limits.push_batch), today.left // 2)


def _prices(session: Session, order: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give for each row what it and all rows before it take together, a column per field of `Calls`."""
    marked = _holding(order, pairs)
    names = [one.name for one in fields(Calls)]
    prices = pl.DataFrame(dict.fromkeys(names, pl.zeros(order.height, dtype=pl.Int64, eager=True)))
    for name in order["object"].unique().to_list():
        mine = pl.col("object") == name
        count = mine.cast(pl.Int64).cum_sum()
        freed = (mine & pl.col("holds")).cast(pl.Int64).cum_sum()
        mine_only = marked.select(**costs(session.connector.limits, session.file.verify, count, freed))
        prices = prices.select(pl.col(one) + mine_only[one] for one in names)
    return prices


def _holding(order: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Add `holds`: whether a record is emptied first, because it holds an id that another is about to get."""
    holders = pairs.select("object", "record").unique().with_columns(holds=pl.lit(value=True))
    marked = order.join(holders, on=["object", "record"], how="left", maintain_order="left")
    return marked.with_columns(pl.col("holds").fill_null(value=False))


def _hopeless_last(session: Session, order: pl.DataFrame, pairs: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Put the groups of an order that take more calls than there are, each for itself, behind the others: in front of
    them they would stop all others every day."""
    group = pl.col("last").shift(fill_value=False).cast(pl.Int64).cum_sum()
    parts = _holding(order, pairs).group_by("object", group=group).agg(count=pl.len().cast(pl.Int64), freed="holds")
    parts = parts.with_columns(pl.col("freed").list.sum().cast(pl.Int64))
    calls = costs(session.connector.limits, session.file.verify, pl.col("count"), pl.col("freed"))
    needs = parts.with_columns(**calls).select("group", need=NEED).group_by("group").agg(pl.col("need").sum())
    hopeless = needs.filter(pl.col("need") > budget)["group"]
    return order.sort(group.is_in(hopeless.implode()), maintain_order=True)


def costs(limits: Limits, verify: str, count: pl.Expr, freed: pl.Expr) -> dict[str, pl.Expr]:
    """Give the fields of `Calls` for `count` records of one object, `freed` of which are emptied first
    (`push._freeing`); `verify` is the setting of reading back."""
    whole = pl.lit(value=False) if limits.whole_above is None else count > limits.whole_above
    slices, none = _up(count, SLICE), pl.lit(0, dtype=pl.Int64)
    read = _up(count, AT_ONCE) if verify == ALL else (count > 0).cast(pl.Int64)
    return {
        "single": pl.when(whole).then(none).otherwise(_up(count, limits.push_batch)) + _up(freed, limits.push_batch),
        "whole": pl.when(whole).then(slices * limits.whole_calls).otherwise(none),
        "rows": pl.when(whole).then(count).otherwise(none),
        "looks": pl.when(whole).then(slices * limits.whole_looks).otherwise(none),
        "verify": none if verify == NONE else read,
    }


def _up(count: pl.Expr, size: int) -> pl.Expr:
    return (count + (size - 1)) // size


def _freeing(session: Session, changes: pl.DataFrame) -> pl.DataFrame:
    """Give the records that hold an id which another is about to get: object, record, other."""
    found = [pl.DataFrame(schema=dict.fromkeys(("object", "record", "other"), pl.String))]
    for item in session.file.objects:
        pairs = handed_on(changes.filter(pl.col("object") == item.object), item.match_external_id)
        found.append(pairs.select(pl.lit(item.object).alias("object"), "record", "other"))
    return pl.concat(found)


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
