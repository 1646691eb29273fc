"""Writing records: collections with an error for each mistake, single records, external ids, composite requests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engage_sync.sandbox.salesforce_fields import FieldDef, choices, text
from tests.sandbox.conftest import Clock, Org

KEY = text("Key__c", "Key", custom=True, unique=True, external_id=True)
LOOSE = text("Loose__c", "Loose", custom=True, external_id=True)
TAGS = FieldDef("Tags__c", "Tags", "multipicklist", 4099, choices=choices(["a", "b"]), restricted=True, custom=True)
SCORE = FieldDef("Score__c", "Score", "double", precision=5, scale=2, custom=True)
FORMULA = FieldDef("Loud__c", "Loud", "string", 255, custom=True, formula=lambda values: "x")


@pytest.fixture
def people(org: Org) -> list[str]:
    for field in (KEY, LOOSE, TAGS, SCORE, FORMULA):
        org.store.add_field("Contact", field)
    return org.store.create_many("Contact", [{"LastName": f"L{n}", "Title": "old"} for n in range(6)])


def test_rows_are_done_in_order_and_only_what_is_given(org: Org, people: list[str], clock: Clock) -> None:
    clock.advance(5)
    answer = org.update(
        [
            {"id": people[2][:15], "title": "CEO", "Score__c": 1.5, "Tags__c": "b;a"},
            {"Id": people[0], "Title": None},
            {"id": people[1], "Title": ""},
        ]
    )
    assert answer == [{"id": people[n], "success": True, "errors": []} for n in (2, 0, 1)]
    assert [org.store.values("Contact", one)["Title"] for one in people[:4]] == [None, None, "CEO", "old"]
    assert org.store.text("Contact", people[2], ["Score__c", "Tags__c"]) == {"Score__c": "1.5", "Tags__c": "a;b"}
    assert org.store.stamp("Contact", people[0]) == clock.now
    assert org.store.edits("Contact", people[2])[0].by == "Engage Sync"


@pytest.mark.parametrize(
    ("row", "code", "fields"),
    [
        ({"Nope__c": 1}, "INVALID_FIELD", []),
        ({"Name": "A B"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ({"Loud__c": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Loud__c"]),
        ({"SystemModstamp": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["SystemModstamp"]),
        ({"Title": "x" * 129}, "STRING_TOO_LONG", ["Title"]),
        ({"Tags__c": "a;z"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Tags__c"]),
        ({"Score__c": 1000}, "NUMBER_OUTSIDE_VALID_RANGE", ["Score__c"]),
        ({"Score__c": "1"}, "JSON_PARSER_ERROR", ["Score__c"]),
        ({"DoNotCall": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", ["DoNotCall"]),
        ({"LastName": None}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ({"Email": "no"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ({"AccountId": "0015g0000000009"}, "INVALID_CROSS_REFERENCE_KEY", ["AccountId"]),
        ({"AccountId": "0035g0000000009"}, "FIELD_INTEGRITY_EXCEPTION", ["AccountId"]),
        ({"AccountId": "x"}, "MALFORMED_ID", ["AccountId"]),
        ({"Key__c": "Taken"}, "DUPLICATE_VALUE", ["Key__c"]),
        ({"id": "003x"}, "MALFORMED_ID", ["Id"]),
        ({"id": "0015g0000000001AAA"}, "MALFORMED_ID", ["Id"]),
        ({"id": 7}, "MALFORMED_ID", ["Id"]),
        ({"id": ""}, "MISSING_ARGUMENT", []),
        ({"id": "0035g0000000zzz"}, "INVALID_CROSS_REFERENCE_KEY", []),
    ],
)
def test_one_wrong_row(org: Org, people: list[str], row: dict[str, Any], code: str, fields: list[str]) -> None:
    org.store.edit("Contact", people[1], {"Key__c": "taken"})
    before = org.store.values("Contact", people[0])
    error = org.refused({"id": people[0], "Description": "new", **row})
    assert (error["statusCode"], error["fields"]) == (code, fields)
    assert error["message"]
    assert org.store.values("Contact", people[0]) == before


def test_a_wrong_row_stops_no_other(org: Org, people: list[str]) -> None:
    answer = org.update([{"id": people[0], "Title": "a"}, {"id": "x", "Title": "b"}, {"id": people[1], "Title": "c"}])
    assert [row["success"] for row in answer] == [True, False, True]
    twice = org.update([{"id": people[0], "Title": "1"}, {"id": people[0][:15], "Title": "2"}])
    assert [row["success"] for row in twice] == [True, False]
    assert twice[1]["errors"][0]["statusCode"] == "DUPLICATE_VALUE"


def test_all_or_none(org: Org, people: list[str], clock: Clock) -> None:
    org.store.edit("Contact", people[0], {"Key__c": "k"})
    before, edits = org.store.values("Contact", people[0]), org.store.edits("Contact", people[0])
    clock.advance(9)
    answer = org.update([{"id": people[0], "Title": "x", "Key__c": "new"}, {"id": "x"}], allOrNone=True)
    assert org.status == 200
    assert [row["errors"][0]["statusCode"] for row in answer] == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "MALFORMED_ID"]
    assert org.store.values("Contact", people[0]) == before
    assert org.store.edits("Contact", people[0]) == edits
    assert org.store.find("Contact", "Key__c", "k") == people[0]
    assert org.store.find("Contact", "Key__c", "new") is None
    assert org.rows("SELECT Id FROM Contact WHERE SystemModstamp > 2026-06-01T12:00:05Z") == []
    made = org("POST", "composite/sobjects", {"allOrNone": True, "records": [
        {"attributes": {"type": "Contact"}, "LastName": "New"}, {"attributes": {"type": "Contact"}},
    ]})  # fmt: skip
    assert [row["success"] for row in made] == [False, False]
    assert len(org.store.ids("Contact")) == 6


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"records": []}, 400, "REQUIRED_FIELD_MISSING"),
        ({"records": [{"attributes": {"type": "Contact"}, "id": "x"}] * 201}, 400, "LIMIT_EXCEEDED"),
        ({"records": [{"id": "x"}]}, 400, "INVALID_INPUT"),
        ({"records": [{"attributes": {"type": "Nope"}, "id": "x"}]}, 400, "INVALID_TYPE"),
        ({"records": [1]}, 400, "JSON_PARSER_ERROR"),
        ({"records": {}}, 400, "JSON_PARSER_ERROR"),
        ({"records": [{"attributes": {"type": "Contact"}}], "allOrNone": "no"}, 400, "JSON_PARSER_ERROR"),
        ([], 400, "JSON_PARSER_ERROR"),
    ],
)
def test_wrong_requests(org: Org, body: Any, status: int, code: str) -> None:
    [error] = org("PATCH", "composite/sobjects", body)
    assert (org.status, error["errorCode"]) == (status, code)


def test_bodies_that_are_no_json(org: Org) -> None:
    assert org.raw("PATCH", "composite/sobjects", b"{", Content_Type="application/json").status == 400
    assert org.raw("PATCH", "composite/sobjects", b'{"a": NaN}', Content_Type="application/json").status == 400
    assert org.raw("PATCH", "composite/sobjects", b"<a/>", Content_Type="text/xml").status == 415
    assert org.raw("PUT", "composite/sobjects", b"{}").status == 405
    assert org.raw("GET", "nothing/here").status == 404


def test_deleted_purged_and_converted_rows(org: Org, people: list[str]) -> None:
    org.store.delete("Contact", people[0])
    org.store.purge("Contact", people[1])
    lead = org.store.create("Lead", {"LastName": "P", "Company": "Acme"})
    org.store.convert(lead)
    assert org.refused({"id": people[0], "Title": "x"})["statusCode"] == "ENTITY_IS_DELETED"
    assert org.refused({"id": people[1], "Title": "x"})["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    assert org.refused({"id": lead, "Title": "x"}, "Lead")["statusCode"] == "CANNOT_UPDATE_CONVERTED_LEAD"


def test_rules_of_the_org(org: Org, people: list[str]) -> None:
    org.store.validation_rule("Contact", lambda values: values.get("Title") == "CEO" and "Email" not in values, "Why?")
    error = org.refused({"id": people[0], "Title": "CEO"})
    assert (error["statusCode"], error["message"]) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Why?")
    assert org.update([{"id": people[0], "Title": "CEO", "Email": "a@b.example"}])[0]["success"]
    assert org.refused({"id": people[0], "Email": None})["statusCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"


def test_a_record_type_has_some_of_the_values(org: Org, people: list[str]) -> None:
    org.store.record_type(people[:1], {"Tags__c": ["a"]})
    assert org.update([{"id": people[0], "Tags__c": "a"}, {"id": people[1], "Tags__c": "b"}])[1]["success"]
    error = org.refused({"id": people[0], "Tags__c": "a;b"})
    assert (error["statusCode"], error["fields"]) == ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Tags__c"])
    assert org.update([{"id": people[0], "Tags__c": None}])[0]["success"]


def test_duplicate_rules_and_their_header(serve_org: Callable[..., Org]) -> None:
    org = serve_org(duplicate_rules=True)
    ids = org.store.create_many("Contact", [{"LastName": n, "Email": "a@b.example"} for n in ("A", "B")])
    assert org.refused({"id": ids[0], "Title": "x"})["statusCode"] == "DUPLICATES_DETECTED"
    body = {"records": [{"attributes": {"type": "Contact"}, "id": ids[0], "Title": "x"}]}
    allowed = {"Sforce_Duplicate_Rule_Header": "allowSave=true"}
    assert org("PATCH", "composite/sobjects", body, **allowed)[0]["success"]


def test_locked_rows_clear_after_some_tries(org: Org, people: list[str]) -> None:
    firm = org.store.create("Account", {"Name": "Acme"})
    org.store.edit("Contact", people[0], {"AccountId": firm})
    org.store.lock_rows([firm], times=2)
    for _ in range(2):
        assert org.refused({"id": people[0], "Title": "x"})["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert org.update([{"id": people[0], "Title": "x"}])[0]["success"]


def test_what_a_user_may_not_do(org: Org, people: list[str]) -> None:
    org.store.hide("Contact", "Title")
    assert org.refused({"id": people[0], "Title": "x"})["statusCode"] == "INVALID_FIELD"
    org.store.grant("Contact", "Title", edit=False)
    assert org.refused({"id": people[0], "Title": "x"})["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    org.store.allow("Contact", edit=False)
    assert org.refused({"id": people[0], "Email": None})["statusCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    org.store.allow("Contact", read=False, edit=False)
    assert org.query("SELECT Id FROM Contact")[0]["errorCode"] == "INVALID_TYPE"


# -- by external id


def test_upserting_a_collection(org: Org, people: list[str]) -> None:
    org.store.edit("Contact", people[0], {"Key__c": "k1"})
    rows = [{"Key__c": "K1", "Title": "a"}, {"Key__c": "k2", "LastName": "New"}, {"Title": "x"}, {"Key__c": "k3"}]
    body = {"records": [{"attributes": {"type": "Contact"}, **row} for row in rows]}
    answer = org("PATCH", "composite/sobjects/Contact/Key__c", body)
    assert [(row["success"], row.get("created")) for row in answer[:2]] == [(True, False), (True, True)]
    assert [row["errors"][0]["statusCode"] for row in answer[2:]] == ["MISSING_ARGUMENT", "REQUIRED_FIELD_MISSING"]
    assert org.store.text("Contact", answer[1]["id"], ["Key__c", "LastName"]) == {"Key__c": "k2", "LastName": "New"}
    assert org("PATCH", "composite/sobjects/Contact/Title", body)[0]["errorCode"] == "INVALID_FIELD"


def test_upserting_one(org: Org, people: list[str]) -> None:
    path = "sobjects/Contact/Key__c/a%2Fb%20c"
    made = org("PATCH", path, {"LastName": "New"})
    assert (org.status, made["created"]) == (201, True)
    assert org.store.values("Contact", made["id"])["Key__c"] == "a/b c"
    assert org("PATCH", path, {"Title": "x"}) == {"id": made["id"], "success": True, "errors": [], "created": False}
    assert org.get(path)["Title"] == "x"
    assert org("PATCH", path, {"Key__c": "no"})[0]["errorCode"] == "INVALID_FIELD"
    org.store.edit_at_once("Contact", people[:2], {"Loose__c": "same"})
    several = org("PATCH", "sobjects/Contact/Loose__c/same", {"Title": "x"})
    assert (org.status, several) == (300, [f"{org.VERSION}/sobjects/Contact/{one}" for one in people[:2]])
    assert (org.get("sobjects/Contact/Key__c/nobody")[0]["errorCode"], org.status) == ("NOT_FOUND", 404)
    assert (org("PATCH", "sobjects/Contact/Title/x", {})[0]["errorCode"], org.status) == ("NOT_FOUND", 404)


# -- single records


def test_a_single_record(org: Org) -> None:
    made = org("POST", "sobjects/Contact", {"LastName": "Weber"})
    assert (org.status, made["success"]) == (201, True)
    path = f"sobjects/Contact/{made['id']}"
    assert org("PATCH", path, {"Title": "CEO"}) is None
    assert org.status == 204
    held = org.get(f"{path}?fields=Title,Name")
    assert {name: held[name] for name in ("Title", "Name")} == {"Title": "CEO", "Name": "Weber"}
    assert org("PATCH", path, {"Nope__c": 1}) == [
        {"message": "No such column 'Nope__c' on sobject of type Contact", "errorCode": "INVALID_FIELD"}
    ]
    assert org.status == 400
    org("DELETE", path)
    assert org.status == 204
    assert (org("PATCH", path, {"Title": "x"})[0]["errorCode"], org.status) == ("ENTITY_IS_DELETED", 404)
    assert (org.get(path)[0]["errorCode"], org.status) == ("ENTITY_IS_DELETED", 404)
    assert org("POST", "sobjects/Contact", {})[0] == {
        "message": "Required fields are missing: [LastName]",
        "errorCode": "REQUIRED_FIELD_MISSING",
        "fields": ["LastName"],
    }
    org("POST", "sobjects/Nope", {})
    assert org.status == 404


def test_reading_and_deleting_by_ids(org: Org, people: list[str]) -> None:
    org.store.delete("Contact", people[1])
    asked = {"ids": [people[2], people[1], people[0][:15]], "fields": ["Title"]}
    answer = org("POST", "composite/sobjects/Contact", asked)
    assert [row and row["Id"] for row in answer] == [people[2], None, people[0]]
    assert org.get(f"composite/sobjects/Contact?ids={people[0]}&fields=Title,Name")[0]["Title"] == "old"
    assert org("POST", "composite/sobjects/Contact", {"ids": ["x"], "fields": ["Id"]})[0]["errorCode"] == "MALFORMED_ID"
    gone = org("DELETE", f"composite/sobjects?ids={people[0]},{people[1]},nope&allOrNone=false")
    assert [row["success"] for row in gone] == [True, False, False]
    assert org.sandbox.calls.count("write") == 1


# -- composite


def test_a_composite_request(org: Org, people: list[str]) -> None:
    rows = {"records": [{"attributes": {"type": "Contact"}, "id": people[0], "AccountId": "@{firm.id}"}]}
    parts = [
        {"method": "POST", "url": f"{org.VERSION}/sobjects/Account", "referenceId": "firm", "body": {"Name": "Acme"}},
        {"method": "PATCH", "url": f"{org.VERSION}/composite/sobjects", "referenceId": "rows", "body": rows},
        {"method": "GET", "url": f"{org.VERSION}/sobjects/Contact/nope", "referenceId": "lost"},
    ]
    before = org.sandbox.usage.used
    told = org("POST", "composite", {"compositeRequest": parts})["compositeResponse"]
    assert [(part["referenceId"], part["httpStatusCode"]) for part in told] == [
        ("firm", 201),
        ("rows", 200),
        ("lost", 404),
    ]
    assert org.store.values("Contact", people[0])["AccountId"] == told[0]["body"]["id"]
    assert org.sandbox.usage.used == before + 1
    org("POST", "composite", {"compositeRequest": parts[:1] * 26})
    assert org.status == 400
    many = [{**parts[1], "referenceId": f"r{n}"} for n in range(6)]
    assert org("POST", "composite", {"compositeRequest": many})[0]["errorCode"] == "LIMIT_EXCEEDED"


def test_parents_of_calls_at_the_same_time(serve_org: Callable[..., Org]) -> None:
    org = serve_org(lock_hold=0.2)
    firm = org.store.create("Account", {"Name": "Acme"})
    ids = org.store.create_many("Contact", [{"LastName": str(n), "AccountId": firm} for n in range(2)])
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda one: Org(org.sandbox).update([{"id": one, "Title": "x"}])[0], ids))
    assert sorted(answer["success"] for answer in answers) == [False, True]
    lost = next(answer for answer in answers if not answer["success"])
    assert lost["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
