"""Why a user has its types, and an account its roll-ups, in sentences with the numbers behind them. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from engage_sync.core.definitions import Entity, Model
from engage_sync.sync.rows import iso_text, json_value
from engage_sync.sync.views import Json, Shown


@dataclass(frozen=True, slots=True)
class Reason:
    """One verdict with why: `holds` None means the verdict is not a yes or no."""

    verdict: str
    holds: bool | None
    why: str


def reasons(model: Model, shown: Shown, values: dict[str, Json], *, parted: str = "") -> tuple[Reason, ...]:
    """Give the reasons for the types of a user, or for an account's roll-ups, from its row. `parted` says what became
    of its last link, where it has none."""
    if shown.entity is Entity.USER:
        return tuple(_user_reasons(model, shown, values, parted))
    return tuple(_account_reasons(model, values))


def _user_reasons(model: Model, shown: Shown, values: dict[str, Json], parted: str) -> Iterator[Reason]:
    if values["deactivated"]:
        yield Reason(
            "deactivated", holds=True, why="a deactivated user has no verdicts, and its CRM fields are cleared"
        )
        return
    types = values["user_types"]
    assert isinstance(types, list)
    days = model.activity.window.total_seconds() / 86_400
    last = values["last_active_at"]
    seen = f"last active {iso_text(last)}" if isinstance(last, datetime) else "no activity event ever"
    why = f"{values['events']} activity events on {values['active_days']} days in the last {days:g} days; {seen}"
    for name in ("active", "inactive", "zombie"):
        if name in types:
            yield Reason(name, holds=True, why=why)
    yield Reason("power", holds="power" in types, why=_power_why(model, shown, values))
    yield from _influencer_reasons(model, values, types, parted)


def _power_why(model: Model, shown: Shown, values: dict[str, Json]) -> str:
    power = model.power
    limit, total = shown.counts.get("power_limit", 0), shown.counts.get("active", 0)
    edge = f"ceil({power.share} × {total} active users) = {limit}"
    if values["power_rank"] is None:
        return f"not active, so not ranked; {edge}"
    measure = values.get(power.measure)
    who = "1 active user has" if values["power_rank"] == 1 else f"{values['power_rank']} active users have"
    have = f"{who} {power.measure} ≥ {json_value(measure)}"
    assert isinstance(values["power_rank"], int)
    return f"{have}, {'within' if values['power_rank'] <= limit else 'more than'} {edge}"


def _influencer_reasons(model: Model, values: dict[str, Json], types: list[str], parted: str) -> Iterator[Reason]:
    rule = model.influencer
    linked = "linked to a live CRM contact" if values["linked"] else "not linked to a live CRM contact"
    if parted and not values["linked"]:
        linked += f" ({parted})"
    where = ""
    if rule.where is not None:
        held = {True: "holds", False: "does not hold", None: "is unknown"}[values["influencer_where"]]  # type: ignore[index]
        read = ", ".join(f"{name} = {_literal(values.get(name))}" for name in sorted(rule.where.names))
        where = f"; the rule `{rule.where.text}` {held} ({read})"
    activity = "active" if values["active"] else "not active"
    yield Reason("influencer", holds="influencer" in types, why=f"{activity}, {linked}{where}")
    matches = "" if rule.where is None else "; the same rule"
    yield Reason("lapsed_influencer", holds=bool(values["lapsed_influencer"]), why=f"{activity}, {linked}{matches}")


def _literal(value: Json) -> str:
    """Write a value as a rule does."""
    return "null" if value is None else repr(json_value(value))


def _account_reasons(model: Model, values: dict[str, Json]) -> Iterator[Reason]:
    rule = "attributed to the account" if model.attributed else "anywhere in the product"
    why = f"{values['active_users']} of {values['users']} users were active {rule} in the activity window"
    yield Reason("active", holds=bool(values["active"]), why=why)
    types = ", ".join(
        f"{values[f'users_{name}']} {name}" for name in ("power", "influencer", "active", "inactive", "zombie")
    )
    yield Reason("users by type", holds=None, why=types)
