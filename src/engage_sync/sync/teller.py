"""Tells of what fails, on changes only: each change once to each channel, repeated with growing pauses until a receiver
takes it. Sending never holds up who calls, and a dead receiver never fails anything. What is to be told is kept in the
state before it is sent, and struck off after: a process that dies in between sends it again under the same key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from engage_sync.core.alerting import Alert, Change, Condition, Message, advance, joined, messages, told
from engage_sync.errors import EngageError, Mistake, Problem
from engage_sync.sync.alert_channels import CHANNELS, SECONDS, channels, tried
from engage_sync.sync.alert_line import Line
from engage_sync.sync.alerts import STATE

if TYPE_CHECKING:
    from engage_sync.sync.worked import AlertSettings


class AlertStore(Protocol):
    """Where alerts are kept: the class `State`."""

    def alerts(self) -> list[Alert]:
        """Give all."""

    def change_alerts(self, change: Callable[[Sequence[Alert]], Iterable[Alert]]) -> list[Alert]:
        """Change them in one transaction, and give them."""


class Teller:
    """Keeps what fails, and tells of it. Only the process that schedules may `tell`. Not safe to use from two threads.

    `store` may be None while the state cannot be opened, and be set later; `place` names the project in the messages.
    """

    def __init__(
        self,
        store: AlertStore | None,
        place: str,
        settings: AlertSettings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        seconds: float = SECONDS,
    ) -> None:
        self.store = store
        self._place, self._monotonic, self._seconds = place, monotonic, seconds
        self._settings: AlertSettings | None = None
        self._lines: dict[str, Line] = {}
        self._book: list[Alert] = []
        self._alone: dict[str, Alert] = {}
        """What changed while the state was away."""
        self._delivered: set[tuple[str, str]] = set()
        """Delivered and not yet noted."""
        if settings is not None:
            self.configure(settings)

    @property
    def active(self) -> list[Alert]:
        """What fails now, as it was known at the last `tell`."""
        return [alert for alert in self._book if alert.active]

    def configure(self, settings: AlertSettings) -> None:
        """Tell through these channels from now on; one that has changed is tried at once."""
        before = self._settings
        self._settings = settings
        made = channels(settings, self._seconds)
        for kind in self._lines.keys() - made.keys():
            del self._lines[kind]
        for kind, channel in made.items():
            line = self._lines.get(kind)
            if line is None:
                self._lines[kind] = Line(kind, channel, self._place, self._monotonic)
            elif before is None or before[kind] != settings[kind]:  # type: ignore[literal-required]  # the channels are keys
                line.use(channel)

    def tell(self, observed: Sequence[Condition], now: datetime) -> None:
        """Note what begins and ends, and send what is to be told. Returns without waiting for any receiver.

        While the state does not answer, nothing is known but that: only a condition named STATE is told then.
        """
        self._collect()
        self._note(observed, now)
        for kind, line in self._lines.items():
            line.send([one for one in messages(self._book, kind) if (one.key, kind) not in self._delivered])

    def load(self) -> None:
        """Learn what is known already, also from who told before. Raises Unreachable."""
        if self.store is not None:
            self._book = joined(self.store.alerts(), self._alone)

    def hand_over(self) -> None:
        """Keep what was told while the state was away, for the process that tells from now on."""
        self._collect()
        if self._alone or self._delivered:
            self._note(None, None)

    def settle(self, seconds: float) -> bool:
        """Wait for what is under way, for so long at most, and note how it ended; False when something still is, or
        could not be noted: it is sent again by the next process."""
        until = self._monotonic() + seconds
        for line in self._lines.values():
            for attempt in line.attempts:
                if attempt.thread is not None:
                    attempt.thread.join(max(0.0, until - self._monotonic()))
        self._collect()
        self._note(None, None)
        return not self._delivered and not any(line.attempts for line in self._lines.values())

    def _note(self, observed: Sequence[Condition] | None, now: datetime | None) -> None:
        """Bring the stored alerts up to date; None: only with what was delivered."""
        # Which channels there are may not be known yet: then each change is kept for all, and given up later.
        kinds = CHANNELS if self._settings is None else tuple(self._lines)

        def change(stored: Sequence[Alert]) -> list[Alert]:
            rows = told(joined(stored, self._alone), self._delivered)
            return rows if observed is None or now is None else advance(rows, observed, now, kinds)

        try:
            if self.store is None:
                self._without_state(observed, now, kinds)
                return
            stored = self.store.alerts()
            if change(stored) != stored:
                stored = self.store.change_alerts(change)
        except EngageError:
            self._without_state(observed, now, kinds)
            return
        self._book = stored
        self._alone.clear()
        self._delivered.clear()

    def _without_state(self, observed: Sequence[Condition] | None, now: datetime | None, kinds: Sequence[str]) -> None:
        """Go on from memory: nothing but the state's own silence begins, and nothing ends."""
        silence = [condition for condition in observed or () if condition.name == STATE]
        if silence and now is not None:
            own = [alert for alert in self._book if alert.name == STATE]
            self._alone[STATE] = advance(own, silence, now, kinds)[0]
        self._book = told(joined(self._book, self._alone), self._delivered)

    def _collect(self) -> None:
        """See what was delivered."""
        for kind, line in self._lines.items():
            self._delivered |= {(key, kind) for key in line.collect()}


def try_channels(settings: AlertSettings, place: str, seconds: float = SECONDS) -> list[tuple[str, bool]]:
    """Send a message that says it is a test to each channel; give a sentence for each, and whether it went out. Raises
    Mistake where there is no channel."""
    now = datetime.now(UTC)
    sentence = "nothing: this is a test of the alerts\nnothing; alerts of this project arrive here."
    change = Change("test", now, sentence, now, None, CHANNELS)
    found = tried(settings, Message(f"test-{now:%Y%m%d%H%M%S}", now, (change,)), place, seconds)
    if not found:
        what = "no channel is configured: give `alerts.webhook` or `alerts.mail`"
        raise Mistake([Problem(what, "config/engage.yaml")])
    return list(found)
