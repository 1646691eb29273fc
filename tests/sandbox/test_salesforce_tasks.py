"""Tasks of the Salesforce stand-in: created as an org lets them be, and what becomes of them with their records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from engage_sync.sandbox.salesforce_store import SalesforceStore
from tests.sandbox.conftest import Clock, Org


@pytest.fixture
def store(clock: Clock) -> SalesforceStore:
    return SalesforceStore(clock=clock)


def ids(store: SalesforceStore) -> tuple[str, str, str]:
    """Make an account, a contact of it and a lead."""
    firm = store.create("Account", {"Name": "Acme"})
    person = store.create("Contact", {"LastName": "P", "AccountId": firm})
    return firm, person, store.create("Lead", {"LastName": "L", "Company": "Acme"})


def create(org: Org, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    records = [{"attributes": {"type": "Task"}, **row} for row in rows]
    answer: list[dict[str, Any]] = org("POST", "composite/sobjects", {"records": records})
    assert org.status == 200, answer
    return answer


def code(answer: dict[str, Any]) -> str:
    [error] = answer["errors"]
    return str(error["statusCode"])


def test_collection_creates_tasks_in_order(org: Org) -> None:
    firm, person, lead = ids(org.store)
    made = create(
        org,
        {"Subject": "Call", "WhoId": person, "WhatId": firm, "ActivityDate": "2026-06-08", "Description": "why"},
        {"Subject": "x" * 256, "WhoId": person},
        {"WhoId": lead[:15], "Status": "Completed", "Priority": "High"},
    )
    assert [one["success"] for one in made] == [True, False, True]
    assert code(made[1]) == "STRING_TOO_LONG"
    [first] = org.store.tasks("Contact", person)
    assert first["Id"] == made[0]["id"]
    assert (first["Status"], first["Priority"], first["IsClosed"]) == ("Not Started", "Normal", "false")
    assert (first["ActivityDate"], first["Description"], first["OwnerId"]) == ("2026-06-08", "why", org.sandbox.user_id)
    assert org.store.tasks("Account", firm) == [first]
    [second] = org.store.tasks("Lead", lead)
    assert (second["Subject"], second["IsClosed"]) == (None, "true")


def test_single_record_route_and_query(org: Org) -> None:
    firm, person, _ = ids(org.store)
    made = org("POST", "sobjects/Task", {"Subject": "It's due", "WhoId": person, "Description": "a\nb"})
    assert (org.status, made["success"]) == (201, True)
    other = org.store.create("Task", {"Subject": "Other", "WhatId": firm, "ActivityDate": date(2026, 6, 8)})
    found = org.rows(
        f"SELECT Id, Subject, Description FROM Task WHERE WhoId IN ('{person}') AND Subject IN ('it\\'s DUE')"
    )
    assert found == [{"Id": made["id"], "Subject": "It's due", "Description": "a\nb"}]
    assert org.rows(f"SELECT Id FROM Task WHERE WhatId = '{firm}' AND IsClosed = false") == [{"Id": other}]
    org.store.delete("Task", other)
    assert org.rows("SELECT Id FROM Task ORDER BY Id") == [{"Id": made["id"]}]
    assert len(org.rows("SELECT Id FROM Task", "queryAll")) == 2


@pytest.mark.parametrize("where", ["Description = 'x'", "Description LIKE '%k1%'", "Description IN ('x')"])
def test_description_is_not_filtered(org: Org, where: str) -> None:
    [error] = org.query(f"SELECT Id FROM Task WHERE {where}")
    assert (org.status, error["errorCode"]) == (400, "INVALID_FIELD")
    assert error["message"] == "field 'Description' can not be filtered in a query call"


def test_description_of_the_object(org: Org) -> None:
    told = org.get("sobjects/Task/describe")
    fields = {one["name"]: one for one in told["fields"]}
    assert (told["keyPrefix"], told["createable"], told["mergeable"]) == ("00T", True, False)
    assert (fields["Subject"]["type"], fields["Subject"]["length"]) == ("combobox", 255)
    assert fields["Description"]["filterable"] is False
    assert fields["WhoId"]["referenceTo"] == ["Contact", "Lead"]
    assert "MasterRecordId" not in fields
    assert (fields["IsClosed"]["createable"], fields["OwnerId"]["createable"]) == (False, True)
    org.store.allow("Task", edit=False)
    assert org.get("sobjects/Task/describe")["createable"] is False


def test_fields_are_hidden_and_read_only_as_others_are(org: Org) -> None:
    _, person, _ = ids(org.store)
    org.store.hide("Task", "Description")
    org.store.grant("Task", "OwnerId", edit=False)
    assert [code(one) for one in create(org, {"WhoId": person, "Description": "x"}, {"OwnerId": person})] == [
        "INVALID_FIELD",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
    ]
    assert org.query("SELECT Description FROM Task")[0]["errorCode"] == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (lambda firm, person, lead: {"WhoId": lead, "WhatId": firm}, "FIELD_INTEGRITY_EXCEPTION"),
        (lambda firm, person, lead: {"WhoId": firm}, "FIELD_INTEGRITY_EXCEPTION"),
        (lambda firm, person, lead: {"WhatId": firm, "OwnerId": person}, "FIELD_INTEGRITY_EXCEPTION"),
        (lambda firm, person, lead: {"WhatId": firm[:15], "IsClosed": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (lambda firm, person, lead: {"WhatId": firm, "ActivityDate": "soon"}, "JSON_PARSER_ERROR"),
        (lambda firm, person, lead: {"WhoId": "nonsense"}, "MALFORMED_ID"),
    ],
)
def test_task_that_an_org_refuses(org: Org, row: Callable[..., dict[str, Any]], wanted: str) -> None:
    [answer] = create(org, {"Subject": "Call", **row(*ids(org.store))})
    assert code(answer) == wanted
    assert org.store.ids("Task") == []


def test_record_that_is_gone_or_converted_is_no_one_to_have_a_task_about(org: Org) -> None:
    firm, person, lead = ids(org.store)
    org.store.convert(lead, account=firm)
    org.store.delete("Contact", person)
    refused = create(org, {"WhoId": person}, {"WhoId": lead})
    assert [code(one) for one in refused] == ["INVALID_CROSS_REFERENCE_KEY", "CANNOT_UPDATE_CONVERTED_LEAD"]


def test_missing_right_to_create(org: Org) -> None:
    org.store.allow("Task", edit=False)
    [answer] = create(org, {"Subject": "Call"})
    assert answer["errors"] == [
        {
            "statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "message": "entity type cannot be inserted: Task",
            "fields": [],
        }
    ]
    org.store.allow("Task", read=False, edit=False)
    [error] = org("POST", "composite/sobjects", {"records": [{"attributes": {"type": "Task"}}]})
    assert (org.status, error["errorCode"]) == (400, "INVALID_TYPE")
    assert org.get("sobjects/Task/describe")[0]["errorCode"] == "NOT_FOUND"


def test_inactive_users_own_no_task_and_no_contact_but_accounts(org: Org) -> None:
    firm, person, _ = ids(org.store)
    gone = org.store.user("Gone")
    org.store.edit("User", gone, {"IsActive": False})
    [answer] = create(org, {"WhoId": person, "OwnerId": gone})
    assert code(answer) == "INACTIVE_OWNER_OR_USER"
    assert answer["errors"][0]["message"] == f"operation performed with inactive user [{gone[:15]}] as owner of task"
    assert org.refused({"id": person, "OwnerId": gone})["statusCode"] == "INACTIVE_OWNER_OR_USER"
    assert org.update([{"id": firm, "OwnerId": gone}], "Account")[0]["success"] is True


def test_queue_owns_leads_and_no_tasks(org: Org) -> None:
    _, person, lead = ids(org.store)
    queue = org.store.create("Group", {"Name": "Inbound", "Type": "Queue"})
    assert org.update([{"id": lead, "OwnerId": queue}], "Lead")[0]["success"] is True
    assert code(create(org, {"WhoId": person, "OwnerId": queue})[0]) == "FIELD_INTEGRITY_EXCEPTION"


def test_new_task_meets_the_lock_of_its_record(org: Org) -> None:
    firm, person, _ = ids(org.store)
    org.store.lock_rows([firm, person])
    first = create(org, {"WhoId": person}, {"WhatId": firm}, {"Subject": "About nobody"})
    assert [one["success"] for one in first] == [False, False, True]
    assert code(first[0]) == code(first[1]) == "UNABLE_TO_LOCK_ROW"
    assert [one["success"] for one in create(org, {"WhoId": person}, {"WhatId": firm})] == [True, True]


@pytest.mark.parametrize(("object_", "link"), [("Contact", "WhoId"), ("Account", "WhatId"), ("Lead", "WhoId")])
def test_tasks_follow_a_merge_and_go_with_their_record(store: SalesforceStore, object_: str, link: str) -> None:
    values = {"Contact": {"LastName": "P"}, "Account": {"Name": "Acme"}, "Lead": {"LastName": "L", "Company": "A"}}
    first, second, third = (store.create(object_, values[object_]) for _ in range(3))
    made = [store.create("Task", {"Subject": name, link: one}) for name, one in (("a", first), ("b", second))]
    store.create("Task", {"Subject": "c", link: third})
    store.merge(object_, first, second)
    assert [task["Id"] for task in store.tasks(object_, first)] == made
    assert store.tasks(object_, second) == []
    store.delete(object_, first)
    assert store.tasks(object_, first) == []
    assert store.ids("Task", deleted=True) == made
    store.purge(object_, third)
    assert store.ids("Task") == []


def test_tasks_of_people_go_with_their_account_and_those_of_leads_to_the_contact(store: SalesforceStore) -> None:
    firm, person, lead = ids(store)
    store.create("Task", {"WhoId": person})
    of_lead = store.create("Task", {"WhoId": lead})
    contact, made = store.convert(lead)
    store.delete("Account", firm)
    assert [task["Id"] for task in store.tasks("Contact", contact)] == [of_lead]
    assert store.ids("Task") == [of_lead]
    store.delete("Account", made)
    assert store.ids("Task") == []


def test_page_of_a_record_shows_its_tasks(org: Org) -> None:
    _, person, _ = ids(org.store)
    body = "120 events & then <48>"
    values = {"Subject": "Usage halved", "WhoId": person, "Description": body, "ActivityDate": date(2026, 6, 8)}
    org.store.create("Task", {**values, "OwnerId": org.store.user("Dana Weber")})
    url = f"{org.sandbox.base_url}/lightning/r/Contact/{person}/view"
    page = org.pool.request("GET", url).data.decode()
    for shown in ("Usage halved", "due 2026-06-08", "Dana Weber", "Not Started", "120 events &amp; then &lt;48&gt;"):
        assert shown in page
