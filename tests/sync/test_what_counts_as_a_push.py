"""What `status` takes for a connector's last push, and what is no run at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.errors import Mistake
from engage_sync.sync import cycle
from engage_sync.sync.rollback import Confirm, Undone, rollback
from engage_sync.sync.status import ConnectorAnswer, status_json
from engage_sync.sync.views import RunAnswer, runs_json
from tests.sync.project import Project
from tests.sync.project import project as begin


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[Project]:
    """A project whose first run wrote to one contact."""
    with begin(tmp_path) as made:
        made.contact("ann@a.example")
        made.tell(made.identify("ann", email="ann@a.example"))
        made.sync()
        yield made


def undo(made: Project, confirm: Confirm) -> Undone:
    with made.open() as workspace:
        return rollback(workspace, 1, clock=made.clock, confirm=confirm)


def answers(made: Project) -> tuple[ConnectorAnswer, RunAnswer]:
    with made.open() as workspace:
        return status_json(workspace, made.clock())["connectors"]["hubspot"], runs_json(workspace, 1)[0]


def test_a_rollback_that_was_only_shown_is_none(synced: Project) -> None:
    before, _ = answers(synced)
    done = undo(synced, lambda _: False)
    status, newest = answers(synced)
    assert (done.restored, done.report.writes) == (0, 0)
    assert (newest["undone"], newest["only_shown"], newest["status"]) == (1, True, "ok")
    assert (status["last_push"], status["records"]) == (before["last_push"], before["records"])


def test_a_rollback_is_one(synced: Project) -> None:
    synced.clock.advance(60)
    done = undo(synced, lambda _: True)
    status, newest = answers(synced)
    assert (done.report.writes, newest["only_shown"]) == (1, False)
    assert status["last_push"] == newest["started_at"]


def test_ctrl_c_at_the_question_ends_the_run(synced: Project) -> None:
    def interrupt(_: object) -> bool:
        raise KeyboardInterrupt

    before, _ = answers(synced)
    with pytest.raises(KeyboardInterrupt):
        undo(synced, interrupt)
    status, newest = answers(synced)
    assert (newest["status"], newest["exit"], newest["errors"]) == ("failed", 130, {"run": "interrupted"})
    assert status["last_push"] == before["last_push"]


def test_a_mistyped_connector_is_no_run(synced: Project) -> None:
    before, newest = answers(synced)
    with synced.open() as workspace:
        for command in (cycle.plan, cycle.sync):
            with pytest.raises(Mistake, match="no connector named 'hubspott'"):
                command(workspace, "hubspott", synced.clock(), clock=synced.clock)
    assert answers(synced) == (before, newest)
