"""HubSpot's rate limits (crm-apis §A3): a true sliding window per app, a slower one for searches, and a daily pot that
empties until midnight. Clocks are handed in; it never waits."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engage_sync.sandbox.wire import Answer

TEN_SECONDLY = "TEN_SECONDLY_ROLLING"
SECONDLY = "SECONDLY"
DAILY = "DAILY"


@dataclass(frozen=True, slots=True)
class Rates:
    """How many calls are allowed; None is no limit. `burst` calls in `window` seconds per app, `search` a second."""

    burst: int | None = 190
    window: float = 10.0
    daily: int | None = 650_000
    search: int | None = 5


UNLIMITED = Rates(burst=None, daily=None, search=None)


class SlidingWindow:
    """At most `limit` calls in any `seconds`; a refused call does not count."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._taken: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Count one call at `now`, or refuse it."""
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True

    @property
    def remaining(self) -> int:
        """Give what is left of the window since the last `take`."""
        return self.limit - len(self._taken)


class Meter:
    """Counts the calls of an account. `tick` is a monotonic clock in seconds, `clock` gives aware instants."""

    def __init__(
        self, rates: Rates, *, tick: Callable[[], float], clock: Callable[[], datetime], timezone: str = "UTC"
    ) -> None:
        self.rates = rates
        self._tick = tick
        self._clock = clock
        self.zone = ZoneInfo(timezone)
        self._lock = threading.Lock()
        self._apps: dict[str, SlidingWindow] = {}
        self._search = SlidingWindow(rates.search, 1.0) if rates.search is not None else None
        self._day = self._today()
        self._used = 0

    def enter(self, app: str, *, search: bool, oauth: bool) -> tuple[Mapping[str, str], Answer | None]:
        """Count one call: the headers of its answer, and the 429 when it is one too many. OAuth apps have no day."""
        with self._lock:
            if not oauth and not self._day_left():
                return ({} if search else self._headers(app, oauth=oauth)), too_many(DAILY)
            window = self._search if search else self._window(app)
            policy = SECONDLY if search else TEN_SECONDLY
            allowed = window is None or window.take(self._tick())
            if allowed and not oauth:
                self._used += 1
            return ({} if search else self._headers(app, oauth=oauth)), None if allowed else too_many(policy)

    def spend(self, calls: int) -> None:
        """Count calls that others of the account make today."""
        with self._lock:
            self._day_left()
            self._used += calls

    @property
    def used_today(self) -> int:
        """Give the calls that counted since midnight in the account's time zone."""
        with self._lock:
            self._day_left()
            return self._used

    def resets_at(self) -> datetime:
        """Give the next midnight in the account's time zone."""
        local = self._clock().astimezone(self.zone) + timedelta(days=1)
        return local.replace(hour=0, minute=0, second=0, microsecond=0)

    def _window(self, app: str) -> SlidingWindow | None:
        if self.rates.burst is None:
            return None
        return self._apps.setdefault(app, SlidingWindow(self.rates.burst, self.rates.window))

    def _today(self) -> str:
        return self._clock().astimezone(self.zone).date().isoformat()

    def _day_left(self) -> bool:
        if self._day != self._today():
            self._day, self._used = self._today(), 0
        return self.rates.daily is None or self._used < self.rates.daily

    def _headers(self, app: str, *, oauth: bool) -> dict[str, str]:
        told = {}
        window = self._window(app)
        if window is not None:
            told["X-HubSpot-RateLimit-Max"] = str(window.limit)
            told["X-HubSpot-RateLimit-Remaining"] = str(window.remaining)
            told["X-HubSpot-RateLimit-Interval-Milliseconds"] = str(int(window.seconds * 1000))
        if self.rates.daily is not None and not oauth:
            told["X-HubSpot-RateLimit-Daily"] = str(self.rates.daily)
            told["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self.rates.daily - self._used))
        return told


def too_many(policy: str) -> Answer:
    """Give the 429 of one policy; its body says `errorType`, not `category`."""
    return Answer(
        429,
        {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid.uuid4()),
            "policyName": policy,
            "requestId": uuid.uuid4().hex,
        },
    )
