"""Who set a Salesforce field: field history where the org tracks it, else who changed the record last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from engage_sync.connectors.base import Author
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.errors import EngageError
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from engage_sync.sandbox.salesforce_store import INTEGRATION
from tests.connectors.org import KIND, SPECS, hardened, salesforce, sandbox
from tests.connectors.sandboxed import Clock

TYPE, TEXT = "Engage_Type__c", "Engage_Text__c"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def org() -> Iterator[SalesforceSandbox]:
    """An org that tracks the picklist and not the text."""
    clock = Clock()
    clock.held = NOON
    with sandbox(clock=clock) as running:
        salesforce(running).provision(SPECS)
        running.store.shelf("Contact").type.tracked.add(TYPE)
        yield running


@pytest.fixture
def crm(org: SalesforceSandbox) -> Iterator[Salesforce]:
    made = salesforce(org)
    yield made
    made.close()


def edited(org: SalesforceSandbox, **values: str) -> str:
    """Create a contact and let Ann Lee, then the integration, then Ben Ode change it."""
    record = org.store.create("Contact", {"LastName": "Roe"})
    for by, value in (("Ann Lee", "power"), (INTEGRATION, "active"), ("Ben Ode", "power")):
        org.store.edit("Contact", record, {TYPE: value, **values}, by=by)
    return record


def test_tracked_field_has_its_newest_author(org: SalesforceSandbox, crm: Salesforce) -> None:
    record = edited(org)
    org.store.edit("Contact", record, {"Title": "Head"}, by="Cid Poe")
    assert crm.authors(KIND, [(record, TYPE)]) == {
        (record, TYPE): Author("Ben Ode", "2026-06-01T12:00:00Z", None, ours=False)
    }


def test_what_our_own_user_set_was_no_person(org: SalesforceSandbox, crm: Salesforce) -> None:
    record = edited(org)
    org.store.edit("Contact", record, {TYPE: "active"}, by=INTEGRATION)
    expected = Author(INTEGRATION, "2026-06-01T12:00:00Z", human=False, ours=True)
    assert crm.authors(KIND, [(record, TYPE)]) == {(record, TYPE): expected}


def test_untracked_field_tells_who_changed_the_record_last(org: SalesforceSandbox, crm: Salesforce) -> None:
    """That may have been about another field: it says so, and whether it was a person is not known."""
    record = org.store.create("Contact", {"LastName": "Roe"})
    org.store.edit("Contact", record, {TEXT: "x"}, by="Ann Lee")
    org.store.edit("Contact", record, {"Title": "Head"}, by="Cid Poe")
    expected = Author("record last changed by Cid Poe", "2026-06-01T12:00:00Z", None, ours=False, of_record=True)
    assert crm.authors(KIND, [(record, TEXT)]) == {(record, TEXT): expected}
    org.store.edit("Contact", record, {"Title": "Boss"}, by=INTEGRATION)
    assert crm.authors(KIND, [(record, TEXT)])[record, TEXT].ours is True


def test_an_org_without_history(org: SalesforceSandbox, crm: Salesforce) -> None:
    record = org.store.create("Account", {"Name": "Acme"}, by="Ann Lee")
    kind = type(KIND)("Account", KIND.role, ("Name",))
    assert crm.authors(kind, [(record, "Name")])[record, "Name"].name == "record last changed by Ann Lee"


def test_record_that_is_gone_is_left_out(org: SalesforceSandbox, crm: Salesforce) -> None:
    record, gone = edited(org), edited(org)
    org.store.purge("Contact", gone)
    assert crm.authors(KIND, [(gone, TEXT), (gone, TYPE), (record, TYPE)]).keys() == {(record, TYPE)}


def test_a_hundred_fields_take_two_calls(org: SalesforceSandbox) -> None:
    ids = org.store.create_many("Contact", [{"LastName": str(number)} for number in range(100)])
    crm = hardened(salesforce(org))
    crm.check()
    before = crm.calls["read"]
    assert len(crm.authors(KIND, [(record, TEXT) for record in ids])) == 100
    assert crm.calls["read"] == before + 2
    crm.close()


def test_a_fault_is_raised_and_not_repeated(org: SalesforceSandbox) -> None:
    """Whoever asks goes on without an answer: nothing is worth a pause here."""
    pauses: list[float] = []
    crm = hardened(salesforce(org), pauses)
    crm.check()
    org.faults.add(Fault("unavailable", kind="*a*"))
    with pytest.raises(EngageError):
        crm.authors(KIND, [("003000000000001AAA", TEXT)])
    assert pauses == []
    crm.close()
