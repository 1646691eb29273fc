"""The way to HubSpot: one connection pool of the official client, driven below its model layer (crm-apis §C1, §C3).

Sends one call, with time limits and without the client's own retries and redirects, and turns every way it can end into
a JSON object or a typed error. It knows no object and no field; it never retries but once after a refused OAuth token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

from urllib3 import BaseHTTPResponse, PoolManager
from urllib3.exceptions import HTTPError

from engage_sync.connectors.base import CallKind, Memory, Quota, Turnstile
from engage_sync.connectors.hubspot_auth import tokens
from engage_sync.connectors.hubspot_errors import TokenRefused, failure, parse
from engage_sync.connectors.hubspot_settings import HubSpotSettings
from engage_sync.connectors.replies import SHORT, Reply, senseless, text
from engage_sync.errors import LoginFailed, Suspended, Transient

API = "v3"
"""The version in every CRM path but those of associations, named here only."""
ASSOCIATIONS_API = "v4"
"""The version in the paths of associations."""

TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and to wait for the answer."""


class _RestClient(Protocol):
    """The request function that every generated package of the client shares."""

    pool_manager: PoolManager

    def request(self, method: str, url: str, **options: object) -> BaseHTTPResponse:
        """Send one request."""


class _ClientError(Exception):
    """The shape of the exception that the client raises for every answer but 2xx, and for TLS failures."""

    status: int
    reason: str
    body: bytes | None
    headers: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful call: its JSON object, HubSpot's clock (epoch ms; ours if not told) and its correlation id."""

    status: int
    body: Mapping[str, object]
    date_ms: int
    request: str | None = None

    def rows(self) -> list[dict[str, object]]:
        """Give the objects under `results`, which the answer to a read must have: nothing at all is not none."""
        if not isinstance(self.body.get("results"), list):
            raise senseless(f"HubSpot answered {self.status} without any results", str(self.body)[:SHORT])
        return self.rows_if_any()

    def rows_if_any(self) -> list[dict[str, object]]:
        """Give the objects under `results`; none when there is no such list."""
        results = self.body.get("results")
        return [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []


class Transport:
    """Sends calls for one account. Safe for threads; connects at the first call."""

    def __init__(
        self,
        settings: HubSpotSettings,
        memory: Memory,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.turnstile = Turnstile()
        self._base = settings.base_url
        self._timeout = timeout
        self._tokens = tokens(settings.auth, memory, clock)
        self._lock = Lock()
        self._rest: _RestClient | None = None
        self._refusal: type[_ClientError] = _ClientError

    def get(self, path: str, query: str = "", *, kind: CallKind = CallKind.READ) -> Answer:
        """Ask for a resource. `query` is encoded already."""
        return self._call(kind, "GET", path, query=query)

    def send(self, method: str, path: str, body: Mapping[str, object], *, kind: CallKind) -> Answer:
        """Send a JSON body."""
        return self._call(kind, method, path, body=body)

    def close(self) -> None:
        """Drop the connections."""
        with self._lock:
            rest, self._rest = self._rest, None
        if rest is not None:
            rest.pool_manager.clear()

    def token_info(self, path: str) -> Mapping[str, object]:
        """Ask what the current token may do; the token travels in the body, to the host that issued it."""
        token = self._tokens.current(self._login)
        return self._call(CallKind.LOGIN, "POST", path, body={"tokenKey": token}).body

    def _call(
        self,
        kind: CallKind,
        method: str,
        path: str,
        *,
        query: str = "",
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        token = self._tokens.current(self._login)
        try:
            reply = self._once(kind, method, path, token, query, body=body)
        except TokenRefused as refused:
            try:
                token = self._tokens.renewed(token, self._login)
            except LoginFailed:
                raise refused from None
            reply = self._once(kind, method, path, token, query, body=body)
        body = parse(reply)
        request = text(body.get("correlationId")) or reply.headers.get("x-hubspot-correlation-id")
        return Answer(reply.status, body, reply.date_ms() or int(time.time() * 1000), request)

    def _login(self, path: str, form: Mapping[str, str]) -> Mapping[str, object]:
        return parse(self._once(CallKind.LOGIN, "POST", path, None, post_params=dict(form)), secret=True)

    def _once(
        self, kind: CallKind, method: str, path: str, token: str | None, query: str = "", **content: object
    ) -> Reply:
        """Send one request through the turnstile and give its reply, or raise the error that it stands for."""
        self.turnstile.enter(kind)
        status: int | None = None
        quota: Quota | None = None
        pause: float | None = None
        try:
            reply = self._exchange(method, path, query, token, content)
            status, quota = reply.status, _quota(reply.headers)
            if 200 <= status < 300:
                return reply
            error = failure(self._without_secrets(reply), f"{method} {path}")
            if isinstance(error, Suspended):
                quota = replace(quota or Quota(), closed=error)
            elif status == 429 and isinstance(error, Transient):
                pause = error.retry_after
            raise error
        finally:
            self.turnstile.leave(kind, status=status, quota=quota, pause=pause)

    def _exchange(self, method: str, path: str, query: str, token: str | None, content: Mapping[str, object]) -> Reply:
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "engage-sync"}
        headers["Content-Type"] = (
            "application/x-www-form-urlencoded" if "post_params" in content else "application/json"
        )
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            answer = self._connected().request(
                method,
                f"{self._base}{path}?{query}" if query else self._base + path,
                headers=headers,
                _preload_content=False,  # the client would decode and model the body
                _request_timeout=self._timeout,
                **content,
            )
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, found, answer.data)
        except HTTPError as error:
            raise Transient(f"HubSpot gave no answer to {method} {path}: {_reason(error)}") from error
        except self._refusal as error:
            # Every non-2xx arrives as an exception; one without a response (status 0) is a TLS failure.
            if error.headers is None:
                raise Transient(f"HubSpot gave no answer to {method} {path}: {error.reason}") from error
            found = {str(name).lower(): str(value) for name, value in error.headers.items()}
            return Reply(int(error.status), found, error.body or b"")

    def _connected(self) -> _RestClient:
        with self._lock:
            if self._rest is None:
                self._rest = self._connect()
            return self._rest

    def _connect(self) -> _RestClient:
        """Build the client once: each access to one of its API objects would make a new pool."""
        # Imported here: 0.1-0.2 s that no command without a CRM should pay. Every package of the client carries the
        # same transport; `owners` has the fewest models.
        from hubspot import Client  # noqa: PLC0415
        from hubspot.crm.owners.exceptions import ApiException  # noqa: PLC0415

        levels = {name: logging.getLogger(name).level for name in ("urllib3", "hubspot.crm.owners")}
        client = Client.create(host=self._base, retry=False)
        rest: _RestClient = client.crm.owners.owners_api.api_client.rest_client
        for name, level in levels.items():  # building the client sets them to WARNING
            logging.getLogger(name).setLevel(level)
        self._refusal = ApiException
        return rest

    def _without_secrets(self, reply: Reply) -> Reply:
        """Strike our secrets out of an error: HubSpot is known to repeat an expired token in its message."""
        data = reply.data
        for secret in self._tokens.secrets():
            data = data.replace(secret.encode(), b"***")
        return Reply(reply.status, reply.headers, data)


def _reason(error: HTTPError) -> str:
    """Name the fault in a few words; the text of the library repeats pool and address."""
    return f"{type(error).__name__}: {str(error).rsplit(': ', 1)[-1]}"[:300]


def _quota(headers: Mapping[str, str]) -> Quota | None:
    """Read the rate-limit headers; searches carry none (crm-apis §A3)."""
    found = {name: _whole(headers.get(f"x-hubspot-ratelimit-{name}")) for name in _QUOTA_HEADERS}
    if all(value is None for value in found.values()):
        return None
    interval = found["interval-milliseconds"]
    return Quota(
        limit=found["max"],
        remaining=found["remaining"],
        interval=interval / 1000 if interval else None,
        daily_limit=found["daily"],
        daily_remaining=found["daily-remaining"],
    )


_QUOTA_HEADERS = ("max", "remaining", "interval-milliseconds", "daily", "daily-remaining")


def _whole(told: str | None) -> int | None:
    try:
        return int(told) if told is not None else None
    except ValueError:
        return None
