"""Values of every field type: what is taken, what is refused, and how they are written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_values import BadValue, canonical, cell, cell_reader, json_reader

TEXT = FieldDef("T__c", "T", "string", 10)
NUMBER = FieldDef("N__c", "N", "double", precision=6, scale=2)
WHOLE = FieldDef("W__c", "W", "int", precision=8)
CHECK = FieldDef("C__c", "C", "boolean")
DAY = FieldDef("D__c", "D", "date")
MOMENT = FieldDef("M__c", "M", "datetime")
ONE = FieldDef("P__c", "P", "picklist", 255, choices=choices(["a", "b"]), restricted=True)
FREE = FieldDef("F__c", "F", "picklist", 255, choices=choices(["a", "b"]))
MANY = FieldDef("S__c", "S", "multipicklist", 4099, choices=choices(["power", "active", "lapsed"]), restricted=True)
MAIL = FieldDef("E__c", "E", "email", 80)
LINK = FieldDef("R__c", "R", "reference", 18)


@pytest.mark.parametrize(
    ("field", "raw", "text"),
    [
        (TEXT, " ab ", "ab"),
        (TEXT, "", None),
        (TEXT, None, None),
        (NUMBER, 1.005, "1.01"),
        (NUMBER, 1234, "1234"),
        (NUMBER, -0.5, "-0.5"),
        (WHOLE, 12, "12"),
        (CHECK, True, "true"),
        (CHECK, False, "false"),
        (DAY, "2026-02-28", "2026-02-28"),
        (MOMENT, "2026-01-02T03:04:05.999Z", "2026-01-02T03:04:05Z"),
        (MOMENT, "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        (MOMENT, "2026-01-02T03:04:05.000+0000", "2026-01-02T03:04:05Z"),
        (MOMENT, "2026-01-02", "2026-01-02T00:00:00Z"),
        (ONE, "b", "b"),
        (FREE, "else", "else"),
        (MANY, "lapsed; power;power", "power;lapsed"),
        (MANY, "", None),
        (MAIL, "a@b.example", "a@b.example"),
        (LINK, "001D000000IRFma", "001D000000IRFmaIAH"),
    ],
)
def test_json(field: FieldDef, raw: object, text: str | None) -> None:
    assert canonical(field, json_reader(field)(raw)) == text


@pytest.mark.parametrize(
    ("field", "raw", "code"),
    [
        (TEXT, "x" * 11, "STRING_TOO_LONG"),
        (TEXT, 5, "JSON_PARSER_ERROR"),
        (TEXT, ["a"], "JSON_PARSER_ERROR"),
        (TEXT, True, "JSON_PARSER_ERROR"),
        (NUMBER, "82", "JSON_PARSER_ERROR"),
        (NUMBER, True, "JSON_PARSER_ERROR"),
        (NUMBER, 10_000, "NUMBER_OUTSIDE_VALID_RANGE"),
        (NUMBER, float("inf"), "NUMBER_OUTSIDE_VALID_RANGE"),
        (WHOLE, 1.5, "JSON_PARSER_ERROR"),
        (WHOLE, 10**8, "NUMBER_OUTSIDE_VALID_RANGE"),
        (CHECK, "true", "JSON_PARSER_ERROR"),
        (CHECK, 1, "JSON_PARSER_ERROR"),
        (CHECK, None, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        (DAY, "2026-02-30", "JSON_PARSER_ERROR"),
        (DAY, "2026-02-03T00:00:00Z", "JSON_PARSER_ERROR"),
        (DAY, 20_260_203, "JSON_PARSER_ERROR"),
        (MOMENT, "yesterday", "JSON_PARSER_ERROR"),
        (MOMENT, "1767323045000", "JSON_PARSER_ERROR"),
        (ONE, "B", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (MANY, "power;nope", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (MAIL, "a@b", "INVALID_EMAIL_ADDRESS"),
        (LINK, "x", "MALFORMED_ID"),
    ],
)
def test_json_refused(field: FieldDef, raw: object, code: str) -> None:
    with pytest.raises(BadValue) as refused:
        json_reader(field)(raw)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (NUMBER, "82", 82.0),
        (NUMBER, "1e2", 100.0),
        (CHECK, "True", True),
        (CHECK, "0", False),
        (DAY, "2026-02-28", "2026-02-28"),
        (MOMENT, "1970-01-01T00:00:10Z", 10),
        (TEXT, "a,b\n", "a,b"),
    ],
)
def test_cells(field: FieldDef, text: str, value: object) -> None:
    assert cell_reader(field)(text) == value


@pytest.mark.parametrize(("field", "text"), [(NUMBER, "8 2"), (CHECK, "yes"), (DAY, "1.2.2026"), (MOMENT, "x")])
def test_cells_refused(field: FieldDef, text: str) -> None:
    with pytest.raises(BadValue) as refused:
        cell_reader(field)(text)
    assert refused.value.code == "INVALID_TYPE_ON_FIELD_IN_RECORD"


@pytest.mark.parametrize(
    ("value", "shown"), [(82.0, "82.0"), (0.5, "0.5"), (350_000_000.0, "3.5E8"), (1e-4, "1.0E-4"), (0.0, "0.0")]
)
def test_numbers_in_results_are_written_as_java_does(value: float, shown: str) -> None:
    assert cell(NUMBER, value) == shown
    assert float(shown) == value


@given(st.lists(st.sampled_from(["power", "active", "lapsed"])))
def test_several_options_come_in_the_order_of_the_definition(chosen: list[str]) -> None:
    stored = json_reader(MANY)(";".join(chosen))
    assert stored == (";".join(one for one in ("power", "active", "lapsed") if one in chosen) or None)
