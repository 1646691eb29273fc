"""Partial failure and retries: one bad record refuses itself only, waits, is tried again; what failed stays dirty."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.properties import Option
from engage_sync.sync import cycle, failures
from engage_sync.sync.cycle import Report
from tests.sync.command import answer, engage
from tests.sync.project import MODEL, Project
from tests.sync.project import project as begin
from tests.sync.two_crms import both

PEOPLE = 7
TASKED = """
signals:
  used: {entity: user, when: "reports > 0", cooldown: 1d, actions: [{crm_task: "Call them"}]}
"""


@pytest.fixture
def crowd(project: Project) -> tuple[Project, list[str]]:
    """Some contacts that were written, and that have all done something since."""
    records = [project.contact(f"u{number}@a.example") for number in range(PEOPLE)]
    project.tell(*(one for n in range(PEOPLE) for one in project.person(f"u{n}", f"u{n}@a.example")))
    assert project.buckets(project.sync()) == {"written": PEOPLE}
    project.tell(*(project.track(f"u{number}", "report_run") for number in range(PEOPLE)))
    return project, records


def refusing(project: Project, record: str, name: str = "batch_refused") -> None:
    """Have the CRM refuse every batch that names a record, without a word about which."""
    project.crm.faults.add(Fault(name, kind="write", contains=f'"{record}"', times=None))


def offering(project: Project, options: Sequence[Option] = (Option("Extra", "extra"),)) -> Sequence[Option]:
    """Change which types a contact can show; give the options there were."""
    properties = project.crm.store.type("contacts").properties
    found = properties["engage_user_type"]
    properties["engage_user_type"] = replace(found, options=tuple(options))
    return found.options


def listed(project: Project) -> list[dict[str, object]]:
    with project.open() as workspace:
        return failures.failures_json(workspace, project.clock())


def retried(project: Project) -> Report:
    with project.open() as workspace:
        at = failures.instant_of_retry(workspace.state, project.clock())
        return cycle.sync(workspace, None, at, clock=project.clock, pulling=False, retrying=True)


def reports(project: Project, record: str) -> str | None:
    return project.values(record).get("engage_reports")


def test_one_bad_record_refuses_itself_and_waits_longer_each_time(crowd: tuple[Project, list[str]]) -> None:
    """15 minutes after the first refusal, 1 h after the second; no call before that, and never a success."""
    project, records = crowd
    refusing(project, records[2])
    report = project.sync()
    first = project.clock()
    assert (report.exit, report.status) == (1, "partial")
    assert project.buckets(report) == {"written": PEOPLE - 1, "refused": 1}
    assert [reports(project, record) for record in records] == ["1", "1", "0", "1", "1", "1", "1"]
    for attempt, minutes in enumerate((15, 60), 1):
        (found,) = listed(project)
        due = first + timedelta(minutes=minutes)
        assert (found["record"], found["status"], found["attempts"]) == (records[2], "refused", attempt)
        assert (found["external_id"], found["code"], found["waits_for"]) == ("u2", "VALIDATION_ERROR", None)
        assert (found["next_attempt"], found["last_at"]) == (iso(due), iso(first))
        assert isinstance(found["wanted"], dict)
        assert found["wanted"]["engage_reports"] == "1"
        waiting = project.sync(after=(due - project.clock()).total_seconds() - 1)
        assert (waiting.exit, waiting.writes, project.buckets(waiting)) == (1, 0, {"unchanged": 6, "refused": 1})
        assert waiting.waiting == failures.Waiting(1, due)
        (decision,) = set(waiting.changes.filter(record=records[2])["decision"])
        assert decision == "waiting"
        first = due
        tried = project.sync()
        assert (tried.exit, project.buckets(tried)) == (1, {"unchanged": 6, "refused": 1})
        assert tried.writes == 1
    project.crm.faults.clear()
    done = project.sync(after=86_400)
    assert done.exit == 0
    assert (reports(project, records[2]), listed(project)) == ("1", [])


def iso(instant: object) -> str:
    return str(instant).replace(" ", "T").replace("+00:00", "Z")


def test_another_wanted_value_is_tried_at_once(crowd: tuple[Project, list[str]]) -> None:
    project, records = crowd
    refusing(project, records[0])
    project.sync()
    assert project.sync().writes == 0
    project.tell(project.track("u0", "report_run"))
    project.crm.faults.clear()
    report = project.sync()
    assert (report.exit, reports(project, records[0])) == (0, "2")


def test_another_description_of_the_fields_is_tried_at_once(crowd: tuple[Project, list[str]]) -> None:
    """An admin adds an option to a field of ours: whatever the CRM refused may pass now."""
    project, records = crowd
    refusing(project, records[0])
    project.sync()
    project.crm.faults.clear()
    assert project.sync().writes == 0
    offering(project, (*offering(project), Option("Extra", "extra")))
    report = project.sync()
    assert (report.exit, report.writes, reports(project, records[0])) == (0, 1, "1")


def test_no_answer_is_tried_by_the_next_run(crowd: tuple[Project, list[str]]) -> None:
    project, records = crowd
    project.crm.faults.add(Fault("empty_results", kind="write", times=None))
    report = project.sync()
    assert (report.exit, report.status) == (1, "partial")
    assert project.buckets(report) == {"failed": PEOPLE}
    found = listed(project)
    assert {(one["status"], one["next_attempt"], one["waits_for"]) for one in found} == {
        ("failed", None, "the next run")
    }
    assert {one["record"] for one in found} == set(records)
    assert report.waiting is None
    project.crm.faults.clear()
    assert (project.sync().exit, listed(project)) == (0, [])
    assert {reports(project, record) for record in records} == {"1"}


@pytest.mark.lesson(22)
def test_a_failed_value_stays_dirty_against_the_last_one_acknowledged(crowd: tuple[Project, list[str]]) -> None:
    """0 was acknowledged, 1 was not: back at 0 there is nothing to write, and the failure is over."""
    project, records = crowd
    refusing(project, records[0])
    project.sync()
    with project.open() as workspace:
        last = workspace.state.written("hubspot", "contacts", ["engage_reports"])
        assert dict(last.select("record", "last.engage_reports").rows())[records[0]] == "0"
    plan = project.plan()
    assert plan.changes.filter(record=records[0], field="engage_reports").select("before", "after").row(0) == ("0", "1")
    later = project.sync(after=6 * 86_400)  # a report counts for five days
    assert "engage_reports" not in set(later.changes.filter(record=records[0])["field"])


def test_no_answer_is_looked_after(crowd: tuple[Project, list[str]]) -> None:
    """The write took effect and its answer leaves the record out, however often: reading it proves that it is there."""
    project, records = crowd
    store = project.crm.store
    project.crm.faults.add(Fault("missing_result", kind="write", times=None))
    report = project.sync()
    assert (report.exit, project.buckets(report), listed(project)) == (0, {"written": PEOPLE}, [])
    assert {store.values("contacts", record)["engage_reports"] for record in records} == {"1"}
    project.crm.faults.clear()
    assert (project.sync().writes, project.buckets(project.sync())) == (0, {"unchanged": PEOPLE})


def test_retry_tries_what_waits_and_nothing_else(crowd: tuple[Project, list[str]]) -> None:
    project, records = crowd
    refusing(project, records[0])
    project.sync()
    again = retried(project)
    assert (again.exit, again.writes, project.buckets(again)) == (1, 1, {"refused": 1, "unchanged": 6})
    assert listed(project)[0]["attempts"] == 2
    project.crm.faults.clear()
    project.tell(project.track("u5", "report_run"))
    project.clock.advance(1)
    report = retried(project)
    assert (report.exit, report.status, report.writes) == (0, "ok", 1)
    assert project.buckets(report) == {"written": 1, "held": 1, "unchanged": 5}
    assert (reports(project, records[0]), reports(project, records[5])) == ("1", "1")
    assert listed(project) == []
    assert project.buckets(project.sync()) == {"written": 1, "unchanged": 6}
    assert reports(project, records[5]) == "2"


def test_a_retry_does_nothing_for_signals(tmp_path: Path) -> None:
    """They ask for a task; the retry writes what failed, nothing, and leaves the task to the next run."""
    with begin(tmp_path, model=MODEL + TASKED) as project:
        project.contact("ann@a.example")
        project.tell(*project.person("ann", "ann@a.example"))
        project.sync()
        project.tell(project.track("ann", "report_run"))
        project.clock.advance(1)
        report = retried(project)
        assert (report.exit, report.writes, project.buckets(report)) == (0, 0, {"held": 1})
        assert report.signals["delivered"] == 0
        after = project.sync(after=1)
        assert (after.exit, after.signals["delivered"]) == (0, 1)


def test_a_retry_computes_no_earlier_than_the_newest_run(crowd: tuple[Project, list[str]]) -> None:
    project, records = crowd
    refusing(project, records[0])
    project.clock.advance(7_200)
    project.sync()
    at = project.clock()
    project.clock.advance(-3_600)
    project.crm.faults.clear()
    report = retried(project)
    assert (report.exit, report.as_of, reports(project, records[0])) == (0, at, "1")


def test_a_value_that_does_not_fit_waits_for_another_field(project: Project) -> None:
    """It was never sent: no clock mends it. Another description of the field does, at the next run."""
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    options = offering(project)
    first = project.sync()
    assert (first.exit, first.waiting, project.buckets(first)) == (1, None, {"refused": 1})
    (found,) = listed(project)
    assert (found["code"], found["next_attempt"]) == ("DOES_NOT_FIT", None)
    assert found["waits_for"] == "another value or another field definition"
    assert project.sync(after=90_000).exit == 1
    offering(project, options)
    assert (project.sync().exit, listed(project)) == (0, [])
    assert project.values(record)["engage_user_type"] == "power"


def test_what_the_crm_refused_is_not_hidden_by_what_does_not_fit(project: Project) -> None:
    """One field of the record fits nowhere, the CRM refuses the others: these wait, and are not asked again before."""
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    offering(project)
    refusing(project, record)
    project.sync()
    (found,) = listed(project)
    assert (found["code"], found["attempts"]) == ("VALIDATION_ERROR", 1)
    report = project.sync(after=60)
    assert (report.exit, report.writes, project.buckets(report)) == (1, 0, {"refused": 1})
    assert listed(project) == [found]


def test_a_refused_clearing_of_an_unmatched_record_is_no_success(project: Project) -> None:
    """The record counts as unlinked; the run ends with 1 all the same, while it is tried and while it waits."""
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.lose_link(record)
    project.crm.store.update("contacts", record, {"email": "else@b.example", "engage_external_id": ""})
    refusing(project, record)
    for writes in (1, 0):
        report = project.sync()
        assert (report.exit, report.writes, project.buckets(report)) == (1, writes, {"unlinked": 1})
    project.crm.faults.clear()
    assert (retried(project).exit, project.values(record).get("engage_reports")) == (0, None)


@pytest.mark.lesson(22)
def test_the_command_lists_and_retries(tmp_path: Path) -> None:
    with both(tmp_path, real_time=True) as project:
        assert engage(tmp_path, "failures").startswith("No record is refused or failing")
        assert json.loads(engage(tmp_path, "failures", "--json")) == []
        good, bad = project.sales("ann@a.example"), project.sales("bob@a.example", Department="forbidden")
        rule = project.org.store.validation_rule
        rule("Contact", lambda values: values.get("Department") == "forbidden", "not this one")
        project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example"))
        report = answer(tmp_path, "sync", code=1)
        counts = report["connectors"]["salesforce"]["Contact"]
        assert (counts["written"], counts["refused"], report["waiting"]["records"]) == (1, 1, 1)
        assert project.held(good)["Engage_External_Id__c"] == "ann"
        (found,) = json.loads(engage(tmp_path, "failures", "--json"))
        assert list(found) == [
            *("connector", "object", "record", "external_id", "status", "code", "message", "request", "attempts"),
            *("first_at", "last_at", "next_attempt", "waits_for", "wanted", "run"),
        ]
        assert (found["object"], found["record"], found["external_id"]) == ("Contact", bad, "bob")
        assert (found["code"], found["message"]) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "not this one")
        assert found["wanted"]["Engage_External_Id__c"] == "bob"
        text = engage(tmp_path, "failures")
        assert all(words in text for words in (bad, "not this one", "UTC", "failures retry"))
        again = engage(tmp_path, "push", code=1)
        assert "1 refused record waits for its next attempt" in again
        assert answer(tmp_path, "failures", "retry", "hubspot")["connectors"].keys() == {"hubspot"}
        assert answer(tmp_path, "failures", "retry", code=1)["status"] == "partial"
        project.org.store.edit("Contact", bad, {"Department": "Sales"})
        engage(tmp_path, "failures", "retry")
        assert project.held(bad)["Engage_External_Id__c"] == "bob"
        assert json.loads(engage(tmp_path, "failures", "--json")) == []
