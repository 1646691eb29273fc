"""Creating Salesforce tasks, each once, 200 a call by sObject Collections (crm-apis §B5).

Creating is not idempotent and no field of a task is unique, so the key stands in the task's text, and a task that may
exist already is looked for before it is created: one that was tried by an earlier process, and one that this instance
sent without an answer. First tries cost no look-up. It never changes a task and never waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engage_sync.connectors.base import Change, Outcome, Status
from engage_sync.connectors.salesforce_collections import BATCH, Collection
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_rows import TASK, Fate, Said, fate, in_order, sentence
from engage_sync.connectors.salesforce_task_find import Shapes, existing, places
from engage_sync.connectors.salesforce_task_rows import GONE_WORDS, Task, astray, lacking, read, unsure
from engage_sync.errors import LoginFailed


class Tasks:
    """The tasks of one org. `shapes` describes an object. Keeps which keys were sent without a complete answer."""

    def __init__(self, http: Transport, shapes: Shapes) -> None:
        self._http, self._shapes = http, shapes
        self._unsure: set[str] = set()

    def push(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Create any number of tasks and give one outcome for each change; a key that comes twice is sent once.

        Raises AccessRefused, with the permission in its words, where the integration user lacks one for tasks: they
        can be created once it is given. Else as any call does. What was answered before stands.
        """
        times = Counter(change.record for change in changes)
        tasks: list[Task] = []
        for change in {change.record: change for change in changes}.values():
            made = read(change)
            if isinstance(made, Task):
                tasks.append(made)
            else:
                yield from [made] * times[made.record]
        for start in range(0, len(tasks), BATCH):
            for outcome in self._batch(tasks[start : start + BATCH]):
                yield from [outcome] * times[outcome.record]

    def _batch(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Find the records that the tasks are about, then the tasks that are there already, and create the others."""
        found = places(self._http, self._shapes, [task.about for task in tasks])
        placed = [replace(task, place=found.get(task.about)) for task in tasks]
        yield from (task.ended(Status.GONE, None, GONE_WORDS) for task in placed if task.place is None)
        yield from self._found_or_created([task for task in placed if task.place is not None])

    def _found_or_created(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        doubtful = [task for task in tasks if task.tried or task.key in self._unsure]
        try:
            known = existing(self._http, doubtful) if doubtful else {}
        except (CallRefused, AccessRefused) as refused:
            if (lack := lacking(refused.troubles)) is None:
                raise
            raise lack from refused
        for task in doubtful:
            if task.key in known:
                self._unsure.discard(task.key)
                yield task.ended(Status.WRITTEN, record=known[task.key])
        yield from self._created([task for task in tasks if task.key not in known])

    def _created(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Create tasks that are not there. One that is refused for a field it can do without is sent again without."""
        again: list[Task] = []
        lost: list[tuple[Task, Said]] = []
        lack: AccessRefused | None = None
        for task, said in self._sent(tasks):
            if said.written:
                yield task.ended(Status.WRITTEN, record=said.record)
            elif fate(said.troubles) is Fate.LATER:
                yield task.ended(Status.FAILED, said.troubles[0].code, sentence(said.troubles, TASK))
            elif (spared := task.spared(said.troubles)) is not None:
                again.append(spared)
            elif (found := lacking(said.troubles)) is not None:
                lack = lack or found
            elif astray(said.troubles):
                lost.append((task, said))
            else:
                yield _refused(task, said)
        if again:
            yield from self._created(again)
        if lost:
            yield from self._followed(lost)
        if lack is not None:
            raise lack

    def _followed(self, lost: Sequence[tuple[Task, Said]]) -> Iterator[Outcome]:
        """Look again for the records of refused tasks: what is gone by now is told, what has moved is followed."""
        found = places(self._http, self._shapes, [task.about for task, _ in lost])
        moved: list[Task] = []
        for task, said in lost:
            place = found.get(task.about)
            if place is None:
                yield replace(task, place=None).ended(Status.GONE, said.troubles[0].code, GONE_WORDS)
            elif task.place is None or place.record == task.place.record:
                yield _refused(task, said)
            else:
                moved.append(replace(task, place=place))
        if moved:
            yield from self._created(moved)

    def _sent(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, Said]]:
        """Send tasks and give what was said of each, keeping the keys of those of which nothing sure was said."""
        calls: Collection[Task] = Collection(
            self._http, "POST", lambda task: task.row(), lambda rows, answer: in_order(len(rows), answer)
        )
        left = {task.key: task for task in tasks}
        self._unsure.update(left)
        try:
            for told in calls.send(tasks):
                for task, said in told:
                    del left[task.key]
                    if not unsure(said):
                        self._unsure.discard(task.key)
                    yield task, said
        except (CallRefused, LoginFailed) as refused:
            self._unsure.difference_update(left)  # the call was refused: nothing of it happened
            troubles = refused.troubles if isinstance(refused, CallRefused | AccessRefused) else ()
            if (lack := lacking(troubles)) is None:
                raise
            raise lack from refused


def _refused(task: Task, said: Said) -> Outcome:
    return task.ended(Status.REFUSED, said.troubles[0].code, sentence(said.troubles, TASK))
