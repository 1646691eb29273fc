"""Every fault over a real socket: what the client sees, and whether the call took effect (crm-apis §E)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import urllib3

from engage_sync.sandbox.faults import FAULTS, Fault
from tests.sandbox.conftest import Client, Clock

UPDATE = "/crm/v3/objects/contacts/batch/update"


@pytest.fixture
def people(crm: Client) -> Client:
    crm.sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co", "phone": "0"} for n in range(4)])
    return crm


def raw(crm: Client, phone: str = "9") -> urllib3.BaseHTTPResponse:
    ids = crm.sandbox.store.ids("contacts")
    body = {"inputs": [{"id": i, "properties": {"phone": phone}} for i in ids]}
    headers = {"Authorization": f"Bearer {crm.token}"}
    return crm.pool.request("POST", crm.sandbox.base_url + UPDATE, json=body, headers=headers)


def written(crm: Client) -> int:
    store = crm.sandbox.store
    return sum(store.values("contacts", i)["phone"] == "9" for i in store.ids("contacts"))


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_does_what_it_says_and_then_is_over(people: Client, name: str) -> None:
    people.sandbox.faults.add(Fault(name, seconds=0.05))
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        raw(people)
    assert (written(people) > 0) == FAULTS[name].takes_effect
    assert people.sandbox.calls.all()[-1].fault == name
    assert people.sandbox.faults.active() == []
    assert raw(people).status == 200
    assert written(people) == 4
    assert people.sandbox.faults.struck == 1


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("locked", 423),
        ("migration", 477),
        ("server_error", 500),
        ("server_error_after", 500),
        ("not_utf8", 500),
        ("bad_gateway", 502),
        ("unavailable", 503),
        ("gateway_timeout", 504),
        ("gateway_timeout_after", 504),
        ("html_200", 200),
        ("accepted_202", 202),
        ("accepted_202_after", 202),
        ("batch_refused", 400),
        ("invalid_token", 401),
        ("expired_token", 401),
        ("missing_scopes", 403),
        ("hang", 524),
        ("hang_after", 524),
        ("rows_not_found", 207),
    ],
)
def test_statuses(people: Client, name: str, status: int) -> None:
    people.sandbox.faults.add(Fault(name, seconds=0.01))
    assert raw(people).status == status


@pytest.mark.parametrize(
    ("name", "policy"),
    [("too_many_ten_secondly", "TEN_SECONDLY_ROLLING"), ("too_many_secondly", "SECONDLY"), ("too_many_daily", "DAILY")],
)
def test_the_three_policies(people: Client, name: str, policy: str) -> None:
    people.sandbox.faults.add(Fault(name))
    answer = raw(people)
    assert (answer.status, answer.json()["policyName"]) == (429, policy)


def test_bodies(people: Client) -> None:
    faults = people.sandbox.faults
    faults.add(Fault("migration", seconds=7200))
    assert raw(people).headers["Retry-After"] == "7200"
    for name in ("html_200", "html_200_after", "bad_gateway"):
        faults.add(Fault(name))
        answer = raw(people)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.data.startswith(b"<!DOCTYPE html>")
    faults.add(Fault("truncated_200"))
    answer = raw(people)
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    faults.add(Fault("not_utf8"))
    with pytest.raises(UnicodeDecodeError):
        raw(people).data.decode()
    faults.add(Fault("accepted_202"))
    assert raw(people).data == b""
    faults.add(Fault("empty_results"))
    assert raw(people).json() == {"status": "COMPLETE", "results": []}
    faults.add(Fault("missing_result"))
    assert len(raw(people).json()["results"]) == 3


def test_one_error_names_many_rows(people: Client) -> None:
    people.sandbox.faults.add(Fault("rows_not_found"))
    answer = raw(people).json()
    assert answer["numErrors"] == 1
    assert answer["errors"][0]["context"]["ids"] == ["501", "503"]
    assert {record["id"] for record in answer["results"]} == {"502", "504"}


@pytest.mark.parametrize("name", ["drop_before", "drop_after", "reset_after", "cut_body"])
def test_dropped_connections(people: Client, name: str) -> None:
    people.sandbox.faults.add(Fault(name))
    with pytest.raises(urllib3.exceptions.HTTPError):
        raw(people)


def test_a_hanging_call_runs_into_the_clients_timeout(people: Client) -> None:
    people.sandbox.faults.add(Fault("hang"))
    impatient = urllib3.PoolManager(retries=False, timeout=0.05)
    headers = {"Authorization": f"Bearer {people.token}"}
    with pytest.raises(urllib3.exceptions.TimeoutError):
        impatient.request("GET", people.sandbox.base_url + "/crm/v3/objects/contacts", headers=headers)


def struck(crm: Client, calls: int) -> list[bool]:
    return [raw(crm).status != 200 for _ in range(calls)]


def test_which_calls_are_struck(people: Client) -> None:
    faults = people.sandbox.faults
    faults.add(Fault("locked", method="post", path="/crm/v3/objects/contacts/batch/*", skip=1, times=2))
    people.get("/crm/v3/objects/contacts")
    assert people.status == 200
    assert struck(people, 5) == [False, True, True, False, False]
    faults.add(Fault("locked", kind="search"))
    assert struck(people, 1) == [False]
    people.search()
    assert people.status == 423
    faults.add(Fault("batch_refused", contains='"503"', times=None))
    assert struck(people, 3) == [True, True, True]
    people.post(UPDATE, {"inputs": [{"id": "501", "properties": {"phone": "1"}}]})
    assert people.status == 200
    faults.clear()
    assert struck(people, 1) == [False]


def test_probability_is_repeatable(people: Client) -> None:
    def run() -> list[bool]:
        people.sandbox.faults.clear()
        people.sandbox.faults.add(Fault("locked", times=None, probability=0.5, seed=3))
        return struck(people, 20)

    first = run()
    assert 4 < sum(first) < 16
    assert run() == first


def test_a_fault_may_last_a_while(people: Client, clock: Clock) -> None:
    people.sandbox.faults.add(Fault("locked", times=None, lasting=2.0))
    assert struck(people, 2) == [True, True]
    clock.advance(1.9)
    assert struck(people, 1) == [True]
    clock.advance(0.1)
    assert struck(people, 2) == [False, False]


def test_a_call_that_is_refused_anyway_keeps_its_answer(people: Client) -> None:
    people.sandbox.faults.add(Fault("html_200_after"))
    people.token = "wrong"
    assert raw(people).status == 401


def control(crm: Client, method: str, path: str, body: Any = None) -> Any:
    crm.token = None
    return crm(method, "/__sandbox" + path, body)


def test_the_control_interface(people: Client) -> None:
    assert control(people, "GET", "/faults")["known"].keys() == FAULTS.keys()
    made = control(people, "POST", "/faults", {"name": "locked", "method": "GET", "times": 2})
    assert (people.status, made["name"], made["times"]) == (201, "locked", 2)
    people.token = people.sandbox.token
    people.get("/crm/v3/objects/contacts")
    assert people.status == 423
    assert [f["name"] for f in control(people, "GET", "/faults")["active"]] == ["locked"]
    control(people, "DELETE", "/faults")
    assert people.status == 204
    assert control(people, "GET", "/calls") == {
        "calls": 1,
        "kinds": {"read": 1, "search": 0, "write": 0, "login": 0},
        "statuses": {"423": 1},
    }
    control(people, "DELETE", "/calls")
    assert control(people, "GET", "/calls")["calls"] == 0


@pytest.mark.parametrize(
    "body", [{"name": "nope"}, {"name": "locked", "colour": "red"}, {"name": "locked", "times": "2"}, {}]
)
def test_wrong_faults_are_refused(crm: Client, body: dict[str, Any]) -> None:
    answer = control(crm, "POST", "/faults", body)
    assert (crm.status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert crm.sandbox.faults.active() == []


def test_an_unknown_fault_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="nope is not a fault; there are too_many_ten_secondly"):
        Fault("nope")
