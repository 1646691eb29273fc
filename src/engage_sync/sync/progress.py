"""What a long run tells while it works. The faces draw it; the shell only calls it."""

from __future__ import annotations

from typing import Protocol

from engage_sync.sync.pull import Pulled


class Progress(Protocol):
    """Hears of each step of a run."""

    def step(self, what: str) -> None:
        """Hear that a step without a count begins, e.g. `computing`."""

    def pulled(self, pulled: Pulled) -> None:
        """Hear the totals after a page."""

    def pushed(self, object_: str, done: int, total: int) -> None:
        """Hear how many records of an object have been answered."""


class _Silent:
    def step(self, what: str) -> None:
        """Say nothing."""

    def pulled(self, pulled: Pulled) -> None:
        """Say nothing."""

    def pushed(self, object_: str, done: int, total: int) -> None:
        """Say nothing."""


SILENT: Progress = _Silent()
