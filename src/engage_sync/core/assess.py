"""Assessing: from the population and the links to what is true of every user and account at `as_of`.

The order of the verdicts is types → stage → health → scores → segments → signals (semantics §7); a verdict reads only
what comes before it. Deactivated users get none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from engage_sync.core.accounts import member_rows, with_accounts, with_activity, with_roll_ups
from engage_sync.core.asking import Asking
from engage_sync.core.columns import at, value_of
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.facts import INSTANT
from engage_sync.core.groups import MARKS, SWITCHED, with_segments, with_signals
from engage_sync.core.health import with_health
from engage_sync.core.population import Population
from engage_sync.core.scores import Benchmark, with_account_score, with_rule_score, with_weighted_score
from engage_sync.core.stages import with_stage
from engage_sync.core.types import TYPES, with_user_types
from engage_sync.core.verdict_rules import Health, Stages, WeightedScore

REMEMBERED: Mapping[str, pl.DataType] = {
    "stage": pl.String(),
    "health": pl.String(),
    "health_raw": pl.String(),
    "health_runs": pl.Int64(),
    "signal_marks": MARKS,
    "rested_stage": pl.String(),  # of who was deactivated: the stage before
}
"""What a run must know of the last one, per user or account."""

BEFORE: Mapping[str, pl.DataType] = {"external_id": pl.String(), **REMEMBERED}

RESTED: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),
    "signal_marks": MARKS,
    "rested_stage": pl.String(),
}
_ACCOUNT = "account."


def _nobody() -> Mapping[Entity, pl.DataFrame]:
    return {entity: pl.DataFrame(schema=BEFORE) for entity in Entity}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is true at one `as_of`.

    `users` (not deactivated): the population's columns, age_days, days_since_active, the columns of
    `types.with_user_types`, and accounts, mrr, renewal_date. `accounts`: the population's columns, age_days,
    days_since_active and the roll-ups of `accounts.with_roll_ups`. Both: stage, health, scores, segments, signals, as
    `stages`, `health`, `scores` and `groups` add them. `switched` tells which signals went on or off, as SWITCHED.
    `counts` are tallies for the run report, `benchmarks` those of the weighted scores by name; `rested` (RESTED) is
    what must be known of deactivated users should they come back.
    """

    users: pl.DataFrame
    accounts: pl.DataFrame
    counts: Mapping[str, int]
    switched: Mapping[Entity, pl.DataFrame] = field(
        default_factory=lambda: {entity: pl.DataFrame(schema=SWITCHED) for entity in Entity}
    )
    benchmarks: Mapping[str, Benchmark] = field(default_factory=dict)
    rested: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RESTED))


def assess(
    population: Population,
    model: Model,
    *,
    as_of: datetime,
    timezone: str,
    linked: pl.DataFrame,
    before: Mapping[Entity, pl.DataFrame] | None = None,
) -> Verdicts:
    """Decide everything. `linked` is external_id, connector: the users with a live link to a contact; `before` what the
    last run decided, as BEFORE for each entity (None: there was none)."""
    before = dict(before or _nobody())
    rested = _rested(before[Entity.USER], population.users)
    before[Entity.USER] = before[Entity.USER].with_columns(stage=pl.coalesce("stage", "rested_stage"))
    people = _aged(population.users.filter(~pl.col("deactivated")), as_of)
    members = member_rows(people, population.memberships)
    people = with_accounts(people, population.accounts, members, model, as_of=as_of, timezone=timezone)
    users = with_user_types(people, model, linked, as_of=as_of, timezone=timezone)
    members = with_activity(members, users, population.attributed, model)
    accounts = with_roll_ups(_aged(population.accounts, as_of), users, members, model)
    users = with_only_account(users, accounts, model, as_of=as_of, timezone=timezone)
    asking = {entity: Asking(model, entity, as_of, timezone) for entity in Entity}
    users = _staged(users, asking[Entity.USER], before[Entity.USER])
    accounts = _staged(accounts, asking[Entity.ACCOUNT], before[Entity.ACCOUNT])
    users, accounts, marks = _scored(users, accounts, members.filter("active"), asking)
    users, of_users = _grouped(users, asking[Entity.USER], before[Entity.USER])
    accounts, of_accounts = _grouped(accounts, asking[Entity.ACCOUNT], before[Entity.ACCOUNT])
    switched = {Entity.USER: of_users, Entity.ACCOUNT: of_accounts}
    return Verdicts(users, accounts, _counts(population, users, accounts), switched, marks, rested)


def _rested(before: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Give what deactivated users keep, as RESTED: the stage they were in, and when their signals fired."""
    resting = before.join(users.filter("deactivated"), on="external_id", how="semi")
    mark = pl.element().struct.with_fields(pl.lit(value=False).alias("on"))
    return resting.select(
        "external_id",
        pl.col("signal_marks").list.eval(mark).cast(MARKS),
        pl.coalesce("stage", "rested_stage").alias("rested_stage"),
    )


def remembers(model: Model, entity: Entity) -> bool:
    """Tell whether a verdict on the entity depends on the last run: monotonic stages, confirmed health, signals."""
    stages, health = model.stages.get(entity, Stages()), model.health.get(entity, Health())
    return stages.monotonic or health.confirm > 1 or bool(model.signals_of(entity))


def with_only_account(
    users: pl.DataFrame, accounts: pl.DataFrame, model: Model, *, as_of: datetime, timezone: str
) -> pl.DataFrame:
    """Add `account.X` for each that a user's rule reads: the value of the user's only account, null with several."""
    names = sorted(name for name in _read_by_users(model) if name.startswith(_ACCOUNT))
    if not names:
        return users
    values = {
        name: value_of(name.removeprefix(_ACCOUNT), model, Entity.ACCOUNT, as_of=as_of, timezone=timezone)
        for name in names
    }
    only = pl.when(pl.col("accounts").list.len() == 1).then(pl.col("accounts").list.first()).alias(".only")
    known = accounts.select(pl.col("external_id").alias(".only"), **values)
    return users.with_columns(only).join(known, on=".only", how="left", maintain_order="left").drop(".only")


def _read_by_users(model: Model) -> set[str]:
    """Give every name that a rule about users reads, the types aside: those cannot read an account."""
    stages, health = model.stages.get(Entity.USER, Stages()), model.health.get(Entity.USER, Health())
    profiles = [profile for profile in (health.default, *health.stages.values()) if profile is not None]
    rules = [
        *stages.steps,
        *(rule for profile in profiles for rule in (*profile.good, *profile.bad)),
        *(
            one.rule
            for score in model.scores_of(Entity.USER)
            if not isinstance(score, WeightedScore)
            for one in score.rules
        ),
        *(segment.rule for segment in model.segments_of(Entity.USER)),
        *(signal.rule for signal in model.signals_of(Entity.USER)),
    ]
    return {name for rule in rules for name in rule.when.names}


def _staged(frame: pl.DataFrame, asking: Asking, before: pl.DataFrame) -> pl.DataFrame:
    """Add stage and health."""
    stages = asking.model.stages.get(asking.entity, Stages())
    health = asking.model.health.get(asking.entity)
    last = [name for name in REMEMBERED if name not in {"signal_marks", "rested_stage"}]
    remembered = stages.monotonic or (health is not None and health.confirm > 1)
    if remembered:
        known = before.select("external_id", *(pl.col(name).alias(f"before.{name}") for name in last))
        frame = frame.join(known, on="external_id", how="left", maintain_order="left")
    frame = with_health(with_stage(frame, stages, asking), health, asking)
    return frame.drop(f"before.{name}" for name in last) if remembered else frame


def _scored(
    users: pl.DataFrame, accounts: pl.DataFrame, active: pl.DataFrame, asking: Mapping[Entity, Asking]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Benchmark]]:
    """Add the scores in file order: a rule may read those above it."""
    model = asking[Entity.USER].model
    marks: dict[str, Benchmark] = {}
    for score in model.scores:
        if isinstance(score, WeightedScore):
            users, marks[score.name] = with_weighted_score(users, score, model.bands)
            accounts = with_account_score(accounts, users, active, score, model.bands)
        elif score.entity is Entity.USER:
            users = with_rule_score(users, score, asking[Entity.USER], model.bands)
        else:
            accounts = with_rule_score(accounts, score, asking[Entity.ACCOUNT], model.bands)
    return users, accounts, marks


def _grouped(frame: pl.DataFrame, asking: Asking, before: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add segments and signals, and give which signals switched."""
    frame = with_segments(frame, asking.model.segments_of(asking.entity), asking)
    return with_signals(
        frame, asking.model.signals_of(asking.entity), asking, before.select("external_id", "signal_marks")
    )


def _aged(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Add `born_at`, the creation (where it is known and not after `as_of`, else the first message), and whole 24 h
    elapsed since then and since the last activity (semantics §6)."""
    now = at(as_of)
    created = pl.when(pl.col("created_at") <= now).then(pl.col("created_at"))
    return frame.with_columns(
        born_at=pl.coalesce(created, pl.col("first_message_at")).cast(INSTANT),
        days_since_active=(now - pl.col("last_active_at")).dt.total_days(),
    ).with_columns(age_days=(now - pl.col("born_at")).dt.total_days())


def _counts(population: Population, users: pl.DataFrame, accounts: pl.DataFrame) -> dict[str, int]:
    primary = users["primary_user_type"]
    power = int(users["user_types"].list.contains("power").sum())
    by_type = {
        "power": power,
        "influencer": int(users["user_types"].list.contains("influencer").sum()),
        "active": int(users["active"].sum()),
        "inactive": int((primary == "inactive").sum()),
        "zombie": int((primary == "zombie").sum()),
    }
    return {
        "users": users.height,
        "deactivated": population.users.height - users.height,
        "accounts": accounts.height,
        "active_accounts": int(accounts["active"].sum()),
        **{name: by_type[name] for name in TYPES},
        "lapsed_influencer": int(users["lapsed_influencer"].sum()),
        "unreadable": population.unreadable.height,
    }
