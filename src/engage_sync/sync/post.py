"""The post of the daemon that schedules and tells: the lease `daemon`, taken when it is free, renewed in time, given up
at the end. Who does not have it stands by.

It is renewed only while the daemon looks after it, so that one that hangs loses it; but in a thread, so that a database
that is slow to answer, as SQLite is while a child writes, does not hold the daemon up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from engage_sync.errors import Locked, Unreachable
from engage_sync.state.jobs import DAEMON
from engage_sync.state.keeper import RENEWALS, Keeper
from engage_sync.state.leases import Lease
from engage_sync.state.store import State
from engage_sync.sync.worked import Settings

HOLDER = "engage-sync daemon"
PATIENCE = 0.2
"""Seconds that a renewal is waited for at once."""


def open_state(settings: Settings, root: Path) -> State:
    """Open a project's state. Raises Unreachable, too, while an older version writes in what is to be upgraded."""
    try:
        return State.open(settings["database"], key_file=root / "var" / "memory.key")
    except Locked as error:
        raise Unreachable(str(error)) from error


class Post:
    """One daemon's claim. `holder` is who has it, as far as known, and cannot have lost it before `until` (seconds of
    the daemon's clock): nothing is known of later."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._asked_again = 0.0
        self._kept: Keeper | None = None
        self._renewal: _Renewal | None = None
        self.holder: Lease | None = None
        self.until = 0.0

    @property
    def lease(self) -> Lease | None:
        """The lease of this daemon, None while it stands by."""
        return None if self._kept is None else self._kept.lease

    def tend(self, state: State, seconds: float) -> bool:
        """Take the lease for so long, or renew it, when it is time for that. False while an answer is waited for.
        Raises Unreachable."""
        now = asked = self._ticks()
        if now < self._asked_again:
            return True
        if self._kept is not None:
            self._kept.seconds = seconds
            self._renewal = self._renewal or _Renewal(self._kept, now)
            if not self._renewal.ended():
                if self._kept.late:
                    raise Unreachable(f"the state database has not answered for more than {seconds:g} s")
                return False
            renewal, self._renewal = self._renewal, None
            asked = renewal.asked
            if renewal.error is not None:
                raise renewal.error
            if not renewal.held:
                self._kept = self.holder = None
        if self._kept is None:
            asked = now
            self._take(state, seconds)
        if self.holder is not None:
            self.until = asked + (self.holder.left if self.lease is None else seconds)
        self._asked_again = now + seconds / RENEWALS
        return True

    def leave(self) -> None:
        """Give it up. Raises Unreachable."""
        kept = self._kept
        self.lost()
        if kept is not None:
            kept.release()

    def lost(self) -> None:
        """Stand by from now on: another has taken it; where that is not known yet, it is still to be asked who."""
        if self.holder is self.lease:
            self.holder = None
        self._kept, self._renewal, self._asked_again = None, None, 0.0

    def _take(self, state: State, seconds: float) -> None:
        try:
            self._kept = state.keep_lease(DAEMON, HOLDER, seconds)
            self.holder = self._kept.lease
        except Locked:
            self.holder = next((one for one in state.leases() if one.name == DAEMON), None)


class _Renewal:
    """One renewal under way, since `asked` (seconds of the daemon's clock). `held` tells how it ended, or `error` why
    nobody knows."""

    def __init__(self, kept: Keeper, asked: float) -> None:
        self._kept, self.asked = kept, asked
        self.held = True
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._ask, name=f"lease {kept.lease.name}", daemon=True)
        self._thread.start()

    def ended(self) -> bool:
        """Wait a little, and tell whether it has ended."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def _ask(self) -> None:
        try:
            self.held = self._kept.ask()
        except Exception as error:  # noqa: BLE001  raised by who waits for it
            self.error = error
