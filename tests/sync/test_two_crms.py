"""One project, two CRMs: a person in both is one user, and one CRM's bad day leaves the other's work done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sync import cycle
from tests.sync.command import answer, rows
from tests.sync.two_crms import Both, both


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Both]:
    with both(tmp_path) as made:
        yield made


def test_person_in_both_has_the_same_values_in_both(project: Both) -> None:
    contact, sales = project.contact("ann@a.example"), project.sales("ann@a.example")
    company = project.company("a.example")
    account = project.org.store.create("Account", {"Name": "A", "Website": "https://www.a.example/en"})
    project.tell(*project.person("ann", "ann@a.example", events=3), project.track("ann", "report_run"))
    project.tell(project.group("ann", "acme", domain="a.example", seats=3))
    report = project.sync()
    assert report.exit == 0
    here, there = project.values(contact), project.held(sales)
    assert here["engage_user_type"] == there["Engage_User_Type__c"] == "power"
    assert here["engage_user_types"] == "active;power"
    assert set((there["Engage_User_Types__c"] or "").split(";")) == {"active", "power"}
    assert here["engage_reports"] == there["Engage_Reports__c"] == "1"
    assert here["engage_last_active"][:19] == (there["Engage_Last_Active__c"] or "")[:19]
    assert here["engage_external_id"] == there["Engage_External_Id__c"] == "ann"
    firm, other = project.values(company, "companies"), project.held(account, "Account")
    assert firm["engage_seat_use"] == other["Engage_Seat_Use__c"] == "0.3333"
    [user] = rows(project.root, "users")
    assert {name: link["id"] for name, link in user["links"].items()} == {"hubspot": contact, "salesforce": sales}
    assert user["links"]["salesforce"]["url"] == f"{project.org.base_url}/lightning/r/Contact/{sales}/view"
    again = project.sync()
    assert (again.exit, again.writes) == (0, 0)


def test_influencer_by_the_title_of_either_crm_is_one_in_both(project: Both) -> None:
    """Sales knows that she is head of data; marketing has another title."""
    contact = project.contact("ann@a.example", jobtitle="Analyst")
    sales = project.sales("ann@a.example", Title="Head of Data")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    assert "influencer" in project.values(contact)["engage_user_types"]
    assert "influencer" in (project.held(sales)["Engage_User_Types__c"] or "")
    project.org.store.edit("Contact", sales, {"Title": "Clerk"})
    project.sync()
    assert "influencer" not in project.values(contact)["engage_user_types"]


def test_influencer_needs_a_live_contact_in_some_crm(project: Both) -> None:
    """The one in Salesforce is deleted; HubSpot's remains, and with it the type as long as its title says so."""
    contact, sales = project.contact("ann@a.example", jobtitle="Head of Data"), project.sales("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.org.store.delete("Contact", sales)
    report = project.sync()
    assert project.counts(report, "salesforce", "Contact") == {"gone": 1}
    assert "influencer" in project.values(contact)["engage_user_types"]
    project.crm.store.archive("contacts", contact)
    project.sync()
    [user] = rows(project.root, "users")
    assert "influencer" not in user["user_types"]
    assert user["links"] == {}


DOWN = Fault("unavailable", times=None)


def test_salesforce_down_leaves_hubspot_written(project: Both) -> None:
    contact, sales = project.contact("ann@a.example"), project.sales("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.org.faults.add(DOWN)
    report = project.sync()
    assert (report.exit, list(report.errors)) == (5, ["salesforce"])
    assert project.values(contact)["engage_user_type"] == "power"
    assert project.held(sales)["Engage_User_Type__c"] is None
    project.org.faults.clear()
    assert project.sync().exit == 0
    assert project.held(sales)["Engage_User_Type__c"] == "power"


def test_hubspot_refusing_the_token_leaves_salesforce_written(project: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    contact, sales = project.contact("ann@a.example"), project.sales("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    monkeypatch.setenv("ENGAGE_TEST_TOKEN", "revoked")
    report = project.sync()
    assert (report.exit, list(report.errors)) == (6, ["hubspot"])
    assert project.held(sales)["Engage_User_Type__c"] == "power"
    assert "engage_user_type" not in project.values(contact)


def test_worst_of_two_errors_is_the_exit_code(project: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused credentials (6) before an unreachable CRM (5)."""
    monkeypatch.setenv("ENGAGE_TEST_TOKEN", "revoked")
    project.org.faults.add(DOWN)
    report = project.sync()
    assert (report.exit, sorted(report.errors)) == (6, ["hubspot", "salesforce"])


def test_check_lists_the_gaps_of_one_crm_though_the_other_is_down(tmp_path: Path) -> None:
    with both(tmp_path, provisioned=False) as project:
        project.org.faults.add(Fault("login_refused", times=None))
        found = answer(tmp_path, "check", code=6)
        assert found["ok"] is False
        assert {problem["file"] for problem in found["problems"]} == {
            "connectors/hubspot.yaml",
            "connectors/salesforce.yaml",
        }
        assert any(problem["field"] == "engage_user_type" for problem in found["problems"])


def test_sync_of_one_connector_leaves_the_other_alone(project: Both) -> None:
    contact, sales = project.contact("ann@a.example"), project.sales("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.crm.calls.clear()
    with project.open() as workspace:
        report = cycle.sync(workspace, "salesforce", project.clock(), clock=project.clock)
    assert list(report.connectors) == ["salesforce"]
    assert project.crm.calls.count() == 0
    assert project.held(sales)["Engage_User_Type__c"] == "power"
    assert "engage_user_type" not in project.values(contact)


def test_converted_lead_keeps_its_user_at_the_new_contact(project: Both) -> None:
    """Although the contact got another address while it was made."""
    lead = project.org.store.create("Lead", {"LastName": "Ann", "Company": "A", "Email": "ann@a.example"})
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    assert project.held(lead, "Lead")["Engage_External_Id__c"] == "ann"
    contact, _ = project.org.store.convert(lead)
    project.org.store.edit("Contact", contact, {"Email": "ann@b.example"})
    report = project.sync(after=60)
    assert project.counts(report, "salesforce", "Lead") == {"gone": 1}
    assert project.held(contact)["Engage_External_Id__c"] == "ann"
    [user] = rows(project.root, "users")
    assert user["links"]["salesforce"]["id"] == contact
    assert project.sync(after=60).writes == 0


def converted(project: Both) -> tuple[str, str]:
    """Sync a lead, then let it become a contact with another address, so that only the link tells whose it is."""
    lead = project.org.store.create("Lead", {"LastName": "Ann", "Company": "A", "Email": "ann@a.example"})
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    contact, _ = project.org.store.convert(lead)
    project.org.store.edit("Contact", contact, {"Email": "ann@b.example"})
    return lead, contact


def test_converted_lead_keeps_its_user_though_the_contact_comes_later(project: Both) -> None:
    """Contacts cannot be pulled in the run that tells of the conversion."""
    _, contact = converted(project)
    file = project.root / "connectors" / "salesforce.yaml"
    text = file.read_text()
    start, lead, end = text.index("  Contact:"), text.index("  Lead:"), len(text)
    file.write_text(text[:start] + text[lead:end] + text[start:lead])
    project.org.faults.add(Fault("unavailable", path="*/query", contains="", skip=1, times=None))
    assert project.sync(after=60).exit == 5
    project.org.faults.clear()
    assert project.sync(after=60).exit == 0
    assert project.held(contact)["Engage_External_Id__c"] == "ann"


def test_converted_lead_whose_contact_was_merged_keeps_its_user(project: Both) -> None:
    """Both before anybody looked."""
    _, contact = converted(project)
    other = project.sales("somebody@c.example")
    project.org.store.merge("Contact", other, contact)
    assert project.sync(after=60).exit == 0
    assert project.held(other)["Engage_External_Id__c"] == "ann"


def test_secret_that_is_not_set_leaves_the_other_crm_written(project: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    contact = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    monkeypatch.delenv("ENGAGE_TEST_SECRET")
    report = project.sync()
    assert (report.exit, list(report.errors)) == (2, ["salesforce"])
    assert "ENGAGE_TEST_SECRET is not set" in report.errors["salesforce"]
    assert project.values(contact)["engage_user_type"] == "power"
    monkeypatch.setenv("ENGAGE_TEST_SECRET", project.org.client_secret)


def test_merge_in_salesforce_moves_the_link(project: Both) -> None:
    first, second = project.sales("ann@a.example"), project.sales("other@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.org.store.merge("Contact", second, first)
    project.sync(after=60)
    assert project.held(second)["Engage_External_Id__c"] == "ann"
    assert project.sync(after=60).writes == 0


def test_checkbox_that_nobody_set_is_not_written(project: Both) -> None:
    """False is what it shows by itself: of the two, only the lapsed one is written."""
    active = project.sales("ann@a.example", Title="Head")
    lapsed = project.sales("bob@a.example", Title="Head")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example", days=9))
    project.clock.advance(3 * 86_400)
    project.tell(project.track("ann"))
    project.sync()
    assert (project.held(active)["Engage_Lapsed__c"], project.held(lapsed)["Engage_Lapsed__c"]) == ("false", "true")
    changed = {edit.field for edit in project.org.store.edits("Contact", active)}
    assert "Engage_Lapsed__c" not in changed
    assert project.sync().writes == 0


def test_lost_state_costs_a_pull_and_no_rewrite(project: Both) -> None:
    project.sales("ann@a.example"), project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.lose_state()
    report = project.sync()
    assert (report.exit, report.writes) == (0, 0)


def test_answer_that_nobody_understood_is_kept_for_the_bug_report(project: Both) -> None:
    """In the project's folder; the run says where."""
    project.org.faults.add(Fault("html_200", path="*/oauth2/token", times=None))
    assert project.sync().exit == 7  # it may hold a token, so it is not kept
    assert not (project.root / "var" / "reports").exists()
    project.org.faults.clear()
    project.org.faults.add(Fault("html_200", path="*/sobjects/*", times=None))
    report = project.sync()
    assert report.exit == 7
    path = project.root / "var" / "reports" / f"run-{report.run}-salesforce.txt"
    assert str(path) in report.errors["salesforce"]
    assert "<html" in path.read_text()
    project.org.faults.clear()
    assert project.sync().exit == 0
