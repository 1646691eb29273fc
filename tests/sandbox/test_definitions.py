"""Properties and groups over HTTP (crm-apis §A9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Client

PROPERTIES = "/crm/v3/properties/contacts"


@pytest.fixture
def grouped(crm: Client) -> Client:
    crm.post(f"{PROPERTIES}/groups", {"name": "engage", "label": "Engage"})
    assert crm.status == 201
    return crm


def definition(name: str = "engage_x", **changed: Any) -> dict[str, Any]:
    made = {"name": name, "label": "X", "type": "string", "fieldType": "text", "groupName": "engage"}
    return made | changed


def options(*values: str) -> list[dict[str, Any]]:
    return [{"label": v.upper(), "value": v, "hidden": False, "displayOrder": n} for n, v in enumerate(values)]


def test_built_in_properties(crm: Client) -> None:
    listed = {p["name"]: p for p in crm.get(PROPERTIES)["results"]}
    assert {"email", "jobtitle", "hs_buying_role", "lifecyclestage", "hs_additional_emails"} <= listed.keys()
    assert listed["email"]["hubspotDefined"]
    assert not listed["email"]["modificationMetadata"]["readOnlyValue"]
    assert listed["hs_object_id"]["modificationMetadata"]["readOnlyValue"]
    assert (listed["createdate"]["type"], listed["createdate"]["fieldType"]) == ("datetime", "date")
    assert "CHAMPION" in [option["value"] for option in listed["hs_buying_role"]["options"]]
    assert "domain" in {p["name"] for p in crm.get("/crm/properties/2026-03/companies")["results"]}


def test_create_read_change_and_archive(grouped: Client) -> None:
    wanted = definition(type="enumeration", fieldType="checkbox", options=options("a", "b"))
    made = grouped.post(PROPERTIES, wanted)
    assert grouped.status == 201
    assert grouped.get(f"{PROPERTIES}/engage_x") == made
    assert {k: made[k] for k in wanted if k != "options"} == {k: v for k, v in wanted.items() if k != "options"}
    changed = grouped("PATCH", f"{PROPERTIES}/engage_x", {"options": options("b", "c")})
    assert grouped.status == 200
    assert [o["value"] for o in changed["options"]] == ["b", "c"]
    assert changed["label"] == "X"
    record = grouped.sandbox.store.create("contacts", {"engage_x": "c;b"})
    assert grouped.sandbox.store.values("contacts", record)["engage_x"] == "c;b"
    grouped("DELETE", f"{PROPERTIES}/engage_x")
    assert grouped.status == 204
    grouped.get(f"{PROPERTIES}/engage_x")
    assert grouped.status == 404
    assert [p["name"] for p in grouped.get(PROPERTIES, archived="true")["results"]] == ["engage_x"]


def test_an_existing_name_is_a_conflict(grouped: Client) -> None:
    grouped.post(PROPERTIES, definition())
    answer = grouped.post(PROPERTIES, definition())
    assert grouped.status == 409
    assert answer["category"] == "OBJECT_ALREADY_EXISTS"
    grouped.post(f"{PROPERTIES}/groups", {"name": "engage", "label": "Again"})
    assert grouped.status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Engage_X"},
        {"groupName": "nowhere"},
        {"type": "text"},
        {"type": "datetime", "fieldType": "datetime"},
        {"type": "enumeration", "fieldType": "select", "options": options("a", "a")},
        {"type": "enumeration", "fieldType": "checkbox", "options": options("a;b")},
        {"type": "enumeration", "fieldType": "select", "options": [{"label": "A", "value": "a"}]},
        {"type": "bool", "fieldType": "booleancheckbox", "hasUniqueValue": True},
        {"label": None},
    ],
)
def test_refused_definitions(grouped: Client, wrong: dict[str, Any]) -> None:
    answer = grouped.post(PROPERTIES, definition(**wrong))
    assert grouped.status == 400
    assert answer["category"] == "VALIDATION_ERROR"


def test_ten_unique_properties_and_no_more(grouped: Client) -> None:
    for n in range(10):
        grouped.post(PROPERTIES, definition(f"engage_{n}", hasUniqueValue=True))
        assert grouped.status == 201
    grouped.post(PROPERTIES, definition("engage_10", hasUniqueValue=True))
    assert grouped.status == 400
    grouped("PATCH", f"{PROPERTIES}/engage_0", {"hasUniqueValue": False})
    assert grouped.status == 400
    assert grouped.get(f"{PROPERTIES}/engage_0")["hasUniqueValue"]


def test_batches_fail_row_by_row(grouped: Client) -> None:
    answer = grouped.post(f"{PROPERTIES}/batch/create", {"inputs": [definition("engage_a"), definition("engage_b")]})
    assert (grouped.status, len(answer["results"])) == (201, 2)
    answer = grouped.post(f"{PROPERTIES}/batch/create", {"inputs": [definition("engage_a"), definition("engage_c")]})
    assert grouped.status == 207
    assert [p["name"] for p in answer["results"]] == ["engage_c"]
    error = answer["errors"][0]
    assert (error["category"], error["subCategory"]) == (
        "OBJECT_ALREADY_EXISTS",
        "Properties.PROPERTY_WITH_NAME_EXISTS",
    )
    assert error["context"]["name"] == ["engage_a"]
    answer = grouped.post(f"{PROPERTIES}/batch/read", {"inputs": [{"name": "engage_a"}, {"name": "nope"}]})
    assert grouped.status == 207
    assert [p["name"] for p in answer["results"]] == ["engage_a"]
    grouped.post(f"{PROPERTIES}/batch/archive", {"inputs": [{"name": "engage_a"}]})
    assert grouped.status == 204
    grouped.post("/crm/properties/2026-09/contacts/batch/create", {"inputs": [definition("engage_d")]})
    assert grouped.status == 200


def test_groups(grouped: Client) -> None:
    assert grouped.get(f"{PROPERTIES}/groups/engage")["label"] == "Engage"
    assert "engage" in [g["name"] for g in grouped.get(f"{PROPERTIES}/groups")["results"]]
    grouped("PATCH", f"{PROPERTIES}/groups/engage", {"label": "Ours"})
    assert grouped.get(f"{PROPERTIES}/groups/engage")["label"] == "Ours"
    grouped.post(PROPERTIES, definition())
    grouped("DELETE", f"{PROPERTIES}/groups/engage")
    assert grouped.status == 400
    grouped("DELETE", f"{PROPERTIES}/engage_x")
    grouped("DELETE", f"{PROPERTIES}/groups/engage")
    assert grouped.status == 204
    grouped.get(f"{PROPERTIES}/groups/engage")
    assert grouped.status == 404


def test_what_hubspot_defines_stays(crm: Client) -> None:
    crm("DELETE", f"{PROPERTIES}/email")
    assert crm.status == 400
    crm("PATCH", f"{PROPERTIES}/hs_object_id", {"label": "Mine"})
    assert crm.status == 400
    crm("PATCH", f"{PROPERTIES}/lifecyclestage", {"options": options("lead", "gone")})
    assert crm.status == 200
