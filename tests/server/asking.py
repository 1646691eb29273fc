"""Asking an HTTP face as a probe and a scraper do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engage_sync.server.serving import Served

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


def ask(served: Served, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    line = http.client.HTTPConnection(served.host, served.port, timeout=60)
    try:
        line.request(method, path, headers=dict(headers or {}))
        answer = line.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        line.close()
