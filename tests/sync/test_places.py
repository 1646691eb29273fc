"""What `explain` says a push would write is what the plan says, field by field and in the same words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.cycle import recompute
from engage_sync.sync.explain import explain
from engage_sync.sync.rollback import rollback
from tests.sync.project import Project
from tests.sync.project import project as begin

REPORTS, LOCKED, TITLE, ID = "engage_reports", "engage_locked", "engage_title", "engage_external_id"
CONNECTOR = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    read: [jobtitle]
    write:
      engage_reports: reports
      engage_locked: {from: reports, on_drift: {human_lock: 30d}}
      engage_title: title
      engage_external_id: external_id
"""
Told = dict[str, tuple[str, str | None]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    """A project whose contacts show reports, once as a locked field, and the title that the CRM itself holds."""
    with begin(tmp_path, connector=CONNECTOR) as found:
        yield found


def ann(made: Project, **values: str) -> str:
    record = made.contact("ann@a.example", jobtitle="Head", **values)
    made.tell(made.identify("ann", email="ann@a.example"))
    assert made.sync().exit == 0
    return record


def explained(made: Project, user: str = "ann") -> Told:
    """Give decision and reason of the fields that do not stand as they are."""
    with made.open() as workspace:
        (place,) = explain(workspace, Entity.USER, user, None, now=made.clock()).places
    return {one.field: (one.decision, one.reason) for one in place.fields if one.decision != "unchanged"}


def planned(made: Project, record: str) -> Told:
    """Give what a plan of this instant says of one record."""
    changes = made.plan().changes.filter(record=record)
    return {field: (word, reason) for field, word, reason in changes.select("field", "decision", "reason").rows()}


def agreed(made: Project, record: str, user: str = "ann") -> dict[str, str]:
    """Give the decisions, which the plan and `explain` both give; asked for before the plan, too, it is no other."""
    before, plan, after = explained(made, user), planned(made, record), explained(made, user)
    assert before == plan == after
    return {field: word for field, (word, _) in plan.items()}


def test_nothing_to_do(made: Project) -> None:
    assert agreed(made, ann(made)) == {}


def test_after_a_rollback(made: Project) -> None:
    record = ann(made)
    made.tell(made.track("ann", "report_run"))
    run = made.sync().run
    made.clock.advance(1)
    with made.open() as workspace:
        assert rollback(workspace, run, clock=made.clock, confirm=lambda _: True).restored == 2
    assert agreed(made, record) == {REPORTS: "rolled_back", LOCKED: "rolled_back"}


def test_while_a_refused_record_waits_and_after(made: Project) -> None:
    record = ann(made)
    made.tell(made.track("ann", "report_run"))
    made.crm.faults.add(Fault("batch_refused", kind="write", times=None))
    assert made.buckets(made.sync()) == {"refused": 1}
    assert agreed(made, record) == {REPORTS: "waiting", LOCKED: "waiting"}
    made.clock.advance(15 * 60)
    assert agreed(made, record) == {REPORTS: "write", LOCKED: "write"}


def test_a_lock_that_runs_and_one_that_ended(made: Project) -> None:
    record = ann(made)
    made.crm.store.update("contacts", record, {LOCKED: "7"})
    assert made.sync().exit == 0
    assert agreed(made, record) == {LOCKED: "drift_kept"}
    made.clock.advance(31 * 86_400)
    assert agreed(made, record) == {LOCKED: "drift_written"}


def test_a_value_that_does_not_fit(made: Project) -> None:
    """A field has become read-only: what the CRM said of it last counts."""
    record = ann(made)
    properties = made.crm.store.type("contacts").properties
    properties[TITLE] = replace(properties[TITLE], read_only=True)
    made.crm.store.update("contacts", record, {"jobtitle": "Chief"})
    assert made.buckets(made.sync()) == {"refused": 1}
    assert agreed(made, record) == {TITLE: "refused"}
    assert explained(made)[TITLE][1] == "contacts.engage_title is read-only for these credentials"


def test_an_id_that_another_record_holds(made: Project) -> None:
    """It is refused while the other keeps it, and written where the other is about to get its own."""
    one, other = ann(made), made.contact("bob@a.example")
    made.tell(made.identify("bob", email="bob@a.example"))
    assert made.sync().exit == 0
    change = partial(made.crm.store.update, "contacts")
    change(one, {ID: ""})
    change(other, {ID: "ann"})
    made.plan()
    assert agreed(made, one) == {ID: "write"}
    assert agreed(made, other, "bob") == {ID: "drift_written"}
    keeper = made.contact("keeper@a.example")
    change(other, {ID: "bob"})
    change(keeper, {ID: "ann", "email": ""})
    made.plan()
    assert agreed(made, one) == {ID: "refused"}


def test_what_a_run_without_an_answer_wrote_is_ours(made: Project) -> None:
    """The CRM holds what no answer came for: no drift."""
    record = ann(made)
    made.tell(made.track("ann", "report_run"))
    made.crm.faults.add(Fault("drop_after", kind="write", times=None))
    assert made.sync().exit != 0
    made.crm.faults.clear()
    assert made.values(record)[LOCKED] == "1"
    made.tell(made.track("ann", "report_run"))
    with made.open() as workspace:
        recompute(workspace, made.clock(), clock=made.clock)
    assert agreed(made, record) == {REPORTS: "write", LOCKED: "write"}
