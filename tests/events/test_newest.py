from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.events.slow_measure import Message, write

from engage_sync.core.definitions import Model
from engage_sync.core.entities import Entity
from engage_sync.errors import Unreachable
from engage_sync.events.measure import Engine, measure
from engage_sync.events.newest import COUNTED, NEWEST, Whose, event_counts, ids_of, members_of, newest_messages
from engage_sync.events.store import EventStore
from engage_sync.events.upkeep import compact

AS_OF = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)
USER, ACCOUNT = Entity.USER, Entity.ACCOUNT


def track(user: str | None, at: datetime, event: str = "e", account: str | None = None) -> Message:
    return Message("track", at, user, account, event)


def alias(previous: str, user: str, at: datetime) -> Message:
    return Message("alias", at, user, previous=previous)


def test_newest_messages_come_newest_first_and_name_the_ids(tmp_path: Path) -> None:
    messages = [
        track("u", AS_OF - DAY, "a"),
        track("u", AS_OF, "b"),
        track("u", AS_OF, "c", account="A"),
        alias("u", "v", AS_OF - 2 * DAY),
        track("other", AS_OF, "d", account="A"),
        track("u", AS_OF + US, "later"),
    ]
    store = write(tmp_path / "e", messages)
    found = newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=10)
    assert found.schema == NEWEST
    assert found["message_id"].to_list() == ["m3", "m2", "m1", "m4"]
    assert found.row(0) == (AS_OF, "track", "c", "u", "A", "m3")
    assert newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=1)["event"].to_list() == ["c"]
    assert newest_messages(store, Whose(ACCOUNT, ["A"]), as_of=AS_OF, limit=9)["event"].to_list() == ["d", "c"]
    both = newest_messages(store, Whose(USER, ["u", "v"]), as_of=AS_OF, limit=10)
    assert both["message_id"].to_list() == ["m3", "m2", "m1", "m4"]
    assert newest_messages(store, Whose(USER, []), as_of=AS_OF, limit=9).is_empty()
    assert newest_messages(EventStore(tmp_path / "none"), Whose(USER, ["u"]), as_of=AS_OF, limit=9).is_empty()


def test_newest_messages_reach_back_over_months_until_there_are_enough(tmp_path: Path) -> None:
    first, midnight = datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    instants = [first, datetime(2019, 7, 1, tzinfo=UTC), midnight - US, midnight, midnight - 40 * DAY, AS_OF]
    store = write(tmp_path / "e", [track("u", at) for at in instants])
    store.append(
        [write(tmp_path / "x", [track("w", at) for at in instants]).table().to_pyarrow_table().to_batches()[0]]
    )
    newest = sorted(instants, reverse=True)
    for limit in range(8):
        found = newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=limit)
        assert found["timestamp"].to_list() == newest[:limit]
    found = newest_messages(store, Whose(USER, ["u"]), as_of=midnight - US, limit=9)
    assert found["timestamp"].to_list() == newest[2:]
    compact(store, keep=None, now=AS_OF)
    assert newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=9)["timestamp"].to_list() == newest


def test_event_counts_are_of_named_events_in_the_window(tmp_path: Path) -> None:
    messages = [
        *(track("u", AS_OF - day * DAY, "often", account="A") for day in range(3)),
        track("u", AS_OF - 30 * DAY, "edge"),
        track("u", AS_OF - 30 * DAY - US, "edge"),
        track("v", AS_OF, "again"),
        Message("page", AS_OF - DAY, "v", event="again"),
        track("v", AS_OF + US, "again"),
        track("v", AS_OF, "a", account="A"),
        Message("identify", AS_OF, "u", account="A"),
        alias("v", "u", AS_OF),
    ]
    store = write(tmp_path / "e", messages)
    asked = {"as_of": AS_OF, "window": 30 * DAY, "limit": 9}
    found = event_counts(store, Whose(USER, ["u", "v"]), **asked)
    assert found.schema == COUNTED
    assert found.rows() == [("often", 3, AS_OF), ("again", 2, AS_OF), ("a", 1, AS_OF), ("edge", 1, AS_OF - 30 * DAY)]
    assert event_counts(store, Whose(USER, ["u", "v"]), **{**asked, "limit": 1}).rows() == found.rows()[:1]
    assert event_counts(store, Whose(USER, ["u"]), **{**asked, "window": None})["count"].to_list() == [3, 2]
    assert event_counts(store, Whose(ACCOUNT, ["A"]), **asked).rows() == [("often", 3, AS_OF), ("a", 1, AS_OF)]
    for empty in (EventStore(tmp_path / "none"), store):
        nobody = event_counts(empty, Whose(USER, ["nobody"]), **asked)
        assert nobody.is_empty()
        assert nobody.schema == COUNTED


def test_an_account_has_the_events_of_those_who_have_no_other(tmp_path: Path) -> None:
    """Semantics §2, account of an event: what it names, else its user's only account as of the instant."""
    messages = [
        Message("group", AS_OF - 9 * DAY, "u", account="A"),
        track("u", AS_OF - DAY, "mine"),
        Message("identify", AS_OF, "u"),
        Message("group", AS_OF - 9 * DAY, "two", account="A"),
        track("two", AS_OF - 8 * DAY, "elsewhere", account="B"),
        track("two", AS_OF - DAY, "nobody's"),
        alias("old", "new", AS_OF - 5 * DAY),
        Message("group", AS_OF - 4 * DAY, "new", account="A"),
        track("old", AS_OF - 40 * DAY, "under the former id"),
        track(None, AS_OF - 2 * DAY, "nameless", account="A"),
        track("stranger", AS_OF, "other"),
        Message("group", AS_OF - 9 * DAY, "later", account="A"),
        track("later", AS_OF - 3 * DAY, "as yet"),
        Message("group", AS_OF + US, "later", account="B"),
    ]
    store = write(tmp_path / "e", messages)
    members = members_of(store, "A", AS_OF)
    assert sorted(members) == ["later", "new", "old", "u"]
    assert sorted(members_of(store, "A", AS_OF + US)) == ["new", "old", "u"]
    assert members_of(store, "A", AS_OF - 9 * DAY - US) == members_of(EventStore(tmp_path / "none"), "A", AS_OF) == []
    whose = Whose(ACCOUNT, ["A"], members)
    ever = event_counts(store, whose, as_of=AS_OF, window=None, limit=9)
    assert ever.rows() == [
        ("as yet", 1, AS_OF - 3 * DAY),
        ("mine", 1, AS_OF - DAY),
        ("nameless", 1, AS_OF - 2 * DAY),
        ("under the former id", 1, AS_OF - 40 * DAY),
    ]
    named = newest_messages(store, whose, as_of=AS_OF, limit=99).drop_nulls("event")
    assert named["event"].to_list() == ["mine", "nameless", "as yet", "under the former id"]


def test_ids_of_a_user_are_all_that_aliases_join(tmp_path: Path) -> None:
    messages = [
        alias("a", "b", AS_OF - DAY),
        alias("c", "b", AS_OF),
        alias("b", "d", AS_OF),
        alias("x", "y", AS_OF),
        alias("d", "later", AS_OF + US),
        track("z", AS_OF),
    ]
    store = write(tmp_path / "e", messages)
    assert ids_of(store, "c", AS_OF) == ["c", "a", "b", "d"]
    assert ids_of(store, "a", AS_OF - US) == ["a", "b"]
    assert ids_of(store, "z", AS_OF) == ["z"]
    assert ids_of(EventStore(tmp_path / "none"), "z", AS_OF) == ["z"]


@pytest.mark.parametrize("name", ["a b", "100%", "[ab]*?", "é's"])
def test_a_store_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    store = write(tmp_path / name, [track("u", AS_OF)])
    assert all(Path(path).exists() for path in store.files())
    assert newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=1).height == 1
    facts = measure(store, Model(), as_of=AS_OF, timezone="UTC", engine=Engine())
    assert facts.users["external_id"].to_list() == ["u"]


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    store = write(tmp_path / "e", [track("u", AS_OF)])
    (path,) = store.files()
    Path(path).write_bytes(b"PAR1 broken")
    with pytest.raises(Unreachable, match="cannot be read: "):
        newest_messages(store, Whose(USER, ["u"]), as_of=AS_OF, limit=1)
    Path(path).unlink()
    with pytest.raises(Unreachable, match="cannot be read"):
        event_counts(store, Whose(USER, ["u"]), as_of=AS_OF, window=DAY, limit=1)


def test_no_engine_is_started_for_them() -> None:
    code = "import sys, engage_sync.events.newest; sys.exit(bool({'ibis', 'duckdb', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
