"""The turnstile that counts: every HTTP call of a connector by kind, and how it ended. It lets calls pass to the gate
behind it, unless the process must end, which also ends every pause there; it decides nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from threading import Lock

from engage_sync.connectors.base import CallKind, Quota, Turnstile
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate


class Counting(Turnstile):
    """Counts the calls that pass on to the gate. `ended` counts them by kind and outcome, as `ended_as` names
    it."""

    def __init__(self, gate: Gate, halt: Halt, sleep: Callable[[float], None] = time.sleep) -> None:
        self._gate, self._halt, self._sleep, self._lock = gate, halt, sleep, Lock()
        self.calls: Counter[CallKind] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()

    def enter(self, kind: CallKind) -> None:
        """Let a call pass, or raise what the process must end for."""
        writing = kind is CallKind.WRITE
        self._halt.check(writing=writing)
        self._gate.enter(kind, self._halt.pause)
        if writing:
            try:
                self._halt.check(writing=True)  # it may have waited long for its turn
            except BaseException:
                self._gate.leave(kind, status=None)
                raise
        with self._lock:
            self.calls[kind] += 1

    def pause(self, seconds: float) -> None:
        """Wait, or raise what the process must end for."""
        self._halt.pause(seconds, self._sleep)

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        """Count how a call ended."""
        self._gate.leave(kind, status=status, quota=quota, pause=pause)
        with self._lock:
            self.ended[kind.value, ended_as(status, quota, pause)] += 1


def ended_as(status: int | None, quota: Quota | None = None, pause: float | None = None) -> str:
    """Name how a call ended, from what it told when it left: ok, throttled (a limit of the CRM's), refused, unavailable
    or unanswered."""
    if status is None:
        return "unanswered"
    if status < 400:
        return "ok"
    if status == 429 or pause is not None or (quota is not None and quota.closed is not None):
        return "throttled"
    return "unavailable" if status >= 500 or status == 408 else "refused"
