"""A sandbox per test with clocks that stand still, and a small HTTP client that speaks to it over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from engage_sync.sandbox.limits import UNLIMITED
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
        self.pool = urllib3.PoolManager(retries=False, timeout=5)
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


def check(sandbox: Sandbox) -> None:
    assert sandbox.bugs == []


@pytest.fixture
def crm(serve: Callable[..., Client]) -> Client:
    return serve()
