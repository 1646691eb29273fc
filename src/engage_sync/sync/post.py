"""The post of the daemon that schedules and tells: the lease `daemon`, taken when it is free, renewed in time, given up
at the end. Who does not have it stands by."""

from __future__ import annotations

from collections.abc import Callable

from engage_sync.errors import Locked
from engage_sync.state.jobs import DAEMON
from engage_sync.state.leases import Lease
from engage_sync.state.store import State

HOLDER = "engage-sync daemon"
RENEWALS = 3
"""Renewals, or tries to take it, in the length of a lease."""


class Post:
    """One daemon's claim. `lease` is its own, None while it stands by; `holder` is who has it, as far as known, and has
    had no time to lose it before `until` (seconds of the monotonic clock): nothing is known of later."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._asked_again = 0.0
        self.lease: Lease | None = None
        self.holder: Lease | None = None
        self.until = 0.0

    def tend(self, state: State, seconds: float) -> None:
        """Take the lease for so long, or renew it, when it is time for that. Raises Unreachable."""
        now = self._ticks()
        if now < self._asked_again:
            return
        if self.lease is not None and not state.renew_lease(self.lease, seconds):
            self.lease = None
        if self.lease is None:
            self._take(state, seconds)
        if self.holder is not None:
            self.until = now + (self.holder.left if self.lease is None else seconds)
        self._asked_again = now + seconds / RENEWALS

    def leave(self, state: State) -> None:
        """Give it up. Raises Unreachable."""
        if self.lease is not None:
            state.release_lease(self.lease)
        self.lost()

    def lost(self) -> None:
        """Stand by from now on: another has taken it; where that is not known yet, it is still to be asked who."""
        if self.holder is self.lease:
            self.holder = None
        self.lease, self._asked_again = None, 0.0

    def _take(self, state: State, seconds: float) -> None:
        try:
            self.lease = self.holder = state.take_lease(DAEMON, HOLDER, seconds)
        except Locked:
            self.holder = next((one for one in state.leases() if one.name == DAEMON), None)
