"""Compaction and retention."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engage_sync.errors import Mistake
from engage_sync.events.importing import import_paths
from engage_sync.events.store import EventStore
from engage_sync.events.upkeep import compact

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def stored(folder: Path, ages: list[tuple[str, timedelta]]) -> EventStore:
    store = EventStore(folder / "events")
    for number, (kind, age) in enumerate(ages):
        message = {
            "type": kind,
            "userId": "u",
            "event": "e",
            "groupId": "g",
            "previousId": "v",
            "messageId": str(number),
        }
        message |= {"timestamp": (NOW - age).isoformat(), "properties": {"a": number}, "traits": {"b": {"c": None}}}
        path = folder / f"{number}.jsonl"
        path.write_text(json.dumps(message))
        import_paths(store, [path], now=NOW, rejects=folder)
    return store


def rows(store: EventStore) -> list[dict[str, object]]:
    found: list[dict[str, object]] = store.table().to_pyarrow_dataset().to_table().sort_by("arrival").to_pylist()
    return found


def test_compaction_changes_no_row(tmp_path: Path) -> None:
    store = stored(tmp_path, [("track", timedelta(hours=n)) for n in range(8)] + [("identify", timedelta(days=1))])
    before = rows(store)
    report = compact(store, keep=None, now=NOW)
    assert (report.files_before, report.files_after, report.deleted_messages) == (9, 2, 0)
    assert rows(store) == before
    assert [row["arrival"] for row in before] == list(range(1, 10))


def test_retention(tmp_path: Path) -> None:
    keep = timedelta(days=30)
    edge = [("track", keep), ("track", keep + timedelta(microseconds=1)), ("track", timedelta(days=29))]
    old = [(kind, timedelta(days=400)) for kind in ("track", "page", "screen", "identify", "group", "alias")]
    store = stored(tmp_path, edge + old)
    report = compact(store, keep=keep, now=NOW)
    assert report.deleted_messages == 4
    assert [row["arrival"] for row in rows(store)] == [1, 3, 7, 8, 9]
    path = tmp_path / "0.jsonl"
    path.write_text(path.read_text().replace('"messageId": "0"', '"messageId": "new"'))
    assert import_paths(store, [path], now=NOW, rejects=tmp_path).imported == 1
    assert rows(store)[-1]["arrival"] == 10


def test_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="no event store"):
        compact(EventStore(tmp_path / "events"), keep=None, now=NOW)
    store = stored(tmp_path, [("track", timedelta(0))])
    with pytest.raises(Mistake, match="longer than zero"):
        compact(store, keep=timedelta(0), now=NOW)
    assert compact(store, keep=timedelta(days=999_999), now=NOW).deleted_messages == 0
