"""The decision table of architecture §5 over whole cycles: what people did to our fields, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sync.cycle import Report
from engage_sync.sync.drift import ASKED
from engage_sync.sync.rollback import rollback
from engage_sync.sync.rows import iso_text
from engage_sync.sync.status import status_json
from engage_sync.sync.views import plan_json, run_with_journal
from tests.sync.project import CONNECTOR, Project, decisions
from tests.sync.project import project as begin

FIELD, RESPECTED = "engage_reports", "engage_user_type"


@pytest.fixture
def record(project: Project) -> str:
    """A contact whose user is a zombie without reports, written once."""
    made = project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.sync()
    assert (project.values(made)[FIELD], project.values(made)[RESPECTED]) == ("0", "zombie")
    return made


def test_overwritten(project: Project, record: str) -> None:
    project.crm.store.update("contacts", record, {FIELD: "77"})
    report = project.sync()
    assert decisions(report) == [(record, FIELD, "0", "drift_written")]
    assert (report.exit, project.buckets(report)) == (0, {"written": 1})
    assert project.values(record)[FIELD] == "0"


def test_respected(project: Project, record: str) -> None:
    project.crm.store.update("contacts", record, {RESPECTED: "power"})
    for _ in range(2):
        report = project.sync()
        assert decisions(report) == [(record, RESPECTED, "zombie", "drift_kept")]
        assert (report.exit, report.writes, project.buckets(report)) == (0, 0, {"drift_kept": 1})
        assert project.values(record)[RESPECTED] == "power"


def test_respected_fields_do_not_stop_the_others(project: Project, record: str) -> None:
    project.crm.store.update("contacts", record, {RESPECTED: "power", FIELD: "77"})
    report = project.sync()
    assert [decision for *_, decision in decisions(report)] == ["drift_written", "drift_kept"]
    assert project.buckets(report) == {"written": 1}
    assert (project.values(record)[FIELD], project.values(record)[RESPECTED]) == ("0", "power")


@pytest.mark.parametrize("field", [FIELD, RESPECTED])
def test_an_emptied_field_is_filled_again(project: Project, record: str, field: str) -> None:
    before = project.values(record)[field]
    project.crm.store.update("contacts", record, {field: ""})
    assert decisions(project.sync()) == [(record, field, before, "write")]
    assert project.values(record)[field] == before


def test_drift_ends_where_both_agree(project: Project, record: str) -> None:
    """A person sets what we come to want anyway: it is ours from then on, and follows us again."""
    project.crm.store.update("contacts", record, {RESPECTED: "power"})
    project.sync()
    project.tell(project.track("ann"))
    report = project.sync()
    assert RESPECTED not in [field for _, field, *_ in decisions(report)]
    project.sync(after=20 * 86_400)
    assert project.values(record)[RESPECTED] == "inactive"


@pytest.mark.lesson("reformatted")
def test_an_equal_value_in_another_notation_is_no_drift(project: Project, record: str) -> None:
    project.tell(*[project.track("ann", "report_run", days=n / 100) for n in range(5)])
    project.sync()
    project.crm.store.update("contacts", record, {FIELD: "5.0", "engage_user_types": "power;active"})
    assert project.sync().changes.is_empty()


def test_a_value_from_before_the_first_write(project: Project) -> None:
    """Never written counts as last written empty: what is there and differs is drift."""
    record = project.contact("bob@a.example", engage_reports="3", engage_user_type="power")
    project.tell(project.identify("bob", email="bob@a.example"))
    report = project.sync()
    found = {field: decision for _, field, _, decision in decisions(report)}
    assert (found[FIELD], found[RESPECTED]) == ("drift_written", "drift_kept")
    assert project.values(record)[RESPECTED] == "power"


def test_a_deactivated_user_is_cleared_once(project: Project, record: str) -> None:
    project.tell(project.identify("ann", deactivatedAt=project.at()))
    report = project.sync()
    assert {decision for *_, decision in decisions(report)} == {"clear"}
    assert not [name for name in project.values(record) if name.startswith("engage_")]
    after = project.sync()
    assert (after.writes, after.no_record) == (0, 0)


def test_an_unmatched_record_loses_ours_and_keeps_theirs(project: Project, record: str) -> None:
    """Another contact takes the user: what we wrote on this one goes, what a person typed over it stays."""
    store = project.crm.store
    other = project.contact("bob@a.example")
    project.sync()
    store.update("contacts", record, {FIELD: "77", "engage_external_id": "", "email": ""})
    project.lose_link(record)
    store.update("contacts", other, {"engage_external_id": "ann"})
    report = project.sync()
    assert project.buckets(report)["written"] == 1
    held = project.values(record)
    assert held[FIELD] == "77"
    assert not [name for name in held if name.startswith("engage_") and name != FIELD]
    assert project.values(other)["engage_user_type"] == "zombie"
    assert project.sync().writes == 0


LOCKED = CONNECTOR.replace("engage_reports: reports", "engage_reports: {from: reports, on_drift: {human_lock: 30d}}")
FILLED = CONNECTOR.replace("engage_reports: reports", 'engage_reports: {from: reports, on_drift: "fill_blank"}')
DAY = 86_400.0
HISTORY = Fault("bad_gateway", path="*/batch/read", contains='"propertiesWithHistory": ["', times=None)
"""No call that asks for the history of fields is answered."""


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Project]:
    with begin(tmp_path, connector=LOCKED) as made:
        yield made


def ann(project: Project) -> str:
    """Create a contact with its user, and write it once."""
    made = project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.sync()
    return made


def set_by(project: Project, record: str, source: str, value: str = "77") -> None:
    project.clock.advance(1)
    project.crm.store.update("contacts", record, {FIELD: value}, source=source)


def drift(project: Project, report: Report) -> list[tuple[object, ...]]:
    """Give what `runs ID` lists of a run."""
    with project.open() as workspace:
        rows = run_with_journal(workspace, report.run)["drift"]
        if report.exit == 0:
            counts = {name: sum(row["outcome"] == name for row in rows) for name in ("kept", "overwritten")}
            assert status_json(workspace, project.clock())["connectors"]["hubspot"]["drift"] == counts
    return [tuple(row[name] for name in ("field", "theirs", "ours", "outcome", "author")) for row in rows]


def test_a_persons_value_is_locked_for_its_time(locked: Project) -> None:
    record = ann(locked)
    set_by(locked, record, "CRM_UI:Ann Lee")
    since = locked.at()
    report = locked.sync()
    assert drift(locked, report) == [(FIELD, "77", "0", "kept", "Ann Lee")]
    assert (report.exit, report.writes, locked.buckets(report)) == (0, 0, {"drift_kept": 1})
    assert datetime.fromisoformat(since) + timedelta(days=30) > locked.clock() + timedelta(days=29.99)
    again = locked.sync(after=29.99 * DAY)
    assert (locked.values(record)[FIELD], again.reads) == ("77", report.reads - 1)
    after = locked.sync(after=0.02 * DAY)
    assert drift(locked, after) == [(FIELD, "77", "0", "overwritten", "Ann Lee")]
    assert locked.values(record)[FIELD] == "0"
    set_by(locked, record, "CRM_UI:Ann Lee")
    assert drift(locked, locked.sync()) == [(FIELD, "77", "0", "kept", "Ann Lee")]


def test_the_same_value_typed_anew_is_locked_anew(locked: Project) -> None:
    """Between two runs somebody emptied the field, and typed again what had stood there."""
    record = ann(locked)
    set_by(locked, record, "CRM_UI:Ann Lee")
    locked.sync()
    locked.clock.advance(31 * DAY)
    set_by(locked, record, "CRM_UI:Ann Lee", "")
    set_by(locked, record, "CRM_UI:Bo Chan")
    report = locked.sync()
    assert drift(locked, report) == [(FIELD, "77", "0", "kept", "Bo Chan")]
    assert locked.sync(after=29.99 * DAY).writes == 0
    locked.sync(after=0.02 * DAY)
    assert locked.values(record)[FIELD] == "0"


def test_an_integrations_value_is_not_locked(locked: Project) -> None:
    record = ann(locked)
    set_by(locked, record, "AUTOMATION_PLATFORM:9")
    report = locked.sync()
    assert drift(locked, report) == [(FIELD, "77", "0", "overwritten", "automation platform 9")]
    again = locked.sync()
    assert (locked.values(record)[FIELD], again.writes, again.drift.height) == ("0", 0, 0)


def test_without_an_answer_who_it_was_the_lock_runs_from_first_sight(locked: Project) -> None:
    """Also while the write that ends it fails; and the question is put again by later runs, which may know more."""
    record = ann(locked)
    locked.crm.faults.add(HISTORY)
    set_by(locked, record, "CRM_UI:Ann Lee")
    seen = locked.sync(after=20 * DAY)
    assert (seen.exit, drift(locked, seen)) == (0, [(FIELD, "77", "0", "kept", None)])
    assert seen.changes["reason"][0].startswith(f"somebody else set this value (first seen {seen.as_of:%Y-%m-%d %H:%M}")
    assert [row[3] for row in drift(locked, locked.sync(after=29 * DAY))] == ["kept"]
    locked.crm.faults.add(Fault("bad_gateway", kind="write", times=None))
    assert drift(locked, locked.sync(after=2 * DAY)) == [(FIELD, "77", "0", "failed", None)]
    locked.crm.faults.clear()
    assert drift(locked, locked.sync()) == [(FIELD, "77", "0", "overwritten", "Ann Lee")]


def test_what_waits_or_is_rolled_back_is_listed_as_that(project: Project) -> None:
    record = ann(project)
    set_by(project, record, "CRM_UI:Ann Lee")
    project.crm.faults.add(Fault("batch_refused", kind="write", times=None))
    assert drift(project, project.sync()) == [(FIELD, "77", "0", "refused", "Ann Lee")]
    assert drift(project, project.sync()) == [(FIELD, "77", "0", "waiting", "Ann Lee")]
    project.crm.faults.clear()
    written = project.sync(after=DAY)
    assert drift(project, written) == [(FIELD, "77", "0", "overwritten", "Ann Lee")]
    with project.open() as workspace:
        rollback(workspace, written.run, clock=project.clock, confirm=lambda _: True)
    after = project.sync()
    assert drift(project, after) == [(FIELD, "77", "0", "rolled_back", after.drift["author"][0])]
    assert (after.writes, project.values(record)[FIELD]) == (0, "77")


def test_a_plan_asks_and_keeps_nothing(locked: Project) -> None:
    record = ann(locked)
    set_by(locked, record, "CRM_UI:Ann Lee")
    at = iso_text(locked.clock())
    report = locked.plan()
    assert [(row["author"], row["changed_at"]) for row in plan_json(report)["changes"]] == [("Ann Lee", at)]
    with locked.open() as workspace:
        assert workspace.state.drifts("hubspot", "contacts").is_empty()
        assert run_with_journal(workspace, report.run)["drift"] == []
    set_by(locked, record, "CRM_UI:Ann Lee", "")
    assert [(row["author"], row["changed_at"]) for row in plan_json(locked.plan())["changes"]] == [(None, None)]


def test_a_blank_field_is_filled_and_then_left(tmp_path: Path) -> None:
    with begin(tmp_path, connector=FILLED) as project:
        record = ann(project)
        assert project.values(record)[FIELD] == "0"
        project.tell(project.track("ann", "report_run"))
        report = project.sync()
        assert FIELD not in report.changes["field"].to_list()
        assert project.values(record)[FIELD] == "0"
        project.tell(project.identify("ann", deactivatedAt=project.at()))
        project.sync()
        assert FIELD not in project.values(record)


def test_more_drift_than_one_run_asks_about(tmp_path: Path) -> None:
    """The newest is asked about first, the rest by the run after it; then all is known."""
    with begin(tmp_path, connector=LOCKED) as project:
        rows = [{"email": f"u{n}@a.example", FIELD: "5"} for n in range(ASKED + 30)]
        project.crm.store.create_many("contacts", rows, source="IMPORT:1")
        project.tell(*(project.identify(f"u{n}", email=f"u{n}@a.example") for n in range(ASKED + 30)))
        first, second, third = (project.sync() for _ in range(3))
        told = [report.drift["author"].drop_nulls().len() for report in (first, second, third)]
        assert told == [ASKED, ASKED + 30, ASKED + 30]
        assert second.reads == third.reads + 1
        assert {*third.drift["outcome"]} == {"kept"}


SEATS = CONNECTOR.replace("engage_seat_use: seat_use", "engage_seat_use: {from: seat_use, on_drift: {human_lock: 30d}}")


def crowded(project: Project) -> str:
    """Create so many contacts with a type of somebody else's that all questions of a run go to them, and after them a
    company whose locked field an integration set; give that."""
    numbers = range(ASKED + 10)
    rows = [{"email": f"u{n}@a.example", RESPECTED: "influencer"} for n in numbers]
    project.crm.store.create_many("contacts", rows, source="IMPORT:1")
    project.tell(*(project.identify(f"u{n}", email=f"u{n}@a.example") for n in numbers))
    company = project.company("a.example")
    project.crm.store.update("companies", company, {"engage_seat_use": "0.9"}, source="AUTOMATION_PLATFORM:9")
    project.tell(project.group("u0", "acme", domain="a.example", seats=10))
    project.clock.advance(1)
    return company


def known(project: Project, object_: str, report: Report) -> int:
    return report.drift.filter(object=object_)["author"].drop_nulls().len()


def test_locked_fields_of_all_objects_are_asked_about_first(tmp_path: Path) -> None:
    with begin(tmp_path, connector=SEATS) as project:
        company = crowded(project)
        report = project.sync()
        assert (known(project, "companies", report), known(project, "contacts", report)) == (1, ASKED - 1)
        assert project.values(company, "companies")["engage_seat_use"] != "0.9"
        with project.open() as workspace:
            assert workspace.state.drifts("hubspot", "contacts")["author"].drop_nulls().len() == ASKED - 1


def test_a_question_that_fails_keeps_no_other_from_being_asked(tmp_path: Path) -> None:
    with begin(tmp_path, connector=SEATS) as project:
        crowded(project)
        refused = Fault("bad_gateway", path="*companies/batch/read", contains='"propertiesWithHistory": ["', times=None)
        project.crm.faults.add(refused)
        report = project.sync()
        assert (known(project, "companies", report), known(project, "contacts", report)) == (0, ASKED)
