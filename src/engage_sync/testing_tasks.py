"""The behaviour of a connector that creates tasks (`limits.tasks`), as a test class for authors of connectors: one task
for each key, whatever happens. Use it through `engage_sync.testing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role, Status
from engage_sync.testing_stage import Fault, Stage, create

DUE = "2026-09-01T09:00:00Z"


class TaskSuite:
    """For a connector that creates tasks. Its stage has `tasks`. Derive it beside `ConnectorSuite`, which gives the
    parameter `fault`."""

    def test_task_is_about_its_record(self, stage: Stage) -> None:
        """And its outcome tells its id."""
        ids = create(stage, 3)
        ends = push_tasks(stage, stage.connector, [task(stage, f"key-{one}", one, f"see {one}") for one in ids])
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert len({end.values["id"] for end in ends.values()}) == 3
        assert [tasks(stage, one) for one in ids] == [[f"see {one}"] for one in ids]

    def test_same_subject_about_two_records_is_two_tasks(self, stage: Stage) -> None:
        """And so are two keys about one record: only the key tells tasks apart."""
        ids = create(stage, 2)
        changes = [task(stage, "a", ids[0]), task(stage, "b", ids[1]), task(stage, "c", ids[1])]
        push_tasks(stage, stage.connector, changes)
        assert [len(tasks(stage, one)) for one in ids] == [1, 2]

    def test_key_pushed_again_creates_no_second_task(self, stage: Stage) -> None:
        """By the same connector, and by another one that is told so; both give the id of the first."""
        (record,) = create(stage, 1)
        first = push_tasks(stage, stage.connector, [task(stage, "once", record)])["once"]
        again = push_tasks(stage, stage.connector, [task(stage, "once", record)])["once"]
        other = stage.connect()
        tried = push_tasks(stage, other, [task(stage, "once", record, tried=True)])["once"]
        other.close()
        assert {first.status, again.status, tried.status} == {Status.WRITTEN}
        assert first.values["id"] == again.values["id"] == tried.values["id"]
        assert len(tasks(stage, record)) == 1

    def test_key_that_was_tried_in_vain_is_created(self, stage: Stage) -> None:
        """Beside other tasks of the record."""
        (record,) = create(stage, 1)
        push_tasks(stage, stage.connector, [task(stage, "k1", record, "first")])
        changes = [task(stage, "k", record, "second", tried=True), task(stage, "k10", record, "third", tried=True)]
        push_tasks(stage, stage.connector, changes)
        assert sorted(tasks(stage, record)) == ["first", "second", "third"]

    def test_push_of_tasks_survives(self, stage: Stage, fault: Fault) -> None:
        """Twice in a row: each task is there, and once."""
        ids = create(stage, 3)
        stage.crm.fail(fault, 2)
        ends = push_tasks(stage, stage.connector, [task(stage, f"key-{one}", one) for one in ids])
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert [len(tasks(stage, one)) for one in ids] == [1, 1, 1]

    def test_task_missing_from_the_answer_is_there_once(self, stage: Stage) -> None:
        """It was created, though nothing says so."""
        ids = create(stage, 2)
        stage.crm.fail(Fault.MISSING_ANSWER, 1)
        ends = push_tasks(stage, stage.connector, [task(stage, f"key-{one}", one) for one in ids])
        assert {end.status for end in ends.values()} == {Status.WRITTEN}
        assert [len(tasks(stage, one)) for one in ids] == [1, 1]

    def test_record_that_is_gone_gets_no_task(self, stage: Stage) -> None:
        """And hinders no other."""
        ids = create(stage, 2)
        stage.crm.delete(ids[0])
        ends = push_tasks(stage, stage.connector, [task(stage, one, one) for one in ids])
        assert [ends[one].status for one in ids] == [Status.GONE, Status.WRITTEN]


def task(stage: Stage, key: str, record: str, subject: str = "call them", *, tried: bool = False) -> Change:
    """Give the change that creates a task about a record of the stage's kind."""
    values = {"subject": subject, "body": "Usage fell.", "object": stage.kind.object, "about": record, "due": DUE}
    return Change(key, {**values, "tried": "true"} if tried else values)


def push_tasks(stage: Stage, connector: Connector, changes: Sequence[Change]) -> dict[str, Outcome]:
    """Push tasks and give the outcome of each key, which must be exactly one."""
    assert stage.connector.limits.tasks is not None, "the connector creates no tasks"
    ends = list(connector.push(Kind(stage.connector.limits.tasks, Role.TASK), changes))
    assert Counter(end.record for end in ends) == Counter(change.record for change in changes)
    return {end.record: end for end in ends}


def tasks(stage: Stage, record: str) -> list[str]:
    """Give the subjects of the tasks about a record."""
    assert stage.tasks is not None, "the stage does not give the tasks of a record"
    return list(stage.tasks(record))
