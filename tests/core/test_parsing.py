"""Reading text (semantics §1, §2, §8) against Python's own functions, which are the law."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.definitions import ValueType
from engage_sync.core.parsing import (
    boolean,
    day,
    dtype_of,
    host,
    instant,
    normal_domain,
    normal_email,
    number,
    site,
    typed,
)


def read(function: Callable[[pl.Expr], pl.Expr], values: Sequence[str | None]) -> list[object]:
    frame = pl.DataFrame({"text": pl.Series(values, dtype=pl.String)})
    return frame.select(function(pl.col("text"))).to_series().to_list()


NUMBERS = [
    ("5", 5.0),
    ("-5.25", -5.25),
    ("+5", 5.0),
    ("5.", 5.0),
    ("5.e2", 500.0),
    (".5", 0.5),
    ("1e2", 100.0),
    ("1E-2", 0.01),
    ("007", 7.0),
    *(
        (text, None)
        for text in ("", " 5", "5 ", "1_000", "1,000", "NaN", "inf", "Infinity", "1e999", "-1e999", ".", "e5")
    ),
    *((text, None) for text in ("0x10", "٣", "5a", "--5", "1e", None)),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_number(text: str | None, value: float | None) -> None:
    assert read(number, [text]) == [value]


def test_boolean() -> None:
    assert read(boolean, ["true", "false", "True", "1", "", None]) == [True, False, None, None, None, None]


def slow_instant(text: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


INSTANTS = [
    *("2026-01-01", "20260101", "2026-W01-1", "2026-01-01T10", "2026-01-01T10:00", "2026-01-01 10:00:00"),
    *("2026-01-01T10:00:00Z", "2026-01-01T10:00:00.1Z", "2026-01-01T10:00:00.123456Z", "2026-01-01T10:00:00.1234567Z"),
    *("2026-01-01T10:00:00+05:30", "2026-01-01T10:00:00-0530", "2026-01-01T10:00:00+05:30:15", "2026-01-01x10:00:00"),
    *("2026-02-30", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z", "2026-13-01T00:00:00Z"),
    *("0000-01-01", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "10000-01-01"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01T10:00:00+24:00", "2026-01-01T10:00:00,5Z"),
    *("", " 2026-01-01", "2026-01-01 ", "now", "1767225600000", "2026-1-1", "２０２６-01-01", "2026-01-01T10:00:00z"),
]


def test_instants_as_python_reads_them() -> None:
    assert read(instant, INSTANTS) == [slow_instant(text) for text in INSTANTS]


CLOCK = r"[T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,7})?)?(Z|[+-][0-2][0-9]:[0-5][0-9])?"
MOMENTS = st.from_regex(rf"\A[0-9]{{4}}-[01][0-9]-[0-3][0-9]({CLOCK})?\Z")


@given(st.lists(MOMENTS, max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_instant_as_python_reads_it(texts: list[str]) -> None:
    assert read(instant, texts) == [slow_instant(text) for text in texts]


def slow_day(text: str, zone: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        value = slow_instant(text)
    try:
        return None if value is None else value.astimezone(ZoneInfo(zone)).date()
    except OverflowError:
        return None


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/New_York"])
def test_days_in_the_zone(zone: str) -> None:
    assert read(lambda text: day(text, zone), INSTANTS) == [slow_day(text, zone) for text in INSTANTS]


EDGES = ["2026-03-08T06:59:59Z", "2026-03-08T07:00:00.000Z", "2026-11-01T04:00:00Z", "2026-01-01T10:00:00.5Z"]


def test_days_around_clock_changes() -> None:
    zone = "America/New_York"
    assert read(lambda text: day(text, zone), EDGES) == [slow_day(text, zone) for text in EDGES]


MAILS = [
    " A@X.com ",
    "\x1cA@x\x1f",
    "\u00a0Ä@X.com\u2003",
    "İ@x.com",
    "ΑΣ@x.com",
    "ẞ@x",
    "a b@x",
    "",
    " ",
    "\t",
    "\u200bA@x",
    "ok@x",
]


def test_emails_as_python_strips_and_lowers() -> None:
    assert read(normal_email, [*MAILS, None]) == [*(text.strip().lower() or None for text in MAILS), None]


@given(st.lists(st.text(max_size=6), max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_email_as_python_strips_and_lowers(texts: list[str]) -> None:
    assert read(normal_email, texts) == [text.strip().lower() or None for text in texts]


@given(st.lists(st.from_regex(re.compile(r"\A[+-]?[0-9.eE]{0,6}\Z", re.ASCII)), max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_number_as_python_reads_it(texts: list[str]) -> None:
    def slow(text: str) -> float | None:
        try:
            value = float(text)
        except ValueError:
            return None
        return None if value in (float("inf"), float("-inf")) else value

    assert read(number, texts) == [slow(text) for text in texts]


def test_domains() -> None:
    texts = ["WWW.Acme.com", "www.www.acme.com", "acme.com", " acme.com ", "www.", ""]
    assert read(normal_domain, texts) == ["acme.com", "www.acme.com", "acme.com", "acme.com", None, None]


def test_hosts() -> None:
    texts = [
        "https://www.Acme.com/x?y#z",
        "acme.com:8080/x",
        "http://me:pw@acme.com",
        "//acme.com",
        "acme.com",
        "http://",
        "",
    ]
    assert read(host, texts) == ["acme.com"] * 5 + [None, None]


def test_site_of_a_company() -> None:
    assert read(site, ["Acme.com", "https://www.acme.com/", "acme.com/x", None]) == ["acme.com"] * 3 + [None]


@pytest.mark.parametrize("kind", list(ValueType))
def test_typed_columns_have_the_promised_dtype(kind: ValueType) -> None:
    frame = pl.DataFrame({"text": ["2026-01-01", "5", "true", None]})
    assert frame.select(typed(pl.col("text"), kind, "UTC")).dtypes == [dtype_of(kind)]
    empty = frame.clear()
    assert empty.select(typed(pl.col("text"), kind, "UTC")).dtypes == [dtype_of(kind)]
