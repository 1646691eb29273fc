"""Calls that fail all through a run: what was not confirmed does not count as written, and the next run does it."""

from __future__ import annotations

import pytest

from engage_sync.sandbox.faults import FAULTS, Fault
from tests.sync.project import Project

LASTING = [name for name in FAULTS if not name.startswith("hang")]
HARMLESS = ("shuffled",)
EXITS = {"missing_scopes": 6, "invalid_token": 6, "expired_token": 6}


@pytest.fixture
def used(project: Project) -> tuple[Project, str]:
    """A contact that was written long ago, and a user who has done something since."""
    record = project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.sync()
    project.clock.advance(3_600)
    project.sync()
    project.clock.advance(3_600)
    project.tell(project.track("ann", "report_run"))
    return project, record


@pytest.mark.parametrize("fault", LASTING)
def test_a_write_that_fails_is_done_by_the_next_run(used: tuple[Project, str], fault: str) -> None:
    project, record = used
    project.crm.faults.add(Fault(fault, kind="write", times=None, seconds=1))
    report = project.sync()
    buckets = project.buckets(report)
    assert sum(buckets.values()) == 1
    assert (report.exit == 0) == (buckets == {"written": 1})
    assert report.exit in {0, 1, 5, 6, 7}
    assert report.exit == EXITS.get(fault, report.exit)
    if report.exit == 0:
        assert project.values(record)["engage_reports"] == "1"
    project.crm.faults.clear()
    mended = project.sync(after=86_400)
    assert mended.exit == 0
    assert project.values(record)["engage_reports"] == "1"
    assert project.values(record)["engage_user_type"] == "power"
    assert project.sync(after=0).writes == 0
    with project.open() as workspace:
        assert workspace.state.failures().is_empty()


@pytest.mark.parametrize("fault", LASTING)
def test_a_pull_that_fails_changes_nothing(used: tuple[Project, str], fault: str) -> None:
    project, record = used
    project.crm.store.update("contacts", record, {"jobtitle": "Head of Sales"})
    before = project.values(record)
    project.crm.faults.add(Fault(fault, kind="search", times=None, seconds=1))
    report = project.sync()
    if fault not in HARMLESS and report.exit != 0:
        assert (report.writes, project.values(record)) == (0, before)
    project.crm.faults.clear()
    assert project.sync().exit == 0
    assert project.values(record)["engage_user_types"] == "active;influencer;power"
    assert project.sync(after=0).writes == 0
