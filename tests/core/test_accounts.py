"""Roll-ups of accounts (semantics §3, §4) and the money and dates a user shows (semantics §8)."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import Model, ValueType
from tests.core.small import Traits, account, account_property, ago, by_id, facts, user, user_property, verdicts

ROLLED = (
    "users",
    "active_users",
    "active_share",
    "active",
    "users_power",
    "users_active",
    "users_inactive",
    "users_zombie",
)


def test_members_count_wherever_they_were_active() -> None:
    known = facts(
        [user("p", 9), user("a", 1), user("i", last_active_at=ago(days=40)), user("z"), user("off", 50)],
        [account("one"), account("two"), account("none")],
        members=[("p", "one"), ("a", "one"), ("i", "one"), ("z", "one"), ("off", "one"), ("a", "two"), ("off", "none")],
        attributed=[("a", "two")],
        user_traits={"off": {"deactivatedAt": "true"}},
    )
    assert by_id(verdicts(known).accounts, *ROLLED) == {
        "one": (4, 2, 0.5, True, 1, 2, 1, 1),
        "two": (1, 1, 1.0, True, 0, 1, 0, 0),
        "none": (0, 0, None, False, 0, 0, 0, 0),
    }
    assert by_id(verdicts(known, Model(attributed=True)).accounts, *ROLLED) == {
        "one": (4, 0, 0.0, False, 1, 2, 1, 1),
        "two": (1, 1, 1.0, True, 0, 1, 0, 0),
        "none": (0, 0, None, False, 0, 0, 0, 0),
    }


def test_influencers_are_counted_per_account() -> None:
    known = facts([user("a", 1), user("b", 1)], [account("one")], members=[("a", "one"), ("b", "one")])
    rolled = verdicts(known, linked=[("a", "hubspot")]).accounts
    assert by_id(rolled, "users_influencer", "users_active") == {"one": (1, 2)}


SEATS = [("4", 0.5), ("1", 2.0), ("0", None), ("-3", None), ("many", None), (None, None)]


@pytest.mark.parametrize(("seats", "expected"), SEATS)
@pytest.mark.parametrize("kind", [ValueType.NUMBER, ValueType.TEXT])
def test_seat_use(seats: str | None, expected: float | None, kind: ValueType) -> None:
    known = facts(
        [user("a", 1), user("b", 1)],
        [account("one")],
        members=[("a", "one"), ("b", "one")],
        account_traits={"one": {"seats": seats} if seats else {}},
    )
    model = Model(properties=(account_property("seats", kind),))
    assert by_id(verdicts(known, model).accounts, "seat_use") == {"one": expected}


def test_seat_use_without_a_seats_property() -> None:
    known = facts([user("a", 1)], [account("one")], members=[("a", "one")])
    assert by_id(verdicts(known).accounts, "seat_use") == {"one": None}


TRAITS: Traits = {
    "past": {"mrr": "10", "renewal_date": "2026-05-31"},
    "today": {"mrr": "2.5", "renewal_date": "2026-06-01"},
    "later": {"renewal_date": "2026-09-01"},
    "blank": {},
}


@pytest.mark.parametrize("kind", [ValueType.DATE, ValueType.DATETIME, ValueType.TEXT])
def test_money_and_renewal_of_a_user(kind: ValueType) -> None:
    model = Model(properties=(account_property("mrr", ValueType.NUMBER), account_property("renewal_date", kind)))
    members = [("all", name) for name in ("today", "past", "later", "blank")]
    members += [("gone", "past"), ("late", "later"), ("void", "blank")]
    known = facts(
        [user(name) for name in ("all", "gone", "late", "void", "alone")],
        [account(name) for name in TRAITS],
        members=members,
        account_traits=TRAITS,
    )
    assert by_id(verdicts(known, model).users, "accounts", "mrr", "renewal_date") == {
        "all": (["blank", "later", "past", "today"], 12.5, date(2026, 6, 1)),
        "gone": (["past"], 10.0, None),
        "late": (["later"], None, date(2026, 9, 1)),
        "void": (["blank"], None, None),
        "alone": ([], None, None),
    }


def test_today_is_the_day_of_the_zone() -> None:
    model = Model(properties=(account_property("renewal_date", ValueType.DATE),))
    known = facts([user("u")], [account("today")], [("u", "today")], account_traits=TRAITS)
    assert by_id(verdicts(known, model, timezone="Pacific/Kiritimati").users, "renewal_date") == {"u": None}
    assert by_id(verdicts(known, model, timezone="UTC").users, "renewal_date") == {"u": date(2026, 6, 1)}


def test_without_the_properties_there_is_no_money() -> None:
    known = facts([user("u")], [account("today")], [("u", "today")], account_traits=TRAITS)
    users = verdicts(known, Model(properties=(user_property("plan"),))).users
    assert by_id(users, "mrr", "renewal_date") == {"u": (None, None)}
    assert users.schema["mrr"] == pl.Float64
    assert users.schema["renewal_date"] == pl.Date


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=5),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 2))),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 2))),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_against_loops(
    people: list[tuple[int, bool]],
    pairs: set[tuple[int, int]],
    used: set[tuple[int, int]],
    attributed: bool,
) -> None:
    members = [(who, where) for who, where in pairs if who < len(people)]
    active = [(who, where) for who, where in members if (who, where) in used and people[who][0]]
    known = facts(
        [user(f"u{who}", events) for who, (events, _) in enumerate(people)],
        [account(f"a{where}") for where in range(3)],
        [(f"u{who}", f"a{where}") for who, where in members],
        [(f"u{who}", f"a{where}") for who, where in active],
        {f"u{who}": {"deactivatedAt": "true"} for who, (_, off) in enumerate(people) if off},
    )
    found = by_id(verdicts(known, Model(attributed=attributed)).accounts, "users", "active_users", "active_share")
    for where in range(3):
        here = [who for who, at in members if at == where and not people[who][1]]
        busy = [who for who in here if people[who][0] and (not attributed or (who, where) in active)]
        share = len(busy) / len(here) if here else None
        assert found[f"a{where}"] == (len(here), len(busy), share)
