"""What a child is cut off at stays to be done, whoever along the way kept the error to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from engage_sync.connectors.base import CallKind, Connector
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate, Pause
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.errors import Locked, Stopped
from engage_sync.sync import wiring
from engage_sync.sync.agenda import Batch
from engage_sync.sync.children import Ended
from engage_sync.sync.stint import Working
from engage_sync.sync.wiring import Project as Declared
from engage_sync.sync.wiring import Workspace
from engage_sync.sync.work import work
from tests.sync.in_process import InProcess, Lost
from tests.sync.project import Project
from tests.sync.test_daemon import begin, engage, go_on

LIMIT = "it took longer than 600 s (`time_limit`) and was ended"


class Ending(Gate):
    """Asks for the end, or lets another take over, at the first call of a kind."""

    def __init__(self, kind: CallKind, halt: Halt, error: type[Exception]) -> None:
        super().__init__({})
        self._kind, self._halt, self._error = kind, halt, error

    def enter(self, kind: CallKind, pause: Pause | None = None) -> None:
        if kind is self._kind:
            if self._error is Locked:
                raise Locked("another process has taken over")
            self._halt.stop("ended by SIGTERM")
        super().enter(kind, pause)


class CutOff(InProcess):
    """The runner of children that are cut off."""

    at = CallKind.WRITE
    error: type[Exception] = Stopped

    def _open(self, declared: Declared) -> AbstractContextManager[Workspace]:
        return self._cut(declared)

    @contextmanager
    def _cut(self, declared: Declared) -> Iterator[Workspace]:
        def hardened(connector: Connector, *, halt: Halt, **settings: Any) -> Observed:
            return harden(connector, gate=Ending(self.at, halt, self.error), halt=halt, **settings)

        with super()._open(declared) as workspace:
            yield replace(workspace, hardened=hardened)


@pytest.fixture
def people(project: Project) -> Project:
    engage(project)
    for name in ("ann", "bob"):
        project.tell(*project.person(name, f"{name}@acme.example"))
        project.contact(f"{name}@acme.example")
    return project


@pytest.mark.parametrize(
    ("job", "at", "error", "status", "next_one"),
    [
        ("pull:hubspot", CallKind.SEARCH, Stopped, "stopped", "stopped"),
        ("pull:hubspot", CallKind.READ, Stopped, "stopped", "stopped"),
        ("push:hubspot", CallKind.WRITE, Stopped, "stopped", "stopped"),
        ("push:hubspot", CallKind.WRITE, Locked, "locked", "ok"),
    ],
)
def test_a_job_that_was_cut_off_is_told_as_not_done(
    people: Project, job: str, at: CallKind, error: type[Exception], status: str, next_one: str
) -> None:
    if at is CallKind.SEARCH:
        people.sync()
    elif at is CallKind.WRITE:
        people.plan()
    runner = CutOff(people)
    runner.at, runner.error = at, error
    load = partial(wiring.load_project, people.root)
    worked = work([job, "compact"], load=load, opening=runner._open, clock=people.clock)
    assert [(one["job"], one["status"]) for one in worked["jobs"]] == [(job, status), ("compact", next_one)]

    batch = Batch(((job, (job,)), ("compact", ("compact",))))
    working = Working(Lost(), batch, 0.0, people.clock(), {}, people.root, None, over=LIMIT)
    told = working.told(Ended(worked), people.clock())
    if error is Stopped:  # by its time limit, it has failed
        assert (told[job]["status"], told[job]["exit"], told[job]["message"]) == ("failed", 5, LIMIT)


def test_a_push_that_was_cut_off_is_due_at_once(people: Project) -> None:
    runner = CutOff(people)
    one = begin(runner)
    began = people.clock()
    while not runner.done:
        go_on([one], people, 0.1, 2.0)
    assert [(done["job"], done["status"]) for done in runner.done] == [("sync:hubspot", "stopped")]
    assert one.jobs["push:hubspot"].due < began + timedelta(minutes=1)
    one.close()
    with_all = InProcess(people)
    another = begin(with_all)
    go_on([another], people, 0.5, 5.0)
    another.close()
    assert [(done["job"], done["status"]) for done in with_all.done] == [("sync:hubspot", "ok")]
