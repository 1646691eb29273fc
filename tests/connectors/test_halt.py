"""The wish to end: nothing new is sent, what is under way takes effect, no pause is sat out."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from engage_sync.connectors.base import CallKind, Change, Cursor, Kind, Outcome, Page, Rate, Status
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import NOT_SENT, STOPPED, Observed, harden
from engage_sync.errors import Locked, Stopped, Transient
from tests.connectors.test_wrappers import KIND, PAGE, Fake, changes, written


class Calling(Fake):
    """A CRM whose pull is a call."""

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        self.turnstile.enter(CallKind.READ)
        self.turnstile.leave(CallKind.READ, status=200)
        return super().pull(kind, cursor)


def hard(inner: Fake, halt: Halt) -> Observed:
    return harden(inner, gate=Gate({}), halt=halt)


def test_nothing_new_is_sent() -> None:
    halt = Halt()
    crm = hard(Fake(), halt)
    assert crm.pull(KIND, None) == PAGE
    halt.stop("ended by SIGTERM")
    halt.stop("another reason")
    with pytest.raises(Stopped, match="ended by SIGTERM"):
        crm.pull(KIND, None)


def test_what_is_under_way_takes_effect_and_the_rest_waits() -> None:
    halt = Halt()

    def push(some: Sequence[Change]) -> Iterator[Outcome]:
        halt.stop("ended by SIGTERM")
        return written(some)

    crm = hard(Fake(push=push), halt)
    wanted = changes(8 * crm.limits.push_batch)
    ends: list[Outcome] = []

    def take_all() -> None:
        for end in crm.push(KIND, wanted):
            ends.append(end)

    with pytest.raises(Stopped):
        take_all()
    assert sorted(end.record for end in ends) == sorted(change.record for change in wanted)
    done = [end for end in ends if end.status is Status.WRITTEN]
    assert 0 < len(done) < len(wanted)
    assert {end.code for end in ends if end.status is Status.FAILED} == {STOPPED}
    assert STOPPED in NOT_SENT


def test_a_pause_ends_with_the_wish() -> None:
    halt = Halt()
    crm = hard(Fake(Transient("busy", 100.0)), halt)
    timer = threading.Timer(0.05, halt.stop, ["ended by SIGTERM"])
    timer.start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        crm.pull(KIND, None)
    assert time.monotonic() - begun < 50
    timer.join()


def test_waiting_for_a_turn_or_a_job_ends_with_the_wish() -> None:
    """After a 429 that asks for a long pause, and in a pause of the connector's own."""
    for waits in (lambda crm: crm.pull(KIND, None), lambda crm: crm.turnstile.pause(100.0)):
        halt, gate = Halt(), Gate({CallKind.READ: Rate("calls", 100, 1.0)})
        crm = harden(Calling(), gate=gate, halt=halt)
        crm.pull(KIND, None)
        gate.enter(CallKind.READ)
        gate.leave(CallKind.READ, status=429, pause=100.0)
        timer = threading.Timer(0.05, halt.stop, ["ended by SIGTERM"])
        timer.start()
        begun = time.monotonic()
        with pytest.raises(Stopped, match="ended by SIGTERM"):
            waits(crm)
        assert time.monotonic() - begun < 50
        timer.join()


def test_a_guard_is_asked_before_writes_alone() -> None:
    halt = Halt()

    def lost() -> None:
        raise Locked("another process has taken over")

    with halt.guarded(lost):
        halt.check()
        with pytest.raises(Locked):
            halt.check(writing=True)
    halt.check(writing=True)


def test_a_signal_is_the_wish() -> None:
    halt = Halt()
    with halt.at_signal(signal.SIGUSR2):
        halt.check()
        os.kill(os.getpid(), signal.SIGUSR2)
        with pytest.raises(Stopped, match="ended by SIGUSR2"):
            halt.check()
