"""Identity that follows the CRM, and links that keep their history (semantics §5)."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from engage_sync.sync import explain
from engage_sync.sync.timeline import timeline, timeline_json
from tests.sync.command import answer, engage
from tests.sync.project import Project
from tests.sync.two_crms import both

HEAD = "Head of Sales"


def linked(project: Project) -> dict[str, str]:
    with project.open() as workspace:
        return dict(workspace.state.links("hubspot", "contacts").select("record", "external_id").rows())


def history(project: Project, user: str) -> list[tuple[object, ...]]:
    """Give record, since, until and moved_to of a user's links, as `explain` does."""
    with project.open() as workspace:
        found = explain.explanation_json(explain.explain(workspace, Entity.USER, user, None))
    assert isinstance(found, dict)
    return [(one["record"], one["since"], one["until"], one["moved_to"]) for one in found["link_history"]]


def why(project: Project, user: str, verdict: str) -> str:
    with project.open() as workspace:
        found = explain.explain(workspace, Entity.USER, user, None)
    return next(reason.why for reason in found.reasons if reason.verdict == verdict)


def iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def ann(project: Project, **values: str) -> str:
    """Link a contact to the user ann, in a first run."""
    record = project.contact("ann@a.example", **values)
    project.tell(*project.person("ann", "ann@a.example"))
    assert project.sync().exit == 0
    return record


@pytest.mark.lesson(9)
def test_a_chain_of_merges_in_one_pull(project: Project) -> None:
    """A → B → C between two runs: the link is at the end of the chain, which nobody was linked to."""
    a, began = ann(project), project.clock()
    others = [project.contact(f"office{number}@a.example") for number in range(2)]
    b = project.crm.store.merge("contacts", others[0], a)
    c = project.crm.store.merge("contacts", others[1], b)
    report = project.sync()
    assert (report.exit, linked(project), project.values(c)["engage_external_id"]) == (0, {c: "ann"}, "ann")
    now = iso(project.clock())
    assert history(project, "ann") == [(a, iso(began), now, c), (c, now, None, None)]
    assert project.sync().writes == 0


def test_a_chain_of_merges_over_several_pulls(project: Project) -> None:
    """Each survivor has a new id; the history names every one of them, each with the one that followed."""
    at, at_once = [ann(project)], [iso(project.clock())]
    for number in range(2):
        other = project.contact(f"office{number}@a.example")
        at.append(project.crm.store.merge("contacts", other, at[-1]))
        assert project.sync().exit == 0
        at_once.append(iso(project.clock()))
    a, b, c = at
    first, second, third = at_once
    assert len({a, b, c}) == 3
    assert linked(project) == {c: "ann"}
    assert history(project, "ann") == [(a, first, second, b), (b, second, third, c), (c, third, None, None)]


def test_a_merge_met_by_a_write_moves_the_link_before_a_pull_tells(project: Project) -> None:
    a, began = ann(project), project.clock()
    other = project.contact("office@a.example")
    project.sync()
    survivor = project.crm.store.merge("contacts", other, a)
    project.tell(project.track("ann", "report_run"))
    assert project.sync(pulling=False).exit == 0
    met = iso(project.clock())
    assert project.values(survivor)["engage_reports"] == "1"
    assert project.sync().exit == 0
    assert linked(project) == {survivor: "ann"}
    assert history(project, "ann") == [(a, iso(began), met, survivor), (survivor, iso(project.clock()), None, None)]


def test_the_loser_was_linked_and_the_survivor_keeps_its_id(tmp_path: Path) -> None:
    """Salesforce keeps the winner's id: nobody was linked to it, so the loser's user is."""
    with both(tmp_path) as project:
        loser, winner = project.sales("ann@a.example"), project.sales("office@a.example")
        project.tell(*project.person("ann", "ann@a.example"))
        project.sync()
        project.org.store.merge("Contact", winner, loser)
        report = project.sync(after=60)
        assert (report.exit, project.held(winner)["Engage_External_Id__c"]) == (0, "ann")
        assert [row[0] for row in history(project, "ann")] == [loser, winner]
        assert history(project, "ann")[0][3] == winner


def test_a_merge_of_two_users_contacts_ends_both_links(project: Project) -> None:
    """Ambiguous (§5): nobody is linked while it lasts, and both histories say when that began."""
    one = ann(project)
    two = project.contact("bob@a.example")
    project.tell(*project.person("bob", "bob@a.example"))
    project.sync()
    survivor = project.crm.store.merge("contacts", one, two)
    report = project.sync()
    assert (report.writes, project.buckets(report)) == (0, {"ambiguous": 1, "gone": 2})
    now = iso(project.clock())
    for user, record in (("ann", one), ("bob", two)):
        assert [row[::2] for row in history(project, user)] == [(record, now)]
    assert survivor not in (one, two)


def test_a_deletion_ends_the_influencer_and_says_why(project: Project) -> None:
    record = ann(project, jobtitle=HEAD)
    began = iso(project.clock())
    assert "linked to a live CRM contact" in why(project, "ann", "influencer")
    project.crm.store.archive("contacts", record)
    project.sync()
    ended = iso(project.clock())
    assert history(project, "ann") == [(record, began, ended, None)]
    deleted = f"contacts {record} was deleted in hubspot"
    assert f"not linked to a live CRM contact ({deleted})" in why(project, "ann", "influencer")
    with project.open() as workspace:
        (change,) = [one for one in timeline(workspace, Entity.USER, "ann").transitions if one.kind == "type"]
    assert (change.before, change.after) == ("active;influencer;power", "active;power")
    assert change.reasons[-1] == deleted
    assert project.sync().writes == 0
    assert history(project, "ann") == [(record, began, ended, None)]


def test_a_restored_contact_takes_up_its_link_and_is_written_again(project: Project) -> None:
    record = ann(project, jobtitle=HEAD)
    began = iso(project.clock())
    project.crm.store.archive("contacts", record)
    project.sync()
    ended = iso(project.clock())
    project.crm.store.restore("contacts", record)
    project.tell(project.track("ann", "report_run"))
    report = project.sync()
    again = iso(project.clock())
    assert (report.exit, linked(project), project.values(record)["engage_reports"]) == (0, {record: "ann"}, "1")
    assert history(project, "ann") == [(record, began, ended, None), (record, again, None, None)]
    assert "linked to a live CRM contact" in why(project, "ann", "influencer")


def test_a_converted_lead_moves_its_link_to_the_contact(tmp_path: Path) -> None:
    with both(tmp_path) as project:
        lead = project.org.store.create("Lead", {"LastName": "Lee", "Company": "Acme", "Email": "lee@a.example"})
        project.tell(*project.person("lee", "lee@a.example"))
        project.sync()
        contact, _ = project.org.store.convert(lead)
        project.org.store.edit("Contact", contact, {"Email": "someone.else@a.example"})
        project.sync(after=60)
        now = iso(project.clock())
        assert project.held(contact)["Engage_External_Id__c"] == "lee"
        found = history(project, "lee")
        assert [(row[0], row[2], row[3]) for row in found] == [(lead, now, contact), (contact, None, None)]


def test_another_address_keeps_the_link(project: Project) -> None:
    """In the product and in the CRM: the stored link speaks before the address, and no second person appears."""
    record = ann(project)
    project.tell(project.identify("ann", email="ann@new.example"))
    assert (project.sync().exit, linked(project)) == (0, {record: "ann"})
    project.crm.store.update("contacts", record, {"email": "ann.private@other.example", "engage_external_id": ""})
    report = project.sync()
    assert (report.exit, report.no_record, linked(project)) == (0, 0, {record: "ann"})
    assert project.values(record)["engage_external_id"] == "ann"
    assert len(history(project, "ann")) == 1


@pytest.mark.lesson(6)
def test_a_further_address_finds_the_contact(project: Project) -> None:
    record = project.contact("ann@private.example")
    with project.crm.store.lock:  # HubSpot fills this property itself
        values = project.crm.store.need("contacts", record).values
        values["hs_additional_emails"] = "old@x.example;Ann@A.example"
    project.tell(*project.person("ann", "ann@a.example"))
    report = project.sync()
    assert (project.buckets(report), linked(project)) == ({"written": 1}, {record: "ann"})


def test_two_people_swap_addresses_between_two_runs(project: Project) -> None:
    """In the CRM and in the product at once: the links stay with the people."""
    one, two = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example", days=12))
    project.sync()
    store = project.crm.store
    store.update("contacts", one, {"email": ""})
    store.update("contacts", two, {"email": "ann@a.example"})
    store.update("contacts", one, {"email": "bob@a.example"})
    assert (project.sync().writes, linked(project)) == (0, {one: "ann", two: "bob"})
    project.tell(project.identify("ann", email="bob@a.example"), project.identify("bob", email="ann@a.example"))
    assert (project.sync().writes, linked(project)) == (0, {one: "ann", two: "bob"})
    assert [len(history(project, user)) for user in ("ann", "bob")] == [1, 1]


def test_a_run_again_at_one_instant_doubles_nothing(project: Project) -> None:
    record = ann(project)
    began = iso(project.clock())
    project.crm.store.archive("contacts", record)
    project.sync()
    ended = iso(project.clock())
    for _ in range(2):
        project.sync(after=0)
        assert history(project, "ann") == [(record, began, ended, None)]
    project.crm.store.restore("contacts", record)
    project.sync(after=0)
    assert history(project, "ann") == [(record, began, None, None)]


def test_the_faces_tell_the_history(tmp_path: Path) -> None:
    with both(tmp_path, real_time=True) as project:
        loser, winner = project.sales("ann@a.example"), project.sales("office@a.example")
        project.tell(*project.person("ann", "ann@a.example"))
        engage(tmp_path, "sync")
        assert "links through time" not in engage(tmp_path, "explain", "user", "ann")
        project.org.store.merge("Contact", winner, loser)
        engage(tmp_path, "sync")
        found = answer(tmp_path, "explain", "user", "ann")["link_history"]
        assert [list(one) for one in found] == [
            ["connector", "object", "record", "since", "until", "level", "moved_to"]
        ] * 2
        assert [(one["record"], one["moved_to"], one["level"]) for one in found] == [
            (loser, winner, "email"),
            (winner, None, "link"),
        ]
        text = engage(tmp_path, "explain", "user", "ann")
        assert "links through time" in text
        assert f"was merged into {winner}" in text
        shown = engage(tmp_path, "show", "timeline", "user", "ann")
        assert f"linked to Contact {loser}" in shown
        assert f"Contact {loser} moved to {winner}: merged" in shown
        assert f"linked to Contact {winner}" not in shown
        with project.open() as workspace:
            told = json.loads(json.dumps(timeline_json(timeline(workspace, Entity.USER, "ann"))))
        assert told["links"] == found
