"""Instants and numbers read together against the same read one by one, and against Python itself."""

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.events.instants import EPOCH, MICROSECOND, read_instants
from engage_sync.events.message import number_text, read_instant
from engage_sync.events.numbers import read_numbers
from engage_sync.events.slices import PADDING, Slices


def placed(texts: list[str], between: str) -> tuple[Slices, np.ndarray, np.ndarray]:
    raw = [text.encode() for text in texts]
    ends = np.cumsum([len(text) + len(between) for text in raw]) - len(between)
    starts = ends - np.array([len(text) for text in raw])
    return Slices(between.encode().join(raw) + between.encode() + bytes(PADDING)), starts, ends


digits = st.text("0123456789", max_size=10)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=9, minutes=30))])
near_misses = (
    r"[0-9]{4}-[0-3][0-9]-[0-4][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"(\.[0-9]{3}|\.[0-9]{6})?(Z|[+-][0-2][0-9]:[0-6][0-9])?"
)
forms = st.one_of(
    st.datetimes(timezones=zones).map(lambda at: at.isoformat()),
    st.datetimes().map(lambda at: at.isoformat(sep=" ", timespec="milliseconds") + "Z"),
    st.from_regex(near_misses, fullmatch=True),
    st.text("0123456789-:.TZ+ ", max_size=33),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(forms, min_size=1, max_size=20))
def test_instants(texts: list[str]) -> None:
    micros, known = read_instants(*placed(texts, '"'))
    answers = [read_instant(text) for text in texts]
    assert [EPOCH + int(m) * MICROSECOND if k else None for m, k in zip(micros, known, strict=True)] == answers


def test_edges_of_the_calendar() -> None:
    texts = [
        *("2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T12:00:00.000Z"),
        *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01"),
        *("2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-12-31T24:00:00Z", "1969-12-31T23:59:59.999999+00:00"),
    ]
    _, known = read_instants(*placed(texts, '"'))
    assert known.tolist() == [True, False, False, True, True, True, False, False, False, False, False, True]
    assert datetime(1970, 1, 1, tzinfo=UTC) == EPOCH


numbers = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.integers(0, 10**9).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-1000, 1000, places=3).map(str),
    st.from_regex(r"-?[0-9]{1,4}(\.[0-9]{0,6})?([eE][+-]?[0-9]{0,2})?", fullmatch=True),
    st.sampled_from(
        ["0", "-0", "0.0", "-0.0", "00", "01", "1.", "1.50", "0.0001", "0.00001", "-", "1e5", "1-2", "1.2.3"]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(numbers.filter(lambda text: text[0] in "-0123456789"), min_size=1, max_size=20))
def test_numbers(texts: list[str]) -> None:
    slices, starts, _ = placed(texts, ",")
    found = read_numbers(slices, starts)
    joined = slices.gather(found.text_starts, found.text_ends).to_pylist()
    for row, text in enumerate(texts):
        try:
            value = json.loads(text)
        except ValueError:
            assert not found.sound[row]
            continue
        if len(text) >= 24:
            continue
        assert found.sound[row]
        assert found.ends[row] - found.starts[row] == len(text)
        assert joined[row] == number_text(value)
        if found.whole[row]:
            assert text == str(int(text))
