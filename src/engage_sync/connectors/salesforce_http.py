"""The way to a Salesforce org: simple-salesforce's REST calls over a session of ours (crm-apis §C2, §C4).

Sends one call, with time limits, without redirects and without the client's own renewals, and turns every way it can
end into JSON, CSV or a typed error. It knows no object and no field; it never retries but once after an ended session.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from engage_sync.connectors.base import CallKind, Quota, Turnstile
from engage_sync.connectors.replies import SHORT, Reply, json_object, json_of, senseless, text
from engage_sync.connectors.salesforce_auth import Session, sessions
from engage_sync.connectors.salesforce_errors import CallRefused, TokenRefused, failure, login_failure
from engage_sync.connectors.salesforce_settings import SalesforceSettings
from engage_sync.errors import EngageError, LoginFailed, Suspended, Transient

if TYPE_CHECKING:
    from requests import Response
    from simple_salesforce.api import Salesforce

    from engage_sync.connectors.salesforce_line import Line

Given = TypeVar("Given")

API = "62.0"
"""The version in every path, named here only; `check` compares it with what the org offers (crm-apis §B1)."""
DATA = f"/services/data/v{API}/"
TIMEOUT = (5.0, 120.0)
"""Seconds to connect, and to wait for the answer: a query may take 120 (crm-apis §B3)."""
SENT_SECRETS = frozenset({"assertion", "Authorization"})
"""What of a login's form and headers nobody may see."""
LONGEST_URI = 14_000
"""Bytes of an address that are safe: Salesforce takes 16,384 with the headers (crm-apis §B3)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One answer to a query: its records as JSON objects, how many there are in all, whether these are the last."""

    records: list[dict[str, object]]
    total: int
    done: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose session it is: 18-character ids, '' where Salesforce does not tell; and where the org's people work."""

    org: str
    user: str
    site: str


class Transport:
    """Sends calls to one org. Safe for threads; logs in and connects at the first call."""

    def __init__(
        self,
        settings: SalesforceSettings,
        *,
        timeout: tuple[float, float] = TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.turnstile = Turnstile()
        self._timeout, self._clock = timeout, clock
        self._sessions = sessions(settings, clock)
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._client: tuple[str, Salesforce] | None = None
        self._last = threading.local()

    # -- calls

    def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        kind: CallKind = CallKind.READ,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        """Ask for JSON at a path below the version's root, such as `sobjects/Contact/describe`."""
        return self._json("GET", path, kind, params=params, headers=headers)

    def send(
        self, method: str, path: str, body: object, *, kind: CallKind, headers: Mapping[str, str] | None = None
    ) -> object:
        """Send a JSON body and give the JSON answer, None for an empty one."""
        return self._json(method, path, kind, body=body, headers=headers)

    def query(self, soql: str, *, deleted: bool = False, tooling: bool = False) -> Rows:
        """Run a query; with `deleted` over deleted and merged records too. Gives its first page only."""
        path = f"{'tooling/' if tooling else ''}{'queryAll' if deleted else 'query'}"
        wide = {"Sforce-Query-Options": "batchSize=2000"}
        answer = self._json("GET", path, CallKind.SEARCH, params={"q": soql}, headers=wide)
        rows = answer.get("records") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(rows, list) or not isinstance(answer.get("done"), bool):
            raise senseless("Salesforce answered a query without records", str(answer)[:SHORT])
        records = [row for row in rows if isinstance(row, dict)]
        total = answer.get("totalSize")
        return Rows(records, total if isinstance(total, int) else len(records), bool(answer["done"]), self.now_ms())

    def upload(self, path: str, data: bytes) -> None:
        """Send CSV."""
        headers = {"Content-Type": "text/csv; charset=UTF-8"}
        self._direct("PUT", DATA + path, CallKind.WRITE, data=data, headers=headers)

    def download(self, path: str, params: Mapping[str, str] | None = None) -> Reply:
        """Ask for CSV, with the headers that tell of further pages."""
        reply = self._direct("GET", DATA + path, CallKind.READ, params=params, headers={"Accept": "text/csv"})
        if reply.headers.get("content-type", "").startswith("text/html"):
            raise senseless("Salesforce answered a request for CSV with a page", reply.start())
        return reply

    def now_ms(self) -> int:
        """Give Salesforce's clock at this thread's last answer, in epoch milliseconds; ours before any."""
        told: int | None = getattr(self._last, "now_ms", None)
        return told if told is not None else int(self._clock() * 1000)

    def versions(self) -> list[str]:
        """Give the API versions that the org offers; none where it does not tell."""
        rows = json_of(self._direct("GET", "/services/data/", CallKind.READ).data)
        found = rows if isinstance(rows, list) else []
        return [told for row in found if isinstance(row, dict) and (told := text(row.get("version"))) is not None]

    def identity(self) -> Identity:
        """Say whose session it is: as the login told, else by asking. A session that may not ask is nobody's."""
        session = self._sessions.current(self._login)
        if session.org and session.user:
            return Identity(session.org, session.user, session.instance)
        try:
            body = json_object(self._direct("GET", "/services/oauth2/userinfo", CallKind.READ).data) or {}
        except TokenRefused:
            raise
        except (CallRefused, LoginFailed):
            body = {}
        return Identity(text(body.get("organization_id")) or "", text(body.get("user_id")) or "", session.instance)

    def user(self) -> str:
        """Give the id of the user whose session it is, as far as the login told; asks for nothing more."""
        return self._sessions.current(self._login).user or ""

    def close(self) -> None:
        """Drop the connections."""
        with self._lock:
            line, self._line, self._client = self._line, None, None
        if line is not None:
            line.close()

    # -- inside

    def _json(
        self,
        method: str,
        path: str,
        kind: CallKind,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> object:
        content = {} if body is None else {"json": body}

        def once(session: Session) -> object:
            client = self._client_of(session)
            sending = self._sender(kind, session)
            try:
                found: object = client.restful(
                    path, dict(params or {}), method, headers=dict(headers or {}), send=sending, **content
                )
            except (ValueError, TypeError):  # what the client raises for a body that is no JSON
                pass
            else:
                return found
            what = f"Salesforce answered {method} {path} with something other than JSON (a page, or cut short)"
            raise senseless(what, getattr(self._last, "start", None))

        return self._with_session(once)

    def _direct(self, method: str, path: str, kind: CallKind, **content: object) -> Reply:
        """Send a call that is not JSON, or not below the version's root."""

        def once(session: Session) -> Reply:
            given = content.get("headers")
            headers = {"Authorization": f"Bearer {session.token}", **(given if isinstance(given, dict) else {})}
            return _reply(self._exchange(kind, method, session.instance + path, {**content, "headers": headers}))

        return self._with_session(once)

    def _with_session(self, once: Callable[[Session], Given]) -> Given:
        """Do a call; when its session has ended, once more with another."""
        session = self._sessions.current(self._login)
        try:
            return once(session)
        except TokenRefused:
            return once(self._sessions.renewed(session, self._login))

    def _login(self, address: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, object]:
        found = self._exchange(CallKind.LOGIN, "POST", address, {"data": dict(form), "headers": dict(headers)})
        body = json_object(found.content)
        if body is None:
            raise senseless(f"Salesforce answered the login at {address} with something other than JSON", None)
        return body

    def _sender(self, kind: CallKind, session: Session) -> Callable[[str, str, Mapping[str, object]], Response]:
        """Give what the client's calls end in: its address is always https and without a path."""

        def send(method: str, url: str, content: Mapping[str, object]) -> Response:
            path = url.removeprefix("https://")
            return self._exchange(kind, method, session.instance + path[path.index("/") :], content)

        return send

    def _exchange(self, kind: CallKind, method: str, address: str, content: Mapping[str, object]) -> Response:
        """Send one request through the turnstile and give its answer, or raise the error that it stands for."""
        line = self._lined()
        self.turnstile.enter(kind)
        status: int | None = None
        quota: Quota | None = None
        pause: float | None = None
        asked = f"{method} {address.split('/services/', 1)[-1].removeprefix(DATA[10:])}"
        try:
            found = line.exchange(method, address, asked, content)
            reply = _reply(found)
            status, quota = reply.status, _quota(reply.headers)
            self._last.now_ms, self._last.start = reply.date_ms() or int(self._clock() * 1000), None
            if 200 <= status < 300:
                if kind is not CallKind.LOGIN:
                    self._last.start = self._without_secrets(Reply(status, {}, reply.data[: 2 * SHORT])).start()
                return found
            error = self._error(kind, reply, address, asked, content)
            if isinstance(error, Suspended):
                quota = replace(quota or Quota(), closed=error)
            elif isinstance(error, Transient) and status in {403, 429}:
                pause = error.retry_after
            raise error
        finally:
            self.turnstile.leave(kind, status=status, quota=quota, pause=pause)

    def _error(
        self, kind: CallKind, reply: Reply, address: str, asked: str, content: Mapping[str, object]
    ) -> EngageError:
        if kind is not CallKind.LOGIN:
            return failure(self._without_secrets(reply), asked)
        parts = [part for name in ("data", "headers") if isinstance(part := content.get(name), dict)]
        sent = [str(value) for part in parts for name, value in part.items() if name in SENT_SECRETS]
        return login_failure(self._without_secrets(reply, sent), address, int(self._clock() * 1000))

    def _lined(self) -> Line:
        with self._lock:
            if self._line is None:
                # Imported here: 0.15 s that no command without this CRM should pay.
                from engage_sync.connectors.salesforce_line import Line  # noqa: PLC0415

                self._line = Line(self._timeout)
            return self._line

    def _client_of(self, session: Session) -> Salesforce:
        from engage_sync.connectors.salesforce_line import client  # noqa: PLC0415  (the same)

        line = self._lined()
        with self._lock:
            if self._client is None or self._client[0] != session.token:
                self._client = (session.token, client(line, session.token, session.instance, API))
            return self._client[1]

    def _without_secrets(self, reply: Reply, further: Iterable[str] = ()) -> Reply:
        """Strike our secrets out of what may end in a message."""
        data = reply.data
        for secret in (*self._sessions.secrets(), *further):
            data = data.replace(secret.encode(), b"***")
        return Reply(reply.status, reply.headers, data)


def _quota(headers: Mapping[str, str]) -> Quota | None:
    """Read `Sforce-Limit-Info: api-usage=18/5000; …`, the calls of the last 24 hours (crm-apis §B9)."""
    for part in headers.get("sforce-limit-info", "").split(";"):
        name, _, told = part.strip().partition("=")
        used, _, limit = told.partition("/")
        if name == "api-usage" and used.isdigit() and limit.isdigit():
            return Quota(daily_limit=int(limit), daily_remaining=max(0, int(limit) - int(used)))
    return None


def _reply(found: Response) -> Reply:
    return Reply(found.status_code, {name.lower(): value for name, value in found.headers.items()}, found.content)
