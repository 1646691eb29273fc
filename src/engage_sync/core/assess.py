"""Assessing: from the population and the links to what is true of every user and account at `as_of`.

The order of the verdicts is types → stage → health → scores → segments → signals (semantics §7); a verdict reads only
what comes before it. Deactivated users get none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.accounts import member_rows, with_accounts, with_roll_ups
from engage_sync.core.columns import at
from engage_sync.core.definitions import Model
from engage_sync.core.population import Population
from engage_sync.core.types import TYPES, with_user_types


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is true at one `as_of`.

    `users` (not deactivated): the population's columns, age_days, days_since_active, the columns of
    `types.with_user_types`, and accounts, mrr, renewal_date. `accounts`: the population's columns, age_days,
    days_since_active and the roll-ups of `accounts.with_roll_ups`. `counts` are tallies for the run report.
    """

    users: pl.DataFrame
    accounts: pl.DataFrame
    counts: Mapping[str, int]


def assess(population: Population, model: Model, *, as_of: datetime, timezone: str, linked: pl.DataFrame) -> Verdicts:
    """Decide everything. `linked` is external_id, connector: the users with a live link to a contact."""
    people = _aged(population.users.filter(~pl.col("deactivated")), as_of)
    members = member_rows(people, population.memberships)
    people = with_accounts(people, population.accounts, members, model, as_of=as_of, timezone=timezone)
    users = with_user_types(people, model, linked, as_of=as_of, timezone=timezone)
    accounts = with_roll_ups(_aged(population.accounts, as_of), users, members, population.attributed, model)
    return Verdicts(users, accounts, _counts(population, users, accounts))


def _aged(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Whole 24 h elapsed since the creation (where it is known and not after `as_of`, else the first message) and since
    the last activity (semantics §6)."""
    now = at(as_of)
    created = pl.when(pl.col("created_at") <= now).then(pl.col("created_at"))
    return frame.with_columns(
        age_days=(now - pl.coalesce(created, pl.col("first_message_at"))).dt.total_days(),
        days_since_active=(now - pl.col("last_active_at")).dt.total_days(),
    )


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
