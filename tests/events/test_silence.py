"""Which events are silent: 14 spans each with a message before the newest span, which has none, and 100 in all."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.events.slow_measure import Message, write

from engage_sync.events.silence import Heard, listen
from engage_sync.events.store import EventStore

AS_OF = datetime(2026, 3, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)


def events(name: str | None, *spans: int, each: int = 8, kind: str = "track", span: timedelta = DAY) -> list[Message]:
    """So many messages in each of some spans, of which 0 is the newest."""
    steps = [(number + 0.5) / each for number in range(each)]
    return [Message(kind, AS_OF - (one + step) * span, "u", event=name) for one in spans for step in steps]


def heard(folder: Path, messages: list[Message], *, span: timedelta = DAY) -> Heard:
    return listen(write(folder / "store", messages), as_of=AS_OF, span=span)


def names(found: Heard) -> list[tuple[str, str]]:
    return [(one.kind, one.event) for one in found.silent]


def test_a_regular_event_that_stays_away_is_silent(tmp_path: Path) -> None:
    messages = events("login", *range(1, 15)) + events("ping", *range(15)) + events("home", *range(1, 15), kind="page")
    found = heard(tmp_path, messages)
    assert names(found) == [("page", "home"), ("track", "login")]
    login = found.silent[1]
    assert (login.usual, login.last) == (8.0, AS_OF - DAY - DAY / 16)
    assert found.alive
    assert found.last[("track", "ping")] == AS_OF - DAY / 16


IRREGULAR = {
    "a span was missed": events("login", *range(1, 9), *range(10, 15)),
    "fewer than a hundred": events("login", *range(1, 15), each=7),
    "it came once more": events("login", *range(1, 15)) + events("login", 0, each=1),
    "it has no name": events(None, *range(1, 15), kind="identify"),
    "before the spans": events("login", *range(2, 17)),
}


@pytest.mark.parametrize("why", IRREGULAR)
def test_what_is_not_regular_is_not_silent(tmp_path: Path, why: str) -> None:
    assert names(heard(tmp_path, IRREGULAR[why] + events("ping", 0))) == []


def test_spans_end_with_their_last_instant(tmp_path: Path) -> None:
    """The newest is (as_of - span, as_of]: a message exactly one span ago is not in it, one at `as_of` is."""
    regular = [message for message in events("login", *range(1, 15)) if message.at < AS_OF - 2 * DAY]
    regular += [Message("track", AS_OF - DAY, "u", event="login")]
    assert names(heard(tmp_path / "out", regular + events("ping", 0))) == [("track", "login")]
    inside = [*regular, Message("track", AS_OF - DAY + US, "u", event="login")]
    assert names(heard(tmp_path / "in", inside + events("ping", 0))) == []
    later = [*regular, Message("track", AS_OF + US, "u", event="login")]
    assert names(heard(tmp_path / "later", later + events("ping", 0))) == [("track", "login")]


def test_where_nothing_goes_on_no_event_is_silent(tmp_path: Path) -> None:
    found = heard(tmp_path, events("login", *range(1, 15)) + events("ping", *range(1, 15)))
    assert (names(found), found.alive) == ([], False)


def test_a_store_without_events_says_nothing(tmp_path: Path) -> None:
    assert listen(EventStore(tmp_path / "none"), as_of=AS_OF, span=DAY) == Heard()
    assert listen(EventStore(tmp_path / "none"), as_of=AS_OF, span=timedelta(days=400_000)) == Heard()


def test_as_the_slow_way_finds(tmp_path: Path) -> None:
    """Random feeds in spans of five hours, against counting one by one."""
    chance, span = random.Random(5), timedelta(hours=5)
    messages = []
    for number in range(30):
        spans = [one for one in range(16) if chance.random() < (0.98 if one else 0.4)]
        messages += events(f"e{number}", *spans, each=chance.choice([6, 8, 9]), span=span)
    expected = set()
    for name in {message.event for message in messages if message.event}:
        ages = [(AS_OF - message.at) // span for message in messages if message.event == name]
        before = [age for age in ages if 1 <= age <= 14]
        if 0 not in ages and len(set(before)) == 14 and len(before) >= 100:
            expected.add(("track", name))
    assert 3 <= len(expected) <= 27
    assert set(names(heard(tmp_path, messages, span=span))) == expected
