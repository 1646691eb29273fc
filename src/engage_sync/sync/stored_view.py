"""What a process shows of a project that it only looks at: the newest snapshot, the daemon's jobs and alerts, and who
holds its lease, all as the state has them. It schedules nothing, asks no CRM, and changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock

from engage_sync.config.project import Project
from engage_sync.core.overview import DaemonView
from engage_sync.errors import EngageError
from engage_sync.state.jobs import DAEMON
from engage_sync.state.store import State
from engage_sync.sync.shown import shown_alerts, shown_jobs, shown_lease, stored


class StoredView:
    """Gives the view at each call, from any thread. The state is opened when it is first asked, and again after it did
    not answer: a database that is away, not made yet or replaced is no more than a reason not to be ready yet."""

    def __init__(self, project: Project, *, started_at: datetime, version: str) -> None:
        self._project, self._started_at, self._version = project, started_at, version
        self._lock = Lock()
        self._state: State | None = None

    def __call__(self) -> DaemonView:
        """Look, or say why that cannot be."""
        with self._lock:
            try:
                return self._seen(self._opened())
            except EngageError as error:
                self._let_go()
                return DaemonView(
                    *(None, False, None, [], [], self._started_at, self._version),
                    ready=False,
                    why_not_ready=[str(error)],
                )

    def close(self) -> None:
        """Let go of the state."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            state.close()

    def _opened(self) -> State:
        if self._state is None:
            key_file = self._project.root / "var" / "memory.key"
            self._state = State.look(self._project.database_url(), key_file=key_file)
        return self._state

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
