"""Values on their way to Salesforce and back, by hand from crm-apis §B5, §B8 and §B12."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.connectors.base import Field
from engage_sync.connectors.salesforce_fields import Shape, cells, full_id, reading, stamp, wire
from engage_sync.core.definitions import ValueType

KINDS = {kind.value: Field(kind.value, kind.value, kind, kind.value) for kind in ValueType}
FIELDS = {**KINDS, "boolean": Field("boolean", "Flag", ValueType.BOOLEAN, "boolean", blank="false")}
SHAPE = Shape("Contact", FIELDS, queryable=True, updateable=True)


def test_values_take_their_json_form() -> None:
    texts = {
        "text": "42",
        "number": "42",
        "boolean": "true",
        "date": "2026-08-22",
        "datetime": "2026-08-22T10:11:12Z",
        "multiselect": "a;b",
        "gone": "1",
    }
    assert wire(texts, SHAPE) == {**texts, "number": 42, "boolean": True}
    assert wire({"number": "-12.5"}, SHAPE) == {"number": -12.5}
    assert wire({"number": "many", "boolean": "maybe"}, SHAPE) == {"number": "many", "boolean": "maybe"}


def test_empty_is_null_in_json_and_a_mark_in_csv() -> None:
    """A checkbox is never empty."""
    for empty in (None, ""):
        assert wire({"text": empty, "number": empty, "boolean": empty}, SHAPE) == {
            "text": None,
            "number": None,
            "boolean": False,
        }
        assert cells({"text": empty, "boolean": empty}, SHAPE) == {"text": "#N/A", "boolean": "false"}
    assert cells({"text": "a,b", "number": "1.5"}, SHAPE) == {"text": "a,b", "number": "1.5"}


@pytest.mark.parametrize(
    ("kind", "told", "text"),
    [
        ("number", 42, "42"),
        ("number", "42.0", "42"),
        ("number", "1.25E7", "12500000"),
        ("number", "0.3333", "0.3333"),
        ("number", "", None),
        ("boolean", True, "true"),
        ("boolean", "false", "false"),
        ("datetime", "2026-01-02T03:04:05.000+0000", "2026-01-02T03:04:05Z"),
        ("datetime", "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"),
        ("datetime", "2026-01-02T03:04:05.120+0000", "2026-01-02T03:04:05.12Z"),
        ("date", "2026-01-02", "2026-01-02"),
        ("multiselect", "zombie;active", "active;zombie"),
        ("text", "2026-01-02T03:04:05.000+0000", "2026-01-02T03:04:05.000+0000"),
        ("text", "", None),
        ("text", None, None),
        ("text", {"city": "Ulm"}, '{"city":"Ulm"}'),
    ],
)
def test_values_read_as_canonical_text(kind: str, told: object, text: str | None) -> None:
    assert reading(FIELDS[kind])(told) == text


def test_what_is_no_instant_stays_as_it_is() -> None:
    assert stamp("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("001D000000IRFma", "001D000000IRFmaIAH"),
        ("00QD000000eF3ij", "00QD000000eF3ijMAC"),
        ("001D000000IRFmaIAH", "001D000000IRFmaIAH"),
    ],
)
def test_ids_are_made_18_characters_long(short: str, full: str) -> None:
    assert full_id(short) == full


@given(st.text(string.ascii_letters + string.digits, min_size=15, max_size=15))
def test_id_suffix_tells_which_letters_are_upper_case(short: str) -> None:
    """Slowly: five characters at a time, the last one the highest bit, 32 marks from A to 5."""
    marks = string.ascii_uppercase + "012345"
    suffix = ""
    for part in (short[:5], short[5:10], short[10:]):
        bits = "".join("1" if character.isupper() else "0" for character in reversed(part))
        suffix += marks[int(bits, 2)]
    assert full_id(short) == short + suffix
