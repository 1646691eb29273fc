"""Canonical text (semantics §9): equal values have equal text, and values are written without noise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import ValueType
from engage_sync.core.facts import INSTANT
from engage_sync.core.values import canonical, to_text


def canon(texts: Sequence[str | None], kind: ValueType, digits: int = 3) -> list[str | None]:
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    return frame.select(canonical(pl.col("text"), kind, datetime_digits=digits)).to_series().to_list()


def written(
    values: Sequence[Any], dtype: Any, kind: ValueType, timezone: str = "UTC", digits: int = 3
) -> list[str | None]:
    frame = pl.DataFrame({"value": pl.Series(values, dtype=dtype)})
    text = to_text(pl.col("value"), dtype, kind, timezone=timezone, datetime_digits=digits)
    return frame.select(text).to_series().to_list()


CANONICAL = [
    (ValueType.NUMBER, ["5", "5.0", " 5 ", "+5", "5e0", "0.5e1", "005"], "5"),
    (ValueType.NUMBER, ["0", "-0", "0.0", "-0.0"], "0"),
    (ValueType.NUMBER, ["1e20", "100000000000000000000"], "100000000000000000000"),
    (ValueType.NUMBER, ["0.00001", "1e-5"], "0.00001"),
    (ValueType.NUMBER, ["9007199254740993"], "9007199254740993"),
    (ValueType.NUMBER, ["many"], "many"),
    (ValueType.BOOLEAN, ["true", "True", " TRUE "], "true"),
    (ValueType.BOOLEAN, ["yes"], "yes"),
    (ValueType.DATE, ["2026-01-01", "1767225600000", "2026-01-01T23:00:00Z", "20260101"], "2026-01-01"),
    (ValueType.DATE, ["1969-12-31", "-86400000"], "1969-12-31"),
    (ValueType.DATE, ["soon"], "soon"),
    (ValueType.DATETIME, ["2026-01-01", "1767225600000", "2026-01-01T01:00:00+01:00"], "2026-01-01T00:00:00.000Z"),
    (ValueType.DATETIME, ["2026-01-01T00:00:00.9999Z", "1767225600999"], "2026-01-01T00:00:00.999Z"),
    (ValueType.DATETIME, ["99999999999999999"], "99999999999999999"),
    (ValueType.MULTISELECT, ["a;b", "b;a", ";b;a;", "b; a", "a;b;a"], "a;b"),
    (ValueType.MULTISELECT, ["", ";", None], None),
    (ValueType.SELECT, ["b;a"], "b;a"),
    (ValueType.TEXT, [" a "], " a "),
    *((kind, ["", None], None) for kind in ValueType),
]


@pytest.mark.parametrize(("kind", "texts", "expected"), CANONICAL)
def test_canonical(kind: ValueType, texts: list[str | None], expected: str | None) -> None:
    assert canon(texts, kind) == [expected] * len(texts)


@pytest.mark.parametrize(
    ("digits", "expected"),
    [(0, "T10:00:01Z"), (1, "T10:00:01.9Z"), (3, "T10:00:01.987Z"), (6, "T10:00:01.987654Z"), (9, "T10:00:01.987654Z")],
)
def test_digits_below_the_second_are_cut(digits: int, expected: str) -> None:
    assert canon(["2026-01-01T10:00:01.987654Z"], ValueType.DATETIME, digits) == ["2026-01-01" + expected]


WRITTEN = [
    ([3, None], pl.Int64(), ValueType.NUMBER, ["3", None]),
    (
        [3.0, 0.25, 1 / 3, 2 / 3, -0.00001, None],
        pl.Float64(),
        ValueType.NUMBER,
        ["3", "0.25", "0.3333", "0.6667", "0", None],
    ),
    (
        [1e15, 1e22, 123456789012.5],
        pl.Float64(),
        ValueType.NUMBER,
        ["1000000000000000", "1" + "0" * 22, "123456789012.5"],
    ),
    ([float("nan"), float("inf")], pl.Float64(), ValueType.NUMBER, [None, None]),
    ([True, False, None], pl.Boolean(), ValueType.BOOLEAN, ["true", "false", None]),
    ([["b", "a"], ["a"], [], None], pl.List(pl.String()), ValueType.MULTISELECT, ["a;b", "a", None, None]),
    ([["b", "a"]], pl.List(pl.String()), ValueType.TEXT, ["a;b"]),
    ([date(2026, 1, 2)], pl.Date(), ValueType.DATE, ["2026-01-02"]),
    ([date(2026, 1, 2)], pl.Date(), ValueType.DATETIME, ["2026-01-02T00:00:00.000Z"]),
    (["x", " x ", ""], pl.String(), ValueType.TEXT, ["x", " x ", None]),
    (["5.0", "many"], pl.String(), ValueType.NUMBER, ["5", "many"]),
]


@pytest.mark.parametrize(("values", "dtype", "kind", "expected"), WRITTEN)
def test_written(values: list[Any], dtype: pl.DataType, kind: ValueType, expected: list[str | None]) -> None:
    assert written(values, dtype, kind) == expected


ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Apia", "Etc/GMT+12"]
"""From 14 hours ahead to 12 behind, with quarters of an hour, summer time, and a day that never was (Apia, 2011)."""


@pytest.mark.lesson(16)
@given(st.lists(st.datetimes(datetime(1970, 1, 2), datetime(2037, 12, 30)), min_size=1), st.sampled_from(ZONES))  # noqa: DTZ001  (instants are drawn without a zone, and get UTC)
@settings(max_examples=40, deadline=None)
def test_the_date_of_an_instant_is_the_day_of_the_zone(drawn: list[datetime], zone: str) -> None:
    instants = [one.replace(tzinfo=UTC) for one in drawn]
    days = [one.astimezone(ZoneInfo(zone)).date().isoformat() for one in instants]
    assert written(instants, INSTANT, ValueType.DATE, zone) == days
    same = [one.isoformat(timespec="milliseconds").replace("+00:00", "Z") for one in instants]
    assert written(instants, INSTANT, ValueType.DATETIME, zone) == same


@pytest.mark.lesson(16)
def test_instants_in_a_date_field_are_the_day_of_the_zone() -> None:
    late = [datetime(2026, 1, 1, 20, tzinfo=UTC)]
    assert written(late, INSTANT, ValueType.DATE, "Asia/Tokyo") == ["2026-01-02"]
    assert written(late, INSTANT, ValueType.DATE, "America/New_York") == ["2026-01-01"]
    assert written(late, INSTANT, ValueType.DATETIME, "Asia/Tokyo") == ["2026-01-01T20:00:00.000Z"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
@settings(max_examples=60, deadline=None)
def test_numbers_are_written_without_noise(values: list[float]) -> None:
    for value, text in zip(values, written(values, pl.Float64(), ValueType.NUMBER), strict=True):
        assert text is not None
        assert "e" not in text.lower()
        assert len(text.partition(".")[2]) <= 4
        assert text not in ("-0", "")
        assert not text.endswith(".")
        assert abs(Decimal(text) - Decimal(value)) <= max(Decimal("0.0001"), abs(Decimal(value)) * Decimal("1e-14"))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
@settings(max_examples=60, deadline=None)
def test_written_numbers_are_canonical(values: list[float]) -> None:
    texts = written(values, pl.Float64(), ValueType.NUMBER)
    assert canon(texts, ValueType.NUMBER) == texts


@given(st.lists(st.text(alphabet="ab;, 05.eTZ:-+", max_size=12), max_size=20), st.sampled_from(list(ValueType)))
@settings(max_examples=100, deadline=None)
def test_canonical_text_is_its_own_canonical_text(texts: list[str], kind: ValueType) -> None:
    once = canon(texts, kind)
    assert canon(once, kind) == once
