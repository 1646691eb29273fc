"""The brakes (architecture §6 "Brakes"), each at its limit and just beyond."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engage_sync.core.brakes import brakes
from engage_sync.core.definitions import Brakes, Entity, ManagedField, ObjectMap, ValueType
from engage_sync.core.plan import ObjectPlan, plan_object
from tests.core.small import NOW, ago
from tests.core.test_plan import frame, pl


def plan(*, linked: int, changing: int = 0, clearing: int = 0, new: int = 0, unlinking: int = 0) -> ObjectPlan:
    """A plan of `linked` records written before (so many to change, so many of those to clear), `new` ones never
    written, and `unlinking` ones that lost their match."""
    seen, last, want, links = [], [], [], []
    for number in range(linked + new):
        name, old = str(number), number < linked
        wished = "x" if not old or number >= changing else None if number < clearing else "y"
        want.append({"external_id": name, "a": wished})
        links.append({"record": name, "external_id": name})
        seen.append({"record": name, "crm.a": "x" if old else None})
        last += [{"record": name, "last.a": "x", "ever": True}] if old else []
    for number in range(unlinking):
        seen.append({"record": f"u{number}", "crm.a": "x"})
        last.append({"record": f"u{number}", "last.a": "x", "ever": True})
    return plan_object(
        ObjectMap("hubspot", "contacts", Entity.USER, write=(ManagedField("a", "plan", ValueType.TEXT),)),
        frame(want, external_id=pl.String, a=pl.String),
        frame(links, record=pl.String, external_id=pl.String),
        frame([], record=pl.String, external_id=pl.String),
        frame(seen, **{"record": pl.String, "crm.a": pl.String}),
        frame(last, **{"record": pl.String, "last.a": pl.String, "ever": pl.Boolean}),
        frame([], record=pl.String, moved_to=pl.String),
        limits=None,
        datetime_digits=3,
    )


def held(*plans: ObjectPlan, limits: Brakes | None = None) -> tuple[str, ...]:
    return brakes(plans, limits=limits or Brakes(), newest_message_at=NOW, as_of=NOW)


def test_change_share() -> None:
    assert held(plan(linked=100, changing=30)) == ()
    (reason,) = held(plan(linked=100, changing=31))
    assert reason == (
        "hubspot contacts: 31 of 100 records written before would be changed (31.0 %),"
        " more than the 30 % of brakes.max_change_share"
    )


def test_clear_share() -> None:
    assert held(plan(linked=100, changing=10, clearing=10)) == ()
    (reason,) = held(plan(linked=100, changing=11, clearing=11))
    assert "11 of 100 records written before would have values cleared (11.0 %), more than the 10 %" in reason


def test_shares_are_compared_exactly() -> None:
    limits = Brakes(max_change_share=0.28, min_records=1)
    assert held(plan(linked=25, changing=7), limits=limits) == ()
    assert len(held(plan(linked=25, changing=8), limits=limits)) == 1


def test_records_never_written_before_count_in_neither() -> None:
    assert held(plan(linked=100, changing=30, new=1000)) == ()
    assert held(plan(linked=0, new=1000)) == ()
    assert len(held(plan(linked=100, changing=31, new=1000))) == 1


def test_both_are_off_below_min_records() -> None:
    assert held(plan(linked=99, changing=99, clearing=99)) == ()
    assert len(held(plan(linked=100, changing=100, clearing=100))) == 2
    assert len(held(plan(linked=50, changing=50, new=50))) == 1


def test_an_emptied_user_base_is_held() -> None:
    (reason,) = held(plan(linked=0, unlinking=200))
    assert "200 of 200 records written before would have values cleared" in reason
    assert held(plan(linked=180, unlinking=20)) == ()
    assert len(held(plan(linked=180, unlinking=21))) == 1


def test_shares_are_per_object() -> None:
    calm, wild = plan(linked=1000), plan(linked=100, changing=31)
    assert len(held(calm, wild)) == 1


AGES = [(timedelta(hours=24), True), (timedelta(hours=24, microseconds=1), False)]


@pytest.mark.parametrize(("age", "goes"), AGES)
def test_event_age(age: timedelta, *, goes: bool) -> None:
    reasons = brakes([], limits=Brakes(), newest_message_at=NOW - age, as_of=NOW)
    assert (reasons == ()) is goes


def test_event_age_is_told() -> None:
    (reason,) = brakes([], limits=Brakes(), newest_message_at=ago(days=3), as_of=NOW)
    assert reason == (
        "the newest message is 3.0 days old (2026-05-29T12:00:00+00:00), more than the 24.0 h of brakes.max_event_age"
    )


def test_no_message_at_all_holds() -> None:
    (reason,) = brakes([], limits=Brakes(), newest_message_at=None, as_of=NOW)
    assert "no message at all" in reason
    assert brakes([], limits=Brakes(max_event_age=None), newest_message_at=None, as_of=NOW) == ()
