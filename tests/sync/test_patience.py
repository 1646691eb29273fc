"""When a job that failed is tried again, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.state.jobs import Job
from engage_sync.sync.patience import Patience

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FAILED = Job("push:crm", "24h", NOON + timedelta(days=1), NOON, NOON, status="failed", exit=5)


def minutes(job: Job, times: int) -> list[float]:
    """Give the pauses of a job that fails so often, each time as soon as it is due."""
    patience, now, found = Patience(), NOON, []
    for _ in range(times):
        after = patience.after(replace(job, started_at=now), now)
        found.append((after.due - now) / timedelta(minutes=1))
        now = after.due
    return found


def test_each_pause_is_twice_the_one_before() -> None:
    assert minutes(FAILED, 6) == [1, 2, 4, 8, 16, 32]


def test_no_pause_is_longer_than_the_schedule() -> None:
    assert minutes(replace(FAILED, due=NOON + timedelta(minutes=5)), 3) == [1, 2, 2]


def test_a_cron_line_is_left_for_half_an_hour_at_most() -> None:
    assert minutes(replace(FAILED, schedule="0 2 * * *"), 5) == [1, 2, 4, 8, 16]
    assert minutes(replace(FAILED, schedule="0 2 * * *"), 6)[5] == 24 * 60 - 31


def test_it_begins_anew_at_the_next_time_of_a_cron_line() -> None:
    patience, now = Patience(), NOON
    nightly = replace(FAILED, schedule="0 12 * * *", due=NOON + timedelta(days=1))
    for _ in range(6):
        now = patience.after(replace(nightly, started_at=now), now).due
    again = replace(nightly, started_at=now, due=now + timedelta(days=1))
    assert {patience.after(again, now).due - now for _ in range(2)} == {timedelta(minutes=1)}


def test_one_failure_is_counted_once_however_often_it_is_asked_about() -> None:
    patience = Patience()
    assert {patience.after(FAILED, NOON).due - NOON for _ in range(3)} == {timedelta(minutes=1)}
    later = NOON + timedelta(hours=1)
    assert patience.after(replace(FAILED, started_at=later), later).due - later == timedelta(minutes=2)


@pytest.mark.parametrize(("status", "exit_code"), [("ok", 0), ("held", 3), ("failed", 6)])
def test_anything_else_ends_the_counting(status: str, exit_code: int) -> None:
    patience = Patience()
    patience.after(FAILED, NOON)
    other = replace(FAILED, status=status, exit=exit_code, started_at=NOON + timedelta(hours=1))
    assert patience.after(other, NOON) == other
    assert patience.after(replace(FAILED, started_at=None), NOON).due - NOON == timedelta(minutes=1)
