"""One channel of alerts as it goes: what is under way, what waits for how long, and which message is next. Each attempt
has a thread of its own, so that nobody waits for a receiver; what is to be told, and was, is kept by the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from engage_sync.core.alerting import Message
from engage_sync.sync.alert_channels import Channel, NotTold

FIRST_PAUSE = 15.0
LONGEST_PAUSE = 900.0
OVERDUE = 60.0
"""Seconds after which an attempt counts as failed though it has not ended."""
MOST_OPEN = 3
"""Attempts of one channel that may hang at the same time."""
STUCK = 6
"""Failures after which other messages are tried as often before this one is again."""


@dataclass(slots=True)
class Attempt:
    """One message on its way through one channel. `late`: it counts as failed already."""

    message: Message
    channel: Channel
    begun: float
    failure: NotTold | None = None
    delivered: bool = False
    late: bool = False
    thread: threading.Thread | None = None

    def start(self, place: str) -> None:
        """Begin."""
        self.thread = threading.Thread(target=self._go, args=(place,), name="alert", daemon=True)
        self.thread.start()

    def _go(self, place: str) -> None:
        try:
            self.channel.send(self.message, place)
        except NotTold as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001  whatever it is, it may hold an address: only its kind is told
            self.failure = NotTold(f"the attempt ended by a bug ({type(error).__name__})")
        else:
            self.delivered = True

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.thread is None or not self.thread.is_alive()


@dataclass(slots=True)
class _Pause:
    """How often something failed in a row, and until when it is left alone."""

    failed: int = 0
    until: float = 0.0

    def longer(self, clock: float, asked: float | None = None) -> None:
        length = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self.failed)
        self.failed = min(self.failed + 1, 16)
        self.until = clock + max(length, asked or 0.0)


class Line:
    """One channel. `kind` names it in the log. Not safe to use from two threads."""

    def __init__(self, kind: str, channel: Channel, place: str, monotonic: Callable[[], float]) -> None:
        self.attempts: list[Attempt] = []
        self._kind, self._channel, self._place, self._monotonic = kind, channel, place, monotonic
        self._begin_anew()

    def use(self, channel: Channel) -> None:
        """Send through another channel from now on, and try it at once; what is under way goes on."""
        self._channel = channel
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pause = _Pause()
        self._complained = False
        self._tries: dict[str, int] = {}
        """How often each message failed since one was taken."""
        self._refused: dict[str, _Pause] = {}
        """The messages that the receiver does not want as they are."""

    def collect(self) -> set[str]:
        """See which attempts have ended, and how; give the keys of the messages that were delivered."""
        delivered = set()
        for attempt in tuple(self.attempts):
            if attempt.over:
                self.attempts.remove(attempt)
            if attempt.over and attempt.delivered:
                delivered.add(attempt.message.key)
                self._well(attempt.message.key)
            elif attempt.over and not attempt.late:
                self._failed(attempt, attempt.failure or NotTold("the attempt ended by a bug"))
            elif not attempt.late and self._monotonic() - attempt.begun >= OVERDUE:
                attempt.late = True
                self._failed(attempt, NotTold(f"the attempt has not ended within {OVERDUE:g} seconds"))
        return delivered

    def send(self, waiting: Sequence[Message]) -> None:
        """Begin the next attempt with one of what waits, the oldest first, unless one is under way or the channel is
        left alone."""
        clock, keys = self._monotonic(), {message.key for message in waiting}
        self._tries = {key: count for key, count in self._tries.items() if key in keys}
        self._refused = {key: pause for key, pause in self._refused.items() if key in keys}
        if any(not attempt.late for attempt in self.attempts) or clock < self._pause.until:
            return
        message = self._next(waiting, clock)
        if message is not None and len(self.attempts) < MOST_OPEN:
            attempt = Attempt(message, self._channel, clock)
            self.attempts.append(attempt)
            attempt.start(self._place)

    def _next(self, waiting: Sequence[Message], clock: float) -> Message | None:
        """Choose a message. One that was refused holds up no other; one that only fails holds up what comes later about
        the same, so that nobody hears of a recovery first."""
        able: list[Message] = []
        held_up: set[str] = set()
        for message in waiting:
            refused = self._refused.get(message.key)
            if refused is None:
                if not message.about & held_up:
                    able.append(message)
                held_up |= message.about
            elif refused.until <= clock:
                able.append(message)
        order = {
            message.key: (message.key in self._refused, self._tries.get(message.key, 0) // STUCK) for message in able
        }
        return min(able, key=lambda message: order[message.key], default=None)

    def _well(self, key: str) -> None:
        if self._complained or key in self._refused:
            structlog.get_logger(__name__).info("alerts go out again", channel=self._kind)
        self._pause, self._complained = _Pause(), False
        self._tries.clear()

    def _failed(self, attempt: Attempt, failure: NotTold) -> None:
        if attempt.channel is not self._channel:
            return  # it says nothing of the one that is used now
        log, key = structlog.get_logger(__name__), attempt.message.key
        if failure.refused:
            if key not in self._refused:
                what = "an alert was refused; the others go on, and it is tried again until it is taken"
                log.warning(what, channel=self._kind, because=str(failure))
            self._refused.setdefault(key, _Pause()).longer(self._monotonic(), failure.pause)
            return
        self._tries[key] = self._tries.get(key, 0) + 1
        self._pause.longer(self._monotonic(), failure.pause)
        if not self._complained:
            what = "an alert did not go out; it is tried again until it does"
            log.warning(what, channel=self._kind, because=str(failure))
        self._complained = True
