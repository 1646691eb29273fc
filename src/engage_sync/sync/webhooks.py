"""Call webhooks: one address with its secret, a few calls open at a time, each signed, and repeated where it may help.

The bytes that are sent were made before and are never changed here. Nothing that is said or logged holds more of an
address than host and port: its path, its query and its login may be secrets. It follows no redirect, and it remembers
nothing from one run to the next.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import structlog
import tenacity

from engage_sync.sync.couriers import Delivery, End, Ended
from engage_sync.sync.posting import Line, Silent

SECONDS = (5.0, 10.0)
"""To connect, and to wait for the answer; a receiver that speaks drop by drop has their sum for all of it."""
TRIES = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds that a run waits when a receiver tells it to; told longer, the delivery waits for the next run."""
IN_FLIGHT = 4
GIVE_UP_AFTER = 3
"""Deliveries in a row without success: if nobody answered, the rest waits for the next run; if every answer was an
error of the receiver's, the rest is tried once each."""

_LATER = {408, 425, 429}
_CROWDED = 429


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its idempotency key and exactly the bytes to send."""

    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: `delivered`, `failed` (repeating it does not help) or `pending`. `message` is a sentence.

    `code` is the HTTP status, None where nobody answered; `pause` the seconds that the receiver asked for.
    """

    status: End
    message: str | None = None
    code: int | None = None
    pause: float | None = None

    @property
    def worth_another_try(self) -> bool:
        """Whether the call should be repeated within this run."""
        return self.status is End.PENDING and (self.pause or 0.0) <= LONGEST_PAUSE


@dataclass(slots=True)
class _Trust:
    """What the last calls say about a receiver: how many in a row got no success, and whether it is given up."""

    in_a_row: int = 0
    errors_in_a_row: int = 0
    given_up: Answer | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, answer: Answer) -> None:
        with self.lock:
            if answer.status is not End.PENDING:
                self.in_a_row = self.errors_in_a_row = 0
            elif answer.code is None or answer.code == _CROWDED:
                self.in_a_row += 1
                if self.in_a_row >= GIVE_UP_AFTER:
                    self.given_up = self.given_up or answer
            else:
                self.in_a_row = 0
                self.errors_in_a_row += 1

    @property
    def tries(self) -> int:
        return TRIES if self.errors_in_a_row < GIVE_UP_AFTER else 1


class Receiver:
    """One address that webhooks go to. Raises Mistake for a text that is no http or https address, without it.

    `sleep` None: pauses that end when the receiver is closed.
    """

    def __init__(
        self,
        url: str,
        secret: str | None,
        *,
        sleep: Callable[[float], None] | None,
        clock: Callable[[], datetime],
        seconds: tuple[float, float] = SECONDS,
    ) -> None:
        self._line = Line(url, seconds, sum(seconds))
        self.name = self._line.name
        self._secret = None if secret is None else secret.encode()
        self._clock = clock
        self._growing = tenacity.wait_exponential(multiplier=FIRST_PAUSE)
        self._trust = _Trust()
        self._ending = threading.Event()
        self._sleep = sleep or tenacity.sleep_using_event(self._ending)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="webhook")

    @property
    def given_up(self) -> str | None:
        """Why the rest of this run's calls are not made, None while they are."""
        return None if self._trust.given_up is None else self._trust.given_up.message

    def send(self, calls: Sequence[Call]) -> Iterator[tuple[Call, Answer]]:
        """Make the calls, some at a time, and give each answer when it comes. Of a receiver that is given up on the
        way the other calls are not made, and get no answer."""
        running = {self._pool.submit(copy_context().run, self._unless_given_up, call): call for call in calls}
        for future in as_completed(running):
            if (answer := future.result()) is not None:
                yield running[future], answer

    def close(self) -> None:
        """End what is under way, and release the connections."""
        self._ending.set()
        self._pool.shutdown(cancel_futures=True)
        self._line.close()

    def _unless_given_up(self, call: Call) -> Answer | None:
        if self._trust.given_up is not None or self._ending.is_set():
            return None
        answer = self._repeated(call, self._trust.tries)
        self._trust.learn(answer)
        return answer

    def _repeated(self, call: Call, tries: int) -> Answer:
        policy: tenacity.Retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda answer: answer.worth_another_try),
            stop=tenacity.stop_after_attempt(tries) | tenacity.stop_when_event_set(self._ending),
            wait=self._pause,
            sleep=self._sleep,
            before_sleep=self._tell,
            retry_error_callback=_last,
        )
        return policy(self._once, call)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        asked = _last(state).pause
        return self._growing(state) if asked is None else asked

    def _tell(self, state: tenacity.RetryCallState) -> None:
        pause = round(state.next_action.sleep, 1) if state.next_action else 0
        log = structlog.get_logger(__name__)
        log.warning("trying again", attempt=state.attempt_number, seconds=pause, because=_last(state).message)

    def _once(self, call: Call) -> Answer:
        headers = {"Content-Type": "application/json", "Idempotency-Key": call.key}
        if self._secret is not None:
            headers["X-Engage-Signature"] = signature(self._secret, call.body)
        try:
            said = self._line.post(call.body, headers)
        except Silent as silent:
            return Answer(End.PENDING, str(silent), pause=float("inf") if silent.hopeless else None)
        return self._answer(said.code, said.retry_after)

    def _answer(self, code: int, asked: str | None) -> Answer:
        said = f"{self.name} answered {code}"
        if 200 <= code < 300:
            return Answer(End.DELIVERED, said, code)
        if 300 <= code < 400:
            advice = "redirects are not followed: write the address it points to"
            return Answer(End.FAILED, f"{said}, a redirect; {advice}", code)
        if code in _LATER or code >= 500:
            return Answer(End.PENDING, said, code, _seconds(asked, self._clock))
        return Answer(End.FAILED, said, code)


class WebhookCourier:
    """Carries the webhooks of one address."""

    batch = IN_FLIGHT
    """All of a batch begin at once: an attempt is noted of exactly those that are sent."""

    def __init__(
        self, url: str, secret: str | None, *, sleep: Callable[[float], None] | None, clock: Callable[[], datetime]
    ) -> None:
        self._receiver = Receiver(url, secret, sleep=sleep, clock=clock)

    @property
    def stopped(self) -> str | None:
        """Why nothing more is sent."""
        return self._receiver.given_up

    def ready(self, rows: Sequence[Delivery]) -> tuple[Sequence[Delivery], Sequence[Ended]]:
        """Give all: an address can always be called."""
        return rows, ()

    def carry(self, rows: Sequence[Delivery]) -> Iterator[Sequence[Ended]]:
        """Send some deliveries, each as it was made, and give their ends together. What was answered before an
        interruption is given, too."""
        ends: list[Ended] = []
        try:
            for call, answer in self._receiver.send([Call(row.key, row.content.encode()) for row in rows]):
                result = None if answer.code is None else f"HTTP {answer.code}"
                message = None if answer.status is End.DELIVERED else answer.message
                ends.append(Ended(call.key, answer.status, message, result))
        finally:
            yield ends

    def close(self) -> None:
        """Release the connections."""
        self._receiver.close()


def signature(secret: bytes, body: bytes) -> str:
    """Give the `X-Engage-Signature` of a body: `sha256=` and the hex digits of its HMAC-SHA256."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def _seconds(asked: str | None, clock: Callable[[], datetime]) -> float | None:
    """Read a `Retry-After`: seconds, or an instant as HTTP writes it. None for anything else."""
    if asked is None:
        return None
    if asked.strip().isascii() and asked.strip().isdigit():
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return max(0.0, (until - clock()).total_seconds())


def _last(state: tenacity.RetryCallState) -> Answer:
    assert state.outcome is not None
    answer: Answer = state.outcome.result()
    return answer
