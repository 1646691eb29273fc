from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from engage_sync.errors import Unreachable
from engage_sync.events.freshness import newest_message_at
from engage_sync.events.schema import SCHEMA
from engage_sync.events.store import EventStore

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def append(store: EventStore, *instants: datetime) -> None:
    rows = [
        {
            **dict.fromkeys(SCHEMA.names),
            "arrival": number,
            "message_id": f"{at}",
            "kind": "track",
            "event": "login",
            "user": "u",
            "timestamp": at,
            "received": at,
            "properties": [],
            "traits": [],
            "month": f"{at:%Y-%m}",
        }
        for number, at in enumerate(instants, 1)
    ]
    store.append([pa.RecordBatch.from_pylist(rows, SCHEMA)])


@pytest.fixture
def store(tmp_path: Path) -> EventStore:
    return EventStore(tmp_path / "events")


def test_there_is_none_in_an_absent_store(store: EventStore) -> None:
    assert newest_message_at(store, NOW) is None


def test_the_newest_of_all_files(store: EventStore) -> None:
    append(store, NOW - timedelta(days=40), NOW - timedelta(hours=3, microseconds=7))
    append(store, NOW - timedelta(days=2))
    assert newest_message_at(store, NOW) == NOW - timedelta(hours=3, microseconds=7)


def test_what_is_ahead_of_the_clock_is_none(store: EventStore) -> None:
    """A file that holds such a message is looked into: it may hold the newest of the others, too."""
    append(store, NOW - timedelta(days=1))
    append(store, NOW - timedelta(minutes=5), NOW + timedelta(days=9), NOW - timedelta(minutes=9))
    append(store, NOW + timedelta(days=200))
    assert newest_message_at(store, NOW) == NOW - timedelta(minutes=5)
    assert newest_message_at(store, NOW - timedelta(minutes=5)) == NOW - timedelta(minutes=5)
    assert newest_message_at(store, NOW - timedelta(minutes=6)) == NOW - timedelta(minutes=9)
    assert newest_message_at(store, NOW - timedelta(days=2)) is None
    assert newest_message_at(store, NOW + timedelta(days=300)) == NOW + timedelta(days=200)


def test_a_store_that_cannot_be_read_is_told(store: EventStore) -> None:
    append(store, NOW)
    for file in Path(store.location, "_delta_log").glob("*.json"):
        file.write_text("{")
    with pytest.raises(Unreachable, match="cannot be read"):
        newest_message_at(store, NOW)
