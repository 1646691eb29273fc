"""Alerts as they are kept, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.core.alerting import Alert, Condition, advance, messages, told
from engage_sync.state.store import State
from tests.state.conftest import Place

NOW = datetime(2026, 6, 1, 12, 30, 0, 123, tzinfo=UTC)
BOTH = ("webhook", "mail")


def observed(state: State, names: str, minutes: int = 0) -> list[Alert]:
    conditions = [Condition(name, f"{name} fails? ja, wörtlich\nmend it") for name in names.split()]
    return state.change_alerts(lambda rows: advance(rows, conditions, NOW + timedelta(minutes=minutes), BOTH))


def test_alerts_are_kept_as_they_are(state: State, place: Place) -> None:
    assert state.alerts() == []
    begun = observed(state, "b a B")
    assert [alert.name for alert in begun] == ["B", "a", "b"]
    assert state.alerts() == begun
    ended = observed(state, "a", 5)
    assert [(alert.name, alert.active, len(alert.untold)) for alert in ended] == [
        *(("B", False, 2), ("a", True, 1), ("b", False, 2)),
    ]
    assert observed(state, "a", 9) == ended == state.alerts()
    keys = {(message.key, channel) for channel in BOTH for message in messages(ended, channel)}
    assert [alert.untold for alert in state.change_alerts(lambda rows: told(rows, keys))] == [(), (), ()]
    with place.open() as other:
        assert [alert.active for alert in other.alerts()] == [False, True, False]


def test_a_change_that_fails_changes_nothing(state: State) -> None:
    before = observed(state, "a")

    def breaking(rows: Sequence[Alert]) -> list[Alert]:
        assert list(rows) == before
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        state.change_alerts(breaking)
    assert state.change_alerts(lambda _: []) == before == state.alerts()
