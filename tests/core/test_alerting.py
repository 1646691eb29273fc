"""What is told of what fails: every change once to each channel, whatever fails on the way (issue 6, alerts)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.alerting import (
    MOST_LINES,
    MOST_UNTOLD,
    Alert,
    Change,
    Condition,
    Message,
    advance,
    duration,
    joined,
    messages,
    subject,
    text,
    told,
    transitions,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BOTH = ("webhook", "mail")
MINUTE = timedelta(minutes=1)


def condition(name: str, sentence: str = "it fails\nmend it") -> Condition:
    return Condition(name, sentence)


def test_only_changes_are_transitions() -> None:
    first = transitions([], [condition("a"), condition("b"), condition("a", "again")], NOW)
    assert [(one.name, one.sentence) for one in first.begun] == [("a", "it fails\nmend it"), ("b", "it fails\nmend it")]
    assert (first.ended, first.reworded) == ((), ())
    second = transitions(first.begun, [condition("a", "worse"), condition("c")], NOW + MINUTE)
    assert [one.name for one in second.begun] == ["c"]
    assert [(one.name, one.since, one.ended_at) for one in second.ended] == [("b", NOW, NOW + MINUTE)]
    assert [(one.name, one.since, one.sentence) for one in second.reworded] == [("a", NOW, "worse")]


def test_what_fails_again_fails_since_then() -> None:
    over = Alert("a", NOW, "old", NOW + MINUTE)
    (again,) = transitions([over], [condition("a", "new")], NOW + 5 * MINUTE).begun
    assert (again.since, again.sentence, again.active) == (NOW + 5 * MINUTE, "new", True)


def test_several_at_once_are_one_message_for_each_channel() -> None:
    alerts = advance([], [condition("a"), condition("b")], NOW, BOTH)
    alerts = advance(alerts, [condition("b"), condition("c")], NOW + MINUTE, BOTH)
    for channel in BOTH:
        first, second = messages(alerts, channel)
        assert [one.ended_at for one in first.changes] == [None, None]
        assert sorted(str(one.ended_at) for one in second.changes) == [str(NOW + MINUTE), "None"]
        assert first.key != second.key
    alerts = told(alerts, {(messages(alerts, "mail")[0].key, "mail")})
    assert [len(messages(alerts, channel)) for channel in BOTH] == [2, 1]


def test_a_channel_that_is_gone_is_owed_nothing() -> None:
    alerts = advance([], [condition("a")], NOW, BOTH)
    alerts = advance(alerts, [condition("a")], NOW, ("mail",))
    assert [len(messages(alerts, channel)) for channel in BOTH] == [0, 1]
    assert advance(alerts, [condition("a")], NOW, ())[0].untold == ()


def test_messages_go_out_in_order_though_the_clock_is_put_back() -> None:
    alerts = advance([], [condition("a")], NOW, BOTH)
    alerts = advance(alerts, [], NOW - 60 * MINUTE, BOTH)
    begun, ended = (one.changes[0] for one in messages(alerts, "mail"))
    assert (begun.ended_at, ended.ended_at) == (None, NOW)


def test_of_a_dead_channel_only_the_last_changes_are_kept() -> None:
    alerts: list[Alert] = []
    for minute in range(50):
        alerts = advance(alerts, [condition("a")] if minute % 2 == 0 else [], NOW + minute * MINUTE, BOTH)
    waiting = messages(alerts, "mail")
    assert len(waiting) == MOST_UNTOLD
    assert waiting[-1].changes[0].ended_at == NOW + 49 * MINUTE


def test_what_changed_while_the_state_was_away_is_joined() -> None:
    stored = advance([], [condition("state", "old"), condition("run")], NOW, BOTH)
    stored = advance(stored, [condition("run")], NOW + MINUTE, BOTH)
    (alone,) = advance([], [condition("state", "new")], NOW + 5 * MINUTE, BOTH)
    found = joined(stored, {"state": alone})
    assert [(one.name, one.active, one.sentence) for one in found] == [
        ("run", True, "it fails\nmend it"),
        ("state", True, "new"),
    ]
    assert [one.ended_at for one in found[1].untold] == [None, NOW + MINUTE, None]
    assert joined(found, {"state": alone}) == found
    later = advance(found, [condition("run")], NOW + 9 * MINUTE, BOTH)
    assert joined(later, {"state": alone})[1].ended_at == NOW + 9 * MINUTE


NAMES = ("a", "b", "c")
STEPS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(NAMES)),
        st.sets(st.sampled_from(BOTH)),
        st.sets(st.sampled_from(BOTH)),
        st.integers(-2, 5),
    ),
    max_size=16,
)
"""Steps of: what fails, which channels answer, of which of them the answer is lost, and how far the clock goes."""


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_change_is_told_once_in_order_to_each_channel(
    steps: list[tuple[set[str], set[str], set[str], int]],
) -> None:
    """By an independent count of the changes: each arrives, in order, and again only with the key it had."""
    alerts: list[Alert] = []
    failing: set[str] = set()
    expected: list[tuple[str, bool]] = []
    came: dict[str, list[tuple[str, list[tuple[str, bool]]]]] = {channel: [] for channel in BOTH}
    now = NOW

    def deliver(answering: set[str], lost: set[str]) -> None:
        nonlocal alerts
        for channel in answering:
            for message in messages(alerts, channel):
                came[channel].append((message.key, changes_of(message)))
                if channel in lost:  # it was taken, and the process died before it was noted
                    break
                alerts = told(alerts, {(message.key, channel)})

    for observed, answering, lost, minutes in steps:
        now += minutes * MINUTE + timedelta(microseconds=1)  # no two instants are one
        expected += sorted((name, True) for name in observed - failing)
        expected += sorted((name, False) for name in failing - observed)
        failing = observed
        alerts = advance(alerts, [Condition(name, name) for name in observed], now, BOTH)
        deliver(answering, lost)
    deliver(set(BOTH), set())
    for channel in BOTH:
        once = dict(came[channel])
        assert all(changes == once[key] for key, changes in came[channel])
        assert Counter(one for changes in once.values() for one in changes) == Counter(expected)
        for name in NAMES:
            mine = [begins for changes in once.values() for who, begins in changes if who == name]
            assert mine == [begins for who, begins in expected if who == name]
    assert all(not alert.untold for alert in alerts)
    assert {alert.name for alert in alerts if alert.active} == failing


def changes_of(message: Message) -> list[tuple[str, bool]]:
    return sorted((change.sentence, change.ended_at is None) for change in message.changes)


def message(*changes: tuple[str, timedelta | None]) -> Message:
    found = [Change("k1", NOW, what, NOW, None if took is None else NOW + took, BOTH) for what, took in changes]
    return Message("k1", NOW, tuple(found))


def test_a_message_says_what_since_when_and_what_to_do() -> None:
    one = message(("the push failed\n`engage-sync status`", None))
    assert subject(one, "acme") == "engage-sync acme: failing: the push failed"
    assert text(one, "acme").splitlines() == [
        "engage-sync acme",
        "",
        "FAILING since 2026-06-01 12:00 UTC: the push failed",
        "What to do: `engage-sync status`",
        "",
        "(message k1)",
    ]


def test_a_recovery_says_how_long_it_took_and_no_advice() -> None:
    one = message(("the push failed\n`engage-sync status`", timedelta(minutes=134)), ("the pull failed\nwait", None))
    assert subject(one, "acme") == "engage-sync acme: 1 failing, 1 recovered"
    assert text(one, "acme").splitlines() == [
        "engage-sync acme: 1 failing, 1 recovered",
        "",
        "FAILING since 2026-06-01 12:00 UTC: the pull failed",
        "What to do: wait",
        "",
        "RECOVERED (after 2 hours 14 minutes, since 2026-06-01 12:00 UTC, until 2026-06-01 14:14 UTC): the push failed",
        "",
        "(message k1)",
    ]


def test_a_message_has_an_end() -> None:
    long = text(message(*[("x" * 5_000, None)] * (MOST_LINES + 7)), "acme")
    assert "… and 7 more" in long
    assert len(long) < 14_000
    assert len(subject(message(("two\rlines " * 90, None)), "acme")) == 150
    assert "\n" not in subject(message(("a\rb", None)), "acme")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a second"),
        (-5, "less than a second"),
        (1, "1 second"),
        (61, "1 minute 1 second"),
        (3_600, "1 hour"),
        (3_605, "1 hour"),
        (90_000, "1 day 1 hour"),
        (14 * 86_400, "14 days"),
    ],
)
def test_durations(seconds: int, words: str) -> None:
    assert duration(timedelta(seconds=seconds)) == words


def test_the_key_tells_changes_apart() -> None:
    def key(observed: Sequence[str], at: datetime) -> str:
        return messages(advance([], [condition(name) for name in observed], at, BOTH), "mail")[0].key

    assert key("ab", NOW) == key("ba", NOW)
    assert len({key("a", NOW), key("b", NOW), key("ab", NOW), key("a", NOW + MINUTE)}) == 4
