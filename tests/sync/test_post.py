"""The lease of the daemon is renewed in time, whatever the state database is busy with."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest

from engage_sync.errors import Unreachable
from engage_sync.state.jobs import DAEMON
from engage_sync.state.store import State
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.post import Post
from tests.sync.in_process import InProcess
from tests.sync.project import Project
from tests.sync.test_daemon import daemon, engage

LONG = 3_600.0


@contextmanager
def written_to(folder: Path) -> Iterator[None]:
    """Hold the file's lock, as a child does that writes for long."""
    with closing(sqlite3.connect(folder / "engage.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")


def opened(folder: Path) -> State:
    return State.open(f"sqlite:///{folder}/engage.db", key_file=folder / "key")


def test_a_child_that_writes_for_long_does_not_hold_the_daemon_up(tmp_path: Path) -> None:
    now = [0.0]
    with opened(tmp_path) as state, opened(tmp_path) as theirs:
        post, standby = Post(lambda: now[-1]), Post(lambda: now[-1])
        assert post.tend(state, LONG)
        lease = post.lease
        assert lease is not None
        now.append(LONG / 2)
        with written_to(tmp_path):
            begun = time.monotonic()
            assert not post.tend(state, LONG)
            assert not post.tend(state, LONG)
            assert standby.tend(theirs, LONG), "who only stands by writes nothing"
            assert time.monotonic() - begun < 10, "the database waits for 30 s"
        while not post.tend(state, LONG):
            pass
        assert post.lease == lease
        assert standby.holder is not None
        assert standby.holder.token == lease.token
        assert [one.token for one in state.leases()] == [lease.token]
        post.leave()
        assert state.leases() == []


def test_who_writes_for_longer_than_the_lease_hands_it_to_nobody(tmp_path: Path) -> None:
    """The daemon cannot renew while its child writes; its standby, which looks just when that has ended, waits a
    moment for it."""
    short = 1.0
    with opened(tmp_path) as state, opened(tmp_path) as theirs:
        post, standby = Post(time.monotonic), Post(time.monotonic)
        assert post.tend(state, short)
        lease = post.lease
        assert standby.tend(theirs, short)
        with written_to(tmp_path):
            while state.leases():
                with suppress(Unreachable):
                    post.tend(state, short)
        assert standby.tend(theirs, short)
        assert standby.lease is None
        assert standby.holder is not None
        assert standby.holder.token == 1
        while not post.tend(state, short):
            pass
        assert post.lease == lease


def test_a_database_that_is_silent_for_the_length_of_the_lease_is_trouble(tmp_path: Path) -> None:
    now = [0.0]
    with opened(tmp_path) as state:
        post = Post(lambda: now[-1])
        post.tend(state, 0.1)
        now.append(LONG)
        with written_to(tmp_path), pytest.raises(Unreachable, match=r"not answered for more than 0\.1 s"):
            post.tend(state, 0.1)


def test_trouble_costs_no_short_lease(project: Project) -> None:
    engage(project, "\ndaemon: {jitter: 0s, lease: 3s}\n")
    met = list[datetime]()

    def observer(_: Daemon, now: datetime) -> None:
        if len(met) < 1:
            met.append(now)
            raise Unreachable("the disk is full")

    with daemon(InProcess(project), observer=observer) as one:
        one.tick(project.clock())
        assert one.trouble == "the disk is full"
        project.clock.advance(1.0)
        one.tick(project.clock())
        assert one.trouble is None
        assert one.leads
        assert one.state is not None
        assert [lease.name for lease in one.state.leases()] == [DAEMON]
