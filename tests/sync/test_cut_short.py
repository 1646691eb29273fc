"""A pull that was cut short is taken up where it stood, and what changed behind it meanwhile is not missed."""

from __future__ import annotations

from engage_sync.sandbox.faults import Fault
from tests.sync.project import Project


def test_what_changed_behind_a_pull_that_was_cut_short_is_seen_in_the_next_run(project: Project) -> None:
    """The first page has passed when the CRM fails; the person is renamed there before the rest is pulled."""
    people = [project.contact(f"user{n}@a.example") for n in range(250)]
    project.tell(*project.person("ann", "ann@a.example"))
    project.crm.faults.add(Fault("unavailable", method="GET", path="*/objects/contacts", skip=1, times=None))
    assert project.sync().exit == 5
    project.crm.faults.clear()
    project.crm.store.update("contacts", people[0], {"email": "ann@a.example"})
    report = project.sync()
    assert report.exit == 0
    assert project.values(people[0])["engage_external_id"] == "ann"
    assert project.sync().writes == 0
