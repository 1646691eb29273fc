"""A lease belongs to one process, for as long as it renews, on both databases."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial

import pytest

from engage_sync.errors import Locked, Unreachable
from engage_sync.state import leases
from engage_sync.state.database import Database, backend_of
from engage_sync.state.keeper import Keeper
from engage_sync.state.store import State
from tests.forks import fork

from .conftest import Place

HOLDER = """
import sys
from pathlib import Path
from engage_sync.state.store import State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
state.keep_lease("daemon", "daemon", 3600.0)
print("held", flush=True)
sys.stdin.read()
"""
LONG, OVER = 3_600.0, 0.0


def keeper(place: Place, times: list[float], seconds: float = LONG) -> Keeper:
    """Take the lease `writer` by a clock that shows the last of some times."""
    database = Database(backend_of(place.url))
    return Keeper(database, partial(leases.take, database, "writer", "sync", seconds), seconds, clock=lambda: times[-1])


def expire(state: State) -> None:
    """Let all leases end, as they do when nobody renews them."""
    with state._database.writing(fenced=False) as transaction:
        transaction.run("UPDATE engage_lease SET renewed_at = 0, expires_at = 1")


class Taker:
    """Somebody else who takes the lease `writer`, in a thread. `events` says whether it got it, or who had it."""

    def __init__(self, place: Place) -> None:
        self.place, self.events = place, list[str]()
        self.thread = threading.Thread(target=self._take)

    def begin(self, state: State) -> None:
        """Begin, until it waits for another transaction or has ended."""
        self.thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while not self.events:
            with state._database.reading() as transaction:
                if transaction.first(waits) == (1,):
                    break

    def _take(self) -> None:
        with self.place.open() as other:
            try:
                other.keep_lease("writer", "push", LONG)
                self.events.append("taken")
            except Locked as error:
                self.events.append(str(error).partition(" (")[0])


def test_one_holder_at_a_time_and_it_is_named(place: Place, state: State) -> None:
    kept = state.keep_lease("daemon", "daemon", LONG)
    with place.open() as other, pytest.raises(Locked, match=rf"daemon on .* \(process {os.getpid()}\) since .* 3600 s"):
        other.keep_lease("daemon", "daemon", LONG)
    assert [(one.name, one.token) for one in state.leases()] == [("daemon", kept.lease.token)]
    state.keep_lease("writer", "sync", LONG)
    assert [one.name for one in state.leases()] == ["daemon", "writer"]


def test_what_is_given_up_is_free_and_every_taking_has_a_higher_token(place: Place, state: State) -> None:
    first = state.keep_lease("daemon", "daemon", LONG)
    first.release()
    assert state.leases() == []
    with place.open() as other:
        second = other.keep_lease("daemon", "daemon", LONG).lease
        assert second.token > first.lease.token
        leases.release(state._database, first.lease)
        assert [one.token for one in state.leases()] == [second.token], "only its holder gives a lease up"
        assert not first.ask()


def test_a_lease_that_ended_is_free_but_its_holder_may_renew_it_before_another_takes_it(
    place: Place, state: State
) -> None:
    first = state.keep_lease("daemon", "daemon", OVER)
    assert state.leases() == []
    assert not first.ask(), "it never held"
    second = state.keep_lease("daemon", "daemon", LONG)
    expire(state)
    assert second.ask()
    expire(state)
    with place.open() as other:
        third = other.keep_lease("daemon", "daemon", LONG)
    assert not second.ask()
    assert third.lease.token == second.lease.token + 1 == first.lease.token + 2


def test_the_lease_of_a_dead_process_of_this_machine_is_free_at_once(place: Place, state: State) -> None:
    holder = fork(HOLDER, place.url, str(place.key_file), stdin=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Locked):
        state.keep_lease("daemon", "standby", LONG)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert state.keep_lease("daemon", "standby", LONG).lease.holder == "standby"


def test_a_keeper_that_is_late_asks_the_database_before_it_gives_up(place: Place, state: State) -> None:
    times = [0.0]
    kept = keeper(place, times)
    kept.check()
    times.append(LONG + 1)
    kept.check()  # nobody has taken it
    with place.open() as other:
        expire(other)
        other.keep_lease("writer", "sync", LONG)
    kept.check()  # by its own clock it holds
    times.append(3 * LONG)
    for _ in range(2):
        with pytest.raises(Locked, match="another process has taken over"):
            kept.check()


def test_a_keeper_without_its_database_stops_when_its_time_is_over(place: Place) -> None:
    if place.dialect != "sqlite":
        place = Place("sqlite", f"sqlite:///{place.key_file.with_name('other.db')}", place.key_file)
        place.open().close()
    times = [0.0]
    kept = keeper(place, times)
    place.file().unlink()
    assert kept.renew(), "it may be back in time"
    kept.check()
    times.append(LONG)
    with pytest.raises(Locked, match="could not be renewed in time"):
        kept.check()


def test_what_the_taking_took_is_no_part_of_the_lease(place: Place, state: State) -> None:
    times, database = [0.0], Database(backend_of(place.url))

    def slowly() -> leases.Lease:
        times.append(LONG)
        return leases.take(database, "writer", "sync", LONG)

    assert Keeper(database, slowly, LONG, clock=lambda: times[-1]).late
    assert [one.holder for one in state.leases()] == ["sync"]


def test_what_is_given_up_after_the_clock_was_put_back_is_free(place: Place, state: State) -> None:
    kept = state.keep_lease("daemon", "daemon", 60.0)
    state._database.backend.now = f"({type(state._database.backend).now} - 3600.0)"
    kept.release()
    assert state.leases() == []
    assert state.keep_lease("daemon", "another daemon", 60.0).lease.token == kept.lease.token + 1


@pytest.mark.parametrize("dialect", ["postgresql"])
@pytest.mark.parametrize("before", [0, 1])
def test_of_those_who_come_at_once_one_gets_it(place: Place, state: State, before: int) -> None:
    """The first time, and when it is free again."""
    for _ in range(before):
        state.keep_lease("writer", "sync", LONG).release()
    taker = Taker(place)
    with state._database.writing(fenced=False) as transaction:  # what another's taking does
        transaction.run(
            "INSERT INTO engage_lease VALUES ('writer', 1, 'sync', 'a.example', '', 1, '', 1, 1e12)"
            f" ON CONFLICT (name) DO UPDATE SET token = {before + 1}, host = excluded.host, expires_at = 1e12"
        )
        taker.begin(state)
    taker.thread.join()
    assert taker.events == ["sync on a.example"]


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
            expire(other)
            other.keep_lease("writer", "engage-sync push", LONG)
        with pytest.raises(Locked, match="another process has taken over"):
            state.set_note("a", "2")
        with pytest.raises(Locked):
            held.check()
        assert state.note("a") == "1"
    assert [one.holder for one in state.leases()] == ["engage-sync push"]
    state.set_note("a", "3")


def test_who_lost_the_lease_writes_no_frames_either(place: Place, state: State) -> None:
    with state.lock("engage-sync sync"):
        with place.open() as other:
            expire(other)
            other.keep_lease("writer", "engage-sync push", LONG)
        with state._database.arrow() as arrow:
            assert arrow.first("SELECT count(*) FROM engage_note") == (0,)  # reading harms nobody
        with pytest.raises(Locked, match="another process has taken over"), state._database.arrow() as arrow:
            arrow.run("INSERT INTO engage_note (key, value) VALUES ('a', 'too late')")
        assert state.note("a") is None


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_who_loses_the_lease_in_a_transaction_commits_nothing(place: Place, state: State) -> None:
    """On SQLite nobody can take it while somebody writes."""
    with state.lock("engage-sync sync"), place.open() as other:
        with pytest.raises(Locked), state._database.writing() as transaction:  # noqa: PT012 - in that order
            transaction.run("INSERT INTO engage_note (key, value) VALUES ('a', 'too late')")
            expire(other)
            other.keep_lease("writer", "engage-sync push", LONG)
        assert other.note("a") is None


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_nobody_takes_the_lease_between_the_last_question_and_the_commit(place: Place, state: State) -> None:
    kept, events = state.keep_lease("writer", "sync", LONG), list[str]()
    database = state._database

    def take() -> None:
        with place.open() as other:
            other.keep_lease("writer", "push", LONG)
            events.append("taken")

    taker = threading.Thread(target=take)
    with database.writing(fenced=False) as transaction:
        kept.check_in(transaction)
        assert kept.ask(), "renewing goes on meanwhile"
        expire(state)
        taker.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not events:
            with database.reading() as looking:
                if looking.first(waiting) == (1,):
                    break
        events.append("committed")
    taker.join()
    assert events == ["committed", "taken"]


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_who_goes_silent_before_the_commit_keeps_nobody_waiting(place: Place, state: State) -> None:
    kept, database = state.keep_lease("writer", "sync", LONG), state._database
    database.backend.hurried = database.backend.hurried.replace("5000", "50")
    with pytest.raises(Unreachable), database.writing(fenced=False) as transaction:  # noqa: PT012 - in that order
        transaction.run("INSERT INTO engage_note (key, value) VALUES ('a', 'too late')")
        kept.check_in(transaction)
        expire(state)
        with place.open() as other:
            assert other.keep_lease("writer", "push", LONG).lease.token == kept.lease.token + 1
    assert state.note("a") is None


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
    kept = state.keep_lease("daemon", "daemon", 0.05)

    def shift(seconds: int) -> None:
        with Database(backend_of(place.url)).writing() as transaction:
            transaction.run(
                f"UPDATE engage_lease SET renewed_at = renewed_at + {seconds}, expires_at = expires_at + {seconds},"
                " place = 'elsewhere'"
            )

    shift(86_400)
    with place.open() as other:
        with pytest.raises(Locked, match="for 0 s at least"):
            other.keep_lease("daemon", "daemon", LONG)
        assert kept.ask()
        shift(86_400)
        while True:
            try:
                taken = other.keep_lease("daemon", "daemon", LONG)
                break
            except Locked:
                os.sched_yield()
    assert taken.lease.token == kept.lease.token + 1
