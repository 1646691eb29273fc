"""The verdicts of semantics §2 to §4, §6 and §8 in plain dicts and loops, from messages and the model as it is in YAML.

`users(...)` and `accounts(...)` give the rows of `show users|accounts --format jsonl` (architecture §6) for models that
define no stages, health, scores, segments or signals; `runs.py` fills those in. Slow on purpose; it knows nothing of
the product.

`crm`, where given, says what is linked: `{connector: {"users"|"accounts": {external id: {"object": …, "id": …,
"url": …, "values": {field: text or None}}}}}`. Only live records belong in it. An id may be any of a user's alias ids.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

from tests.oracle.messages import Message, iso
from tests.oracle.world import TYPES, Crm, Row, World, power_limit, shown, within

__all__ = ["accounts", "power_limit", "users", "world"]


def host(website: str | None) -> str | None:
    """Give the host of a website's address, with or without a scheme."""
    if not website:
        return None
    try:
        return urlsplit(website if "://" in website else "//" + website).hostname
    except ValueError:
        return None


def bare_domain(text: str | None) -> str | None:
    return (text or "").strip().lower().removeprefix("www.") or None


# --- rows ----------------------------------------------------------------------------------------------------------

LATER = {
    "health": None,
    "stage": None,
    "scores": {},
    "score_trends": {},
    "score_bands": {},
    "segments": [],
    "signals": [],
}


def user_row(world: World, user: str) -> Row:
    facts, traits, types = world.user_facts[user], world.user_traits[user], world.types[user]
    parts = [traits[name] for name in ("firstName", "lastName") if traits.get(name)]
    return {
        "external_id": user,
        "email": (traits.get("email") or "").strip().lower() or None,
        "name": traits.get("name") or " ".join(parts) or None,
        "user_types": types,
        "primary_user_type": next(name for name in TYPES if name in types),
        "lapsed_influencer": user in world.lapsed,
        "last_active_at": iso(facts["metrics"]["last_active_at"]),
        **LATER,
        "metrics": {name: shown(value) for name, value in facts["metrics"].items()},
        "properties": {name: shown(value) for name, value in facts["properties"].items()},
        "mrr": shown(facts["mrr"]),
        "renewal_date": shown(facts["renewal_date"]),
        "accounts": sorted(world.accounts_of.get(user, ())),
        "links": world.links("users", user),
    }


def members_of(world: World, account: str) -> list[str]:
    return [user for user in world.members.get(account, ()) if user not in world.deactivated]


def active_members(world: World, account: str) -> set[str]:
    """Give the account's active users (§3): wherever they were active, or only what is attributed to it."""
    members = members_of(world, account)
    if world.attributed_only:
        return {
            event["who"]
            for event in world.activity_of.get(("account", account), [])
            if within(event["timestamp"], world.as_of, world.window)
        } & set(members)
    return {user for user in members if "active" in world.types[user]}


def roll_up(world: World, account: str) -> Row:
    """Give the roll-ups of §4 for one account."""
    members, active = members_of(world, account), active_members(world, account)
    seats = world.account_facts[account]["properties"].get("seats")
    return {
        "active": bool(active),
        "users": len(members),
        "active_users": len(active),
        "active_share": len(active) / len(members) if members else None,
        "seat_use": len(active) / seats if isinstance(seats, float) and seats > 0 else None,
        **{f"users_{name}": sum(name in world.types[user] for user in members) for name in TYPES},
    }


def account_row(world: World, account: str) -> Row:
    facts, traits, rolled = world.account_facts[account], world.account_traits[account], roll_up(world, account)
    return {
        "external_id": account,
        "name": traits.get("name") or None,
        "domain": bare_domain(traits.get("domain")) or bare_domain(host(traits.get("website"))),
        **{name: shown(rolled[name]) for name in ("active", "users", "active_users", "active_share", "seat_use")},
        "users_by_type": {name: rolled[f"users_{name}"] for name in TYPES},
        "mrr": shown(facts["mrr"]),
        "renewal_date": shown(facts["renewal_date"]),
        **LATER,
        "score_sums": {},
        "metrics": {name: shown(value) for name, value in {**facts["metrics"], **rolled}.items()},
        "properties": {name: shown(value) for name, value in facts["properties"].items()},
        "links": world.links("accounts", account),
    }


KEPT = 6  # worlds of many messages are large
WORLDS: dict[str, tuple[Sequence[Message], World]] = {}


def world(
    messages: Sequence[Message], model: Row, as_of: datetime, timezone: str = "UTC", crm: Crm | None = None
) -> World:
    """Give the world of these messages at `as_of`; asked for the same again, the same one."""
    key = json.dumps(
        [id(messages), len(messages), model, as_of.isoformat(), timezone, crm], sort_keys=True, default=str
    )
    if key not in WORLDS:
        if len(WORLDS) >= KEPT:
            del WORLDS[next(iter(WORLDS))]
        WORLDS[key] = (messages, World(messages, model, as_of, timezone, crm or {}))  # kept, so that its id stays taken
    return WORLDS[key][1]


def users(
    messages: Sequence[Message], model: Row, as_of: datetime, timezone: str = "UTC", crm: Crm | None = None
) -> list[Row]:
    """Give the rows of `show users`, in order of the external id."""
    at = world(messages, model, as_of, timezone, crm)
    return [user_row(at, user) for user in at.users if user not in at.deactivated]


def accounts(
    messages: Sequence[Message], model: Row, as_of: datetime, timezone: str = "UTC", crm: Crm | None = None
) -> list[Row]:
    """Give the rows of `show accounts`, in order of the external id."""
    at = world(messages, model, as_of, timezone, crm)
    return [account_row(at, account) for account in at.accounts]
