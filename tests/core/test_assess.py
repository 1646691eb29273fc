"""Ages, tallies, and the shape of verdicts (semantics §6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.core.small import NOW, account, ago, by_id, facts, user, verdicts

MICROSECOND = timedelta(microseconds=1)


def test_ages_are_whole_days_elapsed() -> None:
    known = facts(
        [
            user("day", last_active_at=NOW - timedelta(days=1)),
            user("less", last_active_at=NOW - timedelta(days=1) + MICROSECOND),
            user("now", last_active_at=NOW),
            user("never"),
        ]
    )
    assert by_id(verdicts(known).users, "days_since_active") == {"day": 1, "less": 0, "now": 0, "never": None}


CREATED = [
    ("2026-05-30T12:00:00Z", 2),
    ("2026-05-30T12:00:00.000001Z", 1),
    ("2026-06-01T12:00:00Z", 0),
    ("2026-06-01T12:00:01Z", 100),
    ("2026-05-30", 2),
    ("long ago", 100),
    (None, 100),
]


@pytest.mark.parametrize(("created", "expected"), CREATED)
def test_age_counts_from_the_creation_or_else_the_first_message(created: str | None, expected: int) -> None:
    traits = {"x": {"createdAt": created} if created else {}}
    known = facts([user("x")], [account("x")], user_traits=traits, account_traits=traits)
    found = verdicts(known)
    assert by_id(found.users, "age_days") == {"x": expected}
    assert by_id(found.accounts, "age_days") == {"x": expected}


def test_counts() -> None:
    known = facts(
        [user("p", 9), user("a", 1), user("i", last_active_at=ago(days=40)), user("z"), user("off", 1)],
        [account("one"), account("two")],
        members=[("p", "one")],
        user_traits={"off": {"deactivatedAt": "true"}},
    )
    assert verdicts(known, linked=[("a", "hubspot"), ("i", "hubspot")]).counts == {
        "users": 4,
        "deactivated": 1,
        "accounts": 2,
        "active_accounts": 1,
        "power": 1,
        "influencer": 1,
        "active": 2,
        "inactive": 1,
        "zombie": 1,
        "lapsed_influencer": 1,
        "unreadable": 0,
    }


def test_nobody_at_all() -> None:
    found = verdicts(facts())
    assert found.users.is_empty()
    assert found.accounts.is_empty()
    assert set(found.counts.values()) == {0}
    full = verdicts(facts([user("a", 1)], [account("b")], [("a", "b")]))
    assert found.users.schema == full.users.schema
    assert found.accounts.schema == full.accounts.schema
