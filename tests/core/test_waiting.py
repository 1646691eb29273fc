"""When a refused record is left alone, over plans made by hand (issue's law: 15 minutes, 1 h, 4 h, 24 h)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl
import pytest

from engage_sync.core.definitions import Entity, ManagedField, ObjectMap, OnDrift, ValueType
from engage_sync.core.plan import ObjectPlan, plan_object
from engage_sync.core.waiting import REFUSALS, leave_waiting, next_pause

FIELDS = (
    ManagedField("a", "a", ValueType.TEXT),
    ManagedField("b", "b", ValueType.TEXT),
    ManagedField("kept", "kept", ValueType.TEXT, on_drift=OnDrift.RESPECT),
)
OBJECT = ObjectMap("crm", "contacts", Entity.USER, write=FIELDS)
Texts = Mapping[str, str | None]


def planned(
    wanted: Mapping[str, Texts], seen: Mapping[str, Texts], last: Mapping[str, Texts] | None = None
) -> ObjectPlan:
    """Plan records that are linked to the user of the same name; a record that nobody is linked to is not matched."""
    names = [one.field for one in FIELDS]
    text = pl.String()

    def frame(rows: Mapping[str, Texts], key: str, prefix: str) -> pl.DataFrame:
        schema = {key: text, **{prefix + name: text for name in names}}
        return pl.DataFrame(
            [(one, *(values.get(name) for name in names)) for one, values in rows.items()], schema=schema, orient="row"
        )

    links = pl.DataFrame(
        {"record": list(wanted), "external_id": list(wanted)}, schema={"record": text, "external_id": text}
    )
    ambiguous = pl.DataFrame(schema={"record": text, "external_id": text})
    written = frame(last or {}, "record", "last.").with_columns(ever=pl.lit(value=True))
    return plan_object(
        OBJECT,
        frame(wanted, "external_id", ""),
        links,
        ambiguous,
        frame(seen, "record", "crm."),
        written,
        pl.DataFrame(schema={"record": text}),
        limits=None,
        datetime_digits=3,
    )


def refused(*rows: tuple[str, str, str | None]) -> pl.DataFrame:
    return pl.DataFrame([(*row, f"{row[0]} is bad") for row in rows], schema=REFUSALS, orient="row")


def decided(plan: ObjectPlan) -> list[tuple[str, str, str, str]]:
    return plan.changes.select("record", "field", "decision", "reason").rows()


def buckets(plan: ObjectPlan) -> dict[str, str]:
    return dict(plan.buckets.rows())


def test_pauses_grow_and_the_last_repeats() -> None:
    pauses, last = [], None
    for _ in range(6):
        last = next_pause(last)
        pauses.append(last / timedelta(minutes=1))
    assert pauses == [15, 60, 240, 1_440, 1_440, 1_440]


def test_the_same_values_of_the_same_fields_wait() -> None:
    plan = planned({"1": {"a": "x", "b": None}, "2": {"a": "x"}}, {"1": {"b": "old"}, "2": {}}, {"1": {"b": "old"}})
    left = leave_waiting(plan, refused(("1", "a", "x"), ("1", "b", None)))
    assert decided(left) == [
        ("1", "a", "waiting", "1 is bad"),
        ("1", "b", "waiting", "1 is bad"),
        ("2", "a", "write", "new value"),
    ]
    assert buckets(left) == {"1": "refused", "2": "written"}
    assert (plan.changing, left.changing) == (1, 0)


@pytest.mark.parametrize(
    "before",
    [
        [("1", "a", "y")],
        [("1", "a", None)],
        [("1", "b", "x")],
        [("1", "a", "x"), ("1", "b", "x")],
        [("1", "a", "x"), ("1", "b", None)],
        [("2", "a", "x")],
        [],
    ],
)
def test_anything_else_is_tried(before: list[tuple[str, str, str | None]]) -> None:
    plan = planned({"1": {"a": "x"}}, {"1": {}})
    assert leave_waiting(plan, refused(*before)) is plan


def test_one_field_more_is_tried() -> None:
    plan = planned({"1": {"a": "x", "b": "y"}}, {"1": {}})
    assert leave_waiting(plan, refused(("1", "a", "x"))) is plan


def test_what_is_kept_stays_kept_beside_what_waits() -> None:
    plan = planned({"1": {"a": "x", "kept": "ours"}}, {"1": {"kept": "theirs"}})
    left = leave_waiting(plan, refused(("1", "a", "x")))
    assert [row[1:3] for row in decided(left)] == [("a", "waiting"), ("kept", "drift_kept")]
    assert left.changes["reason"][1] == plan.changes["reason"][1]
    assert buckets(left) == {"1": "refused"}


def test_an_unmatched_record_that_waits_is_not_forgotten() -> None:
    plan = planned({}, {"1": {"a": "ours"}}, {"1": {"a": "ours"}})
    assert (buckets(plan), plan.clearing) == ({"1": "unlinked"}, 1)
    left = leave_waiting(plan, refused(("1", "a", None)))
    assert (buckets(left), left.clearing, left.forget.height) == ({"1": "unlinked"}, 0, 0)


def test_what_is_put_off_is_held_and_forgotten_by_nobody() -> None:
    plan = planned({"1": {"a": "x"}, "2": {"a": "x"}}, {"1": {}, "2": {}, "3": {"a": "ours"}}, {"3": {"a": "ours"}})
    some = plan.put_off(pl.col("record") != "2", "later")
    assert decided(some) == [
        ("1", "a", "deferred", "later"),
        ("2", "a", "write", "new value"),
        ("3", "a", "deferred", "later"),
    ]
    assert buckets(some) == {"1": "held", "2": "written", "3": "unlinked"}
    assert some.forget.height == plan.forget.height == 0
    assert some.put_off(pl.col("record") != "2", "even later") is some
