"""A sandbox per test with clocks that stand still, and a small HTTP client that speaks to it over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import urllib3

from engage_sync.sandbox import salesforce_server
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox
from engage_sync.sandbox.server import Options, Sandbox, start


class Clock:
    """A wall clock and a monotonic one that move only when told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
        self.seconds = 100.0

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


class Client:
    """Calls a sandbox; `status`, `body` and `headers` are those of the last answer."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.pool = urllib3.PoolManager(retries=False, timeout=60)
        self.token: str | None = sandbox.token
        self.status = 0
        self.headers: Any = {}

    def __call__(self, method: str, path: str, body: Any = None, **fields: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = self.sandbox.base_url + path
        answer = self.pool.request(method, url, json=body, headers=headers, fields=fields or None)
        self.status, self.headers = answer.status, answer.headers
        return answer.json() if answer.data else None

    def get(self, path: str, **fields: Any) -> Any:
        return self("GET", path, **fields)

    def post(self, path: str, body: Any) -> Any:
        return self("POST", path, body)

    def search(self, object_: str = "contacts", **body: Any) -> Any:
        return self.post(f"/crm/v3/objects/{object_}/search", body)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(clock: Clock) -> Iterator[Callable[..., Client]]:
    with ExitStack() as stack:

        def begin(**options: Any) -> Client:
            options = {"rates": UNLIMITED, "clock": clock, "tick": clock.tick, **options}
            sandbox = stack.enter_context(start(options=Options(**options)))
            client = Client(sandbox)
            stack.callback(lambda: check(sandbox))
            return client

        yield begin


def check(sandbox: Sandbox | SalesforceSandbox) -> None:
    assert sandbox.bugs == []


@pytest.fixture
def crm(serve: Callable[..., Client]) -> Client:
    return serve()


class Org:
    """Calls a Salesforce stand-in with a session; `status` and `headers` are those of the last answer."""

    VERSION = "/services/data/v62.0"

    def __init__(self, sandbox: SalesforceSandbox) -> None:
        self.sandbox = sandbox
        self.store = sandbox.store
        self.pool = urllib3.PoolManager(retries=False, timeout=60)
        self.token = sandbox.sessions.open()
        self.status = 0
        self.headers: Any = {}

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        given = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        url = self.sandbox.base_url + (path if path.startswith("/services") else f"{self.VERSION}/{path}")
        answer = self.pool.request(method, url, body=body, headers=given, redirect=False)
        self.status, self.headers = answer.status, answer.headers
        return answer

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        coded = None if body is None else json.dumps(body).encode()
        answer = self.raw(method, path, coded, **{"Content_Type": "application/json", **headers})
        return json.loads(answer.data) if answer.data else None

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def query(self, soql: str, how: str = "query", **headers: str) -> Any:
        return self("GET", f"{how}?q={quote(soql)}", **headers)

    def rows(self, soql: str, how: str = "query") -> list[dict[str, Any]]:
        """Give the records of a one-page query without their attributes."""
        answer = self.query(soql, how)
        assert self.status == 200, answer
        return [{name: value for name, value in row.items() if name != "attributes"} for row in answer["records"]]

    def update(self, rows: list[dict[str, Any]], object_: str = "Contact", **more: Any) -> Any:
        records = [{"attributes": {"type": object_}, **row} for row in rows]
        return self("PATCH", "composite/sobjects", {"records": records, **more})

    def refused(self, row: dict[str, Any], object_: str = "Contact") -> dict[str, Any]:
        """Write one row that is refused, and give its only error."""
        answer = self.update([row], object_)
        assert self.status == 200, answer
        assert answer[0]["success"] is False, answer
        assert "id" not in answer[0]
        [error] = answer[0]["errors"]
        return error  # type: ignore[no-any-return]


@pytest.fixture
def serve_org(clock: Clock) -> Iterator[Callable[..., Org]]:
    with ExitStack() as stack:

        def begin(**options: Any) -> Org:
            chosen = SalesforceOptions(**{"clock": clock, "tick": clock.tick, **options})
            sandbox = stack.enter_context(salesforce_server.start(options=chosen))
            stack.callback(lambda: check(sandbox))
            return Org(sandbox)

        yield begin


@pytest.fixture
def org(serve_org: Callable[..., Org]) -> Org:
    return serve_org()
