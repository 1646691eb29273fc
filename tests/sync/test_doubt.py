"""Whoever may have set a value: in doubt it is a person's. What is not answered yet is asked again, nothing is asked
twice, and no question crowds out the others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engage_sync.connectors import hubspot_authors
from engage_sync.core.definitions import Entity
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.store import PERSON
from engage_sync.sync.drift import ASKED
from engage_sync.sync.explain import explain
from engage_sync.sync.rollback import rollback
from tests.sync.project import CONNECTOR, Project, decisions
from tests.sync.project import project as begin
from tests.sync.two_crms import Both, both

FIELD, RESPECTED = "engage_reports", "engage_user_type"
THERE, REPORTS_THERE = "Engage_User_Type__c", "Engage_Reports__c"
LOCKED = CONNECTOR.replace("engage_reports: reports", "engage_reports: {from: reports, on_drift: {human_lock: 30d}}")
SEATED = LOCKED.replace("engage_seat_use: seat_use", "engage_seat_use: {from: seat_use, on_drift: {human_lock: 30d}}")
FILLED = CONNECTOR.replace("engage_reports: reports", "engage_reports: {from: reports, on_drift: fill_blank}")
DAY = timedelta(days=1).total_seconds()
MONTH = 31 * DAY
"""Longer than a lock."""
LOST = Fault("drop_before", kind="write", times=None)
REFUSED = Fault("batch_refused", kind="write", times=None)
HISTORY = Fault("bad_gateway", path="*/batch/read", contains='"propertiesWithHistory": ["', times=None)
ANN, BO = "CRM_UI:Ann Lee", "CRM_UI:Bo Chan"


def ann(made: Project) -> str:
    """A contact whose fields are written."""
    record = made.contact("ann@a.example")
    made.tell(made.identify("ann", email="ann@a.example"))
    assert made.sync().exit == 0
    return record


def deactivate(made: Project) -> None:
    made.tell(made.identify("ann", email="ann@a.example", deactivatedAt=made.at()))


def crowd(made: Project, numbers: range, **values: str) -> None:
    """Contacts that somebody imports, and their users."""
    rows = [{"email": f"u{number}@a.example", **values} for number in numbers]
    made.crm.store.create_many("contacts", rows, source="IMPORT:1")
    made.tell(*(made.identify(f"u{number}", email=f"u{number}@a.example") for number in numbers))


def types(made: Project, record: str, *values: str, source: str = ANN, name: str = FIELD) -> None:
    """Let somebody set a field, and again a second later."""
    for value in values:
        made.clock.advance(1)
        made.crm.store.update("contacts", record, {name: value}, source=source)


def not_through(made: Project) -> tuple[int, str]:
    """A write that never gets through; give the run, and what it meant for the respected field."""
    made.tell(made.track("ann"))
    made.crm.faults.add(LOST)
    report = made.sync()
    made.crm.faults.clear()
    with made.remembered() as state:
        return report.run, state.intents("hubspot", "contacts").filter(field=RESPECTED)["value"].item()


def sales(made: Both, field: str, source: str, policy: str) -> str:
    """A contact in Salesforce whose fields are written, one of them under a policy."""
    file = made.root / "connectors" / "salesforce.yaml"
    text = file.read_text(encoding="utf-8")
    line = f"{field}: {{from: {source}, on_drift: {policy}}}"
    file.write_text(text.replace(f"{field}: {source}", line, 1), encoding="utf-8")
    record = made.sales("ann@a.example")
    made.tell(made.identify("ann", email="ann@a.example"))
    made.sync()
    return record


# What a person emptied and typed anew, when its lock is over


def test_a_lock_that_is_over_waits_for_the_answer(tmp_path: Path) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        record = ann(made)
        types(made, record, "77")
        made.sync()
        made.clock.advance(MONTH)
        types(made, record, "", "77", source=BO)
        made.crm.faults.add(HISTORY)
        kept = made.sync()
        assert (kept.exit, made.values(record)[FIELD]) == (0, "77")
        assert "the record has changed since" in str(kept.changes.filter(field=FIELD)["reason"].item())
        made.crm.faults.clear()
        made.sync(after=60)
        made.sync(after=29 * DAY)
        assert made.values(record)[FIELD] == "77"
        made.sync(after=2 * DAY)
        assert made.values(record)[FIELD] == "0"


def test_another_object_has_taken_the_questions(tmp_path: Path) -> None:
    with begin(tmp_path, connector=SEATED) as made:
        crowd(made, range(1))
        company = made.company("a.example")
        made.tell(made.group("u0", "acme", domain="a.example", seats=10))
        made.sync()
        store = made.crm.store
        store.update("companies", company, {"engage_seat_use": "0.9"}, source=ANN)
        made.sync()
        made.clock.advance(MONTH)
        store.update("companies", company, {"engage_seat_use": ""}, source=ANN)
        made.clock.advance(1)
        store.update("companies", company, {"engage_seat_use": "0.9"}, source=BO)
        crowd(made, range(1, ASKED + 1), **{FIELD: "5"})
        made.sync()
        assert made.values(company, "companies")["engage_seat_use"] == "0.9"


def test_more_locks_end_than_are_asked_about(tmp_path: Path) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        crowd(made, range(ASKED + 10), **{FIELD: "5"})
        made.sync()
        made.sync()
        made.clock.advance(MONTH)
        one, *others = made.crm.store.ids("contacts")
        types(made, one, "", "5")
        made.clock.advance(1)
        for other in others:
            made.crm.store.update("contacts", other, {"firstname": "X"}, source="IMPORT:2")
        made.sync()
        assert made.values(one)[FIELD] == "5"
        made.sync(after=60)
        values = {record: made.values(record)[FIELD] for record in (one, *others)}
        assert values == {one: "5", **dict.fromkeys(others, "0")}


def test_typed_anew_in_salesforce(tmp_path: Path) -> None:
    with both(tmp_path) as made:
        made.org.store.shelf("Contact").type.tracked.add(REPORTS_THERE)
        record = sales(made, REPORTS_THERE, "reports", "{human_lock: 30d}")
        made.clock.advance(60)
        made.org.store.edit("Contact", record, {REPORTS_THERE: 77})
        made.sync()
        made.clock.advance(MONTH)
        made.org.store.edit("Contact", record, {REPORTS_THERE: None})
        made.clock.advance(60)
        made.org.store.edit("Contact", record, {REPORTS_THERE: 77})
        made.sync()
        assert made.held(record)[REPORTS_THERE] == "77"


def test_typed_anew_over_what_an_integration_had_set(tmp_path: Path) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        record = ann(made)
        types(made, record, "77", source="AUTOMATION_PLATFORM:9")
        made.crm.faults.add(Fault("bad_gateway", kind="write", times=None))
        made.sync()
        made.crm.faults.clear()
        types(made, record, "", "77")
        made.sync()
        assert made.values(record)[FIELD] == "77"


# What a run meant to write that never got through, and somebody else set alike


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("tracked", [True, False])
def test_set_alike_in_salesforce(tmp_path: Path, *, tracked: bool, undo: bool) -> None:
    with both(tmp_path) as made:
        if tracked:
            made.org.store.shelf("Contact").type.tracked.add(THERE)
        record = sales(made, THERE, "primary_user_type", "respect")
        made.tell(made.track("ann"))
        made.org.faults.add(LOST)
        lost = made.sync()
        made.org.faults.clear()
        made.clock.advance(10)
        made.org.store.edit("Contact", record, {THERE: "power"})
        if undo:
            with made.open() as workspace:
                rollback(workspace, lost.run, clock=made.clock, confirm=lambda _: True)
        else:
            made.sync(after=20 * DAY)
        assert made.held(record)[THERE] == "power"


def test_set_alike_in_salesforce_after_a_run_that_was_overtaken(tmp_path: Path) -> None:
    with both(tmp_path) as made:
        record = sales(made, THERE, "primary_user_type", "respect")
        made.tell(made.track("ann"))
        made.org.faults.add(LOST)
        made.sync()
        made.org.faults.clear()
        deactivate(made)
        made.sync()
        made.clock.advance(60)
        made.org.store.edit("Contact", record, {THERE: "power"})
        made.sync(after=3_600)
        assert made.held(record)[THERE] == "power"


@pytest.mark.parametrize("source", ["FORM:7", "AUTOMATION_PLATFORM:9"])
def test_set_alike_by_a_form_or_a_workflow(tmp_path: Path, source: str) -> None:
    with begin(tmp_path) as made:
        record = ann(made)
        _, meant = not_through(made)
        types(made, record, meant, source=source, name=RESPECTED)
        made.sync(after=20 * DAY)
        assert made.values(record)[RESPECTED] == meant


@pytest.mark.parametrize("undo", [False, True])
def test_set_alike_and_the_question_fails(tmp_path: Path, *, undo: bool) -> None:
    with begin(tmp_path) as made:
        record = ann(made)
        lost, meant = not_through(made)
        types(made, record, meant, source=PERSON, name=RESPECTED)
        deactivate(made)
        made.crm.faults.add(HISTORY)
        if undo:
            with made.open() as workspace:
                rollback(workspace, lost, clock=made.clock, confirm=lambda _: True)
        else:
            made.sync(after=60)
        assert made.values(record).get(RESPECTED) == meant


def test_set_alike_in_more_records_than_are_asked_about(tmp_path: Path) -> None:
    with begin(tmp_path) as made:
        many = range(ASKED + 10)
        crowd(made, many)
        made.sync()
        made.tell(*(made.track(f"u{number}") for number in many))
        made.crm.faults.add(LOST)
        made.sync()
        made.crm.faults.clear()
        with made.remembered() as state:
            intents = state.intents("hubspot", "contacts").filter(field=RESPECTED)
        meant = dict(intents.select("record", "value").iter_rows())
        made.clock.advance(10)
        for record, value in meant.items():
            made.crm.store.update("contacts", record, {RESPECTED: value}, source=PERSON)
        made.sync(after=20 * DAY)
        assert [record for record, value in meant.items() if made.values(record).get(RESPECTED) != value] == []


def test_a_blank_field_that_a_person_filled_alike(tmp_path: Path) -> None:
    with begin(tmp_path, connector=FILLED) as made:
        record = made.contact("ann@a.example")
        made.tell(made.identify("ann", email="ann@a.example"))
        made.crm.faults.add(LOST)
        made.sync()
        made.crm.faults.clear()
        made.clock.advance(DAY / 4)
        types(made, record, "0", source=PERSON)
        made.tell(made.track("ann", "report_run"))
        made.sync(after=60)
        deactivate(made)
        made.sync(after=60)
        assert made.values(record).get(FIELD) == "0"


def test_explain_tells_what_the_push_decided(tmp_path: Path) -> None:
    with begin(tmp_path) as made:
        record = ann(made)
        _, meant = not_through(made)
        types(made, record, meant, source=PERSON, name=RESPECTED)
        deactivate(made)
        pushed = {name: what for _, name, _, what in decisions(made.sync(after=60))}
        with made.open() as workspace:
            found = explain(workspace, Entity.USER, "ann", None, now=made.clock())
        told = {view.field: view.decision for place in found.places for view in place.fields}
        assert (pushed[RESPECTED], told[RESPECTED]) == ("drift_kept", "drift_kept")


# The questions


def test_what_cannot_be_written_is_asked_about_once(tmp_path: Path) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        record = ann(made)
        types(made, record, "77")
        made.sync()
        quiet = made.sync().reads
        made.clock.advance(MONTH)
        made.crm.faults.add(REFUSED)
        assert [made.sync(after=60).reads for _ in range(4)] == [quiet + 1, quiet, quiet, quiet]


def test_what_was_never_asked_about_goes_first(tmp_path: Path) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        store = made.crm.store
        crowd(made, range(ASKED), **{FIELD: "5"})
        made.sync()
        made.clock.advance(MONTH)
        made.crm.faults.add(REFUSED)
        made.sync()
        made.crm.faults.clear()
        others, late = store.ids("contacts"), store.create("contacts", {"email": "late@a.example"})
        made.tell(made.identify("late", email="late@a.example"))
        types(made, late, "9", source="AUTOMATION_PLATFORM:9")
        made.clock.advance(1)
        for one in others:
            store.update("contacts", one, {"firstname": "X"}, source="IMPORT:2")
        made.sync(after=60)
        assert made.values(late)[FIELD] == "0"


def test_nothing_is_asked_twice_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with begin(tmp_path, connector=LOCKED) as made:
        record = ann(made)
        made.tell(made.track("ann", "report_run"))
        made.crm.faults.add(LOST)
        made.sync()
        made.crm.faults.clear()
        types(made, record, "1", source=PERSON)
        made.tell(made.track("ann", "report_run"))
        asked: list[tuple[str, str]] = []
        real = hubspot_authors.authors
        monkeypatch.setattr(
            hubspot_authors, "authors", lambda http, name, fields: asked.extend(fields) or real(http, name, fields)
        )
        made.sync(after=60)
        assert asked.count((record, FIELD)) == 1
