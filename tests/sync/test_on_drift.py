"""The decision table of architecture §5 over whole cycles: what people did to our fields, and what becomes of it."""

from __future__ import annotations

import pytest

from tests.sync.project import Project, decisions

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
