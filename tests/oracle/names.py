"""What the names in a rule mean before any verdict but the user types (semantics §4, §7): plain dicts from name to
value, None where it is null. It knows nothing of the product."""

from __future__ import annotations

from datetime import date

from tests.oracle.verdicts import roll_up
from tests.oracle.world import TYPES, Row, World


def days_to(world: World, properties: Row) -> Row:
    """Give `days_to_X` of the date properties that are known: calendar days in the project's zone."""
    today = world.as_of.astimezone(world.zone).date()
    return {
        f"days_to_{name}": (world.as_day(value) - today).days
        for name, value in properties.items()
        if isinstance(value, date)
    }


def account_names(world: World, account: str) -> Row:
    """Give properties, metrics, built-ins and roll-ups of one account."""
    facts = world.account_facts[account]
    properties = facts["properties"]
    return {**properties, **days_to(world, properties), **facts["metrics"], **roll_up(world, account)}


def user_names(world: World, user: str) -> Row:
    """Give a user's own names, its types, and `account.X` of its only account."""
    facts, types = world.user_facts[user], world.types[user]
    properties = facts["properties"]
    names = {**properties, **days_to(world, properties), **facts["metrics"]}
    names.update(mrr=facts["mrr"], renewal_date=facts["renewal_date"])
    names.update({f"types.{name}": name in types for name in TYPES})
    names["primary_user_type"] = next(name for name in TYPES if name in types)
    names["lapsed_influencer"] = user in world.lapsed
    mine = sorted(world.accounts_of.get(user, ()))
    if len(mine) == 1:
        names.update({f"account.{name}": value for name, value in account_names(world, mine[0]).items()})
    return names
