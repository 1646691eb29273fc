"""What each property type takes and how HubSpot reads it back (crm-apis §A9)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.sandbox.properties import Option, Property
from engage_sync.sandbox.values import BadValue, instant, milliseconds, normal, to_milliseconds

OPTIONS = tuple(Option(v.upper(), v) for v in ("a", "b", "c d"))


def prop(type_: str, field_type: str = "text") -> Property:
    return Property("p", "P", type_, field_type, "g", options=OPTIONS)


@pytest.mark.parametrize(
    ("made", "given_", "stored"),
    [
        (prop("string"), " as is ", " as is "),
        (prop("number"), "-12.50", "-12.50"),
        (prop("bool"), "true", "true"),
        (prop("enumeration", "select"), "c d", "c d"),
        (prop("enumeration", "checkbox"), "b;a;b", "b;a"),
        (prop("date"), "2026-02-28", "2026-02-28"),
        (prop("date"), "1772236800000", "2026-02-28"),
        (prop("datetime"), "1767323045678", "2026-01-02T03:04:05.678Z"),
        (prop("datetime"), "2026-01-02T05:04:05.678999+02:00", "2026-01-02T03:04:05.678Z"),
        (prop("datetime"), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
    ],
)
def test_taken(made: Property, given_: str, stored: str) -> None:
    assert normal(made, given_) == stored


@pytest.mark.parametrize(
    ("made", "given_", "code"),
    [
        (prop("string"), "x" * 65_537, "VALUE_TOO_LONG"),
        (prop("number"), "1,000", "INVALID_INTEGER"),
        (prop("number"), "1.2.3", "INVALID_INTEGER"),
        (prop("number"), "NaN", "INVALID_INTEGER"),
        (prop("bool"), "True", "INVALID_OPTION"),
        (prop("enumeration", "select"), "A", "INVALID_OPTION"),
        (prop("enumeration", "select"), "a;b", "INVALID_OPTION"),
        (prop("enumeration", "checkbox"), "a; b", "INVALID_OPTION"),
        (prop("date"), "1772236800001", "INVALID_DATE"),
        (prop("date"), "2026-02-30", "INVALID_DATE"),
        (prop("date"), "2026-02-28T00:00:00Z", "INVALID_DATE"),
        (prop("datetime"), "yesterday", "INVALID_DATE"),
        (prop("datetime"), "9" * 30, "INVALID_DATE"),
        (Property("email", "E", "string", "text", "g", built_in=True), "no at", "INVALID_EMAIL"),
    ],
)
def test_refused(made: Property, given_: str, code: str) -> None:
    with pytest.raises(BadValue) as bad:
        normal(made, given_)
    assert bad.value.code == code


def test_a_leading_semicolon_appends_and_without_it_the_set_is_replaced() -> None:
    several = prop("enumeration", "checkbox")
    assert normal(several, ";b;a", "a") == "a;b"
    assert normal(several, "b", "a") == "b"
    assert normal(several, ";b", None) == "b"


@given(st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_instants_survive_the_way_there_and_back(moment: datetime) -> None:
    cut = milliseconds(moment)
    assert to_milliseconds(instant(cut)) == cut
    assert to_milliseconds(str(cut)) == cut
