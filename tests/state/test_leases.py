"""A lease belongs to one process, for as long as it renews, on both databases."""

from __future__ import annotations

import os
import signal

import pytest

from engage_sync.errors import Locked
from engage_sync.state.database import Database, backend_of
from engage_sync.state.keeper import Keeper
from engage_sync.state.leases import Lease
from engage_sync.state.store import State
from tests.forks import fork

from .conftest import Place

HOLDER = """
import sys
from pathlib import Path
from engage_sync.state.store import State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
state.take_lease("daemon", "daemon", 3600.0)
print("held", flush=True)
sys.stdin.read()
"""
LONG, OVER = 3_600.0, 0.0


def keeper(place: Place, lease: Lease, times: list[float]) -> Keeper:
    """Give a keeper whose clock shows the last of some times."""
    return Keeper(Database(backend_of(place.url)), lease, LONG, clock=lambda: times[-1])


def test_one_holder_at_a_time_and_it_is_named(place: Place, state: State) -> None:
    lease = state.take_lease("daemon", "daemon", LONG)
    with place.open() as other, pytest.raises(Locked, match=rf"daemon on .* \(process {os.getpid()}\) since .* 3600 s"):
        other.take_lease("daemon", "daemon", LONG)
    assert [(one.name, one.token) for one in state.leases()] == [("daemon", lease.token)]
    state.take_lease("writer", "sync", LONG)
    assert [one.name for one in state.leases()] == ["daemon", "writer"]


def test_what_is_given_up_is_free_and_every_taking_has_a_higher_token(place: Place, state: State) -> None:
    first = state.take_lease("daemon", "daemon", LONG)
    state.release_lease(first)
    assert state.leases() == []
    with place.open() as other:
        second = other.take_lease("daemon", "daemon", LONG)
        assert second.token > first.token
        assert not state.renew_lease(first, LONG)
        state.release_lease(first)
        assert [one.token for one in state.leases()] == [second.token], "only its holder gives a lease up"


def test_a_lease_that_ended_is_free_but_its_holder_may_renew_it_before_another_takes_it(
    place: Place, state: State
) -> None:
    first = state.take_lease("daemon", "daemon", OVER)
    assert state.leases() == []
    assert not state.renew_lease(first, LONG), "it never held"
    second = state.take_lease("daemon", "daemon", LONG)
    assert state.renew_lease(second, -1.0)
    with place.open() as other:
        third = other.take_lease("daemon", "daemon", LONG)
    assert not state.renew_lease(second, LONG)
    assert third.token == second.token + 1 == first.token + 2


def test_the_lease_of_a_dead_process_of_this_machine_is_free_at_once(place: Place, state: State) -> None:
    holder = fork(HOLDER, place.url, str(place.key_file), stdin=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked):
        state.take_lease("daemon", "standby", LONG)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert state.take_lease("daemon", "standby", LONG).holder == "standby"


def test_a_keeper_that_is_late_asks_the_database_before_it_gives_up(place: Place, state: State) -> None:
    times = [0.0]
    kept = keeper(place, state.take_lease("writer", "sync", LONG), times)
    kept.check()
    times.append(LONG + 1)
    kept.check()  # nobody has taken it
    with place.open() as other:
        assert other.renew_lease(kept.lease, -1.0)
        other.take_lease("writer", "sync", LONG)
    kept.check()  # by its own clock it holds
    times.append(3 * LONG)
    for _ in range(2):
        with pytest.raises(Locked, match="another process has taken over"):
            kept.check()


def test_a_keeper_without_its_database_stops_when_its_time_is_over(place: Place, state: State) -> None:
    if place.dialect != "sqlite":
        place = Place("sqlite", f"sqlite:///{place.key_file.with_name('other.db')}", place.key_file)
    with place.open() as lone:
        times = [0.0]
        kept = keeper(place, lone.take_lease("writer", "sync", LONG), times)
        place.file().unlink()
        assert kept.renew(), "it may be back in time"
        kept.check()
        times.append(LONG)
        with pytest.raises(Locked, match="could not be renewed in time"):
            kept.check()


def test_a_run_holds_the_lease_and_gives_it_up(place: Place, state: State) -> None:
    with state.lock("engage-sync sync") as held:
        held.check()
        with place.open() as other:
            assert [(one.name, one.holder) for one in other.leases()] == [("writer", "engage-sync sync")]
    assert state.leases() == []


def test_who_lost_the_lease_writes_nothing_more(place: Place, state: State) -> None:
    with state.lock("engage-sync sync") as held:
        state.set_note("a", "1")
        with place.open() as other:
            assert other.renew_lease(held.lease, -1.0)
            other.take_lease("writer", "engage-sync push", LONG)
        with pytest.raises(Locked, match="another process has taken over"):
            state.set_note("a", "2")
        with pytest.raises(Locked):
            held.check()
        assert state.note("a") == "1"
    assert [one.holder for one in state.leases()] == ["engage-sync push"]
    state.set_note("a", "3")


FREEZES = """
import sys
from pathlib import Path
from engage_sync.errors import EngageError
from engage_sync.state.store import State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
with state.lock("engage-sync sync", lease=0.5):
    print("held", flush=True)
    sys.stdin.readline()
    try:
        state.set_note("a", "from the one that froze")
    except EngageError as error:
        print(type(error).__name__, flush=True)
"""


def test_a_run_that_froze_loses_lock_and_lease_and_writes_nothing_more(place: Place, state: State) -> None:
    """On SQLite the run lock is the operating system's: a frozen process keeps it, and nobody writes."""
    holder = fork(FREEZES, place.url, str(place.key_file), stdin=True)
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGSTOP)
    while any(one.name == "writer" for one in state.leases()):
        pass  # half a second, by the database's clock
    if place.dialect == "sqlite":
        with pytest.raises(Locked), state.lock("engage-sync push"):
            pytest.fail("two runs at once")
        os.kill(holder.pid, signal.SIGCONT)
        holder.communicate("\n")
        return
    with state.lock("engage-sync push"):
        os.kill(holder.pid, signal.SIGCONT)
        out, _ = holder.communicate("\n")
        assert out.strip() in {"Locked", "Unreachable"}
        assert state.note("a") is None


def test_a_lease_from_before_the_clock_was_put_back_ends_all_the_same(place: Place, state: State) -> None:
    """Its holder died where that cannot be seen, and had renewed by a clock a day ahead: it ends its length after
    another has asked. A holder that lives renews it and keeps it."""
    lease = state.take_lease("daemon", "daemon", 0.05)

    def shift(seconds: int) -> None:
        with Database(backend_of(place.url)).writing() as transaction:
            transaction.run(
                f"UPDATE engage_lease SET renewed_at = renewed_at + {seconds}, expires_at = expires_at + {seconds},"
                " place = 'elsewhere'"
            )

    shift(86_400)
    with place.open() as other:
        with pytest.raises(Locked, match="for 0 s at least"):
            other.take_lease("daemon", "daemon", LONG)
        assert state.renew_lease(lease, 0.05)
        shift(86_400)
        while True:
            try:
                taken = other.take_lease("daemon", "daemon", LONG)
                break
            except Locked:
                os.sched_yield()
    assert taken.token == lease.token + 1
