"""Search over HTTP: operators, the walls, freshness (crm-apis §A6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.values import milliseconds
from tests.sandbox.conftest import Client, Clock


def one(name: str, operator: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({"value": value} if value is not None else {}), **more}


def ids(crm: Client, *filters: dict[str, Any], **body: Any) -> list[str]:
    answer = crm.search(filterGroups=[{"filters": list(filters)}], **body)
    assert crm.status == 200, answer
    return [record["id"] for record in answer["results"]]


@pytest.fixture
def people(crm: Client) -> Client:
    rows = [
        {"email": "ann@acme.io", "firstname": "Ann", "jobtitle": "Head of Sales", "hs_buying_role": "CHAMPION;BLOCKER"},
        {"email": "bob@acme.io", "firstname": "Bob", "jobtitle": "Engineer", "lifecyclestage": "lead"},
        {"email": "cy@else.org", "firstname": "Cy", "phone": "+49 1"},
    ]
    rows = [row | {"lastmodifieddate": f"2026-01-0{n}T00:00:00.000Z"} for n, row in enumerate(rows, 1)]
    crm.sandbox.store.create_many("contacts", rows)
    return crm


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        (one("email", "EQ", "ANN@acme.io"), ["501"]),
        (one("firstname", "NEQ", "ann"), ["502", "503"]),
        (one("firstname", "LT", "bob"), ["501"]),
        (one("firstname", "LTE", "bob"), ["501", "502"]),
        (one("hs_object_id", "GT", "501"), ["502", "503"]),
        (one("hs_object_id", "GTE", "502"), ["502", "503"]),
        (one("hs_object_id", "BETWEEN", "502", highValue="503"), ["502", "503"]),
        (one("firstname", "IN", values=["ann", "cy"]), ["501", "503"]),
        (one("firstname", "IN", values=["Ann"]), []),
        (one("firstname", "NOT_IN", values=["ann", "cy"]), ["502"]),
        (one("hs_buying_role", "EQ", "BLOCKER"), ["501"]),
        (one("hs_buying_role", "IN", values=["CHAMPION"]), ["501"]),
        (one("lifecyclestage", "EQ", "lead"), ["502"]),
        (one("phone", "HAS_PROPERTY"), ["503"]),
        (one("phone", "NOT_HAS_PROPERTY"), ["501", "502"]),
        (one("jobtitle", "CONTAINS_TOKEN", "sales"), ["501"]),
        (one("email", "CONTAINS_TOKEN", "*@acme.io"), ["501", "502"]),
        (one("jobtitle", "NOT_CONTAINS_TOKEN", "sales"), ["502", "503"]),
        (one("lastmodifieddate", "GTE", "2026-01-02T00:00:00Z"), ["502", "503"]),
        (one("lastmodifieddate", "GT", "1767312000000"), ["503"]),
        (one("lastmodifieddate", "EQ", "1767312000000"), ["502"]),
    ],
)
def test_operators(people: Client, filter_: dict[str, Any], found: list[str]) -> None:
    assert ids(people, filter_) == found


def test_filters_are_joined_by_and_groups_by_or(people: Client) -> None:
    acme = one("email", "CONTAINS_TOKEN", "*@acme.io")
    assert ids(people, acme, one("hs_object_id", "GT", "501")) == ["502"]
    answer = people.search(filterGroups=[{"filters": [one("firstname", "EQ", "cy")]}, {"filters": [acme]}])
    assert [record["id"] for record in answer["results"]] == ["501", "502", "503"]
    assert answer["total"] == 3


def test_query_sorts_and_properties(people: Client) -> None:
    answer = people.search(query="acme", sorts=[{"propertyName": "email", "direction": "DESCENDING"}])
    assert [record["id"] for record in answer["results"]] == ["502", "501"]
    assert people.search(sorts=["-hs_object_id"], properties=["phone", "nope"])["results"][0]["properties"] == {
        "createdate": "2026-06-01T12:00:00.000Z",
        "lastmodifieddate": "2026-01-03T00:00:00.000Z",
        "hs_object_id": "503",
        "phone": "+49 1",
    }


def test_ids_compare_as_numbers(crm: Client) -> None:
    rows = [{"email": f"p{n}@b.co"} for n in range(600)]
    crm.sandbox.store.create_many("contacts", rows)
    found = ids(crm, one("hs_object_id", "GT", "999"), sorts=[{"propertyName": "hs_object_id"}], limit=200)
    assert found == [str(n) for n in range(1000, 1101)]


def test_a_keyset_walk_sees_each_of_many_records_of_one_millisecond_once(crm: Client) -> None:
    stamp = "2026-05-05T05:05:05.005Z"
    rows = [{"email": f"p{n}@b.co", "lastmodifieddate": stamp} for n in range(12_000)]
    made = crm.sandbox.store.create_many("contacts", rows)
    seen: list[str] = []
    while True:
        filters = [one("lastmodifieddate", "GTE", stamp), one("hs_object_id", "GT", seen[-1] if seen else "0")]
        page = ids(crm, *filters, sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}], limit=200)
        if not page:
            break
        seen += page
    assert seen == made
    assert crm.sandbox.calls.count("search") == 61


def test_the_wall_of_ten_thousand(crm: Client) -> None:
    crm.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co"} for n in range(10_300)])
    last = crm.search(limit=200, after="9800")
    assert (last["total"], last["paging"]["next"]["after"]) == (10_300, "10000")
    crm.search(limit=200, after="10000")
    assert crm.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"after": "bGlzdDo1MDE="},
        {"query": "x" * 3000},
        {"filterGroups": [{"filters": [one("nope", "EQ", "1")]}]},
        {"filterGroups": [{"filters": [one("email", "LIKE", "1")]}]},
        {"filterGroups": [{"filters": [one("email", "EQ")]}]},
        {"filterGroups": [{"filters": [one("email", "IN", "1")]}]},
        {"filterGroups": [{"filters": [one("lastmodifieddate", "GT", "soon")]}]},
        {"filterGroups": [{"filters": [one("email", "HAS_PROPERTY")]}] * 6},
        {"filterGroups": [{"filters": [one("email", "HAS_PROPERTY")] * 7}]},
        {"filterGroups": [{"filters": [one("email", "HAS_PROPERTY")] * 5}] * 4},
        {"sorts": ["email", "phone"]},
        {"sorts": ["nope"]},
    ],
)
def test_refused(people: Client, body: dict[str, Any]) -> None:
    answer = people.search(**body)
    assert people.status == 400
    assert answer["category"] == "VALIDATION_ERROR"


def test_epoch_zero_breaks_it(people: Client) -> None:
    people.search(filterGroups=[{"filters": [one("lastmodifieddate", "GT", "0")]}])
    assert people.status == 500


def test_archived_records_never_show(people: Client) -> None:
    people.sandbox.store.archive("contacts", "502")
    assert ids(people, one("email", "HAS_PROPERTY")) == ["501", "503"]


def test_companies_have_their_own_cursor_property(crm: Client, clock: Clock) -> None:
    firm = crm.sandbox.store.create("companies", {"name": "B"})
    at = str(milliseconds(clock.now))
    found = crm.search("companies", filterGroups=[{"filters": [one("hs_lastmodifieddate", "GTE", at)]}])
    assert [record["id"] for record in found["results"]] == [firm]
    crm.search("companies", filterGroups=[{"filters": [one("lastmodifieddate", "GTE", at)]}])
    assert crm.status == 400


def test_the_index_trails_behind(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(lag=10.0)
    store = crm.sandbox.store
    first = store.create("contacts", {"email": "a@b.co", "phone": "1"})
    second = store.create("contacts", {"email": "b@b.co"})
    assert ids(crm, one("email", "HAS_PROPERTY")) == []
    clock.advance(10)
    assert ids(crm, one("email", "HAS_PROPERTY")) == [first, second]
    store.update("contacts", first, {"phone": "2"})
    store.archive("contacts", second)
    assert ids(crm, one("phone", "EQ", "1")) == [first]
    assert ids(crm, one("email", "HAS_PROPERTY")) == [first, second]
    clock.advance(5)
    store.update("contacts", first, {"phone": "3"})
    clock.advance(5)
    assert ids(crm, one("phone", "EQ", "2")) == [first]
    assert ids(crm, one("email", "HAS_PROPERTY")) == [first]
    clock.advance(5)
    assert ids(crm, one("phone", "EQ", "3")) == [first]


def test_a_merge_reaches_the_index_late(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(lag=10.0)
    store = crm.sandbox.store
    first, second = (store.create("contacts", {"email": f"{n}@b.co"}) for n in "ab")
    clock.advance(10)
    merged = store.merge("contacts", first, second)
    assert ids(crm, one("email", "HAS_PROPERTY")) == [first, second]
    clock.advance(10)
    assert ids(crm, one("email", "HAS_PROPERTY")) == [merged]
