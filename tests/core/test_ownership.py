"""Locks over drift: who set a value and when decides whether it stays (decision 0008)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import ManagedField, OnDrift, ValueType
from engage_sync.core.ownership import KNOWN, answered, doubtful, drifting, owned
from engage_sync.core.plan import FieldLimit, ObjectPlan
from tests.core.test_plan import decisions, plan, text_field

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MONTH = ManagedField("a", "plan", ValueType.TEXT, OnDrift.HUMAN_LOCK, lock=timedelta(days=30))


def known(*rows: dict[str, Any]) -> pl.DataFrame:
    """Give what is known of the drift of record 1."""
    given = [{"record": "1", "field": "a", "value": "z", "seen_at": NOW, "author": "", **row} for row in rows]
    return pl.DataFrame([{name: row.get(name) for name in KNOWN} for row in given], schema=KNOWN, orient="row")


def drifted(*fields: ManagedField, wanted: str | None = "x", **more: Any) -> ObjectPlan:
    """Give the plan of a record on which somebody else set every field to z."""
    names = [managed.field for managed in fields]
    return plan(
        fields,
        wanted={"u": dict.fromkeys(names, wanted)},
        links={"1": "u"},
        seen={"1": dict.fromkeys(names, "z")},
        last={"1": dict.fromkeys(names, "y")},
        **more,
    )


def days(count: float) -> datetime:
    return NOW - timedelta(days=count)


DOUBTS = [
    # what is known, the record's last change → whether it is asked again before it is overwritten
    pytest.param({"human": True, "changed_at": days(30), "asked_at": days(29)}, days(1), True, id="changed since"),
    pytest.param({"human": True, "changed_at": days(30), "asked_at": days(1)}, days(2), False, id="not changed since"),
    pytest.param({"human": True, "changed_at": days(30), "asked_at": days(1)}, days(1.006), True, id="at that time"),
    pytest.param({"human": True, "changed_at": days(29), "asked_at": days(28)}, days(1), False, id="still locked"),
    pytest.param({"human": False, "changed_at": days(3), "asked_at": days(2)}, days(1), True, id="no person"),
    pytest.param({"human": True, "changed_at": days(40)}, days(39), True, id="not known when it was asked"),
    pytest.param({"human": True, "changed_at": days(40), "asked_at": days(1)}, None, True, id="without a stamp"),
    pytest.param({"author": None, "seen_at": days(40)}, days(1), False, id="never asked about"),
    pytest.param({"field": "b", "human": True, "changed_at": days(40)}, days(1), False, id="another policy"),
]


@pytest.mark.parametrize(("told", "stamp", "again"), DOUBTS)
def test_doubt(told: dict[str, Any], stamp: datetime | None, again: bool) -> None:
    stamps = pl.DataFrame({"record": ["1"], "stamp": [stamp]}, schema_overrides={"stamp": KNOWN["seen_at"]})
    found = doubtful(known(told), stamps, [MONTH, text_field("b", on_drift=OnDrift.RESPECT)], as_of=NOW)
    assert found.equals(known(told) if again else known())


def test_what_is_in_doubt_stays() -> None:
    told = known({"author": "Ann Lee", "changed_at": days(31), "human": True})
    result = owned(drifted(MONTH), [MONTH], told, told, as_of=NOW, limits=None)
    assert decisions(result) == {("1", "a"): ("drift_kept", "z", "x")}
    why = "(Ann Lee, 2026-05-31 12:00 UTC); the record has changed since; it stays until the CRM tells by whom"
    assert result.changes["reason"].item() == f"somebody else set this value {why}"


@pytest.mark.parametrize(
    ("before", "of_record", "at", "taken"),
    [
        pytest.param(None, True, days(9), True, id="the first answer"),
        pytest.param(None, False, None, True, id="the first answer, without an instant"),
        pytest.param(days(5), False, days(4), True, id="the field was set again"),
        pytest.param(days(5), False, days(5), False, id="nothing new"),
        pytest.param(days(5), False, None, False, id="no instant any more"),
        pytest.param(days(5), True, days(4), False, id="only the record changed"),
    ],
)
def test_an_answer(before: datetime | None, *, of_record: bool, at: datetime | None, taken: bool) -> None:
    old = {"author": before and "Ann Lee", "changed_at": before, "human": before and True, "asked_at": before}
    new = {"author": "Bo Chan", "changed_at": at, "human": None}
    told = known(new).select("record", "field", "author", "changed_at", "human", of_record=pl.lit(of_record))
    found = answered(known(old), told, at=NOW)
    assert found.equals(known({**(new if taken else old), "asked_at": NOW}))
    assert answered(known(old), told.clear(), at=NOW).equals(known(old))


CASES = [
    # who and when → decision, reason after "somebody else set this value "
    pytest.param(
        {"author": "Ann Lee", "changed_at": days(29.5), "human": True},
        "drift_kept",
        "(Ann Lee, 2026-06-02 00:00 UTC); on_drift keeps it until 2026-07-02 00:00 UTC",
        id="a person, in time",
    ),
    pytest.param(
        {"author": "Ann Lee", "changed_at": days(30), "human": True},
        "drift_written",
        "(Ann Lee, 2026-06-01 12:00 UTC); its lock ended on 2026-07-01 12:00 UTC",
        id="a person, just over",
    ),
    pytest.param(
        {"author": "integration 7", "changed_at": days(1), "human": False},
        "drift_written",
        "(integration 7, 2026-06-30 12:00 UTC); that was no person, so on_drift overwrites it",
        id="no person",
    ),
    pytest.param(
        {"author": "record last changed by Ann Lee", "changed_at": days(1)},
        "drift_kept",
        "(record last changed by Ann Lee, 2026-06-30 12:00 UTC); on_drift keeps it until 2026-07-30 12:00 UTC",
        id="perhaps a person",
    ),
    pytest.param(
        {"seen_at": days(3)},
        "drift_kept",
        "(first seen 2026-06-28 12:00 UTC); on_drift keeps it until 2026-07-28 12:00 UTC",
        id="nothing known: since it was first seen",
    ),
    pytest.param(
        {"author": None, "seen_at": days(30)},
        "drift_written",
        "(first seen 2026-06-01 12:00 UTC); its lock ended on 2026-07-01 12:00 UTC",
        id="nothing known, seen long ago",
    ),
    pytest.param(
        {"author": "Ann Lee", "seen_at": days(1), "human": True},
        "drift_kept",
        "(Ann Lee, first seen 2026-06-30 12:00 UTC); on_drift keeps it until 2026-07-30 12:00 UTC",
        id="known who, not when",
    ),
]


@pytest.mark.parametrize(("told", "decision", "reason"), CASES)
def test_lock(told: dict[str, Any], decision: str, reason: str) -> None:
    result = owned(drifted(MONTH), [MONTH], known(told), known(), as_of=NOW, limits=None)
    assert decisions(result) == {("1", "a"): (decision, "z", "x")}
    assert result.changes["reason"].to_list() == [f"somebody else set this value {reason}"]
    assert result.buckets.rows() == [("1", "written" if decision == "drift_written" else "drift_kept")]
    assert result.changing == int(decision == "drift_written")


def test_value_that_nobody_looked_into_is_locked_from_now() -> None:
    result = owned(drifted(MONTH), [MONTH], known(), known(), as_of=NOW, limits=None)
    assert result.changes["reason"].to_list() == [
        "somebody else set this value (first seen 2026-07-01 12:00 UTC); on_drift keeps it until 2026-07-31 12:00 UTC"
    ]


def test_each_field_has_its_own_lock_and_others_none() -> None:
    day = ManagedField("b", "plan", ValueType.TEXT, OnDrift.HUMAN_LOCK, lock=timedelta(days=1))
    fields = [MONTH, day, text_field("c", OnDrift.RESPECT), text_field("d"), text_field("e", OnDrift.FILL_BLANK)]
    told = known(*({"field": name, "changed_at": days(2), "human": True} for name in "abcde"))
    result = owned(drifted(*fields), fields, told, known(), as_of=NOW, limits=None)
    assert {field: decision for (_, field), (decision, *_) in decisions(result).items()} == {
        "a": "drift_kept",
        "b": "drift_written",
        "c": "drift_kept",
        "d": "drift_written",
        "e": "drift_kept",
    }
    assert result.buckets.rows() == [("1", "written")]


def test_value_that_does_not_fit_is_refused_when_its_lock_is_over() -> None:
    limits = {"a": FieldLimit(("q",), None, writable=True)}
    before = drifted(MONTH, limits=limits)
    assert decisions(before)["1", "a"][0] == "drift_kept"
    result = owned(before, [MONTH], known({"human": False}), known(), as_of=NOW, limits=limits)
    assert (decisions(result)["1", "a"][0], result.buckets.rows()) == ("refused", [("1", "refused")])


def test_nothing_wanted_counts_as_clearing_when_the_lock_is_over() -> None:
    result = owned(drifted(MONTH, wanted=None), [MONTH], known({"human": False}), known(), as_of=NOW, limits=None)
    assert decisions(result) == {("1", "a"): ("drift_written", "z", None)}
    assert result.clearing == 1


def test_plan_without_drift_is_the_same_plan() -> None:
    still = plan([MONTH], wanted={"u": {"a": "x"}}, links={"1": "u"}, seen={"1": {"a": "x"}}, last={"1": {"a": "x"}})
    assert owned(still, [MONTH], known(), known(), as_of=NOW, limits=None) is still
    others = drifted(text_field(on_drift=OnDrift.RESPECT))
    assert owned(others, [text_field(on_drift=OnDrift.RESPECT)], known(), known(), as_of=NOW, limits=None) is others


def test_what_drifts_is_named_with_its_value() -> None:
    assert drifting(drifted(MONTH, text_field("b"))).rows() == [("1", "a", "z"), ("1", "b", "z")]


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), st.sampled_from([None, True, False])),
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None)
def test_against_loops(rows: list[tuple[int, int | None, bool | None]]) -> None:
    records = [str(number) for number in range(len(rows))]
    everyone = plan(
        [MONTH],
        wanted={f"u{record}": {"a": "x"} for record in records},
        links={record: f"u{record}" for record in records},
        seen={record: {"a": "z"} for record in records},
        last={},
    )
    told = known(
        *(
            {
                "record": record,
                "seen_at": days(seen),
                "changed_at": None if set_ is None else days(set_),
                "human": human,
            }
            for record, (seen, set_, human) in zip(records, rows, strict=True)
        )
    )
    expected = {}
    for record, (seen, set_, human) in zip(records, rows, strict=True):
        age = seen if set_ is None else set_
        over = human is False or age >= 30
        expected[record, "a"] = ("drift_written" if over else "drift_kept", "z", "x")
    assert decisions(owned(everyone, [MONTH], told, known(), as_of=NOW, limits=None)) == expected
