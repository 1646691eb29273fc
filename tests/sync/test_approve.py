"""`approve RUN`: a held run goes on at its own instant, for what it was held for and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.errors import Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sync import approval, cycle, views
from engage_sync.sync.cycle import Report
from engage_sync.sync.rollback import rollback
from tests.sync.project import OPEN_BRAKES, Project, project
from tests.sync.two_crms import both

PEOPLE = 10
TIGHT = "{max_event_age: 24h, max_change_share: 0.3, max_clear_share: 0.1, min_records: 10}"


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Project]:
    """Ten linked users, written once by run 1."""
    with project(tmp_path, brakes=TIGHT) as made:
        begin(made)
        yield made


def begin(made: Project) -> None:
    for number in range(PEOPLE):
        made.contact(f"user{number}@a.example")
    made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE)])
    assert made.sync().exit == 0


def use(made: Project, *users: int) -> None:
    made.tell(*[made.track(f"user{number}") for number in users])


def approve(made: Project, run: int) -> Report:
    with made.open() as workspace:
        return approval.approve(workspace, run, clock=made.clock)


def refusal(made: Project, run: int) -> str:
    """Give the sentence with which approving is refused, and check that no run came of it."""
    with made.open() as workspace:
        before = workspace.state.runs(1)[0].id
        with pytest.raises(Mistake) as refused:
            approval.approve(workspace, run, clock=made.clock)
        assert workspace.state.runs(1)[0].id == before
    return str(refused.value)


def test_approved_goes_on_at_the_same_instant_without_a_pull(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    assert (held.exit, crowd.buckets(held)) == (3, {"held": 4, "unchanged": 6})
    crowd.clock.advance(3_600)
    crowd.crm.calls.clear()
    report = approve(crowd, held.run)
    assert (report.exit, report.status, report.as_of, report.approved) == (0, "ok", held.as_of, held.run)
    assert crowd.buckets(report) == {"written": 4, "unchanged": 6}
    assert crowd.crm.calls.count("search") == 0
    with crowd.open() as workspace:
        runs = {run["run"]: run for run in views.runs_json(workspace, 9)}
        status = views.status_json(workspace, crowd.clock())
    assert (runs[held.run]["approved_by"], runs[report.run]["approved"]) == (report.run, held.run)
    assert (runs[report.run]["approved_by"], runs[held.run]["approved"]) == (None, None)
    assert (status["held"], status["connectors"]["hubspot"]["last_push"]) == (None, runs[report.run]["started_at"])
    assert crowd.sync().exit == 0


def test_what_waits_is_shown_until_it_is_approved(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    with crowd.open() as workspace:
        waiting = views.status_json(workspace, crowd.clock())["held"]
        kept = views.run_with_journal(workspace, held.run)
    assert waiting is not None
    assert (waiting["run"], waiting["held"]) == (held.run, list(held.held))
    (hold,) = waiting["holds"]
    ids = crowd.crm.store.ids("contacts")[:4]
    assert (hold["kind"], hold["connector"], hold["object"]) == ("change_share", "hubspot", "contacts")
    assert (hold["count"], hold["records"], hold["share"]) == (4, ids, 0.4)
    assert kept["holds"] == [hold] == views.report_json(held)["holds"]  # type: ignore[index]
    assert {line["record"] for line in kept["held_changes"]} == set(ids)
    assert f"`engage-sync approve {held.run}`" in held.held[0]


def test_what_cannot_be_approved_is_told(crowd: Project) -> None:
    assert refusal(crowd, 7) == "there is no run 7; the newest is run 1"
    assert refusal(crowd, 1) == "run 1 was not held (it ended ok), so nothing of it waits"
    use(crowd, *range(4))
    held, again = crowd.sync(), crowd.sync()
    assert (held.run, again.run) == (2, 3)
    assert "run 2 was overtaken by run 3" in (told := refusal(crowd, 2))
    assert "`engage-sync approve 3`" in told
    assert approve(crowd, 3).run == 4
    assert refusal(crowd, 3) == "run 3 was approved already: run 4 went on with it, and nothing of it waits"


def test_a_newer_run_that_went_overtakes(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    crowd.clock.advance(60)
    with crowd.open() as workspace:
        cycle.recompute(workspace, crowd.clock(), clock=crowd.clock)
    assert "overtaken by run 3 (compute" in refusal(crowd, held.run)
    assert crowd.sync().exit == 3


def test_a_held_plan_can_be_approved(crowd: Project) -> None:
    use(crowd, *range(4))
    crowd.clock.advance(60)
    planned = crowd.plan()
    assert planned.exit == 3
    with crowd.open() as workspace:
        waiting = views.status_json(workspace, crowd.clock())["held"]
    assert waiting is not None
    assert waiting["run"] == planned.run
    report = approve(crowd, planned.run)
    assert (report.exit, report.as_of, crowd.buckets(report)) == (0, planned.as_of, {"written": 4, "unchanged": 6})


def test_a_share_that_has_grown_is_held_again(crowd: Project) -> None:
    use(crowd, *range(5))
    held = crowd.sync()
    crowd.clock.advance(-1)
    use(crowd, 5)
    crowd.clock.advance(1)
    again = approve(crowd, held.run)
    assert (again.exit, again.approved, crowd.buckets(again)["held"]) == (3, held.run, 6)
    assert "overtaken by run 3" in refusal(crowd, held.run)
    assert approve(crowd, again.run).exit == 0


def test_another_brake_still_holds(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    crowd.clock.advance(-1)
    crowd.tell(*[crowd.identify(f"user{number}", deactivatedAt=crowd.at()) for number in (8, 9)])
    crowd.clock.advance(1)
    again = approve(crowd, held.run)
    assert [hold.kind.value for hold in again.holds] == ["change_share", "clear_share"]
    assert crowd.crm.store.values("contacts", crowd.crm.store.ids("contacts")[0])["engage_user_types"] == "zombie"


def test_a_crm_that_was_not_reached_can_be_approved_again(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    crowd.crm.faults.add(Fault("unavailable", kind="write", times=None))
    failed = approve(crowd, held.run)
    assert failed.exit == 5
    crowd.crm.faults.clear()
    with crowd.open() as workspace:
        waiting = views.status_json(workspace, crowd.clock())["held"]
    assert waiting is not None
    assert waiting["run"] == held.run
    assert approve(crowd, held.run).exit == 0


def test_only_the_connector_that_was_held_is_pushed(tmp_path: Path) -> None:
    with both(tmp_path) as made:
        file = tmp_path / "config" / "engage.yaml"
        file.write_text(file.read_text().replace(OPEN_BRAKES, TIGHT))
        made.sales("user0@a.example")
        begin(made)
        use(made, *range(4))
        held = made.sync()
        assert (held.exit, [hold.connector for hold in held.holds]) == (3, ["hubspot"])
        assert made.counts(held, "salesforce", "Contact") == {"written": 1}
        report = approve(made, held.run)
        assert (report.exit, list(report.connectors)) == (0, ["hubspot"])
        assert made.buckets(report) == {"written": 4, "unchanged": 6}


def test_a_rolled_back_run_is_written_again(crowd: Project) -> None:
    use(crowd, 1)
    written = crowd.sync()
    record = crowd.crm.store.ids("contacts")[1]
    after = crowd.values(record)["engage_user_type"]
    crowd.clock.advance(60)
    with crowd.open() as workspace:
        rollback(workspace, written.run, clock=crowd.clock, confirm=lambda _: True)
    before = crowd.values(record)["engage_user_type"]
    crowd.clock.advance(60)
    crowd.sync()
    assert (before, crowd.values(record)["engage_user_type"], after) == ("zombie", "zombie", "power")
    report = approve(crowd, written.run)
    assert (report.exit, crowd.values(record)["engage_user_type"]) == (0, "power")
    assert "was not held" in refusal(crowd, written.run)
