"""The daemon's children as calls in this process, on a clock that moves only when told: the work is real, the processes
are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from engage_sync.sync import wiring
from engage_sync.sync.children import Child, Ended
from engage_sync.sync.wiring import Project as Declared
from engage_sync.sync.wiring import Workspace
from engage_sync.sync.work import work
from engage_sync.sync.worked import JobDone
from tests.sync.project import Project


@dataclass(frozen=True)
class Done:
    """A child that has ended."""

    result: Ended

    def ended(self) -> Ended:
        return self.result

    def stop(self) -> None:
        """It has ended."""


@dataclass
class Lost:
    """A child that never ends by itself; asked to, it is gone without a word."""

    stopped: bool = False

    def ended(self) -> Ended | None:
        return Ended(None, "the child ended with signal SIGTERM and no answer") if self.stopped else None

    def stop(self) -> None:
        self.stopped = True


@dataclass
class InProcess:
    """The runner. `done` lists what was worked, `begun` every child that was started; `instead`, while it is set, gives
    other children."""

    project: Project
    done: list[JobDone] = field(default_factory=list)
    begun: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)
    instead: Callable[[], Child] | None = None

    def start(self, jobs: Sequence[str], files: Path) -> Child:
        if jobs:
            self.begun.append((self.project.clock(), tuple(jobs)))
            if self.instead is not None:
                return self.instead()
        load = partial(wiring.load_project, self.project.root, files=files)
        worked = work(jobs, load=load, opening=self._open, clock=self.project.clock, files=files)
        self.done += worked["jobs"]
        return Done(Ended(worked))

    def _open(self, declared: Declared) -> AbstractContextManager[Workspace]:
        return wiring.open_project(declared, hardened=self.project.hardened)
