"""Single records and pages of them over HTTP (crm-apis §A4, §A5, §A10)."""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import Client, Clock

CONTACTS = "/crm/v3/objects/contacts"


def filled(crm: Client, count: int) -> list[str]:
    return crm.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co", "phone": str(n)} for n in range(count)])


def test_a_record_looks_like_hubspots(crm: Client, clock: Clock) -> None:
    made = crm.post(CONTACTS, {"properties": {"email": "a@b.co", "hs_buying_role": "CHAMPION"}})
    assert crm.status == 201
    assert made["id"] == "501"
    clock.advance(1.5)
    changed = crm("PATCH", f"{CONTACTS}/501", {"properties": {"phone": "1"}})
    assert crm.status == 200
    assert {"email", "firstname", "phone", "lastmodifieddate", "hs_object_id"} <= changed["properties"].keys()
    got = crm.get(f"{CONTACTS}/501", properties="email,jobtitle,nope")
    assert got == {
        "id": "501",
        "properties": {
            "createdate": "2026-06-01T12:00:00.000Z",
            "lastmodifieddate": "2026-06-01T12:00:01.500Z",
            "hs_object_id": "501",
            "email": "a@b.co",
            "jobtitle": None,
        },
        "createdAt": "2026-06-01T12:00:00.000Z",
        "updatedAt": "2026-06-01T12:00:01.500Z",
        "archived": False,
        "url": "https://app.hubspot.com/contacts/1/record/0-1/501",
    }


def test_default_properties(crm: Client) -> None:
    contact = crm.post(CONTACTS, {"properties": {"email": "a@b.co"}})["id"]
    company = crm.post("/crm/v3/objects/companies", {"properties": {"name": "B"}})["id"]
    assert list(crm.get(f"{CONTACTS}/{contact}")["properties"]) == [
        *("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")
    ]
    assert list(crm.get(f"/crm/v3/objects/companies/{company}")["properties"]) == [
        *("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name")
    ]


def test_paging_gives_every_record_once_in_order_and_ends_without_paging(crm: Client) -> None:
    ids = filled(crm, 250)
    seen, sizes, after = [], [], ""
    while True:
        page = crm.get(CONTACTS, limit=100, **({"after": after} if after else {}))
        seen += [record["id"] for record in page["results"]]
        sizes.append(len(page["results"]))
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert sizes == [100, 100, 50]
    assert seen == ids


def test_a_record_archived_between_pages_does_not_shift_the_others(crm: Client) -> None:
    ids = filled(crm, 6)
    page = crm.get(CONTACTS, limit=3)
    crm.sandbox.store.archive("contacts", ids[0])
    rest = crm.get(CONTACTS, limit=3, after=page["paging"]["next"]["after"])
    assert [record["id"] for record in rest["results"]] == ids[3:]


@pytest.mark.parametrize(
    "path",
    [
        CONTACTS,
        CONTACTS + "/",
        "/crm/objects/2026-03/contacts",
        "/crm/objects/2026-09/0-1",
        "/crm/v3/objects/contact?archived=False",
        "/crm/v3/objects/0-1?properties=email&properties=phone",
        "/crm/v3/objects/contacts/?properties=email,phone",
    ],
)
def test_paths_and_parameters_in_all_their_spellings(crm: Client, path: str) -> None:
    ids = filled(crm, 2)
    page = crm.get(path)
    assert crm.status == 200
    assert [record["id"] for record in page["results"]] == ids
    assert ("phone" in page["results"][0]["properties"]) == ("properties" in path)


def test_limits_and_tokens_that_are_wrong(crm: Client) -> None:
    filled(crm, 3)
    for fields in ({"limit": 101}, {"limit": 0}, {"limit": "ten"}, {"after": "200"}, {"after": "!"}):
        answer = crm.get(CONTACTS, **fields)
        assert crm.status == 400, fields
        assert answer["category"] == "VALIDATION_ERROR"
    crm.get(CONTACTS, limit=51, propertiesWithHistory="email")
    assert crm.status == 400


def test_a_merged_away_id_answers_with_the_survivor(crm: Client) -> None:
    first, second = filled(crm, 2)
    merged = crm.post(f"{CONTACTS}/merge", {"primaryObjectId": first, "objectIdToMerge": second})
    assert crm.status == 200
    for asked in (first, second):
        assert crm.get(f"{CONTACTS}/{asked}")["id"] == merged["id"]
    assert [record["id"] for record in crm.get(CONTACTS)["results"]] == [merged["id"]]


def test_the_recycle_bin(crm: Client, clock: Clock) -> None:
    first, second = filled(crm, 2)
    clock.advance(60)
    assert crm("DELETE", f"{CONTACTS}/{first}") is None
    assert crm.status == 204
    assert [record["id"] for record in crm.get(CONTACTS)["results"]] == [second]
    binned = crm.get(CONTACTS, archived="true")["results"]
    assert [(r["id"], r["archived"], r["archivedAt"]) for r in binned] == [(first, True, "2026-06-01T12:01:00.000Z")]
    crm.get(f"{CONTACTS}/{first}")
    assert crm.status == 404
    assert crm.get(f"{CONTACTS}/{first}", archived="true")["id"] == first


def test_a_privacy_delete_leaves_nothing(crm: Client) -> None:
    first, _ = filled(crm, 2)
    crm.post(f"{CONTACTS}/gdpr-delete", {"objectId": "p0@b.co", "idProperty": "email"})
    assert crm.status == 204
    crm.get(f"{CONTACTS}/{first}", archived="true")
    assert crm.status == 404


def test_by_email(crm: Client) -> None:
    first, _ = filled(crm, 2)
    assert crm.get(f"{CONTACTS}/p0@b.co", idProperty="email")["id"] == first
    crm.get(f"{CONTACTS}/5", idProperty="phone")
    assert crm.status == 400


def test_the_history_of_a_property_is_newest_first(crm: Client, clock: Clock) -> None:
    first = filled(crm, 1)[0]
    clock.advance(1)
    crm("PATCH", f"{CONTACTS}/{first}", {"properties": {"phone": "x"}})
    history = crm.get(f"{CONTACTS}/{first}", propertiesWithHistory="phone")["propertiesWithHistory"]["phone"]
    assert [(v["value"], v["sourceType"]) for v in history] == [("x", "INTEGRATION"), ("0", "IMPORT")]


def test_companies_of_contacts_on_request(crm: Client) -> None:
    first = filled(crm, 1)[0]
    firm = crm.sandbox.store.create("companies", {"name": "B"})
    crm.sandbox.store.employ(first, firm)
    results = crm.get(CONTACTS, associations="companies")["results"]
    assert results[0]["associations"]["companies"]["results"] == [{"id": firm, "type": "contact_to_company"}]


def test_errors_have_hubspots_body(crm: Client) -> None:
    filled(crm, 1)
    again = crm.post(CONTACTS, {"properties": {"email": "P0@b.co"}})
    assert crm.status == 409
    assert (again["category"], again["message"]) == ("CONFLICT", "Contact already exists. Existing ID: 501")
    bad = crm.post(CONTACTS, {"properties": {"lifecyclestage": "Customer", "email": "q@b.co"}})
    assert crm.status == 400
    assert bad["status"] == "error"
    assert bad["correlationId"]
    assert bad["message"].startswith("Property values were not valid: [")
    assert bad["errors"][0]["code"] == "INVALID_OPTION"
    assert bad["errors"][0]["context"] == {"propertyName": ["lifecyclestage"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", CONTACTS + "/999", None, 404),
        ("GET", "/crm/v3/objects/unicorns", None, 400),
        ("GET", "/crm/v3/nothing", None, 404),
        ("PUT", CONTACTS, {}, 405),
        ("GET", CONTACTS + "/search", None, 405),
        ("POST", CONTACTS, None, 415),
        ("POST", CONTACTS, [], 400),
        ("POST", CONTACTS, {"properties": {"phone": None}}, 400),
        ("PATCH", CONTACTS + "/999", {"properties": {}}, 404),
    ],
)
def test_wrong_requests(crm: Client, method: str, path: str, body: object, status: int) -> None:
    crm(method, path, body)
    assert crm.status == status


def test_an_unreadable_body_is_a_400(crm: Client) -> None:
    headers = {"Authorization": f"Bearer {crm.token}", "Content-Type": "application/json"}
    answer = crm.pool.request("POST", crm.sandbox.base_url + CONTACTS, body=b"{", headers=headers)
    assert (answer.status, answer.json()["category"]) == (400, "VALIDATION_ERROR")
