"""The dialect as a whole: whatever is sent, the answer is HubSpot's and never a bug of the sandbox."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.sandbox.access import SCOPES, Access, OAuthApp
from engage_sync.sandbox.hubspot import HubSpot
from engage_sync.sandbox.limits import UNLIMITED, Meter
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.wire import call
from tests.sandbox.conftest import Clock

NAMES = [
    *("inputs", "id", "idProperty", "properties", "filterGroups", "filters", "propertyName", "operator", "value"),
    *("values", "highValue", "sorts", "direction", "limit", "after", "query", "name", "label", "type", "fieldType"),
    *("groupName", "options", "hidden", "primaryObjectId", "objectIdToMerge", "objectId", "email", "phone"),
    *("hs_object_id", "lastmodifieddate", "objectWriteTraceId", "propertiesWithHistory", "hasUniqueValue"),
]
TEXTS = [
    "501",
    "502",
    "999",
    "email",
    "hs_object_id",
    "createdate",
    "a@b.co",
    "EQ",
    "GT",
    "IN",
    "BETWEEN",
    "select",
    "",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(TEXTS) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
FILTER = st.fixed_dictionaries(
    {"propertyName": st.sampled_from(["email", "hs_object_id", "createdate", "hs_buying_role", "hs_email_optout"])},
    optional={
        "operator": st.sampled_from(["EQ", "NEQ", "GT", "LTE", "BETWEEN", "IN", "CONTAINS_TOKEN", "HAS_PROPERTY"]),
        "value": LEAVES,
        "highValue": LEAVES,
        "values": st.lists(LEAVES, max_size=2),
    },
)
ROW = st.fixed_dictionaries(
    {"id": st.sampled_from(["501", "502", "503", "a@b.co", "x"])},
    optional={
        "properties": st.dictionaries(
            st.sampled_from(["email", "phone", "hs_buying_role", "nope"]), LEAVES, max_size=3
        ),
        "idProperty": st.sampled_from(["email", "phone", "hs_object_id"]),
        "objectWriteTraceId": st.sampled_from(["t1", "t2"]),
    },
)
BODIES = (
    VALUES
    | st.fixed_dictionaries({"inputs": st.lists(ROW, max_size=3)})
    | st.fixed_dictionaries({"filterGroups": st.lists(st.fixed_dictionaries({"filters": st.lists(FILTER)}))})
)
PATHS = [
    *(
        f"/crm/v3/objects/contacts/{end}"
        for end in ("", "search", "merge", "gdpr-delete", "501", "501?idProperty=email")
    ),
    *(f"/crm/objects/2026-09/companies/batch/{verb}" for verb in ("read", "update", "create", "upsert", "archive")),
    *(f"/crm/v3/objects/0-1/batch/{verb}" for verb in ("read", "update", "create", "upsert", "archive")),
    *(f"/crm/v3/properties/contacts/{end}" for end in ("", "groups", "batch/create", "batch/read", "batch/archive")),
    *("/crm/v3/properties/contacts/email", "/crm/v3/properties/contacts/groups/contactinformation", "/oauth/v1/token"),
    *(
        "/crm/v3/owners/",
        "/crm/v3/objects/contacts?limit=5&after=%00&properties=%F0%9F%92%A9",
        "/account-info/v3/details",
    ),
]


def hubspot() -> HubSpot:
    clock = Clock()
    store = Store(clock=clock, lag=1.0)
    store.create_many("contacts", [{"email": "a@b.co", "hs_buying_role": "CHAMPION"}, {"email": "c@b.co"}])
    access = Access({"t": SCOPES}, OAuthApp(), clock)
    return HubSpot(store, access, Meter(UNLIMITED, tick=clock.tick, clock=clock))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["GET", "POST", "PATCH", "DELETE"]), st.sampled_from(PATHS), BODIES)
def test_nothing_that_is_sent_breaks_it(method: str, path: str, body: Any) -> None:
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    answer = hubspot().answer(call(method, path, headers, json.dumps(body).encode()))
    assert answer.status < 500 or (answer.status == 500 and b"internal error" in answer.encoded())
    if answer.status >= 400 and "oauth" not in path:
        told = json.loads(answer.encoded())
        assert told["status"] == "error"
        assert told["correlationId"]


@pytest.mark.parametrize("count", [30_000])
def test_a_large_crm_is_listed_in_seconds(count: int) -> None:
    clock = Clock()
    store = Store(clock=clock)
    names = ["firstname", "lastname", "jobtitle", "company", "phone", "city", "country", "message"]
    store.create_many("contacts", [{"email": f"p{n}@b.co", **dict.fromkeys(names, "x")} for n in range(count)])
    access = Access({"t": SCOPES}, OAuthApp(), clock)
    crm = HubSpot(store, access, Meter(UNLIMITED, tick=clock.tick, clock=clock))
    target, seen, began = (
        "/crm/v3/objects/contacts?limit=100&properties=email," + ",".join(names),
        0,
        time.process_time(),
    )
    after = ""
    while after is not None:
        answer = crm.answer(
            call("GET", target + (f"&after={after}" if after else ""), {"authorization": "Bearer t"}, b"")
        )
        body = json.loads(answer.encoded())
        seen += len(body["results"])
        after = body["paging"]["next"]["after"] if "paging" in body else None
    assert seen == count
    assert time.process_time() - began < 3
