"""The socket itself: keep-alive, many clients, stopping, the log of calls, and HubSpot's own client library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hubspot
import psutil
import pytest
import urllib3

from engage_sync.sandbox.seed import Seed
from engage_sync.sandbox.server import start
from tests.sandbox.conftest import Client

CONTACTS = "/crm/v3/objects/contacts"


def test_one_connection_serves_many_calls_at_once(crm: Client) -> None:
    """Without Nagle's algorithm, which would make 40 ms of each call."""
    pool = crm.pool.connection_from_url(crm.sandbox.base_url)
    for _ in range(5):
        crm.get(CONTACTS)
    assert pool.num_connections == 1
    ends = [
        one.fd for one in psutil.Process().net_connections("tcp4") if one.raddr and one.laddr[1] == crm.sandbox.port
    ]
    with socket.socket(fileno=os.dup(*ends)) as servers:
        assert servers.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_many_clients_at_once(crm: Client) -> None:
    store = crm.sandbox.store
    ids = store.create_many("contacts", [{"email": f"p{n}@b.co"} for n in range(400)])

    def update(part: list[str]) -> int:
        client = Client(crm.sandbox)
        client.post(f"{CONTACTS}/batch/update", {"inputs": [{"id": i, "properties": {"phone": i}} for i in part]})
        return client.status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(update, [ids[n : n + 50] for n in range(0, 400, 50)]))
    assert statuses == [200] * 8
    assert all(store.values("contacts", i)["phone"] == i for i in ids)


def test_calls_are_counted_by_kind(crm: Client) -> None:
    made = crm.post(CONTACTS, {"properties": {"email": "a@b.co"}})
    crm.get(f"{CONTACTS}/{made['id']}")
    crm.post(f"{CONTACTS}/batch/read", {"inputs": [{"id": made["id"]}]})
    crm.search()
    crm.pool.request("POST", crm.sandbox.base_url + "/oauth/v1/token", body=b"")
    crm.pool.request("GET", crm.sandbox.base_url + "/")
    calls = crm.sandbox.calls
    assert [calls.count(kind) for kind in ("write", "read", "search", "login")] == [1, 2, 1, 1]
    assert calls.count() == 5
    assert calls.statuses() == {201: 1, 200: 3, 400: 1}
    assert calls.all()[0].path == CONTACTS


def test_latency_is_waited_once_for_each_call(serve: Callable[..., Client]) -> None:
    crm = serve(latency=0.05)
    began = time.perf_counter()
    crm.get(CONTACTS)
    assert time.perf_counter() - began >= 0.05
    crm.sandbox.latency = 0.0
    crm.get(CONTACTS)
    assert crm.status == 200


def test_a_chunked_body_is_read(crm: Client) -> None:
    headers = {"Authorization": f"Bearer {crm.token}", "Content-Type": "application/json"}
    parts = iter([b'{"properties": {"email"', b': "a@b.co"}}'])
    answer = crm.pool.request("POST", crm.sandbox.base_url + CONTACTS, body=parts, headers=headers, chunked=True)
    assert answer.status == 201


def test_a_stopped_sandbox_refuses_connections_and_ends_open_ones() -> None:
    sandbox = start()
    client = Client(sandbox)
    client.get(CONTACTS)
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.get(CONTACTS)


def test_a_seed() -> None:
    seed = Seed(
        contacts=[{"email": "a@acme.io"}, {"email": "b@else.io", "phone": "1"}, {"email": "c@acme.io"}],
        companies=[{"name": "Acme", "domain": "acme.io"}],
        merges=[("a@acme.io", "b@else.io")],
    )
    with start(seed=seed) as sandbox:
        store = sandbox.store
        merged = store.find("contacts", "email", "b@else.io")
        assert merged == store.find("contacts", "email", "a@acme.io")
        assert store.employees("9001") == ["503", merged]


def test_hubspots_own_client(crm: Client) -> None:
    sandbox = crm.sandbox
    ids = sandbox.store.create_many("contacts", [{"email": f"p{n}@b.co", "phone": str(n)} for n in range(3)])
    client: Any = hubspot.Client.create(
        access_token=sandbox.token, host=sandbox.base_url, base_url=sandbox.base_url, retry=False
    )
    page = client.crm.contacts.basic_api.get_page(limit=2, properties=["email", "phone"], archived=False)
    assert [record.id for record in page.results] == ids[:2]
    rest = client.crm.contacts.basic_api.get_page(limit=2, after=page.paging.next.after)
    assert [record.id for record in rest.results] == ids[2:]
    wanted = {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "p1@b.co"}]}]}
    assert client.crm.contacts.search_api.do_search(wanted).results[0].id == ids[1]
    batch = client.crm.contacts.batch_api
    answer = batch.update({"inputs": [{"id": i, "properties": {"phone": "9"}} for i in [*ids, "999"]]})
    assert answer.num_errors == 1
    assert {record.id for record in answer.results} == set(ids)
    names = {prop.name for prop in client.crm.properties.core_api.get_all("contacts").results}
    assert "hs_buying_role" in names
    client.crm.owners.owners_api.get_page()
    with pytest.raises(hubspot.crm.contacts.ApiException) as error:
        client.crm.contacts.basic_api.get_by_id("999")
    assert error.value.status == 404
