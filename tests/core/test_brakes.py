"""The brakes (architecture §6 "Brakes"), each at its limit and just beyond."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from engage_sync.core import brakes
from engage_sync.core.brakes import Silence
from engage_sync.core.definitions import Brakes, Entity, ManagedField, ObjectMap, ValueType
from engage_sync.core.holds import Hold, HoldKind, approved
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


def holds(*plans: ObjectPlan, limits: Brakes | None = None, newest: datetime | None = NOW) -> tuple[Hold, ...]:
    return brakes.brakes(plans, limits=limits or Brakes(), newest_message_at=newest, as_of=NOW, run=12)


def held(*plans: ObjectPlan, limits: Brakes | None = None) -> tuple[str, ...]:
    return tuple(hold.sentence for hold in holds(*plans, limits=limits))


def test_change_share() -> None:
    assert held(plan(linked=100, changing=30)) == ()
    (reason,) = held(plan(linked=100, changing=31))
    assert reason == (
        "hubspot contacts: 31 of 100 records written before would be changed (31.0 %),"
        " more than the 30 % of brakes.max_change_share: 0, 1, 2, 3, 4 … and 26 more; `engage-sync runs 12` lists them."
        " If that is meant, `engage-sync approve 12`; else mend what made them change"
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
    assert (holds(newest=NOW - age) == ()) is goes


def test_event_age_is_told() -> None:
    (hold,) = holds(newest=ago(days=3))
    assert hold.sentence == (
        "the newest message is 3.0 days old (2026-05-29T12:00:00+00:00), more than the 24.0 h of brakes.max_event_age."
        " If that is meant, `engage-sync approve 12`; else import the events since then"
    )


def test_no_message_at_all_holds() -> None:
    (hold,) = holds(newest=None)
    assert "no message at all" in hold.sentence
    assert holds(newest=None, limits=Brakes(max_event_age=None)) == ()


def test_the_records_are_those_that_count() -> None:
    """Changed: linked and written before. Cleared: losing a value, linked or not. The new ones are neither."""
    change, clear = holds(plan(linked=200, changing=120, clearing=40, new=3, unlinking=2))
    numbers = [str(number) for number in range(120)]
    assert (change.kind, change.count, change.records, change.share) == ("change_share", 120, tuple(numbers), 0.6)
    assert (clear.kind, clear.count, clear.share) == ("clear_share", 42, 42 / 202)
    assert clear.records == (*numbers[:40], "u0", "u1")


def test_a_thousand_records_are_kept_and_all_are_counted() -> None:
    (hold,) = holds(plan(linked=1_200, changing=1_100))
    assert (len(hold.json()["records"]), hold.count) == (1_000, 1_100)
    assert "0, 1, 2, 3, 4 … and 1,095 more" in hold.sentence


GONE = [(10, True), (11, False)]


@pytest.mark.parametrize(("gone", "goes"), GONE)
def test_pull_shrank(gone: int, *, goes: bool) -> None:
    ids = [str(number) for number in range(gone)]
    found = brakes.pull_shrank("hubspot", "contacts", gone=ids, live=100, limits=Brakes(), run=12)
    assert (found == []) is goes
    assert brakes.pull_shrank("hubspot", "contacts", gone=ids, live=99, limits=Brakes(), run=12) == []


@pytest.mark.parametrize(("flipped", "goes"), [(30, True), (31, False)])
def test_inactive_share(flipped: int, *, goes: bool) -> None:
    ids = [str(number) for number in range(flipped)]
    found = brakes.inactive_share(ids, active=100, since=7, limits=Brakes(), run=12)
    assert (found == []) is goes
    assert brakes.inactive_share(ids, active=99, since=7, limits=Brakes(), run=12) == []


def fact(kind: str = "text", *, readable: bool = True, writable: bool = True) -> dict[str, Any]:
    return {"type": kind, "readable": readable, "writable": writable}


SCHEMAS: list[tuple[dict[str, Any] | None, list[str]]] = [
    (fact(), []),
    (None, ["the field a is gone"]),
    (fact(readable=False, writable=False), ["the field a is hidden from the credentials"]),
    (fact(writable=False), ["the field a is read-only"]),
    (fact("number"), ["the type of a changed from text to number"]),
]


@pytest.mark.parametrize(("now", "told"), SCHEMAS)
def test_schema_changes(now: dict[str, Any] | None, told: list[str]) -> None:
    after = {"new": fact()} if now is None else {"a": now, "new": fact()}
    assert brakes.schema_changes({"a": fact()}, after, {"a"}) == told


def test_what_became_better_holds_nothing() -> None:
    closed = fact(readable=False, writable=False)
    assert brakes.schema_changes({"a": closed, "b": fact(writable=False)}, {"a": fact(), "b": fact()}, {"a", "b"}) == []
    assert brakes.schema_changes({"a": fact()}, {"a": fact(writable=False)}, set()) == []


def test_schema_holds_only_what_would_be_written() -> None:
    quiet, open_ = plan(linked=3), plan(linked=3, changing=1)
    assert brakes.schema_changed(quiet, {"a": fact()}, {}, {"a"}, run=12) == []
    (hold,) = brakes.schema_changed(open_, {"a": fact()}, {}, {"a"}, run=12)
    assert hold.sentence == (
        "hubspot contacts: since the last push the field a is gone. If that is meant, `engage-sync approve 12`; else"
        " mend the field, or correct connectors/hubspot.yaml"
    )


def test_clocks_apart() -> None:
    for apart, count in ((timedelta(minutes=10), 0), (timedelta(minutes=10, seconds=1), 1)):
        assert len(brakes.clocks_apart(NOW, NOW + apart, run=12)) == count
        assert len(brakes.clocks_apart(NOW, NOW - apart, run=12)) == count
    (hold,) = brakes.clocks_apart(NOW, NOW + timedelta(minutes=30), run=12)
    assert "is 30 min behind the CRM's" in hold.sentence


def test_silent_events_are_named() -> None:
    silences = [Silence("track", f"e{number}", 10.0, ago(days=1)) for number in range(7)]
    (hold,) = brakes.event_silent(silences, limit=timedelta(hours=24), run=12)
    assert hold.count == len(hold.subjects) == 7
    assert "7 events are silent" in hold.sentence
    assert "track e4 (usually 10 in 24.0 h, the last at 2026-05-31T12:00:00+00:00) … and 2 more" in hold.sentence
    assert brakes.event_silent([], limit=timedelta(hours=24), run=12) == []


def hold(share: float | None = None, *, object_: str = "contacts", subjects: tuple[str, ...] = ()) -> Hold:
    return Hold(HoldKind.CHANGE_SHARE, "held", "hubspot", object_, share=share, subjects=subjects)


def test_an_approval_covers_what_was_approved() -> None:
    assert approved(hold(0.4), [hold(0.4)])
    assert approved(hold(0.44), [hold(0.4)])
    assert not approved(hold(0.45), [hold(0.4)])
    assert not approved(hold(0.4), [hold(0.4, object_="companies")])
    assert not approved(hold(0.4), [])
    assert approved(hold(subjects=("a",)), [hold(subjects=("a", "b"))])
    assert not approved(hold(subjects=("a", "c")), [hold(subjects=("a", "b"))])


def test_a_hold_is_kept_as_json() -> None:
    one = Hold(HoldKind.PULL_SHRANK, "held", "hubspot", "contacts", ("1", "2"), 2, 0.5, ("a",))
    assert Hold.from_json(one.json()) == one
