"""Scores as semantics §7 says them, in exact fractions: raws, the benchmark, trends, means, bands, heat and rule
scores. It knows nothing of the product."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.oracle.where import holds, names_in
from tests.oracle.world import Row, World, duration, matches, within

BANDS = {"high": 75, "medium": 50, "low": 25, "minimal": 0}
NOTHING = timedelta(0)


def half_up(value: Fraction) -> int:
    """Round to the nearest whole number, a half upwards: 2.5 is 3 and −2.5 is −2."""
    return math.floor(value + Fraction(1, 2))


def exact(weight: object) -> Fraction:
    return Fraction(Decimal(str(weight)))


# --- weighted scores -----------------------------------------------------------------------------------------------


def weight_of(event: str, weights: Mapping[str, object]) -> Fraction:
    """Give the weight of an event's name: an exact name before globs, globs in file order, 0 where none fits."""
    if event in weights:
        return exact(weights[event])
    for glob, weight in weights.items():
        if matches(event, glob):
            return exact(weight)
    return Fraction(0)


def p90(values: Sequence[Fraction]) -> Fraction:
    """Give the 90th percentile, linearly interpolated between the two nearest ranks."""
    ranked = sorted(values)
    place = Fraction(9, 10) * (len(ranked) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (place - below) * (ranked[above] - ranked[below])


def against_benchmark(raws: Mapping[str, Fraction]) -> dict[str, int] | None:
    """Give everybody's score by their raw; None where nobody has any."""
    some = [raw for raw in raws.values() if raw > 0]
    if not some:
        return None
    benchmark = p90(some)
    return {
        user: 0 if raw == 0 else min(max(half_up(100 * raw / benchmark), 1), 100)  # clamped to 1..100
        for user, raw in raws.items()
    }


def raws(world: World, score: Mapping[str, Any], *, before: bool) -> dict[str, Fraction]:
    """Give the raw of every user that is not deactivated, in the score's window or the one before it."""
    window = duration(score["window"]) if score.get("window") else world.window
    offset = window if before else NOTHING
    return {
        user: sum(
            (
                weight_of(event["event"], score["weights"])
                for event in world.events_of.get(("user", user), [])
                if within(event["timestamp"], world.as_of, window, offset)
            ),
            Fraction(0),
        )
        for user in world.types
    }


def heat(trend: int | None) -> str | None:
    if trend is None:
        return None
    return "hot" if trend >= 10 else "cold" if trend <= -10 else "steady"


def weighted(world: World, score: Mapping[str, Any]) -> dict[str, Row]:
    """Give `{user: {now, trend}}` of a weighted score."""
    found = raws(world, score, before=False)
    now = against_benchmark(found) or dict.fromkeys(found, 0)
    before = against_benchmark(raws(world, score, before=True))
    return {user: {"now": now[user], "before": before and before[user]} for user in found}


def mean(values: Sequence[int]) -> int | None:
    return half_up(Fraction(sum(values), len(values))) if values else None


def of_account(active: Sequence[str], users: Mapping[str, Row]) -> Row:
    """Give an account's mean now, its mean of the window before, and the sum now, over its active users."""
    before = [users[user]["before"] for user in active]
    return {
        "now": mean([users[user]["now"] for user in active]),
        "before": None if None in before else mean(before),
        "sum": sum(users[user]["now"] for user in active),
    }


def band(score: int | None, bands: Mapping[str, float] | None) -> str | None:
    """Give the band with the highest start that the score reaches."""
    if score is None:
        return None
    reached = [(start, name) for name, start in (bands or BANDS).items() if score >= start]
    return max(reached)[1]


# --- rule scores ---------------------------------------------------------------------------------------------------


def by_rules(rules: Sequence[Mapping[str, Any]], names: Row, timezone: str) -> int | None:
    """Give a rule score; None where fewer than half of the total weight is known."""
    total = known = matched = Fraction(0)
    for rule in rules:
        weight, inputs = exact(rule.get("weight", 1)), names_in(rule["when"])
        total += weight
        if not inputs or any(names.get(name) is not None for name in inputs):
            known += weight
            matched += weight if holds(rule["when"], names.get, timezone=timezone) else 0
    return None if 2 * known < total else half_up(100 * matched / known)
