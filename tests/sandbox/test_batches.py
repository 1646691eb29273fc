"""Batch calls over HTTP: what each mistake does (the table of crm-apis §A7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.properties import Group, Property
from tests.sandbox.conftest import Client, Clock

BATCH = "/crm/v3/objects/contacts/batch"


@pytest.fixture
def people(crm: Client) -> Client:
    return peopled(crm)


def peopled(crm: Client) -> Client:
    crm.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co", "phone": str(n)} for n in range(3)])
    type_ = crm.sandbox.store.type("contacts")
    type_.add_group(Group("engage", "Engage"))
    type_.add(Property("engage_uid", "Id", "string", "text", "engage", unique=True))
    return crm


def rows(ids: list[str], **properties: Any) -> dict[str, Any]:
    return {"inputs": [{"id": i, "properties": properties} for i in ids]}


def phones(crm: Client) -> list[str | None]:
    return [crm.sandbox.store.values("contacts", i).get("phone") for i in ("501", "502", "503")]


def test_update_answers_more_than_was_sent(people: Client, clock: Clock) -> None:
    clock.advance(1)
    answer = people.post(f"{BATCH}/update", rows(["501", "503"], phone="9"))
    assert people.status == 200
    assert answer["status"] == "COMPLETE"
    assert "errors" not in answer
    assert {record["id"] for record in answer["results"]} == {"501", "503"}
    assert answer["results"][0]["properties"].keys() > {"phone"}
    assert answer["results"][0]["updatedAt"] == "2026-06-01T12:00:01.000Z"
    assert phones(people) == ["9", "1", "9"]


def test_an_empty_text_clears_and_numbers_count_as_texts(people: Client) -> None:
    answer = people.post(f"{BATCH}/update", {"inputs": [{"id": 501, "properties": {"phone": 5, "city": ""}}]})
    assert answer["results"][0]["properties"]["phone"] == "5"
    people.post(f"{BATCH}/update", rows(["501"], phone=""))
    assert phones(people)[0] is None


def test_ids_that_are_not_there_come_back_in_one_error(people: Client) -> None:
    people.sandbox.store.archive("contacts", "502")
    answer = people.post(f"{BATCH}/update", rows(["501", "502", "999"], phone="9"))
    assert people.status == 207
    assert answer["numErrors"] == 1
    error = answer["errors"][0]
    assert (error["category"], error["context"]) == ("OBJECT_NOT_FOUND", {"ids": ["502", "999"]})
    assert [record["id"] for record in answer["results"]] == ["501"]


def test_from_2026_09_on_a_batch_with_errors_answers_200(people: Client) -> None:
    answer = people.post("/crm/objects/2026-09/contacts/batch/update", rows(["501", "999"], phone="9"))
    assert (people.status, answer["numErrors"]) == (200, 1)
    people.post("/crm/objects/2026-03/contacts/batch/update", rows(["501", "999"], phone="9"))
    assert people.status == 207


def test_a_merged_away_id_is_written_and_answered_under_the_new_one(people: Client) -> None:
    merged = people.sandbox.store.merge("contacts", "501", "502")
    answer = people.post(f"{BATCH}/update", rows(["501"], phone="9"))
    assert [record["id"] for record in answer["results"]] == [merged]
    assert people.sandbox.store.values("contacts", merged)["phone"] == "9"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"nope": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"lifecyclestage": "nope"}, "INVALID_OPTION"),
        ({"hs_object_id": "5"}, "READ_ONLY_VALUE"),
        ({"createdate": "2026-01-01"}, "READ_ONLY_VALUE"),
    ],
)
def test_a_bad_value_in_any_row_refuses_the_whole_batch(people: Client, bad: dict[str, str], code: str) -> None:
    body = rows(["501", "502"], phone="9")
    body["inputs"].append({"id": "503", "properties": bad})
    answer = people.post(f"{BATCH}/update", body)
    assert people.status == 400
    assert answer["category"] == "VALIDATION_ERROR"
    assert [(e["code"], e["context"]["propertyName"]) for e in answer["errors"]] == [(code, list(bad))]
    assert phones(people) == ["0", "1", "2"]


def test_the_errors_may_be_fewer_than_the_message_names(people: Client) -> None:
    answer = people.post(f"{BATCH}/update", rows(["501"], a="1", b="1", c="1"))
    assert all(f'Property \\"{name}\\" does not exist' in answer["message"] for name in "abc")
    assert len(answer["errors"]) == 2


def test_one_id_twice_refuses_the_whole_batch(people: Client) -> None:
    answer = people.post(f"{BATCH}/update", rows(["501", "502", "501"], phone="9"))
    assert people.status == 400
    assert answer["message"] == "Duplicate IDs found in batch input: [501]. IDs must be unique"
    assert answer["context"] == {"ids": ["501"]}
    assert phones(people) == ["0", "1", "2"]


def test_update_by_email_is_refused(people: Client) -> None:
    body = {"inputs": [{"id": "p0@b.co", "idProperty": "email", "properties": {"phone": "9"}}]}
    answer = people.post(f"{BATCH}/update", body)
    assert people.status == 400
    assert "Unable to perform update/upsert by non-unique 0-1 property" in answer["message"]


def test_update_by_a_property_that_is_unique(people: Client) -> None:
    people.sandbox.store.update("contacts", "502", {"engage_uid": "u-1"})
    people.post(
        f"{BATCH}/update", {"inputs": [{"id": "u-1", "idProperty": "engage_uid", "properties": {"phone": "9"}}]}
    )
    assert phones(people) == ["0", "9", "2"]


def test_a_taken_unique_value_refuses_the_whole_batch(people: Client) -> None:
    people.sandbox.store.update("contacts", "503", {"engage_uid": "u-1"})
    body = rows(["501"], phone="9")
    body["inputs"].append({"id": "502", "properties": {"engage_uid": "u-1"}})
    answer = people.post(f"{BATCH}/update", body)
    assert (people.status, answer["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")
    people.post(f"{BATCH}/update", rows(["501", "502"], engage_uid="u-2"))
    assert people.status == 400
    assert phones(people) == ["0", "1", "2"]


@pytest.mark.parametrize("verb", ["read", "update", "create", "upsert", "archive"])
def test_more_than_a_hundred_rows(people: Client, verb: str) -> None:
    people.post(f"{BATCH}/{verb}", rows([str(n) for n in range(101)]))
    assert people.status == 400
    people.post(f"{BATCH}/{verb}", {})
    assert people.status == 400


def test_read(people: Client) -> None:
    body = {"properties": ["phone", "nope"], "inputs": [{"id": "502"}, {"id": "501"}]}
    answer = people.post(f"{BATCH}/read", body)
    assert people.status == 200
    assert {r["id"]: r["properties"]["phone"] for r in answer["results"]} == {"501": "0", "502": "1"}
    answer = people.post(f"{BATCH}/read", {"inputs": [{"id": "501"}, {"id": "7"}, {"id": "x"}]})
    assert people.status == 207
    assert answer["errors"][0]["context"]["ids"] == ["7", "x"]
    merged = people.sandbox.store.merge("contacts", "501", "502")
    assert [r["id"] for r in people.post(f"{BATCH}/read", {"inputs": [{"id": "501"}]})["results"]] == [merged]
    by_email = {"idProperty": "email", "inputs": [{"id": "p1@b.co"}]}
    assert [r["id"] for r in people.post(f"{BATCH}/read", by_email)["results"]] == [merged]


def test_read_archived(people: Client) -> None:
    people.sandbox.store.archive("contacts", "502")
    answer = people.post(f"{BATCH}/read?archived=true", {"inputs": [{"id": "502"}]})
    assert [(r["id"], r["archived"]) for r in answer["results"]] == [("502", True)]


def test_create_is_all_or_nothing_without_trace_ids(people: Client) -> None:
    new = [{"properties": {"email": f"n{n}@b.co"}} for n in range(2)]
    answer = people.post(f"{BATCH}/create", {"inputs": new})
    assert (people.status, len(answer["results"])) == (201, 2)
    answer = people.post(f"{BATCH}/create", {"inputs": [{"properties": {"email": "new@b.co"}}, new[0]]})
    assert (people.status, answer["category"]) == (409, "CONFLICT")
    assert people.sandbox.store.find("contacts", "email", "new@b.co") is None


def test_create_with_trace_ids_fails_row_by_row(people: Client) -> None:
    emails = ["new@b.co", "p0@b.co"]
    inputs = [{"objectWriteTraceId": f"row-{n}", "properties": {"email": e}} for n, e in enumerate(emails)]
    answer = people.post(f"{BATCH}/create", {"inputs": inputs})
    assert people.status == 207
    assert [r["objectWriteTraceId"] for r in answer["results"]] == ["row-0"]
    assert answer["errors"][0]["context"]["objectWriteTraceId"] == ["row-1"]
    assert answer["errors"][0]["category"] == "CONFLICT"


def test_upsert(people: Client) -> None:
    people.sandbox.store.update("contacts", "501", {"engage_uid": "u-1"})
    inputs = [{"id": f"u-{n}", "idProperty": "engage_uid", "properties": {"phone": "9"}} for n in (1, 2)]
    answer = people.post(f"{BATCH}/upsert", {"inputs": inputs})
    assert people.status == 200
    assert {r["id"]: r["new"] for r in answer["results"]} == {"501": False, "504": True}
    assert people.sandbox.store.find("contacts", "engage_uid", "u-2") == "504"
    inputs = [{"id": e, "idProperty": "email", "properties": {"phone": "9"}} for e in ("p0@b.co", "P0@b.co")]
    people.post(f"{BATCH}/upsert", {"inputs": inputs})
    assert people.status == 400
    people.post(f"{BATCH}/upsert", {"inputs": [{"id": "1", "idProperty": "phone", "properties": {}}]})
    assert people.status == 400


def test_archive(people: Client) -> None:
    assert people.post(f"{BATCH}/archive", {"inputs": [{"id": "501"}, {"id": "999"}]}) is None
    assert people.status == 204
    assert people.sandbox.store.ids("contacts", archived=True) == ["501"]


def test_results_say_nothing_by_their_order(crm: Client, serve: Callable[..., Client]) -> None:
    def order(client: Client) -> list[str]:
        made = client.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co"} for n in range(50)])
        answer = client.post(f"{BATCH}/update", rows(made, phone="1"))
        return [record["id"] for record in answer["results"]]

    mixed, kept = order(crm), order(serve(shuffle=False))
    assert mixed != kept
    assert sorted(mixed) == kept
