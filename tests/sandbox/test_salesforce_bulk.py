"""Bulk API 2.0 both ways: the life of a job, its CSV rules, every row in exactly one results file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_fields import FieldDef, text
from tests.sandbox.conftest import Org

CSV = {"Content_Type": "text/csv"}


@pytest.fixture
def people(org: Org) -> list[str]:
    org.store.add_field("Contact", text("Key__c", "Key", custom=True, unique=True, external_id=True))
    org.store.add_field("Contact", FieldDef("Score__c", "Score", "double", precision=18, scale=0, custom=True))
    return org.store.create_many("Contact", [{"LastName": f"L{n}", "Title": f"t{n}"} for n in range(6)])


def begin(org: Org, operation: str = "update", object_: str = "Contact", **more: str) -> dict[str, Any]:
    asked = {"object": object_, "operation": operation, "contentType": "CSV", "lineEnding": "LF", **more}
    job: dict[str, Any] = org("POST", "jobs/ingest", asked)
    return job


def finish(org: Org, job: dict[str, Any], content: str) -> dict[str, Any]:
    assert org.raw("PUT", "/" + job["contentUrl"], content.encode(), **CSV).status == 201
    assert org("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})["state"] == "UploadComplete"
    while (told := org.get(f"jobs/ingest/{job['id']}"))["state"] == "InProgress":
        pass
    done: dict[str, Any] = told
    return done


def work(org: Org, content: str, operation: str = "update", **more: str) -> dict[str, Any]:
    return finish(org, begin(org, operation, **more), content)


def rows(org: Org, job: dict[str, Any], which: str) -> list[dict[str, str]]:
    answer = org.raw("GET", f"jobs/ingest/{job['id']}/{which}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv")
    return list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))


def test_an_update(org: Org, people: list[str]) -> None:
    job = begin(org)
    assert (job["state"], job["object"], job["contentUrl"]) == (
        "Open",
        "Contact",
        f"services/data/v62.0/jobs/ingest/{job['id']}/batches",
    )
    tricky = 'a "quoted",\nsecond line'
    quoted = tricky.replace('"', '""')
    content = (
        "Id,Title,Score__c,Description\n"
        f'{people[0]},"{quoted}",82,\n'
        f"{people[1][:15]},#N/A,,x\n"
        f"{people[2]},,#N/A,#N/A\n"
        f"nonsense,a,1,\n"
        f"{people[3]},{'x' * 129},1,\n"
        f",a,1,\n"
    )
    told = finish(org, job, content)
    assert (told["state"], told["numberRecordsProcessed"], told["numberRecordsFailed"]) == ("JobComplete", 6, 3)
    held = [org.store.text("Contact", one, ["Title", "Score__c", "Description"]) for one in people[:4]]
    assert held == [
        {"Title": tricky, "Score__c": "82", "Description": None},
        {"Title": None, "Score__c": None, "Description": "x"},
        {"Title": "t2", "Score__c": None, "Description": None},
        {"Title": "t3", "Score__c": None, "Description": None},
    ]
    done = {row["sf__Id"]: row for row in rows(org, told, "successfulResults")}
    assert done.keys() == set(people[:3])
    assert done[people[0]]["sf__Created"] == "false"
    assert done[people[0]]["Title"] == tricky
    failed = rows(org, told, "failedResults")
    assert {row["sf__Id"] for row in failed} == {""}
    codes = {row["Id"]: row["sf__Error"].split(":")[0] for row in failed}
    assert codes == {"nonsense": "MALFORMED_ID", people[3]: "STRING_TOO_LONG", "": "MISSING_ARGUMENT"}
    assert all(row["sf__Error"].endswith(" --") for row in failed)
    assert rows(org, told, "unprocessedrecords") == rows(org, told, "unprocessedRecords") == []


def test_the_last_row_of_an_id_is_the_first(org: Org, people: list[str]) -> None:
    told = work(org, f"Id,Title\n{people[0]},a\n{people[0]},b\n")
    assert told["numberRecordsFailed"] == 1
    assert org.store.values("Contact", people[0])["Title"] == "a"


def test_upsert_insert_delete(org: Org, people: list[str]) -> None:
    org.store.edit("Contact", people[0], {"Key__c": "k0"})
    told = work(org, "Key__c,LastName\nK0,Zero\nk9,Nine\n", "upsert", externalIdFieldName="Key__c")
    made = {row["Key__c"]: row["sf__Created"] for row in rows(org, told, "successfulResults")}
    assert made == {"K0": "false", "k9": "true"}
    told = work(org, "LastName,Title\nNew,\n,x\n", "insert")
    assert rows(org, told, "failedResults")[0]["sf__Error"].startswith("REQUIRED_FIELD_MISSING:")
    work(org, f"Id\n{people[1]}\n", "delete")
    assert org.store.ids("Contact", deleted=True) == [people[1]]
    [error] = org("POST", "jobs/ingest", {"object": "Contact", "operation": "upsert", "externalIdFieldName": "Title"})
    assert error["errorCode"] == "INVALIDJOB"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Id,Nope__c\n1,2\n", "InvalidBatch : Field name not found : Nope__c"),
        ("Id,Title,title\n1,2,3\n", "InvalidBatch : Field name is not unique : Title"),
        ("Id,Title\n1\n", "InvalidBatch : Failed to parse CSV row 2: the number of columns is not 2"),
        ('Id,Title\n1,"a\n', "InvalidBatch : Failed to parse CSV"),
        ("Id,Title\r\n1,a\r\n", "ClientInputError : LineEnding is invalid on user data."),
        ("", "InvalidBatch : No header row found"),
    ],
)
def test_uploads_that_fail_the_whole_job(org: Org, people: list[str], content: str, message: str) -> None:
    told = work(org, content)
    assert told["state"] == "Failed"
    assert told["errorMessage"].startswith(message)
    assert told["numberRecordsProcessed"] == 0


def test_other_endings_and_delimiters(org: Org, people: list[str]) -> None:
    told = work(org, f"Id|Title\r\n{people[0]}|a,b\r\n", lineEnding="CRLF", columnDelimiter="PIPE")
    assert told["state"] == "JobComplete"
    assert org.store.values("Contact", people[0])["Title"] == "a,b"


def test_a_hidden_field_is_no_column(org: Org, people: list[str]) -> None:
    org.store.hide("Contact", "Title")
    assert work(org, f"Id,Title\n{people[0]},a\n")["errorMessage"] == "InvalidBatch : Field name not found : Title"
    org.store.grant("Contact", "Title", edit=False)
    told = work(org, f"Id,Title\n{people[0]},a\n")
    assert rows(org, told, "failedResults")[0]["sf__Error"].startswith("INVALID_FIELD_FOR_INSERT_UPDATE:")


def test_uploading_twice_fails_the_job(org: Org, people: list[str]) -> None:
    job = begin(org)
    org.raw("PUT", "/" + job["contentUrl"], f"Id,Title\n{people[0]},a\n".encode(), **CSV)
    told = finish(org, job, f"Id,Title\n{people[0]},a\n")
    assert told["state"] == "Failed"
    assert "Found multiple contents for job" in told["errorMessage"]
    assert org.store.values("Contact", people[0])["Title"] == "t0"


def test_the_life_of_a_job(org: Org, people: list[str]) -> None:
    path = f"jobs/ingest/{begin(org)['id']}"
    assert org.get(f"{path}/successfulResults")[0]["errorCode"] == "INVALIDJOBSTATE"
    assert org("DELETE", path)[0]["errorCode"] == "DELETEJOBSTATE"
    assert org("PATCH", path, {"state": "JobComplete"})[0]["errorCode"] == "INVALIDJOBSTATE"
    assert org.raw("PUT", f"{path}/batches", b"x", Content_Type="application/json").status == 400
    assert org("PATCH", path, {"state": "Aborted"})["state"] == "Aborted"
    assert org("PATCH", path, {"state": "UploadComplete"})[0]["errorCode"] == "INVALIDJOBSTATE"
    assert org.raw("PUT", f"{path}/batches", b"x", **CSV).status == 400
    assert [job["state"] for job in org.get("jobs/ingest")["records"]] == ["Aborted"]
    org("DELETE", path)
    assert org.status == 204
    org.get(path)
    assert org.status == 404
    for asked in ({"object": "Nope", "operation": "update"}, {"object": "Contact", "operation": "eat"}, {}):
        org("POST", "jobs/ingest", asked)
        assert org.status == 400


def test_polls_before_it_is_over(serve_org: Callable[..., Org]) -> None:
    org = serve_org(bulk_delay_polls=2)
    person = org.store.create("Contact", {"LastName": "A"})
    job = begin(org)
    org.raw("PUT", "/" + job["contentUrl"], f"Id,Title\n{person},x\n".encode(), **CSV)
    org("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    states = [org.get(f"jobs/ingest/{job['id']}")["state"] for _ in range(3)]
    assert states == ["InProgress", "InProgress", "JobComplete"]
    assert [org.sandbox.calls.count(kind) for kind in ("write", "read")] == [3, 3]


def test_results_come_in_another_order(org: Org, people: list[str]) -> None:
    told = work(org, "Id,Title\n" + "".join(f"{one},x\n" for one in people))
    order = [row["sf__Id"] for row in rows(org, told, "successfulResults")]
    assert sorted(order) == people
    assert order != people


@pytest.mark.parametrize(
    ("fault", "state", "done", "left"),
    [("job_fails", "Failed", 3, 3), ("job_aborted", "Aborted", 3, 3), ("job_nothing", "Failed", 0, 6)],
)
def test_a_job_that_ends_early(org: Org, people: list[str], fault: str, state: str, done: int, left: int) -> None:
    org.sandbox.faults.add(Fault(fault))
    told = work(org, "Id,Title\n" + "".join(f"{one},x\n" for one in people))
    assert told["state"] == state
    assert len(rows(org, told, "successfulResults")) == done
    unprocessed = rows(org, told, "unprocessedrecords")
    assert [row["Id"] for row in unprocessed] == people[done:]
    assert len(unprocessed) == left
    assert sum(org.store.values("Contact", one)["Title"] == "x" for one in people) == done


def test_locked_rows_of_a_job(org: Org, people: list[str]) -> None:
    org.sandbox.faults.add(Fault("lock_rows"))
    told = work(org, "Id,Title\n" + "".join(f"{one},x\n" for one in people))
    failed = rows(org, told, "failedResults")
    assert {row["Id"] for row in failed} == set(people[::2])
    assert failed[0]["sf__Error"].startswith("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access")


# -- queries


def query(org: Org, soql: str, operation: str = "query") -> dict[str, Any]:
    job: dict[str, Any] = org("POST", "jobs/query", {"operation": operation, "query": soql})
    return job


def test_a_query_job(org: Org, people: list[str]) -> None:
    org.store.edit("Contact", people[1], {"Score__c": 5, "Description": 'two\n"lines"'})
    org.store.delete("Contact", people[5])
    job = query(org, "SELECT Id, Score__c, Description, IsDeleted, SystemModstamp FROM Contact", "queryAll")
    assert job["state"] == "UploadComplete"
    assert org.get(f"jobs/query/{job['id']}/results")[0]["errorCode"] == "INVALIDJOBSTATE"
    assert [org.get(f"jobs/query/{job['id']}")["state"] for _ in range(2)] == ["InProgress", "JobComplete"]
    assert org.get(f"jobs/query/{job['id']}")["numberRecordsProcessed"] == 6
    found, locator, pages = [], "", 0
    while locator != "null":
        more = f"&locator={locator}" if locator else ""
        answer = org.raw("GET", f"jobs/query/{job['id']}/results?maxRecords=4{more}")
        part = list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))
        assert int(answer.headers["Sforce-NumberOfRecords"]) == len(part)
        found += part
        locator, pages = answer.headers["Sforce-Locator"], pages + 1
    assert pages == 2
    assert [row["Id"] for row in found] == people
    assert found[1] == {
        "Id": people[1],
        "Score__c": "5.0",
        "Description": 'two\n"lines"',
        "IsDeleted": "false",
        "SystemModstamp": "2026-06-01T12:00:00.000Z",
    }
    assert found[5]["IsDeleted"] == "true"
    assert found[0]["Score__c"] == ""
    assert org.get(f"jobs/query/{job['id']}/results?locator=zz!")[0]["errorCode"] == "INVALID_LOCATOR"
    org("DELETE", f"jobs/query/{job['id']}")
    assert org.status == 204


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT COUNT() FROM Contact", "API_ERROR"),
        ("SELECT Id FROM Contact OFFSET 5", "API_ERROR"),
        ("SELECT MailingAddress FROM Contact", "API_ERROR"),
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("nonsense", "MALFORMED_QUERY"),
    ],
)
def test_queries_that_are_no_jobs(org: Org, soql: str, code: str) -> None:
    answer: Any = query(org, soql)
    assert (org.status, answer[0]["errorCode"]) == (400, code)


def test_jobs_of_one_kind_are_not_found_as_the_other(org: Org) -> None:
    ingest, asked = begin(org), query(org, "SELECT Id FROM Contact")
    for path in (f"jobs/query/{ingest['id']}", f"jobs/ingest/{asked['id']}", "jobs/ingest/x"):
        org.get(path)
        assert org.status == 404
    assert org("PATCH", f"jobs/query/{asked['id']}", {"state": "Aborted"})["state"] == "Aborted"
