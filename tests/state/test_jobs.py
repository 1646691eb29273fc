"""The daemon's jobs are kept on both databases, and only by who holds its lease."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engage_sync.errors import Locked
from engage_sync.state.jobs import Job
from engage_sync.state.store import State

from .conftest import NOW, Place

PULL = Job("pull:hubspot", "15m", NOW)
DONE = Job(
    *("push:hubspot", "0 6 * * mon Europe/Berlin", NOW + timedelta(hours=1), NOW, NOW + timedelta(minutes=1)),
    *(7, "partial", 1, NOW, "two records were refused – siehe 'failures'"),
)


def test_jobs_come_back_as_they_were_kept(place: Place, state: State) -> None:
    token = state.keep_lease("daemon", "daemon", 60.0).lease.token
    state.keep_jobs([PULL, DONE], token=token)
    with place.open() as other:
        assert other.jobs() == [PULL, DONE]
    begun = replace(PULL, started_at=NOW, due=NOW + timedelta(minutes=15))
    state.keep_jobs([begun], dropped=[DONE.name, "no such job"], token=token)
    assert state.jobs() == [begun]


def test_who_has_lost_the_lease_keeps_nothing(state: State) -> None:
    kept = state.keep_lease("daemon", "daemon", 60.0)
    state.keep_jobs([PULL], token=kept.lease.token)
    kept.release()
    state.keep_lease("daemon", "another daemon", 60.0)
    with pytest.raises(Locked, match="another daemon has taken over"):
        state.keep_jobs([DONE], dropped=[PULL.name], token=kept.lease.token)
    assert state.jobs() == [PULL]
