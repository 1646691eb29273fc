"""What a process shows of a project that it only looks at: the newest snapshot, the daemon's jobs and alerts, and who
holds its lease, all as the state has them. It schedules nothing, asks no CRM, and changes nothing.
"""

from __future__ import annotations

import time
from datetime import datetime
from threading import Event, Lock, Thread

from engage_sync.config.project import Project
from engage_sync.core.overview import DaemonView
from engage_sync.errors import EngageError
from engage_sync.state.jobs import DAEMON
from engage_sync.state.store import State
from engage_sync.sync.shown import shown_alerts, shown_jobs, shown_lease, stored

LONGEST = 3.0
"""Seconds that a look may take: who asks hears after so long that the database does not answer. A scraper waits 10."""
GIVEN_UP = 15.0
"""Seconds after which a look is left to itself and another one begun, over a connection of its own: after a failover
the old one may be silent for hours."""
LEFT = 8
"""Looks that may be left so at a time."""


class StoredView:
    """Gives the view at each call, from any thread. The state is opened when it is first asked, and again after it did
    not answer: a database that is away, not made yet or replaced is no more than a reason not to be ready yet.

    One thread looks at a time, and who asks meanwhile waits for the same look: behind a database that hangs nobody
    waits longer than `longest` seconds since the look began.
    """

    def __init__(
        self,
        project: Project,
        *,
        started_at: datetime,
        version: str,
        longest: float = LONGEST,
        given_up: float = GIVEN_UP,
    ) -> None:
        self._project, self._started_at, self._version = project, started_at, version
        self._longest = longest
        self._lock = Lock()
        self._given_up = given_up
        self._look: _Look | None = None
        self._left: list[_Look] = []
        self._state: State | None = None

    def __call__(self) -> DaemonView:
        """Look, or say why that cannot be."""
        with self._lock:
            self._give_up()
            if self._look is None or self._look.over.is_set():
                self._look = _Look()
                Thread(target=self._see, args=(self._look,), name="look", daemon=True).start()
            look = self._look
        if not look.over.wait(look.begun + self._longest - time.monotonic()):
            return self._not_ready(f"the state database has not answered for more than {self._longest:g} s")
        if look.found is None:
            raise look.bug or AssertionError
        return look.found

    def close(self) -> None:
        """Let go of the state; a look that hangs is left to the end of the process."""
        with self._lock:
            look = self._look
        done = look is None or look.over.wait(look.begun + self._longest - time.monotonic())
        if done and (state := self._state) is not None:
            self._close(state)

    def _give_up(self) -> None:
        """Leave a look that hangs to itself, with the state that it goes through."""
        self._left = [one for one in self._left if not one.over.is_set()]
        look = self._look
        if look is None or look.over.is_set() or len(self._left) >= LEFT:
            return
        if time.monotonic() - look.begun > self._given_up:
            self._left.append(look)
            self._look = self._state = None

    def _see(self, look: _Look) -> None:
        state: State | None = None
        try:
            state = self._opened(look)
            look.found = self._seen(state)
        except EngageError as error:
            if state is not None:
                self._close(state)
            look.found = self._not_ready(str(error))
        except Exception as bug:  # noqa: BLE001  raised by who waits for it
            look.bug = bug
        finally:
            with self._lock:
                left = self._look is not look
            if left and state is not None:
                state.close()
            look.over.set()

    def _not_ready(self, why: str) -> DaemonView:
        return DaemonView(
            *(None, False, None, [], [], self._started_at, self._version), ready=False, why_not_ready=[why]
        )

    def _close(self, state: State) -> None:
        with self._lock:
            if self._state is state:
                self._state = None
        state.close()

    def _opened(self, look: _Look) -> State:
        """Give the state, and keep it for the next look, unless this one was left meanwhile."""
        if self._state is not None:
            return self._state
        key_file = self._project.root / "var" / "memory.key"
        state = State.look(self._project.database_url(), key_file=key_file)
        with self._lock:
            if self._look is look:
                self._state = state
        return state

    def _seen(self, state: State) -> DaemonView:
        return DaemonView(
            snapshot=stored(state),
            leader=False,
            lease=shown_lease(next((one for one in state.leases() if one.name == DAEMON), None)),
            jobs=shown_jobs(state.jobs()),
            alerts=shown_alerts(state.alerts()),
            started_at=self._started_at,
            version=self._version,
            ready=True,
            why_not_ready=[],
        )


class _Look:
    """One look under way, since `begun` (of the monotonic clock), and what it `found` once it is `over`, or the `bug`
    that ended it."""

    def __init__(self) -> None:
        self.begun, self.over = time.monotonic(), Event()
        self.found: DaemonView | None = None
        self.bug: Exception | None = None
