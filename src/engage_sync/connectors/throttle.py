"""Holding calls back so that a CRM's rate limits are never exceeded: sliding windows shared by a whole process.

A limit allows N calls within any span of T seconds as the CRM counts them. When a call is counted is not known, only
that it is between sending and answer; so a slot is taken when a call is sent and is free again T seconds after its
answer, less half of the shortest call seen, which the next call needs as well before it is counted and answered. Calls
go out as fast as slots allow, in bursts rather than evenly. It never sends anything and knows no CRM: rates come with
the connector, true limits with the answers.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from engage_sync.connectors.base import CallKind, Quota, Rate, Turnstile
from engage_sync.errors import Transient

MARGIN = 0.01
"""Seconds a slot stays taken beyond its interval: clocks of two machines do not tick alike."""
POLL = 0.005
"""Seconds between looks when all slots are taken by calls still open."""


class Window:
    """One sliding window. Safe for threads."""

    def __init__(self, rate: Rate) -> None:
        self._lock = threading.Lock()
        self._limit, self._interval = rate.calls, rate.interval
        self._told = rate.told
        self._open = 0
        self._shortest = math.inf
        self._ended: deque[float] = deque()
        self._foreign, self._foreign_until = 0, 0.0
        self._paused_until = 0.0

    def take(self, now: float) -> float:
        """Take a slot and give 0, or give the seconds to wait before trying again."""
        with self._lock:
            if now < self._paused_until:
                return self._paused_until - now
            self._forget(now)
            if self._open + len(self._ended) + self._foreign < self._limit:
                self._open += 1
                return 0.0
            frees = [self._ended[0] + self._span()] if self._ended else []
            frees += [self._foreign_until] if self._foreign else []
            return max(min(frees) - now, 0.001) if frees else POLL

    def give_back(self, now: float, took: float | None, quota: Quota | None, pause: float | None) -> None:
        """Say that a call ended, after how many seconds if it was answered, and what its answer told."""
        with self._lock:
            self._open -= 1
            self._ended.append(now)
            if took is not None:
                self._shortest = min(self._shortest, took)
            if pause is not None:
                self._paused_until = max(self._paused_until, now + pause)
            if quota is not None and self._told:
                self._learn(now, quota)

    def _learn(self, now: float, quota: Quota) -> None:
        if quota.limit is not None and quota.limit > 0:
            self._limit = quota.limit
        if quota.interval is not None and quota.interval > 0:
            self._interval = quota.interval
        if quota.limit is None or quota.remaining is None:
            return
        # Whatever the CRM counts beyond our own calls is somebody else's use of the same quota. Our open calls may not
        # be counted yet, which makes this too small: a larger number found before stands until its interval is over.
        self._forget(now)
        foreign = quota.limit - quota.remaining - self._open - len(self._ended)
        if foreign > 0 and foreign >= self._foreign:
            self._foreign, self._foreign_until = foreign, now + self._interval

    def _span(self) -> float:
        known = 0.0 if math.isinf(self._shortest) else self._shortest
        return self._interval + MARGIN - min(known / 2, self._interval / 2)

    def _forget(self, now: float) -> None:
        span = self._span()
        while self._ended and self._ended[0] + span <= now:
            self._ended.popleft()
        if now >= self._foreign_until:
            self._foreign = 0


class Day:
    """The calls of a day, everybody's where the CRM tells what remains, against the share of its limit we may use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = 0
        self._limit: int | None = None

    def spend(self, share: float) -> None:
        """Count a call, or raise Transient when the share is used up."""
        with self._lock:
            limit, used = self._limit, self._spent
            if limit is not None and used >= share * limit:
                raise Transient(
                    f"{used} of the day's {limit} calls are used, and our share is {share:.0%}", suspend=True
                )
            self._spent += 1

    def learn(self, quota: Quota) -> None:
        """Keep what an answer told of the day."""
        with self._lock:
            self._limit = quota.daily_limit or self._limit
            if self._limit is not None and quota.daily_remaining is not None:
                self._spent = max(0, self._limit - quota.daily_remaining)


class Gate(Turnstile):
    """A turnstile that waits for its windows: one for each name among the rates."""

    def __init__(
        self,
        rates: Mapping[CallKind, Rate],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        named = {rate.window: Window(rate) for rate in rates.values()}
        self._windows = {kind: named[rate.window] for kind, rate in rates.items()}
        self._day = Day()
        self._clock, self._sleep = clock, sleep
        self._sent = threading.local()
        self.share = 1.0

    def enter(self, kind: CallKind) -> None:
        """Wait for a slot. Raises Transient when the day's share is used up."""
        if kind is not CallKind.LOGIN:
            self._day.spend(self.share)
        window = self._windows.get(kind)
        while window is not None and (wait := window.take(self._clock())) > 0:
            self._sleep(wait)
        self._sent.at = self._clock()

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        """Give the slot back, and learn from the answer. Called in the thread that entered."""
        now = self._clock()
        if quota is not None:
            self._day.learn(quota)
        window = self._windows.get(kind)
        if window is not None:
            window.give_back(now, now - self._sent.at if status is not None else None, quota, pause)


_gates: dict[str, Gate] = {}
_gates_lock = threading.Lock()


def shared_gate(key: str, rates: Mapping[CallKind, Rate]) -> Gate:
    """Give the process's one gate for a quota: all connectors that draw on it wait together."""
    with _gates_lock:
        if key not in _gates:
            _gates[key] = Gate(rates)
        return _gates[key]
