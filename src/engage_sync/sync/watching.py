"""What a daemon shows of itself: to people, through alerts on what begins to fail and what has recovered; and to the
HTTP faces, which a thread of their own serves. Only the daemon that schedules tells, of what it knows anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path

from engage_sync.core.overview import DaemonView, Snapshot
from engage_sync.sync.alerts import Sight, Volume, keep_volumes, observe
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.post import Post
from engage_sync.sync.shown import shown_alerts, shown_jobs, shown_lease, stored
from engage_sync.sync.teller import Teller

EVERY = 10.0
"""Seconds between two looks where nothing happens: an alert that somebody waits for is not later than this."""
JUMP = 60.0
"""Seconds that the clock may be ahead of, or behind, the time that has passed since the last look; more is a jump."""
STARTING = "the configuration has not been read yet"


class Watching:
    """The observer of one daemon. `view` may be called from any thread."""

    def __init__(self, root: Path, started_at: datetime, *, ticks: Callable[[], float]) -> None:
        self.teller = Teller(None, root.name or str(root), monotonic=ticks)
        self._ticks = ticks
        self._next = 0.0
        self._version = -1
        self._configured: object = None
        self._volumes: dict[str, Volume] = {}
        self._counted: Snapshot | None = None
        self._silent: tuple[datetime, str] | None = None
        self._since: datetime | None = None
        self._looked: tuple[datetime, float] | None = None
        self._post: Post | None = None
        self._view = DaemonView(None, False, None, [], [], started_at, _version(), False, [STARTING])

    def view(self) -> DaemonView:
        """Give the newest view; of who schedules only what must still be so, however long ago that was looked at."""
        view, post = self._view, self._post
        if post is None or self._ticks() < post.until:
            return view
        return replace(view, leader=False, lease=None)

    def settle(self, seconds: float) -> None:
        """Let messages that are under way go out, for so long at most."""
        self.teller.settle(seconds)

    def __call__(self, daemon: Daemon, now: datetime) -> None:
        """Look at the daemon after a tick. Raises Unreachable."""
        self._heed_jumps(now)
        silent = self._silent is not None
        self._silent = None if daemon.trouble is None else (*(self._silent or (now, ""))[:1], daemon.trouble)
        happened = daemon.changes != self._version or silent != (self._silent is not None)
        if not happened and self._ticks() < self._next:
            return
        self._version, self._next = daemon.changes, self._ticks() + EVERY
        # While the state does not answer it is not asked here, too: that may take long.
        self.teller.store = daemon.state if self._silent is None else None
        if daemon.led or (self._silent is not None and daemon.state is None):
            self._since = self._since or now
            self._tell(daemon, now)
        else:
            self._since = None
            self.teller.hand_over()
        self._view, self._post = self._seen(daemon), daemon.post

    def _heed_jumps(self, now: datetime) -> None:
        """Begin to watch anew where the clock was set, or the machine slept: nothing is late before it had the time to
        be done, nor waits for a time that was put back."""
        before, self._looked = self._looked, (now, self._ticks())
        if before is None:
            return
        ahead = (now - before[0]).total_seconds() - (self._looked[1] - before[1])
        if abs(ahead) > JUMP:
            self._since = None if self._since is None else now
            self._silent = None if self._silent is None else (now, self._silent[1])

    def _tell(self, daemon: Daemon, now: datetime) -> None:
        settings = daemon.settings
        if settings is None:
            return
        if self._configured != settings["alerts"]:
            self.teller.configure(settings["alerts"])
            self._configured = settings["alerts"]
        self.teller.load()
        snapshot = None if daemon.last is None else daemon.last["snapshot"]
        if snapshot is not None and snapshot is not self._counted and daemon.state is not None and not self._silent:
            self._volumes, self._counted = keep_volumes(daemon.state, snapshot, now), snapshot
        sight = Sight(
            watching_since=self._since or now,
            jobs=list(daemon.jobs.values()),
            snapshot=snapshot,
            problems=daemon.configuration.problems,
            silent=self._silent,
            volumes=self._volumes,
            active=self.teller.active,
        )
        self.teller.tell(observe(sight, timedelta(seconds=settings["alerts"]["missed"]), now), now)

    def _seen(self, daemon: Daemon) -> DaemonView:
        snapshot = None if daemon.last is None else daemon.last["snapshot"]
        alerts = self.teller.active
        if not daemon.led and daemon.state is not None and daemon.trouble is None:
            snapshot = stored(daemon.state) or snapshot
            alerts = daemon.state.alerts()
        why = [STARTING] if daemon.settings is None else []
        why += [] if daemon.trouble is None else [daemon.trouble]
        return replace(
            self._view,
            snapshot=snapshot,
            leader=daemon.leads,
            lease=shown_lease(daemon.post.holder),
            jobs=shown_jobs(daemon.jobs.values()),
            alerts=shown_alerts(alerts),
            ready=not why,
            why_not_ready=why,
        )


@cache
def _version() -> str:
    return version("engage-sync")
