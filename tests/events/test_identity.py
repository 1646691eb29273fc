"""Seen ids against a Python set, and derived ids."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.events.columns import from_messages
from engage_sync.events.identity import SeenIds, hashes, with_ids
from engage_sync.events.message import read_line


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text("abc", max_size=3), max_size=30), max_size=8), st.integers(0, 3))
def test_seen_ids_against_a_set(parts: list[list[str]], loaded: int) -> None:
    seen, known = SeenIds(), set()
    stored = list(dict.fromkeys(id_ for part in parts[:loaded] for id_ in part))
    seen.load([hashes(pa.array(stored, pa.string()))] if stored else [])
    known.update(stored)
    for part in parts[loaded:]:
        expected = []
        for id_ in part:
            expected.append(id_ not in known)
            known.add(id_)
        assert seen.admit(*hashes(pa.array(part, pa.string()))).tolist() == expected


def test_equal_first_hashes_are_told_apart() -> None:
    seen = SeenIds()
    first = np.array([7, 7, 7, 9], dtype=np.uint64)
    second = np.array([1, 2, 1, 1], dtype=np.uint64)
    assert seen.admit(first, second).tolist() == [True, True, False, True]
    assert seen.admit(first[:2], np.array([2, 3], dtype=np.uint64)).tolist() == [False, True]
    assert seen.admit(first[:2], np.array([3, 4], dtype=np.uint64)).tolist() == [False, True]


def derived(text: str) -> str:
    line = '{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01T00:00:00Z"' + text + "}"
    table = with_ids(from_messages([read_line(line.encode())], [0]))
    answer: str = table.column("message_id")[0].as_py()
    return answer


def test_derived_ids() -> None:
    plain = derived("")
    assert plain == derived(',"messageId":"","properties":{},"anonymousId":"x"')
    assert derived(',"properties":{"a":1,"b":"x"}') == derived(',"properties": {"b":"x","a":1.0}')
    different = {
        plain,
        derived(',"groupId":"g"'),
        derived(',"properties":{"a":"1"}'),
        derived(',"properties":{"a":"1","b":""}'),
        derived(',"properties":{"a":"1=1:b"}'),
        derived(',"userId":"v"'),
        derived(',"event":"f"'),
        derived(',"timestamp":"2026-01-01T00:00:00.000001Z"'),
        derived(',"type":"screen","name":"e"'),
        derived(',"type":"identify","traits":{"a":null}'),
        derived(',"type":"identify","traits":{"a":""}'),
        derived(',"type":"identify"'),
        derived(',"type":"group"'),
    }
    assert len(different) == 13
    assert plain == "derived-" + plain[8:]
    assert derived(',"messageId":"m"') == "m"


def test_derived_ids_are_the_same_in_every_version() -> None:
    """Changing how ids are derived would import every message without an id a second time."""
    assert derived("") == "derived-7e5c273d67c26ac09b580606dea62097"
