"""Who is who over whole cycles: merges, deletions, shared and missing addresses, odd ids (semantics §5)."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from engage_sync.sync.cycle import Report
from tests.sync.project import Project, decisions


def types(project: Project, record: str) -> list[str]:
    return project.values(record).get("engage_user_types", "").split(";")


@pytest.mark.lesson(9)
def test_a_merge_moves_the_link_and_what_we_wrote(project: Project) -> None:
    """The survivor, under a new id and another address, is still this user's; our values there are still ours."""
    old, other = project.contact("ann@a.example"), project.contact("office@a.example", jobtitle="Head of all")
    project.tell(*project.person("ann", "ann@a.example"))
    assert project.buckets(project.sync()) == {"written": 1, "unlinked": 1}
    survivor = project.crm.store.merge("contacts", other, old)
    assert survivor not in (old, other)
    report = project.sync()
    assert report.exit == 0
    assert types(project, survivor) == ["active", "influencer", "power"]
    assert project.buckets(report)["written"] == 1
    quiet = project.sync()
    assert (quiet.writes, project.buckets(quiet)) == (0, {"unchanged": 1})


def test_a_respected_field_goes_on_after_a_merge(project: Project) -> None:
    """Nobody but us set the survivor's type: a merge is no drift."""
    old, other = project.contact("ann@a.example"), project.contact("office@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    assert project.values(old)["engage_user_type"] == "power"
    survivor = project.crm.store.merge("contacts", old, other)
    report = project.sync(after=20 * 86_400)
    assert project.values(survivor)["engage_user_type"] == "inactive"
    assert project.buckets(report)["written"] == 1


def test_a_merge_of_two_users_contacts_is_ambiguous(project: Project) -> None:
    ann, bob = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example"))
    project.sync()
    survivor = project.crm.store.merge("contacts", ann, bob)
    before = project.values(survivor)
    for _ in range(2):
        report = project.sync()
        assert project.buckets(report)["ambiguous"] == 1
        assert report.writes == 0
        assert project.values(survivor) == before


@pytest.mark.lesson(10)
def test_a_deletion_ends_the_influencer(project: Project) -> None:
    record = project.contact("ann@a.example", jobtitle="Head of Sales")
    project.tell(*project.person("ann", "ann@a.example"))
    assert "influencer" in kinds(project, project.sync())
    project.crm.store.archive("contacts", record)
    gone = project.sync()
    assert project.buckets(gone) == {"gone": 1}
    assert (gone.exit, gone.writes, gone.no_record) == (0, 0, 1)
    assert "influencer" not in kinds(project, gone)
    project.crm.store.restore("contacts", record)
    assert "influencer" in kinds(project, project.sync())


def kinds(project: Project, report: Report) -> list[str]:
    with project.open() as workspace:
        found: list[str] = json.loads(workspace.state.verdicts("user", run=report.run)["document"][0])["user_types"]
        return found


def test_a_deleted_contact_is_found_out_by_writing_to_it(project: Project) -> None:
    """A record erased for good shows in no increment; the write that meets it says so, and the next run knows."""
    record = project.contact("ann@a.example", jobtitle="Head of Sales")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.crm.store.erase("contacts", record)
    project.tell(project.track("ann", "report_run"))
    met = project.sync()
    assert (met.exit, project.buckets(met)) == (0, {"gone": 1})
    after = project.sync()
    assert (after.writes, after.no_record) == (0, 1)
    assert "influencer" not in kinds(project, after)


def test_two_contacts_with_one_address(project: Project) -> None:
    one = project.contact("ann@a.example")
    two = project.shared_email("Ann@a.example ")
    project.tell(*project.person("ann", "ann@a.example"))
    report = project.sync()
    assert (report.exit, report.writes) == (0, 0)
    assert project.buckets(report) == {"ambiguous": 2}
    assert not [name for record in (one, two) for name in project.values(record) if name.startswith("engage_")]


def test_two_users_with_one_address(project: Project) -> None:
    project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("anna", "ANN@a.example"))
    report = project.sync()
    assert (report.writes, project.buckets(report)) == (0, {"ambiguous": 1})
    project.clock.advance(1)
    project.tell(project.identify("anna", email="anna@a.example"))
    assert project.buckets(project.sync()) == {"written": 1}


@pytest.mark.lesson(6)
def test_the_stored_link_outlives_a_swap_of_addresses(project: Project) -> None:
    ann, bob = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example", days=12))
    project.sync()
    store = project.crm.store
    store.update("contacts", ann, {"email": ""})
    store.update("contacts", bob, {"email": "ann@a.example"})
    store.update("contacts", ann, {"email": "bob@a.example"})
    report = project.sync()
    assert (report.writes, project.buckets(report)) == (0, {"unchanged": 2})
    assert [project.values(record)["engage_external_id"] for record in (ann, bob)] == ["ann", "bob"]


def test_a_contact_without_address(project: Project) -> None:
    """It is nobody's, unless it carries an id; a user without an address has no record."""
    bare, named = project.contact(firstname="Bare"), project.contact(engage_external_id="bob")
    project.tell(*project.person("ann"), *project.person("bob"))
    report = project.sync()
    assert project.buckets(report) == {"unlinked": 1, "written": 1}
    assert report.no_record == 1
    assert "engage_link" not in project.values(bare)
    assert project.values(named)["engage_link"].endswith("/bob")


ODD = ("O'Neil", 'say "hi"', "😀 & <b>;", "a/b?c=d#e%", "Robert'); DROP TABLE users;--", " ", "{external_id}")


def test_odd_ids(project: Project) -> None:
    records = {user: project.contact(f"odd{n}@a.example") for n, user in enumerate(ODD)}
    accounts = {user: project.company(f"odd{n}.example") for n, user in enumerate(ODD)}
    for n, user in enumerate(ODD):
        person = project.person(user, f"odd{n}@a.example")
        project.tell(*person, project.group(user, user, domain=f"odd{n}.example"))
    report = project.sync()
    assert (report.exit, project.buckets(report)) == (0, {"written": len(ODD)})
    for user in ODD:
        held = project.values(records[user])
        assert held["engage_external_id"] == user
        assert held["engage_link"] == "https://console.example.com/users/" + quote(user, safe="")
        assert project.values(accounts[user], "companies")["engage_external_id"] == user
    assert project.sync().writes == 0
    project.lose_state()
    assert project.sync().writes == 0


def test_a_freed_id_goes_to_its_new_record_in_one_run(project: Project) -> None:
    """The CRM holds each id once: it must leave one record before the other can have it."""
    ann, bob = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example"))
    project.sync()
    store = project.crm.store
    store.update("contacts", bob, {"engage_external_id": ""})
    store.update("contacts", ann, {"engage_external_id": "bob"})
    report = project.sync()
    assert report.exit == 0
    assert [project.values(record)["engage_external_id"] for record in (ann, bob)] == ["ann", "bob"]
    assert project.sync().writes == 0


def test_ids_typed_crosswise_are_put_right(project: Project) -> None:
    """Two linked records that hold each other's id, by people's hands."""
    ann, bob = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example", days=12))
    project.sync()
    store = project.crm.store
    store.update("contacts", ann, {"engage_external_id": ""})
    store.update("contacts", bob, {"engage_external_id": "ann"})
    store.update("contacts", ann, {"engage_external_id": "bob"})
    report = project.sync()
    assert [decision for *_, decision in decisions(report)] == ["drift_written", "drift_written"]
    assert report.exit == 0
    assert [project.values(record)["engage_external_id"] for record in (ann, bob)] == ["ann", "bob"]
    assert project.sync().writes == 0


def test_an_id_that_another_record_keeps_is_refused_alone(project: Project) -> None:
    """A person gave the id to a contact of nobody: ours is named and counted, its other fields are written."""
    ours = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    store = project.crm.store
    store.update("contacts", ours, {"engage_external_id": ""})
    theirs = project.contact("other@a.example", engage_external_id="ann")
    project.tell(project.track("ann", "report_run"))
    for writes in (1, 0):
        report = project.sync()
        assert (report.exit, report.writes) == (1, writes)
        assert project.buckets(report) == {"refused": 1, "unlinked": 1}
        assert project.values(ours)["engage_reports"] == "1"
    (reason,) = report.changes["reason"]
    assert reason == f"record {theirs} holds this id already"
    store.update("contacts", theirs, {"engage_external_id": ""})
    assert project.sync().exit == 0
    assert project.values(ours)["engage_external_id"] == "ann"
