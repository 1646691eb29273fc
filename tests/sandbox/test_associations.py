"""Tasks over HTTP, and what they are about: batches, associations both ways, pages of them, merges and deletions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.refusal import Refused
from tests.sandbox.conftest import Client

TASKS = "/crm/v3/objects/tasks"
ASSOCIATIONS = "/crm/v4/associations"
DUE = "2026-09-01T09:00:00Z"


@pytest.fixture
def crm(crm: Client) -> Client:
    crm.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co"} for n in range(3)])
    crm.sandbox.store.create("companies", {"name": "Acme"})
    return crm


def tie(record: str, number: int = 204) -> dict[str, Any]:
    return {"to": {"id": record}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]}


def row(trace: str, *ties: dict[str, Any], **properties: str) -> dict[str, Any]:
    values = {"hs_task_subject": trace, "hs_timestamp": DUE, **properties}
    return {"objectWriteTraceId": trace, "properties": values, "associations": list(ties)}


def create(crm: Client, *rows: dict[str, Any]) -> Any:
    return crm.post(f"{TASKS}/batch/create", {"inputs": list(rows)})


def related(crm: Client, from_: str, to: str, *ids: str, **more: str) -> Any:
    return crm.post(f"{ASSOCIATIONS}/{from_}/{to}/batch/read", {"inputs": [{"id": one, **more} for one in ids]})


def subjects(crm: Client, record: str, object_: str = "contacts") -> list[str]:
    return [task.values["hs_task_subject"] for task in crm.sandbox.store.tasks(object_, record)]


def test_a_task_is_created_with_what_it_is_about(crm: Client) -> None:
    answer = create(crm, row("call", tie("501"), tie("9001", 192)))
    assert crm.status == 201
    [task] = answer["results"]
    assert (task["objectWriteTraceId"], task["properties"]["hs_timestamp"]) == ("call", "2026-09-01T09:00:00.000Z")
    assert (subjects(crm, "501"), subjects(crm, "9001", "companies")) == (["call"], ["call"])
    assert crm.sandbox.store.about(task["id"]) == [("contacts", "501"), ("companies", "9001")]
    read = crm.post(f"{TASKS}/batch/read", {"properties": ["hs_task_subject"], "inputs": [{"id": task["id"]}]})
    assert read["results"][0]["properties"]["hs_task_subject"] == "call"
    assert [one["id"] for one in crm.get(TASKS)["results"]] == [task["id"]]


def test_a_single_task(crm: Client) -> None:
    crm.post(
        TASKS, {"properties": {"hs_task_subject": "x", "hs_timestamp": "1788253200000"}, "associations": [tie("502")]}
    )
    assert crm.status == 201
    [task] = crm.sandbox.store.tasks("contacts", "502")
    assert task.values["hs_timestamp"] == "2026-09-01T09:00:00.000Z"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row("bad", tie("501"), hs_timestamp=""), "Some required properties were not set"),
        (row("bad", tie("501"), hs_task_status="SOON"), "SOON was not one of the allowed options"),
        (row("bad", tie("501"), hubspot_owner_id="9"), "Owner 9 does not exist"),
        (row("bad", tie("999")), "CONTACT=999 is not valid"),
        (row("bad", tie("501", 279)), "association type 279"),
    ],
)
def test_a_bad_row_fails_alone_with_traces_and_the_whole_batch_without(
    crm: Client, bad: dict[str, Any], words: str
) -> None:
    crm.sandbox.store.former_owners.add("9")
    answer = create(crm, row("good", tie("501")), bad)
    assert (crm.status, answer["numErrors"]) == (207, 1)
    assert words in answer["errors"][0]["message"]
    assert answer["errors"][0]["context"]["objectWriteTraceId"] == ["bad"]
    assert subjects(crm, "501") == ["good"]
    untraced = [{name: part for name, part in one.items() if name != "objectWriteTraceId"} for one in (row("no"), bad)]
    assert words in create(crm, *untraced)["message"]
    assert crm.status == 400
    assert len(crm.sandbox.store.ids("tasks")) == 1


def test_associations_are_read_both_ways(crm: Client) -> None:
    create(crm, row("a", tie("501")), row("b", tie("501")), row("c", tie("9001", 192)))
    answer = related(crm, "contacts", "tasks", "501", "502")
    assert (crm.status, answer["numErrors"]) == (207, 1)
    [found] = answer["results"]
    assert (found["from"], [one["toObjectId"] for one in found["to"]]) == ({"id": "501"}, [70001, 70002])
    kind = {"category": "HUBSPOT_DEFINED", "typeId": 203, "label": None}
    assert found["to"][0]["associationTypes"] == [kind]
    [error] = answer["errors"]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert (error["context"]["fromObjectId"], error["message"]) == (["502"], "No task is associated with contact 502.")
    back = related(crm, "0-27", "company", "70003")["results"][0]
    assert (crm.status, back["to"][0]["toObjectId"], back["to"][0]["associationTypes"][0]["typeId"]) == (200, 9001, 192)


def test_associations_of_one_record_come_in_pages(crm: Client) -> None:
    store = crm.sandbox.store
    for task in store.create_many("tasks", [{"hs_timestamp": DUE}] * 502):
        store.associate(task, "contacts", "501")
    first = related(crm, "contacts", "tasks", "501")["results"][0]
    assert (len(first["to"]), first["to"][-1]["toObjectId"]) == (500, 70500)
    last = related(crm, "contacts", "tasks", "501", after=first["paging"]["next"]["after"])["results"][0]
    assert [one["toObjectId"] for one in last["to"]] == [70501, 70502]
    assert "paging" not in last


def test_associations_are_made_both_ways(crm: Client) -> None:
    create(crm, row("a"))

    def associate(from_: str, to: str, first: str, second: str, number: int) -> Any:
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": number}]
        body = {"inputs": [{"from": {"id": first}, "to": {"id": second}, "types": types}]}
        return crm.post(f"{ASSOCIATIONS}/{from_}/{to}/batch/create", body)

    answer = associate("tasks", "contacts", "70001", "501", 204)
    assert crm.status == 201
    assert answer["results"][0] == {
        "fromObjectTypeId": "0-27",
        "fromObjectId": "70001",
        "toObjectTypeId": "0-1",
        "toObjectId": "501",
        "labels": [],
    }
    associate("companies", "tasks", "9001", "70001", 191)
    assert (subjects(crm, "501"), subjects(crm, "9001", "companies")) == (["a"], ["a"])
    assert associate("tasks", "contacts", "70001", "999", 204)["errors"][0]["context"]["toObjectId"] == ["999"]
    associate("tasks", "contacts", "70001", "502", 192)
    assert crm.status == 400
    associate("contacts", "companies", "501", "9001", 279)
    assert crm.status == 400


def test_tasks_follow_a_merge_and_hide_with_the_recycle_bin(crm: Client) -> None:
    create(crm, row("a", tie("501")), row("b", tie("502")), row("c", tie("502")))
    store = crm.sandbox.store
    survivor = store.merge("contacts", "501", "502")
    assert subjects(crm, survivor) == subjects(crm, "501") == ["a", "b", "c"]
    crm("DELETE", f"{TASKS}/70002")
    crm.post(f"{TASKS}/batch/archive", {"inputs": [{"id": "70003"}]})
    assert subjects(crm, survivor) == ["a"]
    store.archive("contacts", survivor)
    assert store.about("70001") == []
    store.restore("contacts", survivor)
    store.erase("tasks", "70001")
    assert subjects(crm, survivor) == []
    assert related(crm, "contacts", "tasks", survivor)["numErrors"] == 1
    with pytest.raises(Refused, match="not supported"):
        store.merge("tasks", "70002", "70003")


def test_scopes_of_tasks_are_those_of_contacts_or_their_own(crm: Client) -> None:
    for right, status in (("contacts", 201), ("tasks", 201), ("companies", 403)):
        crm.token = right
        crm.sandbox.access.allow(right, {f"crm.objects.{right}.write"})
        create(crm, row("a"))
        assert crm.status == status


def test_faults_name_the_traces_of_rows_without_ids(serve: Callable[..., Client]) -> None:
    crm = serve()
    crm.sandbox.faults.add(Fault("rows_not_found", kind="write"))
    answer = create(crm, row("a"), row("b"), row("c"))
    assert (crm.status, answer["errors"][0]["context"]) == (207, {"objectWriteTraceId": ["a", "c"]})
    assert [one["objectWriteTraceId"] for one in answer["results"]] == ["b"]


def test_the_page_of_a_record_shows_its_tasks(crm: Client) -> None:
    ties = tie("501"), tie("9001", 192)
    create(crm, row("Call <b>them</b>", *ties, hs_task_body="Usage\nfell", hs_task_status="NOT_STARTED"))
    for path in ("/contacts/501", "/companies/9001"):
        shown = crm.pool.request("GET", crm.sandbox.base_url + path).data.decode()
        assert "Call &lt;b&gt;them&lt;/b&gt;" in shown
        assert all(text in shown for text in ("Usage\nfell", "Not started", "due 1 Sep 2026, 09:00"))
    other = crm.pool.request("GET", crm.sandbox.base_url + "/contacts/502").data.decode()
    assert "<h2>Tasks</h2>" not in other
