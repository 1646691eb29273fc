"""A lost state database costs a pull, not a rewrite: what the CRM holds is compared, not what we remember."""

from __future__ import annotations

from tests.sync.project import Project, decisions


def test_nothing_is_rewritten(project: Project) -> None:
    records = [project.contact(f"user{n}@a.example") for n in range(150)]
    company = project.company("a.example")
    project.tell(*[body for n in range(150) for body in project.person(f"user{n}", f"user{n}@a.example", events=n % 4)])
    project.tell(project.group("user1", "acme", domain="a.example"))
    assert project.sync().writes == 3
    before = [project.values(record) for record in records], project.values(company, "companies")
    project.lose_state()
    project.crm.calls.clear()
    report = project.sync(after=0)
    assert (report.exit, report.writes, report.changes.height) == (0, 0, 0)
    assert project.crm.calls.count("write") == 0
    assert project.buckets(report) == {"unchanged": 150}
    assert project.buckets(report, "companies") == {"unchanged": 1}
    assert before == ([project.values(record) for record in records], project.values(company, "companies"))


def test_what_changed_meanwhile_is_written(project: Project) -> None:
    quiet, busy = project.contact("quiet@a.example"), project.contact("busy@a.example")
    project.tell(*project.person("quiet", "quiet@a.example"), *project.person("busy", "busy@a.example", events=3))
    project.sync()
    project.lose_state()
    project.tell(project.track("busy", "report_run"))
    report = project.sync(after=0)
    assert {record for record, *_ in decisions(report)} == {busy}
    assert {field for _, field, *_ in decisions(report)} == {"engage_reports", "engage_last_active"}
    assert project.values(quiet)["engage_external_id"] == "quiet"


def test_links_come_back_by_the_external_id(project: Project) -> None:
    """The address has changed since: only the id that we wrote tells whose record it is."""
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.crm.store.update("contacts", record, {"email": "ann.new@b.example"})
    project.lose_state()
    assert project.buckets(project.sync()) == {"unchanged": 1}


def test_values_seen_after_the_loss_are_ours_again(project: Project) -> None:
    """Equal is remembered: a respected field goes on following us."""
    record = project.contact("ann@a.example")
    project.tell(*project.person("ann", "ann@a.example"))
    project.sync()
    project.lose_state()
    project.sync(after=0)
    project.sync(after=20 * 86_400)
    assert project.values(record)["engage_user_type"] == "inactive"


def test_a_lost_cursor_alone_loads_again(project: Project) -> None:
    """Records that vanished unseen (erased for good) are missed by the load and let go."""
    record, other = project.contact("ann@a.example"), project.contact("bob@a.example")
    project.tell(*project.person("ann", "ann@a.example"), *project.person("bob", "bob@a.example"))
    project.sync()
    project.crm.store.erase("contacts", record)
    with project.open() as workspace:
        workspace.state.drop_cursor("hubspot", "contacts")
    report = project.sync()
    assert (project.buckets(report), report.no_record) == ({"gone": 1, "unchanged": 1}, 1)
    assert project.values(other)["engage_external_id"] == "bob"
