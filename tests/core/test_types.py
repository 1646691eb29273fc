"""User types (semantics §4): the power rule at its edges, influencers, labels, and all of it against loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import Entity, InfluencerRule, Metric, MetricKind, Model, PowerRule
from engage_sync.core.expressions import Type, parse
from engage_sync.core.types import TYPES, power_limit
from tests.core.small import ago, by_id, facts, user, user_property, verdicts


def powerful(counts: Sequence[int], share: str = "0.10") -> list[int]:
    """Give the event counts of the users that are power users."""
    known = facts([user(f"u{place}", count) for place, count in enumerate(counts)])
    users = verdicts(known, Model(power=PowerRule(Decimal(share)))).users
    return sorted(users.filter(pl.col("user_types").list.contains("power"))["events"].to_list())


POWER = [
    pytest.param([1] * 20, "0.10", [], id="twenty with one event each: none"),
    pytest.param([1], "0.10", [1], id="one active user: that one"),
    pytest.param(list(range(1, 11)), "0.10", [10], id="ten distinct counts: one"),
    pytest.param(list(range(1, 12)), "0.10", [10, 11], id="eleven: two, the ceiling of 1.1"),
    pytest.param([5, 5, *range(1, 5), 0, 0], "0.10", [], id="tied over the edge: all left out"),
    pytest.param([9, 5, 5, *[1] * 17], "0.10", [9], id="the first stands, the tied ones after it do not"),
    pytest.param([9, 5, 5, *[1] * 27], "0.10", [5, 5, 9], id="tied up to the edge: all in"),
    pytest.param([*range(1, 26)], "0.28", list(range(19, 26)), id="0.28 of 25 is exactly 7"),
    pytest.param([0, 0, 0], "0.10", [], id="nobody active"),
    pytest.param([3, 2], "1", [2, 3], id="everybody"),
]


@pytest.mark.parametrize(("counts", "share", "expected"), POWER)
def test_power(counts: list[int], share: str, expected: list[int]) -> None:
    assert powerful(counts, share) == expected


def test_limit_is_exact() -> None:
    assert power_limit(Decimal("0.28"), 25) == 7
    assert power_limit(Decimal("0.1"), 30) == 3
    assert power_limit(Decimal("0.10"), 0) == 0
    assert power_limit(Decimal("0.1000000000000000000000000000000001"), 10) == 2


def test_power_by_another_measure_counts_all_active_and_skips_nulls() -> None:
    metric = Metric("depth", Entity.USER, MetricKind.AVG, value="properties.depth")
    model = Model(power=PowerRule(Decimal("0.5"), "depth"), metrics=(metric,))
    rows = [user("a", 1, depth=None), user("b", 1, depth=2.0), user("c", 1, depth=1.0), user("d", 0, depth=9.0)]
    users = verdicts(facts(rows, user_metrics={"depth": pl.Float64}), model).users
    assert by_id(users, "primary_user_type") == {"a": "active", "b": "power", "c": "power", "d": "zombie"}
    assert by_id(users, "power_rank", "power_limit", "active_total") == {
        "a": (None, 2, 3),
        "b": (1, 2, 3),
        "c": (2, 2, 3),
        "d": (None, 2, 3),
    }


def test_deactivated_users_are_in_no_population() -> None:
    known = facts([user("a", 9), user("b", 1)], user_traits={"a": {"deactivatedAt": "true"}})
    users = verdicts(known).users
    assert by_id(users, "primary_user_type", "active_total") == {"b": ("power", 1)}


def test_zombie_inactive_active() -> None:
    known = facts([user("z"), user("i", last_active_at=ago(days=31)), user("a", 1), user("b", 1)])
    assert by_id(verdicts(known).users, "user_types", "primary_user_type") == {
        "z": (["zombie"], "zombie"),
        "i": (["inactive"], "inactive"),
        "a": (["active"], "active"),
        "b": (["active"], "active"),
    }


def champions(where: str | None, linked: Sequence[tuple[str, str]], connectors: tuple[str, ...] | None = None) -> Any:
    rule = None if where is None else parse(where, {"title": Type.TEXT, "events": Type.NUMBER})
    model = Model(properties=(user_property("title"),), influencer=InfluencerRule(rule, connectors))
    rows = [user("a", 5), user("b", 5), user("i", last_active_at=ago(days=40)), user("z")]
    traits = {"a": {"title": "Head of Ops"}, "i": {"title": "Head of X"}}
    users = verdicts(facts(rows, user_traits=traits), model, linked).users
    return by_id(users, "user_types", "lapsed_influencer")


LINKED = [("a", "hubspot"), ("b", "hubspot"), ("i", "hubspot"), ("z", "hubspot")]


def test_influencers_need_activity_a_link_and_the_rule() -> None:
    assert champions("title ilike 'head of%'", LINKED) == {
        "a": (["active", "influencer"], False),
        "b": (["active"], False),
        "i": (["inactive"], True),
        "z": (["zombie"], False),
    }


def test_influencers_without_a_rule_and_without_links() -> None:
    assert champions(None, LINKED) == {
        "a": (["active", "influencer"], False),
        "b": (["active", "influencer"], False),
        "i": (["inactive"], True),
        "z": (["zombie"], True),
    }
    assert {types[-1] for types, _ in champions(None, []).values()} == {"active", "inactive", "zombie"}


def test_only_links_in_the_named_connectors_count() -> None:
    linked = [("a", "hubspot"), ("b", "salesforce"), ("b", "hubspot")]
    assert champions(None, linked, ("salesforce",)) == {
        "a": (["active"], False),
        "b": (["active", "influencer"], False),
        "i": (["inactive"], False),
        "z": (["zombie"], False),
    }


def test_power_and_influencer_together() -> None:
    users = verdicts(facts([user("a", 5)]), linked=[("a", "hubspot")]).users
    assert by_id(users, "user_types", "primary_user_type") == {"a": (["active", "influencer", "power"], "power")}


USERS = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.booleans(), st.sampled_from([None, "x", "y"])), max_size=15
)


@given(USERS, st.sampled_from(["0.10", "0.28", "0.5", "1"]), st.booleans())
@settings(max_examples=50, deadline=None)
def test_against_loops(rows: list[tuple[int, bool, bool, str | None]], share: str, ruled: bool) -> None:
    names = [f"u{place}" for place in range(len(rows))]
    rule = parse("title = 'x'", {"title": Type.TEXT}) if ruled else None
    model = Model(
        properties=(user_property("title"),), influencer=InfluencerRule(rule), power=PowerRule(Decimal(share))
    )
    known = facts(
        [
            user(name, events, **({} if events or not once else {"last_active_at": ago(days=50)}))
            for name, (events, once, _, _) in zip(names, rows, strict=True)
        ],
        user_traits={name: {"title": row[3]} for name, row in zip(names, rows, strict=True) if row[3]},
    )
    linked = [(name, "hubspot") for name, row in zip(names, rows, strict=True) if row[2]]
    found = by_id(verdicts(known, model, linked).users, "user_types", "primary_user_type", "lapsed_influencer")
    limit = math.ceil(Fraction(share) * sum(row[0] > 0 for row in rows))
    for name, (events, once, link, title) in zip(names, rows, strict=True):
        champion = link and (not ruled or title == "x")
        kinds = {"active" if events else "inactive" if once else "zombie"}
        if events and sum(row[0] >= events for row in rows) <= limit:
            kinds.add("power")
        if events and champion:
            kinds.add("influencer")
        primary = next(kind for kind in TYPES if kind in kinds)
        assert found[name] == (sorted(kinds), primary, champion and not events)
