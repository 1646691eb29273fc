"""The log of calls a sandbox has answered, for tests and benches that count them. Keeps no body and no token."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Answered:
    """One call. `at` is on the sandbox's monotonic clock; `status` is None when no answer was sent."""

    at: float
    method: str
    path: str
    kind: str
    status: int | None
    fault: str | None


class Calls:
    """All calls in order (the newest 100,000), and their numbers by kind and by status since the last `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Answered] = deque(maxlen=KEPT)
        self._kinds: Counter[str] = Counter()
        self._statuses: Counter[int | None] = Counter()

    def note(self, answered: Answered) -> None:
        """Add one call."""
        with self._lock:
            self._kept.append(answered)
            self._kinds[answered.kind] += 1
            self._statuses[answered.status] += 1

    def clear(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._kept.clear()
            self._kinds.clear()
            self._statuses.clear()

    def all(self) -> list[Answered]:
        """Give the calls kept, oldest first."""
        with self._lock:
            return list(self._kept)

    def count(self, kind: str | None = None) -> int:
        """Count the calls of one kind (`read`, `search`, `write`, `login`), or all."""
        with self._lock:
            return self._kinds.total() if kind is None else self._kinds[kind]

    def statuses(self) -> dict[int | None, int]:
        """Count the calls by HTTP status; None stands for no answer."""
        with self._lock:
            return dict(self._statuses)
