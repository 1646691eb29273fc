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
from dataclasses import dataclass
from decimal import Decimal

from engage_sync.connectors.base import CallKind, Quota, Rate, Turnstile
from engage_sync.errors import Suspended

MARGIN = 0.01
"""Seconds a slot stays taken beyond its interval: clocks of two machines do not tick alike."""
POLL = 0.005
"""Seconds between looks when all slots are taken by calls still open."""
Pause = Callable[[float, Callable[[float], None]], None]
"""Waits so many seconds, as a rule by the function given."""


class Window:
    """One sliding window. Safe for threads."""

    def __init__(self, rate: Rate) -> None:
        self._lock = threading.Lock()
        self._limit, self._interval = rate.calls, rate.interval
        self._name, self._told = rate.window, rate.told
        self._open = 0
        self._shortest = math.inf
        self._ended: deque[float] = deque()
        self._foreign, self._foreign_until = 0, 0.0
        self._paused_until = 0.0

    @property
    def rate(self) -> Rate:
        """Give the limit that holds now."""
        with self._lock:
            return Rate(self._name, self._limit, self._interval, self._told)

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


@dataclass(frozen=True, slots=True)
class Today:
    """The calls of a day as an answer told: the CRM's `limit`, how many everybody `used`, the `share` we may use."""

    limit: int
    used: int
    share: float

    @property
    def allowed(self) -> int:
        """Give the number of calls at which we stop, others' calls included: the share of the limit, exactly."""
        return int(Decimal(str(self.share)) * self.limit)

    @property
    def left(self) -> int:
        """Give how many calls we may still send today."""
        return max(0, self.allowed - self.used)


class Day:
    """The calls of a day, everybody's where the CRM tells what remains, against the share of its limit we may use.

    Closed by an answer, it lets nothing more pass. A run on a suspended connector asks once (`only_ask`): one call
    passes, whatever the day says, and the others only if that one is answered as usual.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent = 0
        self._limit: int | None = None
        self._told = False
        self._closed: Suspended | None = None
        self._asking: Suspended | None = None
        self._asked = False

    def begin(self) -> None:
        """Forget what an earlier run of the process knew: the next answer tells."""
        with self._lock:
            self._spent, self._limit, self._told = 0, None, False
            self._closed = self._asking = None
            self._asked = False

    def only_ask(self, why: Suspended, limit: int | None = None, used: int = 0) -> None:
        """Let one call through to see whether the CRM has relented. `limit` and `used` are what was known last."""
        with self._lock:
            self._asking, self._asked = why, False
            self._limit, self._spent = limit, used

    @property
    def asking(self) -> bool:
        """Whether the CRM has not shown yet that it has relented."""
        with self._lock:
            return self._asking is not None

    def spend(self, share: float) -> None:
        """Count a call, or raise Suspended when the share is used up or the day is closed."""
        with self._lock:
            self._open()
            if self._asking is not None:
                self._asked = True
            elif self._limit is not None and self._spent >= Today(self._limit, 0, share).allowed:
                used = f"{self._spent:,} of the day's {self._limit:,} calls are used"
                raise Suspended(
                    f"{used}, and our share is {100 * share:g} %", why="our share of the day's calls is used up"
                )
            self._spent += 1

    def login(self) -> None:
        """Let a login pass, which counts as no call; raise Suspended when nothing more may be sent."""
        with self._lock:
            self._open()

    def _open(self) -> None:
        why = self._closed or (self._asking if self._asked else None)
        if why is not None:
            raise Suspended(str(why), why=why.why, retry_after=why.retry_after)

    def answered(self, kind: CallKind, status: int | None, quota: Quota | None) -> None:
        """Keep what an answer told of the day, and whether it came as usual. `status` None: there was no answer."""
        with self._lock:
            if quota is not None:
                self._learn(quota)
            if self._asking is None:
                return
            if status is None or status == 429 or status >= 500:
                self._closed = self._closed or self._asking
            elif status == 401:
                self._asked = False  # the session had ended: asked again with another
            elif kind is not CallKind.LOGIN and self._closed is None:
                self._asking = None

    def _learn(self, quota: Quota) -> None:
        self._closed = self._closed or quota.closed
        self._limit = quota.daily_limit or self._limit
        if self._limit is not None and quota.daily_remaining is not None:
            self._spent, self._told = max(0, self._limit - quota.daily_remaining), True
        elif quota.daily_limit is not None:
            self._told = True

    def today(self, share: float) -> Today | None:
        """Give the day as answers of this run told it, None where none did."""
        with self._lock:
            return Today(self._limit, self._spent, share) if self._limit is not None and self._told else None


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
        self.day = Day()
        self._clock, self._sleep = clock, sleep
        self._sent = threading.local()
        self.share = 1.0

    @property
    def today(self) -> Today | None:
        """Give the day's calls as answers of this run told them; None where no answer did."""
        return self.day.today(self.share)

    @property
    def rates(self) -> dict[CallKind, Rate]:
        """Give the limits that hold now: declared with the connector, or learned from answers."""
        return {kind: window.rate for kind, window in self._windows.items()}

    def enter(self, kind: CallKind, pause: Pause | None = None) -> None:
        """Wait for a slot; `pause`, if given, waits with this gate's sleep and may raise. Raises Suspended when the
        day's share is used up, or the CRM answers nothing more."""
        if kind is CallKind.LOGIN:
            self.day.login()
        else:
            self.day.spend(self.share)
        window = self._windows.get(kind)
        while window is not None and (wait := window.take(self._clock())) > 0:
            if pause is None:
                self._sleep(wait)
            else:
                pause(wait, self._sleep)
        self._sent.at = self._clock()

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        """Give the slot back, and learn from the answer. Called in the thread that entered."""
        now = self._clock()
        self.day.answered(kind, status, quota)
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
