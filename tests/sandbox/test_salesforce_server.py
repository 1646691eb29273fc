"""The Salesforce stand-in as a whole: simple-salesforce against it, kinds of calls, many clients, pages, the demo."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import simple_salesforce
import urllib3
from requests.adapters import HTTPAdapter
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from engage_sync.sandbox import sample
from engage_sync.sandbox.company import Company, generate
from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_server import start
from tests.sandbox.conftest import Org

COMMAND = str(Path(sys.executable).with_name("engage-sync"))
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Loop(HTTPAdapter):
    """Sends what is meant for https to a stand-in (crm-apis §C2)."""

    def __init__(self, base: str) -> None:
        self.base = base
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = f"{self.base}{parts.path}?{parts.query}" if parts.query else self.base + parts.path
        return super().send(request, *args, **more)


@pytest.fixture
def client(org: Org) -> Iterator[simple_salesforce.Salesforce]:
    with requests.Session() as session:
        session.mount("https://", Loop(org.sandbox.base_url))
        yield simple_salesforce.Salesforce(
            session_id=org.token, instance_url="https://acme.my.salesforce.com", session=session, version="62.0"
        )


def test_simple_salesforce(org: Org, client: Any) -> None:
    made = client.Contact.create({"LastName": "Weber", "Email": "a@b.example"})
    assert client.Contact.update(made["id"], {"Title": "CEO"}) == 204
    assert client.Contact.get(made["id"])["Title"] == "CEO"
    found = client.query("SELECT Id, Title FROM Contact WHERE Email = 'a@b.example'")
    assert (found["totalSize"], found["records"][0]["Title"]) == (1, "CEO")
    assert client.api_usage["api-usage"].used == org.sandbox.usage.used
    org.store.create_many("Contact", [{"LastName": str(n)} for n in range(2500)])
    assert sum(1 for _ in client.query_all_iter("SELECT Id FROM Contact")) == 2501
    rows = [{"attributes": {"type": "Contact"}, "id": made["id"], "Title": "x"}]
    told = client.restful("composite/sobjects", method="PATCH", json={"allOrNone": False, "records": rows})
    assert told[0]["success"] is True
    assert "Title" in {field["name"] for field in client.Contact.describe()["fields"]}
    assert client.limits()["DailyApiRequests"]["Max"] == 100_000
    assert client.toolingexecute("query/?q=SELECT+Name+FROM+Layout+LIMIT+1")["totalSize"] == 1
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
        client.query("SELECT Nope FROM Contact")
    client.Contact.delete(made["id"])
    org.sandbox.end_sessions()
    with pytest.raises(SalesforceExpiredSession):
        client.query("SELECT Id FROM Contact")


def test_simple_salesforces_bulk_client(org: Org, client: Any) -> None:
    ids = org.store.create_many("Contact", [{"LastName": str(n)} for n in range(3)])
    [told] = client.bulk2.Contact.update(records=[{"Id": one, "Title": "x"} for one in ids], wait=0.01)
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (3, 0)
    assert client.bulk2.Contact.get_successful_records(told["job_id"]).count("\n") == 4
    assert "".join(client.bulk2.Contact.query("SELECT Id FROM Contact", wait=0.01)).count('"003') == 3


def test_calls_are_counted_by_kind(org: Org) -> None:
    person = org("POST", "sobjects/Contact", {"LastName": "A"})["id"]
    org.update([{"id": person, "Title": "x"}])
    org.get(f"sobjects/Contact/{person}")
    org("POST", "composite/sobjects/Contact", {"ids": [person], "fields": ["Id"]})
    org.query("SELECT Id FROM Contact")
    org.query("SELECT Id FROM Layout", "tooling/query")
    org("POST", "jobs/query", {"operation": "query", "query": "SELECT Id FROM Contact"})
    org.get("nothing/like/this")
    read = {"method": "GET", "url": f"{org.VERSION}/limits", "referenceId": "a"}
    org("POST", "composite", {"compositeRequest": [read]})
    org.raw("POST", "/services/oauth2/token", b"")
    org.pool.request("GET", org.sandbox.base_url + "/")
    counts = {kind: org.sandbox.calls.count(kind) for kind in ("read", "search", "write", "login")}
    assert counts == {"read": 4, "search": 3, "write": 2, "login": 1}


def test_many_clients_at_once(org: Org) -> None:
    ids = org.store.create_many("Contact", [{"LastName": str(n)} for n in range(800)])

    def push(place: int) -> int:
        answers = Org(org.sandbox).update([{"id": one, "Title": one} for one in ids[place : place + 100]])
        return sum(row["success"] for row in answers)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(push, range(0, 800, 100))) == 800
    assert all(org.store.values("Contact", one)["Title"] == one for one in ids)


def test_too_many_calls_at_once(serve_org: Callable[..., Org]) -> None:
    org = serve_org(concurrent=1, lock_hold=0.3)
    ids = org.store.create_many("Contact", [{"LastName": str(n)} for n in range(3)])

    def push(one: str) -> int:
        client = Org(org.sandbox)
        client.update([{"id": one, "Title": "x"}])
        return client.status

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(push, ids)) == [200, 403, 403]


# -- pages


@pytest.fixture
def office(org: Org) -> Org:
    kinds = FieldDef("Engage_Types__c", "User types", "multipicklist", 99, choices=choices(["Power user", "Active"]))
    org.store.add_field("Contact", kinds)
    firm = org.store.create("Account", {"Name": "Acme <b>", "Website": "https://acme.example"})
    person = org.store.create("Contact", {"FirstName": "Ann", "LastName": "Weber", "AccountId": firm, "Title": "CEO"})
    org.update([{"id": person, "Engage_Types__c": "Active;Power user"}])
    org.store.create("Lead", {"LastName": "Later", "Company": "Else"})
    return org


def page(org: Org, path: str) -> tuple[int, str]:
    answer = org.pool.request("GET", org.sandbox.base_url + path)
    return answer.status, answer.data.decode()


def test_pages_show_records_as_a_csm_sees_them(office: Org) -> None:
    [person], [firm] = office.store.ids("Contact"), office.store.ids("Account")
    status, home = page(office, "/")
    assert status == 200
    assert all(shown in home for shown in ("Ann Weber", "Acme &lt;b&gt;", "Later", f"/Contact/{person}"))
    assert "Ann Weber" not in page(office, "/?q=later")[1]
    for path in (f"/Contact/{person}", f"/{person[:15]}", f"/lightning/r/Contact/{person}/view"):
        status, shown = page(office, path)
        assert status == 200
        assert all(part in shown for part in ("User types", "Power user", "Engage Sync", "CEO", f"/Account/{firm}"))
    status, shown = page(office, f"/Account/{firm}")
    assert "Acme &lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "Ann Weber" in shown
    office.store.delete("Contact", person)
    assert "recycle bin" in page(office, f"/Contact/{person}")[1]


@pytest.mark.parametrize("path", ["/nope", "/Contact/x", "/a/b/c", "/contacts/501"])
def test_pages_that_are_not_there(office: Org, path: str) -> None:
    status, shown = page(office, path)
    assert status == 404
    assert "Back to all records" in shown
    assert office.pool.request("POST", office.sandbox.base_url + path).status == 405


# -- the demo


@pytest.fixture(scope="module")
def company() -> Company:
    return generate(NOW)


def test_the_demos_people_are_in_both_crms(company: Company) -> None:
    seed = sample.salesforce_seed(NOW, company)
    assert seed == sample.salesforce_seed(NOW, company)
    hubspot, sales = {row["email"] for row in company.contacts}, {row["Email"] for row in seed.contacts}
    assert len(hubspot & sales) > 300
    assert len(hubspot - sales) > 50
    assert len(sales - hubspot) > 10
    assert 5 < len(seed.leads) < 40
    unknown = next(story.email for story in company.stories if story.key == "power_not_in_crm")
    assert unknown not in sales
    champions = [story.email for story in company.stories if story.key.endswith("champion")]
    assert set(champions) <= sales
    with start(seed=seed) as sandbox:
        store = sandbox.store
        assert len(store.ids("Contact")) == len(seed.contacts)
        contact = store.find("Contact", "Email", champions[0])
        assert contact is not None
        assert store.values("Contact", contact)["AccountId"] in store.ids("Account")


def test_the_command_starts_both_and_says_how_to_reach_them() -> None:
    command = [COMMAND, "sandbox", "--port", "0", "--empty", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = json.loads(running.stdout.readline())
        assert told["salesforce"].keys() == {"login_url", "instance_url", "client_id", "client_secret"}
        form = {"grant_type": "client_credentials"}
        auth = (told["salesforce"]["client_id"], told["salesforce"]["client_secret"])
        given = requests.post(
            told["salesforce"]["login_url"] + "/services/oauth2/token", data=form, auth=auth, timeout=60
        )
        assert given.json()["instance_url"] == told["salesforce"]["instance_url"]
        assert urllib3.request("GET", told["hubspot"]["base_url"] + "/").status == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


def _taken_after_a_free_one() -> socket.socket:
    """Take a port whose predecessor is free."""
    while True:
        with socket.socket() as free, socket.socket() as taken:
            free.bind(("127.0.0.1", 0))
            try:
                taken.bind(("127.0.0.1", free.getsockname()[1] + 1))
            except (OSError, OverflowError):
                continue
            taken.listen()
            return taken.dup()


def test_the_command_says_when_the_second_port_is_taken() -> None:
    with _taken_after_a_free_one() as taken:
        port = taken.getsockname()[1]
        command = [COMMAND, "sandbox", "--port", str(port - 1), "--empty"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
