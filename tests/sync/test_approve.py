"""`approve RUN`: a held run goes on at its own instant, for what it was held for and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engage_sync.errors import Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sync import approval, cycle, views
from engage_sync.sync.cycle import Report
from engage_sync.sync.reports import known_run
from engage_sync.sync.rollback import rollback
from engage_sync.sync.status import status_json
from tests.sync.mortal import Death, Died
from tests.sync.project import OPEN_BRAKES, Project, project
from tests.sync.two_crms import both

PEOPLE = 10
DAY = 86_400
OLD = "{max_event_age: 24h, max_change_share: 1.0, max_clear_share: 1.0, min_records: 1000}"
TIGHT = "{max_event_age: 24h, max_change_share: 0.3, max_clear_share: 0.1, min_records: 10}"


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Project]:
    """Ten linked users, written once by run 1."""
    with project(tmp_path, brakes=TIGHT) as made:
        begin(made)
        yield made


def begin(made: Project, people: int = PEOPLE) -> None:
    for number in range(people):
        made.contact(f"user{number}@a.example")
    made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(people)])
    assert made.sync().exit == 0


def written_by(made: Project, run: int) -> set[str]:
    """Give the records that a run wrote to."""
    with made.open() as workspace:
        return set(workspace.state.journal(run=run)["record"])


def use(made: Project, *users: int) -> None:
    made.tell(*[made.track(f"user{number}") for number in users])


@contextmanager
def a_second_ago(made: Project) -> Iterator[None]:
    """What is told inside happened before the instant of the held run, which is computed again as of then."""
    made.clock.advance(-1)
    yield
    made.clock.advance(1)


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


def test_approved_goes_on_at_the_same_instant_after_a_pull(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    assert (held.exit, crowd.buckets(held)) == (3, {"held": 4, "unchanged": 6})
    crowd.clock.advance(3_600)
    crowd.crm.calls.clear()
    report = approve(crowd, held.run)
    assert (report.exit, report.status, report.as_of, report.approved) == (0, "ok", held.as_of, held.run)
    assert crowd.buckets(report) == {"written": 4, "unchanged": 6}
    assert crowd.crm.calls.count("search") > 0
    with crowd.open() as workspace:
        runs = {run["run"]: run for run in views.runs_json(workspace, 9)}
        status = status_json(workspace, crowd.clock())
    assert (runs[held.run]["approved_by"], runs[report.run]["approved"]) == (report.run, held.run)
    assert (runs[report.run]["approved_by"], runs[held.run]["approved"]) == (None, None)
    assert (status["held"], status["connectors"]["hubspot"]["last_push"]) == (None, runs[report.run]["started_at"])
    assert crowd.sync().exit == 0


def test_what_waits_is_shown_until_it_is_approved(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    with crowd.open() as workspace:
        waiting = status_json(workspace, crowd.clock())["held"]
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
    newer = crowd.sync()
    assert f"overtaken by run {newer.run} (sync" in refusal(crowd, held.run)
    went = approve(crowd, newer.run)
    assert went.exit == 0
    assert f"overtaken by run {went.run} (approve" in refusal(crowd, held.run)


def waiting(made: Project) -> list[int]:
    """Give the runs that wait, as `status` shows them."""
    with made.open() as workspace:
        return [one["run"] for one in status_json(workspace, made.clock())["waiting"]]


def test_what_people_typed_since_is_respected(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    record = crowd.crm.store.ids("contacts")[0]
    crowd.crm.store.update("contacts", record, {"engage_user_type": "influencer"})
    report = approve(crowd, held.run)
    assert report.exit == 0
    assert crowd.values(record)["engage_user_type"] == "influencer"
    assert report.drift.select("record", "field", "decision").rows() == [(record, "engage_user_type", "drift_kept")]


def test_neither_a_computation_nor_a_retry_overtakes(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    crowd.clock.advance(60)
    at = crowd.clock()
    with crowd.open() as workspace:
        cycle.recompute(workspace, at, clock=crowd.clock)
        cycle.sync(workspace, None, at, clock=crowd.clock, pulling=False, retrying=True)
    assert waiting(crowd) == [held.run]
    report = approve(crowd, held.run)
    assert (report.exit, report.as_of, crowd.buckets(report)) == (0, at, {"written": 4, "unchanged": 6})
    assert waiting(crowd) == []


def test_an_approved_retry_writes_what_failed_and_nothing_else(tmp_path: Path) -> None:
    with project(tmp_path, brakes=OLD) as made:
        begin(made, 2)
        use(made, 0)
        made.crm.faults.add(Fault("drop_before", kind="write", times=None))
        assert made.sync().exit == 5
        made.crm.faults.clear()
        use(made, 1)
        made.clock.advance(2 * DAY)
        with made.open() as workspace:
            held = cycle.sync(workspace, None, made.clock(), clock=made.clock, pulling=False, retrying=True)
        assert [hold.kind.value for hold in held.holds] == ["events_old"]
        report = approve(made, held.run)
        assert (report.exit, made.buckets(report)) == (0, {"written": 1, "held": 1})
        assert written_by(made, report.run) == {made.crm.store.ids("contacts")[0]}


def test_other_records_than_those_approved_are_held(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    model = crowd.root / "config" / "model.yaml"
    model.write_text(model.read_text().replace("exclude: [heartbeat]", "exclude: [heartbeat, login]"))
    with a_second_ago(crowd):
        crowd.tell(*[crowd.track(f"user{number}", "other") for number in range(5, 9)])
    again = approve(crowd, held.run)
    assert (again.exit, [(hold.kind.value, hold.count) for hold in again.holds]) == (3, [("change_share", 4)])
    assert approve(crowd, again.run).exit == 0


def test_approvals_add_up(crowd: Project) -> None:
    """Each approval meets something new; what was approved with the one before need not be approved again."""
    use(crowd, *range(4))
    first = crowd.sync()
    with a_second_ago(crowd):
        crowd.tell(*[crowd.identify(f"user{number}", deactivatedAt=crowd.at()) for number in (8, 9)])
    second = approve(crowd, first.run)
    assert [hold.kind.value for hold in second.holds] == ["change_share", "clear_share"]
    with a_second_ago(crowd):
        use(crowd, 4, 5, 6)
    third = approve(crowd, second.run)
    assert [hold.kind.value for hold in third.holds] == ["change_share"]
    assert approve(crowd, third.run).exit == 0


def test_a_list_of_records_that_was_cut_is_looked_up_in_the_plan(crowd: Project) -> None:
    """As after 1,000 records: the run keeps the first id of four alone, and the plan has all of them."""
    use(crowd, *range(4))
    held = crowd.sync()
    with crowd.open() as workspace:
        holds = known_run(workspace, held.run).summary["holds"]
        holds[0]["records"] = holds[0]["records"][:1]
        workspace.state.add_to_summary(held.run, {"holds": holds})
    assert approve(crowd, held.run).exit == 0


def test_an_approval_that_died_can_be_repeated(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    before = crowd.crm.calls.count("write")
    death = Death(0, armed=lambda: crowd.crm.calls.count("write") > before)
    with pytest.raises(Died), crowd.open(death=death) as workspace:
        approval.approve(workspace, held.run, clock=crowd.clock)
    with crowd.open() as workspace:
        assert views.runs_json(workspace, 1)[0]["approved"] == held.run
    assert waiting(crowd) == [held.run]
    assert approve(crowd, held.run).exit == 0


def test_a_held_plan_can_be_approved(crowd: Project) -> None:
    use(crowd, *range(4))
    crowd.clock.advance(60)
    planned = crowd.plan()
    assert planned.exit == 3
    with crowd.open() as workspace:
        waiting = status_json(workspace, crowd.clock())["held"]
    assert waiting is not None
    assert waiting["run"] == planned.run
    report = approve(crowd, planned.run)
    assert (report.exit, report.as_of, crowd.buckets(report)) == (0, planned.as_of, {"written": 4, "unchanged": 6})


def test_a_share_that_has_grown_is_held_again(crowd: Project) -> None:
    use(crowd, *range(5))
    held = crowd.sync()
    with a_second_ago(crowd):
        use(crowd, 5)
    again = approve(crowd, held.run)
    assert (again.exit, again.approved, crowd.buckets(again)["held"]) == (3, held.run, 6)
    assert "overtaken by run 3" in refusal(crowd, held.run)
    assert approve(crowd, again.run).exit == 0


def test_another_brake_still_holds(crowd: Project) -> None:
    use(crowd, *range(4))
    held = crowd.sync()
    with a_second_ago(crowd):
        crowd.tell(*[crowd.identify(f"user{number}", deactivatedAt=crowd.at()) for number in (8, 9)])
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
        waiting = status_json(workspace, crowd.clock())["held"]
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


def test_each_connector_waits_for_itself(tmp_path: Path) -> None:
    """Salesforce alone is held; a sync of HubSpot changes nothing about that, nor does taking back what went there."""
    with both(tmp_path) as made:
        file = tmp_path / "config" / "engage.yaml"
        file.write_text(file.read_text().replace(OPEN_BRAKES, TIGHT))
        for number in range(PEOPLE):
            made.sales(f"user{number}@a.example")
        made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE)])
        assert made.sync().exit == 0
        record = made.contact("user0@a.example")
        use(made, *range(4))
        held = made.sync()
        assert (held.exit, [hold.connector for hold in held.holds]) == (3, ["salesforce"])
        made.clock.advance(1)
        with made.open() as workspace:
            assert cycle.sync(workspace, "hubspot", made.clock(), clock=made.clock).exit == 0
            assert rollback(workspace, held.run, clock=made.clock, confirm=lambda _: True).restored
        assert waiting(made) == [held.run]
        report = approve(made, held.run)
        assert (report.exit, list(report.connectors)) == (0, ["salesforce"])
        assert made.counts(report, "salesforce", "Contact") == {"written": 4, "unchanged": 6}
        assert not made.values(record).get("engage_user_type")
        again = approve(made, held.run)
        assert (again.exit, list(again.connectors)) == (0, ["hubspot"])
        assert made.values(record)["engage_user_type"] == "active"


def test_only_what_was_taken_back_is_released_and_only_when_nothing_holds(tmp_path: Path) -> None:
    with project(tmp_path, brakes=OLD) as made:
        ann, bob = made.contact("ann@a.example"), made.contact("bob@a.example")
        made.tell(*made.person("ann", "ann@a.example", days=0.1))
        run = made.sync().run
        made.clock.advance(1)
        with made.open() as workspace:
            rollback(workspace, run, clock=made.clock, confirm=lambda _: True)
        made.tell(made.identify("bob", email="bob@a.example"))
        made.clock.advance(2 * DAY)
        held = approve(made, run)
        assert [hold.kind.value for hold in held.holds] == ["events_old"]
        with made.open() as workspace:
            assert run in workspace.state.undone("hubspot", "contacts")["undone"]
        report = approve(made, held.run)
        assert (report.exit, written_by(made, report.run)) == (0, {ann})
        assert made.values(ann)["engage_user_type"] == "power"
        assert "engage_user_type" not in made.values(bob)
        with made.open() as workspace:
            assert run not in workspace.state.undone("hubspot", "contacts")["undone"]


def test_no_sync_overtakes_a_held_release_of_what_is_still_taken_back(crowd: Project) -> None:
    use(crowd, *range(6))
    went = approve(crowd, crowd.sync().run)
    crowd.clock.advance(1)
    with crowd.open() as workspace:
        rollback(workspace, went.run, clock=crowd.clock, confirm=lambda _: True)
    held = approve(crowd, went.run)
    assert [hold.kind.value for hold in held.holds] == ["change_share"]
    again = approve(crowd, went.run)
    assert (again.exit, waiting(crowd)) == (3, [again.run])
    for _ in range(2):
        assert (crowd.sync().exit, waiting(crowd)) == (0, [again.run])
    assert f"overtaken by run {again.run} (approve" in refusal(crowd, held.run)
    report = approve(crowd, again.run)
    assert (report.exit, crowd.buckets(report), waiting(crowd)) == (0, {"written": 6, "unchanged": 4}, [])
    assert "approved already" in refusal(crowd, again.run)
    nothing = f"no value that a rollback of run {went.run} took back is kept back"
    assert refusal(crowd, held.run) == f"nothing of run {held.run} waits any more: {nothing}"


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
    crowd.tell(crowd.track("user1", "report_run"))
    crowd.clock.advance(1)
    report = approve(crowd, written.run)
    assert (report.exit, crowd.values(record)["engage_user_type"]) == (0, "power")
    assert crowd.values(record)["engage_reports"] == "0"
    assert "was not held" in refusal(crowd, written.run)
