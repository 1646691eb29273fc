"""Undoing as pure frames: which values of a run can come back, and what a later plan leaves as a rollback put it. The
chains of runs and rollbacks are checked against a slow one written as loops over what really happened to a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import ManagedField, ValueType
from engage_sync.core.plan import ObjectPlan
from engage_sync.core.undo import disowned, judged, kept_undone, standing, superseded, taken_back
from tests.core.test_plan import plan

NUMBER = ManagedField("a", "reports", ValueType.NUMBER)
TEXTS = ("connector", "object", "record", "written_as", "field", "before", "after")
AROUND = {"id": pl.Int64(), "run": pl.Int64()} | dict.fromkeys(TEXTS, pl.String()) | {"was_ours": pl.Boolean()}
UNDONE = dict.fromkeys(("record", "field", "value", "restored"), pl.String()) | {
    "ours": pl.Boolean(),
    "undone": pl.Int64(),
    "run": pl.Int64(),
}


def undone(value: str | None, restored: str | None, *, ours: bool = True, record: str = "1") -> pl.DataFrame:
    return pl.DataFrame([(record, "a", value, restored, ours, 12, 15)], schema=UNDONE, orient="row")


def planned(wanted: str | None, seen: str | None, last: str | None, *, linked: bool = True) -> ObjectPlan:
    links = {"1": "ann"} if linked else {}
    return plan(
        [NUMBER],
        wanted={"ann": {"a": wanted}},
        links=links,
        seen={"1": {"a": seen}},
        last={} if last is None else {"1": {"a": last}},
    )


def decided(found: ObjectPlan) -> list[tuple[str, str]]:
    return found.changes.select("field", "decision").rows()


@pytest.mark.parametrize(
    ("wanted", "seen", "last", "value", "restored", "decision"),
    [
        ("5", "3", "3", "5", "3", "rolled_back"),
        ("5", "3.0", "3", "5.0", "3", "rolled_back"),
        ("5", None, None, "5", None, "rolled_back"),
        ("5", "3", None, "5", "3", "rolled_back"),
        (None, "3", "3", None, "3", "rolled_back"),
        ("6", "3", "3", "5", "3", "write"),
        ("5", "4", "3", "5", "3", "rolled_back"),
        (None, "3", "3", "5", "3", "clear"),
    ],
)
def test_what_a_rollback_put_back_stays(
    wanted: str | None, seen: str | None, last: str | None, value: str | None, restored: str | None, decision: str
) -> None:
    """As long as the value that was taken back is what is wanted, also where somebody corrected what was put back."""
    taken = undone(value, restored)
    found = kept_undone(planned(wanted, seen, last), taken, [NUMBER], datetime_digits=3)
    assert decided(found) == [("a", decision)]
    kept = decision == "rolled_back"
    assert found.buckets["bucket"].to_list() == ["drift_kept" if kept else "written"]
    assert found.changing == (0 if kept or last is None else 1)
    assert superseded(found, taken).height == (0 if kept else 1)
    if kept:
        again = "written again when another value is wanted, or after `engage-sync approve 12`"
        assert found.changes["reason"].to_list() == [f"run 12 was rolled back (run 15); {again}"]


def test_an_unmatched_record_stays_remembered() -> None:
    """What a run cleared there and a rollback put back is still ours: released, it is cleared again."""
    found = kept_undone(planned("9", "3", "3", linked=False), undone(None, "3"), [NUMBER], datetime_digits=3)
    assert (decided(found), found.buckets["bucket"].to_list()) == ([("a", "rolled_back")], ["unlinked"])
    assert (found.forget.height, superseded(found, undone(None, "3")).height) == (0, 0)


def test_what_is_no_matter_any_more() -> None:
    same = planned("3", "3", "3")
    assert superseded(same, undone("5", "3")).rows() == [("1", "a")], "what was put back is what is wanted now"
    assert superseded(same, undone("5", "3", record="2")).is_empty(), "nothing is known of that record"
    unlinked = planned("3", "4", "3", linked=False)
    assert superseded(unlinked, undone("5", "3")).is_empty(), "it shows nobody for now"


def test_values_that_never_were_ours() -> None:
    written = pl.DataFrame({"record": ["1", "2"], "last.a": ["3", "3"], "last.b": ["x", "y"], "ever": [True, True]})
    assert disowned(written, undone("5", "3")).equals(written)
    assert disowned(written, undone("5", "3", ours=False)).rows() == [("1", None, "x", True), ("2", "3", "y", True)]
    assert disowned(written, undone("5", "4", ours=False)).equals(written), "something else was written since"
    assert disowned(written, undone("5", None, ours=False)).equals(written)


def values(*rows: Mapping[str, object]) -> pl.DataFrame:
    base = {"id": 1, "run": 12, "connector": "hubspot", "object": "contacts", "record": "1", "field": "a"}
    rest = dict.fromkeys(("later", "earlier", "last", "was_ours"))
    full = [{"written_as": row.get("record", "1"), **rest, **base, **row} for row in rows]
    return pl.DataFrame(full, schema={**AROUND, "later": pl.Int64(), "earlier": pl.String(), "last": pl.String()})


@pytest.mark.parametrize(
    ("row", "live", "hindrance", "reason"),
    [
        ({}, "5", None, "run 12 wrote it, and nobody changed it since"),
        ({}, "5.0", None, "run 12 wrote it, and nobody changed it since"),
        ({}, "7", None, "somebody changed it since"),
        ({}, None, None, "somebody changed it since"),
        ({"later": 13}, "5", None, "run 13 wrote this field since"),
        ({"written_as": "9"}, "5", None, "the run wrote it to 9, which was merged into this record just then"),
        ({}, "5", ("1", None, "it is gone"), "it is gone"),
        ({"later": 13}, "5", (None, "a", "read-only"), "read-only"),
        ({}, "absent", None, "the CRM does not tell what the field holds now"),
        ({}, "3", None, "somebody changed it since"),
        ({"before": "5.0"}, "5", None, None),
    ],
)
def test_what_becomes_of_a_value(
    row: Mapping[str, object],
    live: str | None,
    hindrance: tuple[str | None, str | None, str] | None,
    reason: str | None,
) -> None:
    """Run 12 wrote 5 over 3; no reason: the run changed nothing."""
    schema = dict.fromkeys(("record", "field", "live"), pl.String)
    now = pl.DataFrame([] if live == "absent" else [("1", "a", live)], schema=schema, orient="row")
    bars = [] if hindrance is None else [hindrance]
    told = pl.DataFrame(bars, schema=dict.fromkeys(("record", "field", "why"), pl.String), orient="row")
    found = judged(
        values({"before": "3", "after": "5", **row}), now, told, {"a": ValueType.NUMBER}, {}, datetime_digits=3
    )
    assert found["reason"].to_list() == ([] if reason is None else [reason])
    ends = "stands" if live == "3" else "left" if reason is None or "nobody" not in reason else "restore"
    assert found["decision"].to_list() == ([] if reason is None else [ends])
    changed = hindrance is None and not {"later", "written_as"} & row.keys()
    assert found["theirs"].to_list() == ([] if reason is None else [changed and live in {"7", "3", None}])


@pytest.mark.parametrize(
    ("row", "live", "ours", "theirs", "back"),
    [
        ({}, "5", False, False, False),
        ({"earlier": "3.0"}, "5", True, False, False),
        ({"was_ours": True}, "5", True, False, False),
        ({"was_ours": False, "earlier": "3"}, "5", False, False, False),
        ({"was_ours": True}, "3", True, False, True),
        ({"was_ours": True, "later": 13}, "3", True, False, False),
        ({}, "3", False, True, False),
        ({"last": "7.0"}, "7", False, False, False),
        ({"last": "5"}, "7", False, True, False),
        ({}, None, False, True, False),
    ],
)
def test_whose_values_are(row: Mapping[str, object], live: str | None, ours: bool, theirs: bool, back: bool) -> None:
    """Run 12 wrote 5 over 3. Whose the 3 was says the plan of the run, else what is known to have been written; what
    stands there now is ours where it is the last that we know to be."""
    now = pl.DataFrame([("1", "a", live)], schema=dict.fromkeys(("record", "field", "live"), pl.String), orient="row")
    told = pl.DataFrame(schema=dict.fromkeys(("record", "field", "why"), pl.String))
    wrote = values({"before": "3", "after": "5", **row})
    found = judged(wrote, now, told, {"a": ValueType.NUMBER}, {}, datetime_digits=3)
    assert found.select("ours", "theirs", "back").rows() == [(ours, theirs, back)]
    taken = taken_back(found, undone("9", "9").clear())
    stays = row.get("later") is not None or row.get("last") == "7.0"
    assert taken.select("value", "restored", "ours").rows() == ([] if stays else [("5", live if theirs else "3", ours)])


def test_a_checkbox_that_is_never_empty() -> None:
    """`false` is its blank: that it stands there is as if nothing did."""
    row = values({"before": "true", "after": None})
    live = pl.DataFrame([("1", "a", "false")], schema=["record", "field", "live"], orient="row")
    told = pl.DataFrame(schema=dict.fromkeys(("record", "field", "why"), pl.String))
    found = judged(row, live, told, {"a": ValueType.BOOLEAN}, {"a": "false"}, datetime_digits=3)
    assert found.select("before", "decision").rows() == [("true", "restore")]


def test_runs_taken_back_one_after_the_other_keep_the_newest_back() -> None:
    row = values({"before": "0", "after": "2"}).with_columns(
        decision=pl.lit("restore"), ours=True, theirs=False, back=False, live=pl.lit("2")
    )
    chained = taken_back(row, undone("5", "2"))
    assert chained.select("value", "restored", "undone").rows() == [("5", "0", 12)]
    apart = taken_back(row.with_columns(run=pl.lit(14)), undone("5", "4"))
    assert apart.select("value", "restored", "undone").rows() == [("2", "0", 14)]
    redone = taken_back(row.with_columns(run=pl.lit(15)), undone("0", "2"))
    assert redone.select("value", "restored", "undone").rows() == [("2", "0", 15)], "a rollback that is taken back"


def history(steps: Sequence[int]) -> tuple[list[tuple[int, str, str]], dict[int, int], list[int]]:
    """Let runs happen to one field: 0 writes a new value, n takes back the run n before it, where that can be: a plain
    run on top, or the rollback that happened last. Gives what was written (run, before, after), the rollbacks, and
    which plain runs stand, oldest first."""
    rows: list[tuple[int, str, str]] = []
    rollbacks: dict[int, int] = {}
    stands: list[int] = []
    value = "start"
    for run, step in enumerate(steps, start=1):
        of = run - step
        before = next((old for number, old, _ in rows if number == of), "")
        redone = bool(rows) and rows[-1][0] == of and of in rollbacks
        if step == 0:
            rows.append((run, value, f"v{run}"))
            stands.append(run)
            value = f"v{run}"
        elif redone or (stands and stands[-1] == of):
            rows.append((run, value, before))
            rollbacks[run], value = of, before
            end = of
            while end in rollbacks:
                end = rollbacks[end]
            stands = [*stands, end] if end not in stands else stands[:-1]
    return rows, rollbacks, stands


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_only_what_stands_on_top_is_free(steps: Sequence[int]) -> None:
    """A plain run that stands on top has nothing later; one below it has; one taken back is no more."""
    rows, rollbacks, stands = history(steps)
    around = pl.DataFrame(
        [(run, run, "hubspot", "contacts", "1", "1", "a", before, after, None) for run, before, after in rows],
        schema=AROUND,
        orient="row",
    )
    for run, *_ in rows:
        if run in rollbacks:
            continue
        found = standing(around, rollbacks, run)
        assert found.height == (1 if run in stands else 0)
        if run in stands:
            above = stands[stands.index(run) + 1 :]
            assert found["later"].to_list() == [above[-1] if above else None]
            below = stands[: stands.index(run)]
            assert found["earlier"].to_list() == [f"v{below[-1]}" if below else None]
