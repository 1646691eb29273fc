"""Both ways of reading give the same: whatever the lines are, together with others of their shape or one by one."""

import json
import string

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage_sync.events.columns import MESSAGES, merged
from engage_sync.events.fast import Shapes, read_together
from engage_sync.events.lines import Block
from engage_sync.events.reading import read_exactly
from engage_sync.events.slices import PADDING


def block_of(lines: list[bytes]) -> Block:
    ends = np.cumsum([len(line) + 1 for line in lines]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    return Block(b"\n".join(lines) + bytes(PADDING), starts.astype(np.int64), ends.astype(np.int64), 1, 0)


def rows(table: pa.Table) -> list[dict[str, object]]:
    assert table.schema == MESSAGES
    table.validate(full=True)
    found = table.to_pylist()
    for row in found:
        row["properties"] = sorted(row["properties"])
        row["traits"] = sorted((t["key"], t["path"], t["value"] is None, t["value"] or "") for t in row["traits"])
    return found


Read = tuple[list[dict[str, object]], object]


def read_both_ways(lines: list[bytes]) -> tuple[Read, Read, int]:
    """Give the rows and rejects as they are read together, and one by one; and how many were read together."""
    block = block_of(lines)
    together, left = read_together(block, Shapes())
    rest, rejects = read_exactly(block, left.tolist())
    exact, all_rejects = read_exactly(block, range(len(lines)))
    return (rows(merged([together, rest])), rejects), (rows(exact), all_rejects), together.num_rows


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.integers(-20, 20),
    st.floats(),
    st.floats(-100, 100).map(lambda number: round(number, 2)),
    st.sampled_from([0.0001, 0.00001, -0.0, 1e16, 123456789012345.0, 2.0**53, 0.1 + 0.2, 10**15, 10**16]),
    st.text(max_size=12),
    st.text(string.ascii_letters, max_size=3),
)
keys = st.one_of(
    st.sampled_from(["a", "b", "a.b", "type", "", "|", "@1", "#2", "name", "a_key_of_many_letters", "k" * 70, "é"]),
    st.text(max_size=10),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
ids = st.one_of(
    st.sampled_from(["u1", "üser", "", "a b", "'"]), st.sampled_from([5, 0, -3, 1.0, 1.5, 1e2, 10**20]), scalars, values
)
instants = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds") + "Z"),
    st.datetimes().map(lambda at: at.isoformat(timespec="seconds") + "+05:30"),
    st.sampled_from(
        [
            *("2026-01-01", "20260101T000000", "2026-W05", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z"),
            *(
                "0001-01-01T00:00:00+01:00",
                "9999-12-31T23:59:59-01:00",
                "2026-01-01T00:00:00,5Z",
                "0000-01-01T00:00:00Z",
            ),
            *("2026-01-01T00:00:00.1234567Z", "2026-01-01x00:00:00Z", "2026-01-01T00:00:60Z", "", "now", "2026-06-31"),
            *(
                "2026-01-01T00:00:00.123456+00:00",
                "2026-01-01 10:00:00",
                "2026-01-01T00:00:00+24:00",
                "2024-02-29T00:00:00",
            ),
        ]
    ),
    scalars,
)
names = st.one_of(st.sampled_from(["login", "", "ré"]), values)
kinds = st.one_of(
    st.sampled_from(["track", "page", "screen", "identify", "group", "alias"]), st.sampled_from(["Track", 1])
)
contexts = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "groupId": ids,
            "campaign": st.one_of(
                values, st.fixed_dictionaries({}, optional={"source": values, "medium": values, "name": values})
            ),
            "library": values,
        },
    ),
)
messages = st.fixed_dictionaries(
    {"type": kinds},
    optional={
        "messageId": ids,
        "userId": ids,
        "groupId": ids,
        "previousId": ids,
        "event": names,
        "name": names,
        "timestamp": instants,
        "receivedAt": instants,
        "properties": st.one_of(values, st.dictionaries(keys, values, max_size=4)),
        "traits": st.one_of(values, st.dictionaries(keys, values, max_size=4)),
        "context": contexts,
        "extra": values,
    },
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Write a message in one of the usual ways."""
    message = draw(messages)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",  ", ":  "), (" ,", " :")]))
    text = json.dumps(message, ensure_ascii=draw(st.booleans()), separators=separators)
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(texts(), min_size=1, max_size=3))
def test_generated_messages(lines: list[bytes]) -> None:
    fast, exact, _ = read_both_ways([line for line in lines for _ in range(4)])
    assert fast == exact


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(texts(), st.integers(0, 400), st.sampled_from(list(b'{}[]:," \t\\\r\x00\x1f5.-eE\xff\xc3ntf')), st.booleans())
def test_damaged_lines(line: bytes, place: int, byte: int, insert: bool) -> None:
    place %= len(line) + 1
    damaged = line[:place] + bytes([byte]) + line[place + (0 if insert else 1) :]
    fast, exact, _ = read_both_ways([line, damaged] * 4)
    assert fast == exact


BASE = b'{"type":"track","messageId":"%b","userId":"u","event":"e","timestamp":"2026-01-01T00:00:00Z","properties":%b}'


def test_plain_lines_are_read_together() -> None:
    bags = [
        b'{"a":1,"b":"x"}',
        b'{"a":12.5,"b":{"c":true,"d":null}}',
        b'{"tags":["x","y"],"empty":[],"n":[1,2]}',
        b'{"tags": ["x", "y"], "items": [{"sku": "a", "price": 12.50}]}',
        b"{}",
        b'{"long":0.30000000000000004,"exp":1e5,"zero":1.0}',
        b'"text"',
        b"null",
    ]
    for bag in bags:
        lines = [BASE % (b"m%d" % number, bag) for number in range(20)]
        fast, exact, together = read_both_ways(lines)
        assert (fast, together) == (exact, 20)


def test_hostile_lines() -> None:
    hostile = [
        b'{"type":"track","type":"page","userId":"u","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"u","userId":"v","event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":1,"a":"2"}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":{"b":1},"a.b":2,"a":{"b":3}}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01",}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":NaN}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":01}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":1.}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":-}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":1 2}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":{"a":123456789012345678901234567890}}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01"} x',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01"}{}',
        b'{"type":"track","userId":-0,"event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"","groupId":"","context":{"groupId":"g"},"event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","groupId":"h","context":{"groupId":["g"]},"event":"e","timestamp":"2026-01-01"}',
        b'{"type":"alias","userId":"u","previousId":"","timestamp":"2026-01-01"}',
        b'{"type":"identify","userId":"u","timestamp":"2026-01-01","traits":{"a":null,"b":{},"c":{"d":null},"e":[]}}',
        b'{"type":  "track","userId":"u","event":"e","timestamp":"2026-01-01"}',
        b'{"type":  "identi","userId":"u","event":"e","timestamp":"2026-01-01"}',
        b'{"type" :"track","userId":"u","event":"e","timestamp":"2026-01-01"}',
        b'["type","track"]',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","x":"\xff"}',
        b'{"type":"track","userId":"u\x01","event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"u\\u0000","event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"u\\ud83d\\ude00","event":"e","timestamp":"2026-01-01"}',
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":"b"',
        b'{"',
        b"{}",
        b"",
        b"   ",
        b'"',
    ]
    fast, exact, together = read_both_ways([line for line in hostile for _ in range(5)])
    assert (fast, together) == (exact, 30)  # those that both ways read alike; the rest only one at a time
    for line in hostile:
        fast, exact, _ = read_both_ways([line] * 5)
        assert fast == exact


def test_lines_of_one_length_and_other_kind() -> None:
    """The kind is part of the shape even where all else is equal."""
    lines = [
        b'{"type":"%b","userId":"u","timestamp":"2026-01-01T00:00:00Z","name":"n","traits":{"a":"1"},"properties":{"b":"2"}}'
        % kind
        for kind in (b"page", b"screen", b"group", b"identify", b"pages") * 8
    ]
    fast, exact, together = read_both_ways(lines)
    assert (fast, together) == (exact, 32)
