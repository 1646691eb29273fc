"""The throttle never lets the CRM count more calls than it allows, and wastes no time it could have used."""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage_sync.connectors.base import CallKind, Quota, Rate
from engage_sync.connectors.throttle import Gate, Today, Window, shared_gate
from engage_sync.connectors.wrappers import harden
from engage_sync.errors import Suspended, Transient
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.limits import Rates
from tests.connectors.sandboxed import KIND, hubspot, sandbox

RATE = Rate("calls", calls=100, interval=10.0)


class Workers:
    """Some workers sending calls through one window as fast as it lets them, on a clock that only tests move.

    `counted` collects the instants at which the CRM counts: somewhere between sending and answer.
    """

    def __init__(self, window: Window, workers: int, flight: Callable[[], tuple[float, float]]) -> None:
        self.window, self.workers, self.flight = window, workers, flight
        self.counted: list[float] = []

    def send(self, calls: int, quota: Callable[[float], Quota | None] = lambda _: None) -> float:
        """Send so many calls; gives the time of the last answer."""
        ready = [(0.0, n, False, 0.0) for n in range(self.workers)]
        last = 0.0
        while ready and (calls > 0 or any(answered for _, _, answered, _ in ready)):
            now, worker, answered, sent = heapq.heappop(ready)
            if answered:
                self.window.give_back(now, now - sent, quota(now), None)
                last = now
            if calls <= 0:
                continue
            wait = self.window.take(now)
            if wait > 0:
                heapq.heappush(ready, (now + wait, worker, False, 0.0))
                continue
            calls -= 1
            there, back = self.flight()
            self.counted.append(now + there)
            heapq.heappush(ready, (now + there + back, worker, True, now))
        return last


def most_in_any(instants: list[float], interval: float) -> int:
    """Count the slow way: for each call, those within the interval that ends with it."""
    return max(sum(1 for other in instants if instant - interval < other <= instant) for instant in instants)


@given(
    limit=st.integers(1, 12),
    workers=st.integers(1, 8),
    calls=st.integers(1, 60),
    seed=st.integers(0, 2**16),
    there=st.floats(0.0, 0.3),
    back=st.floats(0.0, 0.3),
)
def test_no_span_at_the_crm_holds_more_than_the_limit(
    limit: int, workers: int, calls: int, seed: int, there: float, back: float
) -> None:
    """Whichever part of a call's time passes before it is counted, and with up to half as much again at random."""
    dice = random.Random(seed)

    def flight() -> tuple[float, float]:
        return there * dice.uniform(1, 1.5), back * dice.uniform(1, 1.5)

    run = Workers(Window(Rate("calls", limit, 1.0)), workers, flight)
    run.send(calls)
    assert len(run.counted) == calls
    assert most_in_any(run.counted, 1.0) <= limit


def test_burst_is_as_fast_as_the_window_allows() -> None:
    """500 calls at 190 per 10 s with 8 workers and 150 ms: two windows, and the time 8 workers need for 120 calls."""
    run = Workers(Window(Rate("calls", 190, 10.0)), 8, lambda: (0.0, 0.15))
    end = run.send(500)
    assert end <= 20.0 + 120 / 8 * 0.15 + 0.5
    assert most_in_any(run.counted, 10.0) <= 190


def test_limit_is_learned_from_answers() -> None:
    """Ten calls fit at first; the first answer tells of three per two seconds."""
    run = Workers(Window(Rate("calls", 10, 1.0)), 1, lambda: (0.0, 0.01))
    run.send(12, quota=lambda _: Quota(limit=3, interval=2.0))
    assert most_in_any(run.counted, 2.0) == 3


def test_blind_window_ignores_what_answers_tell() -> None:
    """A search's answer tells of another limit, if anything."""
    run = Workers(Window(Rate("searches", 2, 1.0, told=False)), 1, lambda: (0.0, 0.01))
    run.send(6, quota=lambda _: Quota(limit=100, interval=1.0))
    assert most_in_any(run.counted, 1.0) == 2


@pytest.mark.lesson(2)
def test_others_who_use_the_quota_are_left_their_room() -> None:
    """The CRM counts 7 of 10 before our first call: 3 are left, until the interval is over."""
    window = Window(Rate("calls", 10, 10.0))
    assert window.take(0.0) == 0
    window.give_back(0.1, 0.1, Quota(limit=10, remaining=2, interval=10.0), None)
    assert [window.take(0.2) for _ in range(2)] == [0, 0]
    assert window.take(0.2) > 0
    assert window.take(10.2) == 0


def test_others_use_is_not_forgotten_while_our_own_calls_are_under_way() -> None:
    """7 of 10 are used by others; of our next two calls, only the answered one is counted when it is answered."""
    window = Window(Rate("calls", 10, 10.0))
    assert window.take(0.0) == 0
    window.give_back(0.1, 0.1, Quota(limit=10, remaining=2, interval=10.0), None)
    assert [window.take(0.2) for _ in range(2)] == [0, 0]
    window.give_back(0.3, 0.1, Quota(limit=10, remaining=1, interval=10.0), None)
    assert window.take(0.4) > 0
    assert window.take(10.2) == 0


def test_pause_holds_everybody() -> None:
    window = Window(RATE)
    assert window.take(0.0) == 0
    assert window.take(0.0) == 0
    window.give_back(1.0, 1.0, None, 10.0)
    assert window.take(1.0) == pytest.approx(10.0)
    assert window.take(10.9) == pytest.approx(0.1)
    assert window.take(11.0) == 0


def gate(now: list[float]) -> Gate:
    def sleep(seconds: float) -> None:
        now[0] += seconds

    rates = {CallKind.READ: RATE, CallKind.WRITE: RATE, CallKind.SEARCH: Rate("searches", 4, 1.0, told=False)}
    return Gate(rates, clock=lambda: now[0], sleep=sleep)


def call(gate: Gate, kind: CallKind, quota: Quota | None = None) -> None:
    gate.enter(kind)
    gate.leave(kind, status=200, quota=quota)


@pytest.mark.lesson(2)
def test_reads_and_writes_share_a_window_searches_have_their_own() -> None:
    now = [0.0]
    throttle = gate(now)
    for number in range(100):
        call(throttle, CallKind.READ if number % 2 else CallKind.WRITE)
    assert now[0] == 0
    for _ in range(4):
        call(throttle, CallKind.SEARCH)
    call(throttle, CallKind.LOGIN)
    assert now[0] == 0
    call(throttle, CallKind.SEARCH)
    assert now[0] == pytest.approx(1.01)
    call(throttle, CallKind.WRITE)
    assert now[0] == pytest.approx(10.01)


def test_daily_share_ends_the_run() -> None:
    throttle = gate([0.0])
    throttle.share = 0.5
    for _ in range(5):
        call(throttle, CallKind.READ, Quota(daily_limit=10))
    with pytest.raises(Transient, match="50 %") as caught:
        throttle.enter(CallKind.READ)
    assert caught.value.suspend


def test_others_calls_count_and_the_share_is_exact() -> None:
    """Of 100 calls others have used 28; a share of 0.29 is 29 calls, though 0.29 × 100 is a little less in binary."""
    throttle = gate([0.0])
    throttle.share = 0.29
    call(throttle, CallKind.READ, Quota(daily_limit=100, daily_remaining=72))
    assert throttle.today == Today(100, 28, 0.29)
    assert throttle.today.left == 1
    call(throttle, CallKind.READ)
    with pytest.raises(Suspended):
        throttle.enter(CallKind.READ)


def test_a_share_of_one_stops_at_the_limit_only() -> None:
    throttle = gate([0.0])
    call(throttle, CallKind.READ, Quota(daily_limit=2, daily_remaining=1))
    call(throttle, CallKind.READ)
    with pytest.raises(Suspended, match="2 of the day's 2 calls"):
        throttle.enter(CallKind.READ)


def test_a_closed_day_lets_nothing_pass_until_the_next_run() -> None:
    throttle = gate([0.0])
    closed = Suspended("moving", why="a move", retry_after=60.0)
    call(throttle, CallKind.WRITE, Quota(closed=closed))
    for kind in CallKind:
        with pytest.raises(Suspended, match="moving") as caught:
            throttle.enter(kind)
        assert (caught.value.why, caught.value.retry_after) == ("a move", 60.0)
    throttle.day.begin()
    call(throttle, CallKind.READ)


NO = Suspended("over quota", why="daily limit")


@pytest.mark.parametrize("status", [200, 404])
def test_one_call_asks_and_a_usual_answer_opens(status: int) -> None:
    throttle = gate([0.0])
    throttle.day.only_ask(NO)
    throttle.enter(CallKind.LOGIN)
    throttle.leave(CallKind.LOGIN, status=200)
    throttle.enter(CallKind.READ)
    with pytest.raises(Suspended):
        throttle.enter(CallKind.READ)
    throttle.leave(CallKind.READ, status=status)
    assert not throttle.day.asking
    call(throttle, CallKind.READ)


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_one_call_asks_and_nothing_more_is_sent_without_a_usual_answer(status: int | None) -> None:
    throttle = gate([0.0])
    throttle.day.only_ask(NO)
    throttle.enter(CallKind.READ)
    throttle.leave(CallKind.READ, status=status)
    for kind in CallKind:
        with pytest.raises(Suspended, match="over quota"):
            throttle.enter(kind)
    assert throttle.day.asking


def test_asking_goes_on_with_another_session() -> None:
    throttle = gate([0.0])
    throttle.day.only_ask(NO)
    for kind, status in ((CallKind.READ, 401), (CallKind.LOGIN, 200)):
        throttle.enter(kind)
        throttle.leave(kind, status=status)
        assert throttle.day.asking
    for _ in range(2):
        throttle.enter(CallKind.READ)
        throttle.leave(CallKind.READ, status=200)
        assert not throttle.day.asking


def test_what_was_known_last_counts_while_answers_tell_nothing() -> None:
    """Searches carry no numbers: after the one that asks, our share is still used up."""
    throttle = gate([0.0])
    throttle.share = 0.5
    throttle.day.only_ask(NO, limit=10, used=5)
    call(throttle, CallKind.SEARCH)
    assert throttle.today is None
    with pytest.raises(Suspended, match="our share is 50 %"):
        throttle.enter(CallKind.SEARCH)


def test_limits_learned_from_answers_are_told() -> None:
    throttle = gate([0.0])
    call(throttle, CallKind.WRITE, Quota(limit=190, interval=5.0))
    assert throttle.rates[CallKind.WRITE] == Rate("calls", 190, 5.0)
    assert throttle.rates[CallKind.SEARCH] == Rate("searches", 4, 1.0, told=False)


def test_one_gate_for_one_quota_in_a_process() -> None:
    rates = {CallKind.READ: RATE}
    assert shared_gate("test a", rates) is shared_gate("test a", rates)
    assert shared_gate("test a", rates) is not shared_gate("test b", rates)


@pytest.mark.lesson(2)
def test_connectors_to_one_account_share_its_window() -> None:
    """What one of them hears of the account's quota, the other knows; another account's connector does not."""
    rates = Rates(burst=70, window=5.0, daily=1_000)
    with sandbox(rates=rates) as running, sandbox() as foreign:
        one, same, other = (harden(hubspot(crm)) for crm in (running, running, foreign))
        one.pull(KIND, None)
        assert [crm.rates[CallKind.WRITE].calls for crm in (one, same, other)] == [70, 70, 190]
        assert one.today is not None
        assert (one.today.limit, same.today, other.today) == (1_000, one.today, None)
        running.faults.add(Fault("migration"))
        with pytest.raises(Suspended):
            one.pull(KIND, None)
        asked = running.calls.count()
        with pytest.raises(Suspended):
            same.pull(KIND, None)
        assert running.calls.count() == asked
        assert list(other.pull(KIND, None).records) == []


def test_threads_share_a_window() -> None:
    """Sixteen threads, one limit: exactly so many slots are given before the first wait."""
    window = Window(Rate("calls", 50, 1_000.0))
    taken: list[float] = []
    threads = [threading.Thread(target=lambda: taken.extend(window.take(0.0) for _ in range(10))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for wait in taken if wait == 0) == 50
