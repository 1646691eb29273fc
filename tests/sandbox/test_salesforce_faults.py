"""Every fault of the Salesforce stand-in over a real socket: what the client sees, and whether the call took effect
(crm-apis §E)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import urllib3

from engage_sync.sandbox.fault_kinds import HUBSPOT, SALESFORCE
from engage_sync.sandbox.faults import Fault
from tests.sandbox.conftest import Org

JOBS = {"job_fails", "job_aborted", "job_nothing"}
LOGINS = {name for name in SALESFORCE if name.startswith("login_")} | {"inactive_user"}
ELSEWHERE = {"expired_locator", "query_timeout", "poll_503", "results_cut"} | JOBS | LOGINS
ON_WRITES = [name for name in SALESFORCE if name not in ELSEWHERE]


@pytest.fixture
def people(org: Org) -> list[str]:
    return org.store.create_many("Contact", [{"LastName": f"L{n}", "Title": "old"} for n in range(4)])


def push(org: Org) -> urllib3.BaseHTTPResponse:
    rows = [{"attributes": {"type": "Contact"}, "id": one, "Title": "new"} for one in org.store.ids("Contact")]
    body = json.dumps({"records": rows}).encode()
    return org.raw("PATCH", "composite/sobjects", body, Content_Type="application/json")


def written(org: Org) -> int:
    return sum(org.store.values("Contact", one)["Title"] == "new" for one in org.store.ids("Contact"))


@pytest.mark.parametrize("name", ON_WRITES)
def test_every_fault_does_what_it_says_and_then_is_over(org: Org, people: list[str], name: str) -> None:
    org.sandbox.faults.add(Fault(name, seconds=0.05))
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        push(org)
    assert (written(org) > 0) == SALESFORCE[name].takes_effect
    assert org.sandbox.calls.all()[-1].fault == name
    assert org.sandbox.faults.active() == []
    assert push(org).status == 200
    assert written(org) == 4


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("session_expired", 401, "INVALID_SESSION_ID"),
        ("total_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("concurrent_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("api_disabled", 403, "API_DISABLED_FOR_ORG"),
        ("version_retired", 410, "UNSUPPORTED_API_VERSION"),
        ("server_error", 500, "UNKNOWN_EXCEPTION"),
        ("maintenance", 503, "SERVER_UNAVAILABLE"),
        ("bad_gateway", 502, None),
        ("unavailable", 503, None),
        ("unavailable_after", 503, None),
        ("html_200", 200, None),
        ("html_200_after", 200, None),
        ("hang", 504, None),
    ],
)
def test_statuses(org: Org, people: list[str], name: str, status: int, code: str | None) -> None:
    org.sandbox.faults.add(Fault(name, seconds=0.01))
    answer = push(org)
    assert answer.status == status
    if code is None:
        assert answer.data.startswith(b"<!DOCTYPE html>")
    else:
        assert answer.json()[0]["errorCode"] == code


def test_results_with_holes(org: Org, people: list[str]) -> None:
    org.sandbox.faults.add(Fault("missing_result"))
    assert len(push(org).json()) == 3
    org.sandbox.faults.add(Fault("empty_results"))
    assert push(org).json() == []
    org.sandbox.faults.add(Fault("truncated_200"))
    answer = push(org)
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    org.sandbox.faults.add(Fault("lock_rows", times=2))
    for _ in range(2):
        assert [row["success"] for row in push(org).json()] == [False, True, False, True]
    assert [row["success"] for row in push(org).json()] == [True] * 4


@pytest.mark.parametrize("name", ["drop_before", "drop_after", "reset_after", "cut_body"])
def test_dropped_connections(org: Org, people: list[str], name: str) -> None:
    org.sandbox.faults.add(Fault(name))
    with pytest.raises(urllib3.exceptions.HTTPError):
        push(org)


def test_faults_of_queries(org: Org, people: list[str]) -> None:
    org.sandbox.faults.add(Fault("query_timeout"))
    assert org.query("SELECT Id FROM Contact")[0]["errorCode"] == "QUERY_TIMEOUT"
    org.sandbox.faults.add(Fault("expired_locator"))
    assert org.query("SELECT Id FROM Contact")["totalSize"] == 4, "it strikes a following page only"
    assert org.get("query/01g5g0000000001AAA-2")[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    assert org.sandbox.faults.active() == []


def test_faults_of_logins(org: Org) -> None:
    form = f"grant_type=client_credentials&client_id={org.sandbox.client_id}&client_secret={org.sandbox.client_secret}"

    def login() -> Any:
        kind = {"Content_Type": "application/x-www-form-urlencoded"}
        return org.raw("POST", "/services/oauth2/token", form.encode(), **kind)

    for name, status in {"login_refused": 400, "inactive_user": 400, "login_503": 503, "login_429": 429}.items():
        org.sandbox.faults.add(Fault(name))
        org.get("limits")
        assert org.status == 200
        assert login().status == status
    assert org.sandbox.logins == 0
    assert login().status == 200
    assert org.sandbox.calls.count("login") == 5


def test_polls_and_results_with_faults(org: Org, people: list[str]) -> None:
    job = org("POST", "jobs/ingest", {"object": "Contact", "operation": "update"})
    path = f"jobs/ingest/{job['id']}"
    org.sandbox.faults.add(Fault("poll_503"))
    org.raw("PUT", f"{path}/batches", f"Id,Title\n{people[0]},x\n".encode(), Content_Type="text/csv")
    org("PATCH", path, {"state": "UploadComplete"})
    assert org.raw("GET", path).status == 503
    while org.get(path)["state"] != "JobComplete":
        pass
    org.sandbox.faults.add(Fault("results_cut"))
    whole = len(org.raw("GET", f"{path}/failedResults").data), len(org.raw("GET", f"{path}/failedResults").data)
    assert whole[0] == whole[1] // 2


def test_each_dialect_has_its_own_faults(org: Org) -> None:
    with pytest.raises(ValueError, match="locked is not a fault; there are session_expired"):
        org.sandbox.faults.add(Fault("locked"))
    control = f"{org.sandbox.base_url}/__sandbox/faults"
    known = org.pool.request("GET", control).json()["known"]
    assert known.keys() == SALESFORCE.keys()
    wrong = org.pool.request("POST", control, json={"name": "locked"})
    assert wrong.status == 400
    assert "locked" in HUBSPOT
    assert org.pool.request("POST", control, json={"name": "api_disabled"}).status == 201
    org.get("limits")
    assert org.status == 403
