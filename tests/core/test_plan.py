"""The decision table of architecture §5, row by row, and the plan against a slow one written as loops."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import Entity, ManagedField, ObjectMap, OnDrift, ValueType
from engage_sync.core.plan import BUCKETS, CHANGES, FORGET, REMEMBER, FieldLimit, ObjectPlan, plan_object

FIELDS = ("a", "b")
Row = Mapping[str, str | None]


def object_map(*fields: ManagedField, entity: Entity = Entity.USER) -> ObjectMap:
    return ObjectMap("hubspot", "contacts", entity, write=fields)


def text_field(name: str = "a", on_drift: OnDrift = OnDrift.OVERWRITE) -> ManagedField:
    return ManagedField(name, "plan", ValueType.TEXT, on_drift)


def frame(rows: Sequence[Mapping[str, Any]], **schema: Any) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema, orient="row")


def plan(  # one scenario, given as plain rows
    fields: Sequence[ManagedField],
    *,
    wanted: Mapping[str, Row] | None = None,
    links: Mapping[str, str] | None = None,
    ambiguous: Sequence[str] = (),
    ambiguous_people: Sequence[str] = (),
    seen: Mapping[str, Row] | None = None,
    last: Mapping[str, Row] | None = None,
    gone: Sequence[str] = (),
    limits: Mapping[str, FieldLimit] | None = None,
    digits: int = 3,
    deactivated: Sequence[str] = (),
) -> ObjectPlan:
    names = [field.field for field in fields]
    texts = dict.fromkeys(names, pl.String)
    crm = {f"crm.{name}": pl.String for name in names}
    before = {f"last.{name}": pl.String for name in names}
    want = frame([{"external_id": who, **row} for who, row in (wanted or {}).items()], external_id=pl.String, **texts)
    return plan_object(
        object_map(*fields),
        want.with_columns(pl.col("external_id").is_in(list(deactivated)).alias(".deactivated")),
        frame(
            [{"record": record, "external_id": who, "level": "email"} for record, who in (links or {}).items()],
            record=pl.String,
            external_id=pl.String,
            level=pl.String,
        ),
        frame(
            [{"record": record} for record in ambiguous] + [{"external_id": who} for who in ambiguous_people],
            record=pl.String,
            external_id=pl.String,
        ),
        frame(
            [{"record": r, **{f"crm.{k}": v for k, v in row.items()}} for r, row in (seen or {}).items()],
            record=pl.String,
            **crm,
        ),
        frame(
            [
                {"record": r, "ever": True, **{f"last.{k}": v for k, v in row.items()}}
                for r, row in (last or {}).items()
            ],
            record=pl.String,
            ever=pl.Boolean,
            **before,
        ),
        frame([{"record": record} for record in gone], record=pl.String, moved_to=pl.String),
        limits=limits,
        datetime_digits=digits,
    )


def remembered(result: ObjectPlan) -> dict[str, dict[str, str | None]]:
    return {record: json.loads(values) for record, values in result.remember.iter_rows()}


def decisions(result: ObjectPlan) -> dict[tuple[str, str], tuple[str, str | None, str | None]]:
    rows = result.changes.select("record", "field", "decision", "before", "after").iter_rows()
    return {(record, field): (decision, before, after) for record, field, decision, before, after in rows}


NOTHING, REMEMBERED = "nothing", "remembered"
TABLE = [
    # wanted, seen, last, on_drift → decision, bucket
    pytest.param("x", "x", "x", "overwrite", NOTHING, "unchanged", id="same on all three sides"),
    pytest.param("x", "x", "y", "overwrite", REMEMBERED, "unchanged", id="same, somebody else wrote it: ours now"),
    pytest.param("x", "x", None, "overwrite", REMEMBERED, "unchanged", id="same, never written: ours now"),
    pytest.param(None, None, None, "overwrite", NOTHING, "unchanged", id="empty on all three sides"),
    pytest.param(None, None, "y", "overwrite", REMEMBERED, "unchanged", id="wanted empty, somebody emptied it"),
    pytest.param("x", "y", "y", "overwrite", "write", "written", id="differs, seen as last written"),
    pytest.param("x", None, None, "overwrite", "write", "written", id="never written, seen empty"),
    pytest.param("x", None, "y", "overwrite", "write", "written", id="somebody emptied it"),
    pytest.param("x", None, "x", "overwrite", "write", "written", id="somebody emptied what is still wanted"),
    pytest.param("x", None, "y", "respect", "write", "written", id="somebody emptied it: no drift to respect"),
    pytest.param("x", "z", "y", "overwrite", "drift_written", "written", id="drift, overwritten"),
    pytest.param("x", "z", "x", "overwrite", "drift_written", "written", id="drift over what is wanted, overwritten"),
    pytest.param("x", "z", "y", "respect", "drift_kept", "drift_kept", id="drift, respected"),
    pytest.param("x", "z", None, "overwrite", "drift_written", "written", id="never written, foreign value"),
    pytest.param("x", "z", None, "respect", "drift_kept", "drift_kept", id="never written, foreign value respected"),
    pytest.param(None, "y", "y", "overwrite", "clear", "written", id="wanted empty, we wrote it"),
    pytest.param(None, "y", "y", "respect", "clear", "written", id="wanted empty, we wrote it, respecting"),
    pytest.param(None, "z", "y", "overwrite", "drift_written", "written", id="wanted empty, drift overwritten"),
    pytest.param(None, "z", "y", "respect", "drift_kept", "drift_kept", id="wanted empty, drift respected"),
    pytest.param(None, "z", None, "respect", "drift_kept", "drift_kept", id="wanted empty, foreign value respected"),
    pytest.param("x", None, None, "fill_blank", "write", "written", id="blank, filled"),
    pytest.param("x", None, "y", "fill_blank", "write", "written", id="emptied by somebody, filled again"),
    pytest.param("x", "y", "y", "fill_blank", NOTHING, "unchanged", id="filled with our own older value: it stays"),
    pytest.param("x", "z", "y", "fill_blank", "drift_kept", "drift_kept", id="filled by somebody: it stays"),
    pytest.param("x", "z", None, "fill_blank", "drift_kept", "drift_kept", id="filled before we came: it stays"),
    pytest.param("x", "x", None, "fill_blank", REMEMBERED, "unchanged", id="filled with what is wanted: ours now"),
    pytest.param(None, "y", "y", "fill_blank", "clear", "written", id="nothing wanted, we filled it"),
    pytest.param(None, "z", "y", "fill_blank", "drift_kept", "drift_kept", id="nothing wanted, somebody filled it"),
    pytest.param("x", "y", "y", "human_lock", "write", "written", id="ours, with a lock for others"),
    pytest.param("x", None, "y", "human_lock", "write", "written", id="emptied by a person: no value to lock"),
    pytest.param("x", "z", "y", "human_lock", "drift_kept", "drift_kept", id="set by somebody: locked until known"),
    pytest.param(None, "z", "y", "human_lock", "drift_kept", "drift_kept", id="nothing wanted, set by another: locked"),
]


@pytest.mark.lesson("empty")
@pytest.mark.parametrize(("wanted", "seen", "last", "on_drift", "decision", "bucket"), TABLE)
def test_decision_table(
    wanted: str | None, seen: str | None, last: str | None, on_drift: str, decision: str, bucket: str
) -> None:
    result = plan(
        [text_field(on_drift=OnDrift(on_drift))],
        wanted={"u": {"a": wanted}},
        links={"1": "u"},
        seen={"1": {"a": seen}},
        last={} if last is None else {"1": {"a": last}},
    )
    expected = {} if decision in (NOTHING, REMEMBERED) else {("1", "a"): (decision, seen, wanted)}
    assert decisions(result) == expected
    assert remembered(result) == ({"1": {"a": wanted}} if decision == REMEMBERED else {})
    assert result.buckets.rows() == [("1", bucket)]
    assert result.forget.is_empty()


CHECKBOX = FieldLimit(None, None, writable=True, type=ValueType.BOOLEAN, blank="false")
NEVER_EMPTY = [
    # linked, wanted, seen, last, on_drift → decision with the value to write
    pytest.param(True, "false", "false", None, "overwrite", None, id="false as it comes"),
    pytest.param(True, None, "false", "true", "overwrite", None, id="nothing wanted, not set"),
    pytest.param(True, None, "true", "true", "overwrite", ("clear", "false"), id="nothing wanted, we set it"),
    pytest.param(True, None, "true", "false", "respect", ("drift_kept", "false"), id="somebody set it, respected"),
    pytest.param(True, "true", "false", None, "respect", ("write", "true"), id="not set is no drift"),
    pytest.param(True, "true", "false", "true", "respect", ("write", "true"), id="unset by somebody is empty"),
    pytest.param(True, "true", "false", None, "fill_blank", ("write", "true"), id="not set is blank: filled"),
    pytest.param(True, None, "true", "true", "fill_blank", ("clear", "false"), id="nothing wanted, we filled it"),
    pytest.param(True, "false", "true", "true", "fill_blank", ("write", "false"), id="false is blank: we unset ours"),
    pytest.param(True, "false", "true", None, "fill_blank", ("drift_kept", "false"), id="somebody set it: it stays"),
    pytest.param(False, None, "true", "true", "overwrite", ("clear", None), id="no longer matched, we set it"),
    pytest.param(False, None, "false", "false", "overwrite", None, id="no longer matched, not set: nothing to clear"),
]


@pytest.mark.parametrize(("linked", "wanted", "seen", "last", "on_drift", "decision"), NEVER_EMPTY)
def test_field_that_is_never_empty(
    wanted: str | None, seen: str, last: str | None, on_drift: str, decision: tuple[str, str] | None, *, linked: bool
) -> None:
    """A checkbox: what it shows when nobody has set it counts as empty (crm-apis §B11)."""
    result = plan(
        [ManagedField("a", "lapsed", ValueType.BOOLEAN, OnDrift(on_drift))],
        wanted={"u": {"a": wanted}} if linked else None,
        links={"1": "u"} if linked else None,
        seen={"1": {"a": seen}},
        last={} if last is None else {"1": {"a": last}},
        limits={"a": CHECKBOX},
    )
    assert decisions(result) == ({} if decision is None else {("1", "a"): (decision[0], seen, decision[1])})


UNMATCHED = [
    # seen, last → decision, forgotten
    pytest.param("y", "y", "clear", False, id="no longer matched, we wrote it: cleared, remembered until it is"),
    pytest.param("z", "y", None, True, id="no longer matched, somebody changed it: left and forgotten"),
    pytest.param(None, "y", None, True, id="no longer matched, somebody emptied it: forgotten"),
    pytest.param(None, None, None, True, id="no longer matched, cleared already: forgotten"),
]


@pytest.mark.parametrize(("seen", "last", "decision", "forgotten"), UNMATCHED)
def test_record_that_lost_its_match(
    seen: str | None, last: str | None, decision: str | None, *, forgotten: bool
) -> None:
    result = plan([text_field()], seen={"1": {"a": seen}}, last={"1": {"a": last}})
    assert decisions(result) == ({("1", "a"): (decision, seen, None)} if decision else {})
    assert result.forget["record"].to_list() == (["1"] if forgotten else [])
    assert result.buckets.rows() == [("1", "unlinked")]


def test_unmatched_and_never_written_is_left_alone() -> None:
    result = plan([text_field()], seen={"1": {"a": "z"}})
    assert decisions(result) == {}
    assert result.forget.is_empty()
    assert result.buckets.rows() == [("1", "unlinked")]


def test_partly_changed_record_is_remembered_until_our_part_is_cleared() -> None:
    result = plan(
        [text_field("a"), text_field("b")], seen={"1": {"a": "y", "b": "z"}}, last={"1": {"a": "y", "b": "y"}}
    )
    assert decisions(result) == {("1", "a"): ("clear", "y", None)}
    assert result.forget.is_empty()


def test_ambiguous_records_are_left_alone() -> None:
    result = plan(
        [text_field()],
        wanted={"u": {"a": "x"}},
        ambiguous=["1"],
        ambiguous_people=["u"],
        seen={"1": {"a": "y"}},
        last={"1": {"a": "y"}},
    )
    assert decisions(result) == {}
    assert result.forget.is_empty()
    assert result.buckets.rows() == [("1", "ambiguous")]
    assert result.no_record == 0


def test_gone_record_is_forgotten() -> None:
    result = plan([text_field()], wanted={"u": {"a": "x"}}, last={"1": {"a": "x"}}, gone=["1", "2"])
    assert decisions(result) == {}
    assert result.forget["record"].to_list() == ["1"]
    assert result.buckets.rows() == [("1", "gone"), ("2", "gone")]
    assert result.no_record == 1


def test_deactivated_user_clears_its_record_and_is_not_counted_without_one() -> None:
    result = plan(
        [text_field()],
        wanted={"u": {}, "v": {}, "w": {"a": "x"}},
        links={"1": "u"},
        seen={"1": {"a": "x"}},
        last={"1": {"a": "x"}},
        deactivated=["u", "v"],
    )
    assert decisions(result) == {("1", "a"): ("clear", "x", None)}
    assert result.no_record == 1
    assert (result.linked, result.written_before, result.changing, result.clearing) == (1, 1, 1, 1)


EQUAL = [
    pytest.param(ValueType.NUMBER, "5", "5.0", id="number with noise"),
    pytest.param(ValueType.NUMBER, "1200", "1.2e3", id="number with exponent"),
    pytest.param(ValueType.BOOLEAN, "true", "True", id="boolean in capitals"),
    pytest.param(ValueType.DATE, "2026-01-01", "1767225600000", id="date in epoch milliseconds"),
    pytest.param(ValueType.DATE, "2026-01-01", "2026-01-01T00:00:00Z", id="date as instant"),
    pytest.param(ValueType.DATETIME, "2026-01-01T00:00:00.120Z", "2026-01-01T00:00:00.12Z", id="digits left out"),
    pytest.param(ValueType.DATETIME, "2026-01-01T00:00:00.123Z", "1767225600123", id="instant in epoch milliseconds"),
    pytest.param(ValueType.DATETIME, "2026-01-01T00:00:00.000Z", "2026-01-01T05:00:00+05:00", id="instant in a zone"),
    pytest.param(ValueType.MULTISELECT, "a;b", ";b;a", id="options in another order"),
    pytest.param(ValueType.TEXT, None, "", id="empty text"),
]


@pytest.mark.parametrize(("kind", "wanted", "seen"), EQUAL)
def test_equal_values_in_other_words_are_no_change(kind: ValueType, wanted: str | None, seen: str) -> None:
    result = plan(
        [ManagedField("a", "plan", kind)],
        wanted={"u": {"a": wanted}},
        links={"1": "u"},
        seen={"1": {"a": seen}},
        last={"1": {"a": wanted}},
    )
    assert decisions(result) == {}
    assert result.remember.is_empty()


def test_last_written_in_other_words_is_no_drift() -> None:
    result = plan(
        [ManagedField("a", "plan", ValueType.NUMBER, OnDrift.RESPECT)],
        wanted={"u": {"a": "6"}},
        links={"1": "u"},
        seen={"1": {"a": "5.00"}},
        last={"1": {"a": "5"}},
    )
    assert decisions(result) == {("1", "a"): ("write", "5.00", "6")}


def test_instants_are_cut_to_the_digits_the_crm_keeps() -> None:
    fields = [ManagedField("a", "last_active_at", ValueType.DATETIME)]
    wanted = {"u": {"a": "2026-01-01T00:00:00.987Z"}}
    kept = plan(fields, wanted=wanted, links={"1": "u"}, seen={"1": {"a": "2026-01-01T00:00:00Z"}}, digits=0)
    assert decisions(kept) == {}
    new = plan(fields, wanted=wanted, links={"1": "u"}, seen={"1": {"a": None}}, digits=0)
    assert decisions(new) == {("1", "a"): ("write", None, "2026-01-01T00:00:00Z")}


FREE = FieldLimit(None, None, writable=True)
REFUSED = [
    pytest.param(
        ValueType.TEXT, "x", None, "has no field a; `engage-sync provision --apply` creates it", id="no field"
    ),
    pytest.param(ValueType.TEXT, "x", FieldLimit(None, None, writable=False), "read-only", id="read-only"),
    pytest.param(
        ValueType.TEXT, "éclair", FieldLimit(None, 5, writable=True), "takes 5 characters, not 6", id="length"
    ),
    pytest.param(
        ValueType.SELECT, "x", FieldLimit(("a", "b"), None, writable=True), "has no option x, only a, b", id="option"
    ),
    pytest.param(
        ValueType.MULTISELECT,
        "a;x",
        FieldLimit(("a", "b"), None, writable=True),
        "has no option x",
        id="one of several",
    ),
    pytest.param(ValueType.NUMBER, "many", FREE, "takes a number, not many", id="not a number"),
    pytest.param(
        ValueType.NUMBER,
        "0.125",
        FieldLimit(None, None, writable=True, decimals=2),
        "contacts.a keeps 2 digits after the point: 0.125",
        id="digits",
    ),
    pytest.param(
        ValueType.NUMBER,
        "-12345",
        FieldLimit(None, None, writable=True, whole=4),
        "contacts.a takes 4 digits before the point: -12345",
        id="size",
    ),
    pytest.param(ValueType.BOOLEAN, "yes", FREE, "takes true or false, not yes", id="not a boolean"),
    pytest.param(ValueType.DATE, "soon", FREE, "takes a date, not soon", id="not a date"),
    pytest.param(ValueType.DATETIME, "soon", FREE, "takes an instant, not soon", id="not an instant"),
]


@pytest.mark.lesson(17)
@pytest.mark.parametrize(("kind", "wanted", "limit", "sentence"), REFUSED)
def test_value_that_does_not_fit_is_refused_and_the_rest_is_written(
    kind: ValueType, wanted: str, limit: FieldLimit | None, sentence: str
) -> None:
    limits = {"b": FREE} if limit is None else {"a": limit, "b": FREE}
    result = plan(
        [ManagedField("a", "plan", kind), text_field("b")],
        wanted={"u": {"a": wanted, "b": "y"}},
        links={"1": "u"},
        seen={"1": {"a": None, "b": None}},
        limits=limits,
    )
    assert decisions(result) == {("1", "a"): ("refused", None, wanted), ("1", "b"): ("write", None, "y")}
    assert sentence in result.changes.filter(pl.col("decision") == "refused")["reason"][0]
    assert result.buckets.rows() == [("1", "refused")]


FITTING = [
    pytest.param(ValueType.NUMBER, "1.25", FieldLimit(None, None, writable=True, decimals=2), id="digits"),
    pytest.param(ValueType.NUMBER, "-7", FieldLimit(None, None, writable=True, decimals=0), id="whole number"),
    pytest.param(ValueType.NUMBER, "-123.5", FieldLimit(None, None, writable=True, whole=3), id="size"),
    pytest.param(ValueType.TEXT, "éclair", FieldLimit(None, 6, writable=True), id="length"),
    pytest.param(ValueType.SELECT, "a;b", FieldLimit(("a;b",), None, writable=True), id="option"),
    pytest.param(ValueType.MULTISELECT, "a;b", FieldLimit(("a", "b"), None, writable=True), id="several options"),
    pytest.param(ValueType.NUMBER, "-1.5", FREE, id="number"),
    pytest.param(ValueType.DATETIME, "2026-01-01T00:00:00.000Z", FREE, id="instant"),
]


@pytest.mark.parametrize(("kind", "wanted", "limit"), FITTING)
def test_value_that_fits_is_written(kind: ValueType, wanted: str, limit: FieldLimit) -> None:
    result = plan(
        [ManagedField("a", "plan", kind)],
        wanted={"u": {"a": wanted}},
        links={"1": "u"},
        seen={"1": {"a": None}},
        limits={"a": limit},
    )
    assert decisions(result) == {("1", "a"): ("write", None, wanted)}


@pytest.mark.parametrize(
    ("wanted", "seen", "written"), [(" sp ", "sp", None), ("  ", None, None), (" new ", "sp", "new")]
)
def test_white_space_that_the_crm_cuts_is_no_change(wanted: str, seen: str | None, written: str | None) -> None:
    """Else it would be written again by every run."""
    limit = FieldLimit(None, None, writable=True, trimmed=True)
    found = plan(
        [text_field()], wanted={"u": {"a": wanted}}, links={"1": "u"}, seen={"1": {"a": seen}}, limits={"a": limit}
    )
    assert [after for _, _, after in decisions(found).values()] == ([] if written is None else [written])


def test_clearing_needs_no_option_but_a_writable_field() -> None:
    scenario: dict[str, Any] = {
        "wanted": {"u": {"a": None}},
        "links": {"1": "u"},
        "seen": {"1": {"a": "x"}},
        "last": {"1": {"a": "x"}},
    }
    cleared = plan([text_field()], limits={"a": FieldLimit(("q",), 0, writable=True)}, **scenario)
    assert decisions(cleared) == {("1", "a"): ("clear", "x", None)}
    refused = plan([text_field()], limits={"a": FieldLimit(None, None, writable=False)}, **scenario)
    assert decisions(refused) == {("1", "a"): ("refused", "x", None)}


def test_remembering_names_only_fields_that_are_as_wanted() -> None:
    result = plan(
        [text_field("a"), text_field('b"')],
        wanted={"u": {"a": "x", 'b"': 'q"\n'}},
        links={"1": "u"},
        seen={"1": {"a": None, 'b"': 'q"\n'}},
    )
    assert remembered(result) == {"1": {'b"': 'q"\n'}}


def test_frames_have_their_declared_shape_even_when_empty() -> None:
    result = plan([text_field()])
    assert dict(result.changes.schema) == dict(CHANGES)
    assert dict(result.buckets.schema) == dict(BUCKETS)
    assert dict(result.remember.schema) == dict(REMEMBER)
    assert dict(result.forget.schema) == dict(FORGET)


def test_clears_on_records_that_lost_their_match_are_tallied_apart() -> None:
    seen = {str(number): {"a": "x"} for number in range(4)}
    result = plan([text_field()], wanted={"u": {"a": "y"}}, links={"0": "u"}, seen=seen, last={**seen})
    assert (result.linked, result.written_before, result.changing) == (1, 1, 1)
    assert (result.clearing, result.unlinking) == (3, 3)


VALUES = st.sampled_from([None, "x", "y"])
RECORDS = [str(number) for number in range(4)]
PEOPLE = ["u", "v", "w"]
ROWS = st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES))


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    live = draw(st.lists(st.sampled_from(RECORDS), unique=True))
    free = list(live)
    links = {}
    for who in draw(st.lists(st.sampled_from(PEOPLE), unique=True)):
        if free:
            links[free.pop()] = who
    return {
        "wanted": {who: draw(ROWS) for who in PEOPLE},
        "links": links,
        "ambiguous": draw(st.lists(st.sampled_from(free), unique=True)) if free else [],
        "seen": {record: draw(ROWS) for record in live},
        "last": {record: draw(ROWS) for record in draw(st.lists(st.sampled_from(RECORDS), unique=True))},
        "gone": [record for record in RECORDS if record not in live],
    }


def slow_decision(state: str, want: str | None, see: str | None, last: str | None, drift: str) -> str | None:
    if state == "ambiguous":
        return None
    if state == "unlinked":
        return "clear" if last is not None and see == last else None
    if want == see:
        return None
    if see == last or see is None:
        if drift == "fill_blank" and see is not None and want is not None:
            return None
        return "clear" if want is None else "write"
    return "drift_written" if drift == "overwrite" else "drift_kept"


@given(scenarios(), st.sampled_from(list(OnDrift)), st.sampled_from(list(OnDrift)))
@settings(max_examples=60, deadline=None)
def test_against_loops(scenario: dict[str, Any], drift_a: OnDrift, drift_b: OnDrift) -> None:
    result = plan([text_field("a", drift_a), text_field("b", drift_b)], **scenario)
    expected, buckets, ours, forgotten = {}, {}, {}, set()
    for record, seen in scenario["seen"].items():
        who = scenario["links"].get(record)
        state = "ambiguous" if record in scenario["ambiguous"] else "linked" if who else "unlinked"
        found = {}
        for field, drift in zip(FIELDS, (drift_a, drift_b), strict=True):
            want = scenario["wanted"][who][field] if who else None
            last = scenario["last"].get(record, {}).get(field)
            decision = slow_decision(state, want, seen[field], last, drift.value)
            if decision:
                found[record, field] = (decision, seen[field], want)
            elif state == "linked" and last != want == seen[field]:
                ours.setdefault(record, {})[field] = want
        expected |= found
        kinds = {decision for decision, _, _ in found.values()}
        done = "written" if kinds - {"drift_kept"} else "drift_kept" if kinds else "unchanged"
        buckets[record] = done if state == "linked" else state
        if state == "unlinked" and record in scenario["last"] and not found:
            forgotten.add(record)
    buckets |= dict.fromkeys(scenario["gone"], "gone")
    forgotten |= set(scenario["gone"]) & set(scenario["last"])
    assert decisions(result) == expected
    assert dict(result.buckets.iter_rows()) == buckets
    assert result.buckets.height == len(buckets)
    assert remembered(result) == ours
    assert set(result.forget["record"]) == forgotten


@given(scenarios())
@settings(max_examples=40, deadline=None)
def test_after_the_plan_is_carried_out_the_next_one_is_empty(scenario: dict[str, Any]) -> None:
    fields = [text_field("a"), text_field("b")]
    first = plan(fields, **scenario)
    for record, values in remembered(first).items():
        scenario["last"].setdefault(record, {}).update(values)
    for record, field, after in first.changes.select("record", "field", "after").iter_rows():
        scenario["seen"][record][field] = after
        scenario["last"].setdefault(record, {})[field] = after
    for record in first.forget["record"]:
        scenario["last"].pop(record)
    second = plan(fields, **scenario)
    assert decisions(second) == {}
    assert second.remember.is_empty()
