"""Reading an org: query pages and their locators, deleted and updated records, what the org says about itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from tests.sandbox.conftest import Clock, Org


@pytest.fixture
def crowd(org: Org) -> Org:
    firm = org.store.create("Account", {"Name": "Acme"})
    rows = [{"LastName": f"L{n:03d}", "Email": f"p{n}@a.example", "AccountId": firm} for n in range(450)]
    org.store.create_many("Contact", rows)
    return org


def test_the_shape_of_a_query(crowd: Org) -> None:
    answer = crowd.query("SELECT Id, Email, Title, Account.Name, SystemModstamp FROM Contact WHERE LastName = 'l007'")
    number = crowd.store.ids("Contact")[7]
    assert answer == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "Contact", "url": f"/services/data/v62.0/sobjects/Contact/{number}"},
                "Id": number,
                "Email": "p7@a.example",
                "Title": None,
                "SystemModstamp": "2026-06-01T12:00:00.000+0000",
                "Account": {"attributes": {"type": "Account"}, "Name": "Acme"},
            }
        ],
    }
    assert crowd.query("SELECT COUNT() FROM Contact WHERE Email LIKE 'p1%'")["totalSize"] == 111
    alone = crowd.store.create("Contact", {"LastName": "Alone"})
    assert crowd.rows(f"SELECT Account.Name, Owner.Name, CreatedBy.Name FROM Contact WHERE Id = '{alone}'") == [
        {
            "Account": None,
            "Owner": {"attributes": {"type": "Owner"}, "Name": "Dana Weber"},
            "CreatedBy": {"attributes": {"type": "CreatedBy"}, "Name": "Dana Weber"},
        }
    ]


def test_pages_and_their_locators(crowd: Org, clock: Clock) -> None:
    answer = crowd.query("SELECT Id FROM Contact", Sforce_Query_Options="batchSize=200")
    seen = [row["Id"] for row in answer["records"]]
    assert (answer["totalSize"], answer["done"], len(seen)) == (450, False, 200)
    following = answer["nextRecordsUrl"]
    while following:
        answer = crowd.get(following, Sforce_Query_Options="batchSize=200")
        seen += [row["Id"] for row in answer["records"]]
        following = answer.get("nextRecordsUrl")
    assert answer["done"] is True
    assert seen == crowd.store.ids("Contact")
    first = crowd.query("SELECT Id FROM Contact", Sforce_Query_Options="batchSize=1")
    assert len(first["records"]) == 200, "the least that a client may ask for"
    clock.advance(172_801)
    crowd.token = crowd.sandbox.sessions.open()
    assert crowd.get(first["nextRecordsUrl"])[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert crowd.status == 400
    assert crowd.get("query/01g000-7")[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_a_record_deleted_between_pages_still_counts(crowd: Org) -> None:
    answer = crowd.query("SELECT Id FROM Contact", Sforce_Query_Options="batchSize=200")
    crowd.store.purge("Contact", crowd.store.ids("Contact")[300])
    assert len(crowd.get(answer["nextRecordsUrl"])["records"]) == 250


def test_deleted_and_merged_are_seen_by_query_all(org: Org) -> None:
    first, second, third = org.store.create_many("Contact", [{"LastName": n} for n in "ABC"])
    org.store.merge("Contact", first, second)
    org.store.delete("Contact", third)
    assert [row["Id"] for row in org.rows("SELECT Id FROM Contact")] == [first]
    assert org.rows("SELECT Id FROM Contact WHERE IsDeleted = true") == []
    gone = "SELECT Id, MasterRecordId FROM Contact WHERE IsDeleted = true AND SystemModstamp >= 2026-06-01T12:00:00Z"
    assert org.rows(gone, "queryAll") == [
        {"Id": second, "MasterRecordId": first},
        {"Id": third, "MasterRecordId": None},
    ]


def test_deleted_and_updated_in_a_span(org: Org, clock: Clock) -> None:
    first, second = org.store.create_many("Contact", [{"LastName": n} for n in "AB"])
    clock.advance(600)
    org.store.delete("Contact", first)
    org.store.edit("Contact", second, {"Title": "x"})
    clock.advance(120)

    def ask(what: str, start: float, end: float) -> list[str]:
        span = "&".join(
            f"{name}={(clock.now + timedelta(seconds=at)).isoformat().replace('+', '%2B')}"
            for name, at in (("start", start), ("end", end))
        )
        answer = org.get(f"sobjects/Contact/{what}/?{span}")
        assert org.status == 200, answer
        return answer["ids"] if what == "updated" else [row["id"] for row in answer["deletedRecords"]]

    assert ask("deleted", -300, 0) == [first]
    assert ask("updated", -300, 0) == [second]
    assert ask("deleted", -3600, -300) == []
    for query in ("", "?start=x&end=y", "?start=2026-06-01T00:00:00&end=2026-06-02T00:00:00"):
        assert org.get(f"sobjects/Contact/deleted{query}")[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    old = "?start=2026-05-01T00:00:00Z&end=2026-06-02T00:00:00Z"
    assert org.get(f"sobjects/Contact/deleted{old}")[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    assert org.get(f"sobjects/Contact/updated{old}")[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_describe_tells_what_the_user_may(org: Org) -> None:
    tags = FieldDef("Tags__c", "Tags", "multipicklist", 4099, choices=choices(["a", "b"]), restricted=True, custom=True)
    org.store.add_field("Contact", tags)
    org.store.add_field("Contact", FieldDef("Seen__c", "Seen", "datetime", custom=True), edit=False)
    org.store.add_field("Contact", FieldDef("Hidden__c", "Hidden", "date", custom=True), visible=False)
    told = org.get("sobjects/contact/describe")
    fields = {field["name"]: field for field in told["fields"]}
    assert (told["name"], told["keyPrefix"], told["updateable"], told["queryable"]) == ("Contact", "003", True, True)
    assert fields["Tags__c"]["restrictedPicklist"] is True
    assert [one["value"] for one in fields["Tags__c"]["picklistValues"]] == ["a", "b"]
    assert (fields["Seen__c"]["type"], fields["Seen__c"]["updateable"]) == ("datetime", False)
    assert "Hidden__c" not in fields
    assert fields["LastName"]["nillable"] is False
    assert (fields["Name"]["updateable"], fields["Id"]["createable"]) == (False, False)
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert (fields["Email"]["type"], fields["Email"]["length"]) == ("email", 80)
    org.store.allow("Contact", edit=False)
    told = org.get("sobjects/Contact/describe")
    assert told["updateable"] is False
    assert not any(field["updateable"] for field in told["fields"])
    assert (org.get("sobjects/Nope/describe")[0]["errorCode"], org.status) == ("NOT_FOUND", 404)


def test_layouts_versions_and_the_rest(org: Org) -> None:
    [layout] = org.get("sobjects/Contact/describe/layouts")["layouts"]
    [section] = layout["detailLayoutSections"]
    shown = [
        part["value"]
        for row in section["layoutRows"]
        for item in row["layoutItems"]
        for part in item["layoutComponents"]
    ]
    assert "Title" in shown
    assert "Id" not in shown
    assert {one["name"] for one in org.get("sobjects")["sobjects"]} > {"Contact", "Account", "Lead", "PermissionSet"}
    assert org.get("sobjects/Lead")["objectDescribe"]["keyPrefix"] == "00Q"
    assert "query" in org.get(org.VERSION)
    assert (org.get("/services/data/v30.0/limits")[0]["errorCode"], org.status) == ("UNSUPPORTED_API_VERSION", 410)
    assert (org.get("/services/data/v99.0/limits")[0]["errorCode"], org.status) == ("NOT_FOUND", 404)
    [who] = org.rows("SELECT Id, Name, IsSandbox FROM Organization")
    assert who["Id"] == org.sandbox.org_id
    [user] = org.rows(f"SELECT Id, Username, IsActive FROM User WHERE Username = '{org.sandbox.username}'")
    assert (user["Id"], user["IsActive"]) == (org.sandbox.user_id, True)


def test_calls_are_counted_against_the_day(serve_org: Callable[..., Org], clock: Clock) -> None:
    org = serve_org(daily_limit=10)
    assert org.get("limits")["DailyApiRequests"] == {"Max": 10, "Remaining": 9}
    assert org.headers["Sforce-Limit-Info"] == "api-usage=1/10"
    org.sandbox.usage.spend(8)
    org.get("sobjects/Nope/describe")
    assert org.headers["Sforce-Limit-Info"] == "api-usage=10/10"
    assert org.get("limits") == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    assert org.status == 403
    clock.advance(23 * 3600)
    assert org.get("limits")[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    clock.advance(3600)
    org.get("limits")
    assert org.status == 200


def test_an_address_that_is_too_long(org: Org) -> None:
    wide = ",".join(f"Field_{n}__c" for n in range(2000))
    assert org.raw("GET", f"query?q=SELECT+{wide}+FROM+Contact").status == 414
    assert b"<html>" in org.raw("GET", f"query?q=SELECT+{wide}+FROM+Contact").data
    assert org.raw("GET", "query").status == 400
