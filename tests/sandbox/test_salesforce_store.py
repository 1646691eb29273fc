"""The store without HTTP: what people and bad luck do to records, and what the org remembers of it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from engage_sync.sandbox.salesforce_fields import FieldDef, text
from engage_sync.sandbox.salesforce_refusal import RowRefused
from engage_sync.sandbox.salesforce_shelf import Edit
from engage_sync.sandbox.salesforce_store import SalesforceStore
from tests.sandbox.conftest import Clock


@pytest.fixture
def store(clock: Clock) -> SalesforceStore:
    return SalesforceStore(clock=clock)


def code(refused: pytest.ExceptionInfo[RowRefused]) -> str:
    return refused.value.errors[0].code


def test_a_record_reads_back(store: SalesforceStore, clock: Clock) -> None:
    firm = store.create("Account", {"Name": "Acme", "NumberOfEmployees": 12, "AnnualRevenue": 1e6})
    person = store.create("Contact", {"LastName": "Weber", "FirstName": "Ann", "AccountId": firm[:15], "Email": ""})
    values = store.values("Contact", person[:15])
    assert values["Name"] == "Ann Weber"
    assert values["AccountId"] == firm
    assert values["Email"] is None
    assert values["HasOptedOutOfEmail"] is False
    assert values["SystemModstamp"] == clock.now
    assert store.text("Account", firm, ["AnnualRevenue", "NumberOfEmployees"]) == {
        "AnnualRevenue": "1000000",
        "NumberOfEmployees": "12",
    }
    assert store.find("Contact", "LastName", "WEBER") == person
    assert store.find("Contact", "Email", "a@b.c") is None


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"FirstName": "Ann"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "A", "Nope": 1}, "INVALID_FIELD"),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG"),
        ({"LastName": "A", "Email": "no"}, "INVALID_EMAIL_ADDRESS"),
        ({"LastName": "A", "IsDeleted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_wrong_records_are_refused(store: SalesforceStore, values: dict[str, object], wanted: str) -> None:
    with pytest.raises(RowRefused) as refused:
        store.create("Contact", values)
    assert code(refused) == wanted
    assert store.ids("Contact") == []


def test_edits_are_remembered_and_move_the_stamp(store: SalesforceStore, clock: Clock) -> None:
    person = store.create("Contact", {"LastName": "A", "Birthdate": date(1990, 1, 2)})
    clock.advance(5.7)
    store.edit("Contact", person, {"Title": "CEO"}, by="Joe")
    store.edit("Contact", person, {"Title": "CEO"})
    clock.advance(10)
    store.edit("Contact", person, {"Title": None})
    at = [edit.at - int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()) for edit in store.edits("Contact", person)]
    assert at == [5, 15]
    assert store.edits("Contact", person)[0] == Edit(store.edits("Contact", person)[0].at, "Joe", "Title", None, "CEO")
    assert store.stamp("Contact", person) == datetime(2026, 6, 1, 12, 0, 15, tzinfo=UTC)
    with pytest.raises(RowRefused):
        store.edit("Contact", person, {"LastName": ""})


def test_automated_changes_move_the_stamp_alone(store: SalesforceStore, clock: Clock) -> None:
    person = store.create("Contact", {"LastName": "A"})
    clock.advance(60)
    store.touch("Contact", [person])
    values = store.values("Contact", person)
    assert values["SystemModstamp"] == clock.now
    assert values["LastModifiedDate"] == datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_an_import_may_set_instants(store: SalesforceStore) -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    [person] = store.create_many("Contact", [{"LastName": "A", "CreatedDate": old, "SystemModstamp": old}])
    assert store.values("Contact", person)["CreatedDate"] == old
    assert store.stamp("Contact", person) == old


def test_deleted_undeleted_purged(store: SalesforceStore) -> None:
    store.add_field("Contact", text("Key__c", "Key", custom=True, unique=True))
    person = store.create("Contact", {"LastName": "A", "Key__c": "k"})
    with pytest.raises(RowRefused) as refused:
        store.create("Contact", {"LastName": "B", "Key__c": "K"})
    assert code(refused) == "DUPLICATE_VALUE"
    store.delete("Contact", person)
    assert (store.ids("Contact"), store.ids("Contact", deleted=True)) == ([], [person])
    with pytest.raises(RowRefused) as refused:
        store.values("Contact", person)
    assert code(refused) == "ENTITY_IS_DELETED"
    second = store.create("Contact", {"LastName": "B", "Key__c": "K"})
    with pytest.raises(RowRefused) as refused:
        store.undelete("Contact", person)
    assert code(refused) == "DUPLICATE_VALUE"
    store.purge("Contact", second)
    store.undelete("Contact", person)
    assert store.find("Contact", "Key__c", "k") == person
    with pytest.raises(RowRefused) as refused:
        store.edit("Contact", second, {"Title": "x"})
    assert code(refused) == "INVALID_CROSS_REFERENCE_KEY"


def test_an_account_takes_its_contacts_with_it(store: SalesforceStore) -> None:
    firm = store.create("Account", {"Name": "Acme"})
    ours = store.create("Contact", {"LastName": "A", "AccountId": firm})
    other = store.create("Contact", {"LastName": "B"})
    store.delete("Account", firm)
    assert store.ids("Contact") == [other]
    assert store.ids("Contact", deleted=True) == [ours]


def test_merged_records(store: SalesforceStore, clock: Clock) -> None:
    first, second = (store.create("Contact", {"LastName": name, "Title": name}) for name in "AB")
    clock.advance(60)
    assert store.merge("Contact", first, second) == first
    lost = store.values("Contact", second, deleted=None)
    assert (lost["IsDeleted"], lost["MasterRecordId"]) == (True, first)
    assert store.values("Contact", first)["Title"] == "A"
    assert store.stamp("Contact", first) == store.stamp("Contact", second) == clock.now
    with pytest.raises(RowRefused):
        store.merge("Contact", first, first)


def test_contacts_follow_a_merged_account(store: SalesforceStore) -> None:
    first, second = (store.create("Account", {"Name": name}) for name in "AB")
    person = store.create("Contact", {"LastName": "P", "AccountId": second})
    store.merge("Account", first, second)
    assert store.values("Contact", person)["AccountId"] == first


def test_a_converted_lead(store: SalesforceStore) -> None:
    lead = store.create("Lead", {"LastName": "P", "Company": "Acme", "Email": "p@acme.example", "Title": "CEO"})
    contact, firm = store.convert(lead)
    held = store.values("Lead", lead)
    assert held["IsConverted"] is True
    assert (held["ConvertedContactId"], held["ConvertedAccountId"]) == (contact, firm)
    assert held["ConvertedDate"] == date(2026, 6, 1)
    assert store.values("Contact", contact)["AccountId"] == firm
    assert store.text("Contact", contact, ["Email", "Title"]) == {"Email": "p@acme.example", "Title": "CEO"}
    with pytest.raises(RowRefused) as refused:
        store.convert(lead)
    assert code(refused) == "CANNOT_UPDATE_CONVERTED_LEAD"


def test_many_edits_at_once_share_one_second(store: SalesforceStore, clock: Clock) -> None:
    ids = store.create_many("Contact", [{"LastName": str(n)} for n in range(50)])
    clock.advance(3)
    store.edit_at_once("Contact", ids[10:40], {"Title": "x"})
    assert {store.stamp("Contact", one) for one in ids[10:40]} == {clock.now}


def test_a_formula_follows_its_sources(store: SalesforceStore) -> None:
    name = FieldDef("Loud__c", "Loud", "string", 255, custom=True, formula=lambda v: str(v.get("Title", "")).upper())
    store.add_field("Contact", name)
    person = store.create("Contact", {"LastName": "A", "Title": "ceo"})
    before = store.stamp("Contact", person)
    assert store.values("Contact", person)["Loud__c"] == "CEO"
    assert store.stamp("Contact", person) == before
