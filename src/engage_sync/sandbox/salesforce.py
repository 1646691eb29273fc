"""Salesforce's REST dialect: which path and method means which call, how it counts, who may call (crm-apis part B). It
answers one request at a time and knows nothing of sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from engage_sync.sandbox import salesforce_describe as about
from engage_sync.sandbox import salesforce_jobs as jobs
from engage_sync.sandbox import salesforce_query_jobs as query_jobs
from engage_sync.sandbox import salesforce_reading as reading
from engage_sync.sandbox import salesforce_setup as setup
from engage_sync.sandbox import salesforce_writing as writing
from engage_sync.sandbox.fault_answers import html
from engage_sync.sandbox.salesforce_org import Org
from engage_sync.sandbox.salesforce_refusal import Denied, RowRefused, malformed, not_found
from engage_sync.sandbox.salesforce_wire import URI_LIMIT, Ask, denial, reply
from engage_sync.sandbox.wire import Answer, Call, Json, call

Route = Callable[..., Answer]
READ, SEARCH, WRITE, LOGIN = "read", "search", "write", "login"
TOKEN = "/services/oauth2/token"  # noqa: S105  (a path)
USERINFO = "/services/oauth2/userinfo"
_VERSION = re.compile(r"v(\d+\.0)")
_SOAP = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope \
xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault>\
<faultcode>INVALID_OPERATION</faultcode><faultstring>INVALID_OPERATION: SOAP API login() is disabled by default in \
this org.</faultstring></soapenv:Fault></soapenv:Body></soapenv:Envelope>"""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for: its kind, and the routes by method with their arguments."""

    kind: str
    routes: Mapping[str, Route]
    arguments: tuple[str, ...] = ()


class Salesforce:
    """One org behind its REST API."""

    def __init__(self, org: Org) -> None:
        self.org = org

    def kind(self, request: Call) -> str:
        """Say how a call counts: `read`, `search`, `write` or `login`; polling a job and an unknown path read."""
        parts = request.segments()
        if request.path == TOKEN or parts[:2] == ["services", "Soap"]:
            return LOGIN
        if parts[:2] != ["services", "data"] or len(parts) < 4:
            return READ
        try:
            return _kind(parts[3:], request)
        except Denied:
            return READ

    def answer(self, request: Call, fault: str | None = None) -> Answer:
        """Answer one request: session, limits, version, then the work. `fault` strikes the work itself."""
        if len(request.target) + sum(len(k) + len(v) + 4 for k, v in request.headers.items()) > URI_LIMIT:
            return html(414, "414 URI Too Long")
        if request.path == TOKEN:
            return self.org.sessions.answer(request, self.org.base_url())
        if request.path.startswith("/services/Soap"):
            return Answer(500, _SOAP, {}, "text/xml;charset=UTF-8")
        headers: Mapping[str, str] = {}
        try:
            if request.path == USERINFO or request.path.startswith("/id/"):
                return self._identity(request)
            if request.path == "/services/data":
                return about.versions(self.org)
            self.org.sessions.check(request)
            headers = self.org.usage.header()
            self.org.usage.enter()
            headers = self.org.usage.header()
            with self.org.entered():
                answer = self.work(request, fault)
        except Denied as denied:
            answer = denial(denied.status, [denied.error])
        except RowRefused as refused:
            answer = denial(400, refused.errors)
        return replace(answer, headers={**headers, **answer.headers})

    def work(self, request: Call, fault: str | None = None) -> Answer:
        """Carry one call out for a user who is logged in. Raises Denied, RowRefused."""
        parts = request.segments()
        found = _VERSION.fullmatch(parts[2]) if len(parts) > 2 else None
        if parts[:2] != ["services", "data"] or found is None:
            raise not_found()
        version = found[1]
        if version not in self.org.versions:
            oldest = min(float(one) for one in self.org.versions)
            if float(version) < oldest:
                raise Denied(
                    410, "UNSUPPORTED_API_VERSION", f"The requested API version {version} is retired or unsupported"
                )
            raise not_found()
        ask = Ask(request, version, fault)
        target = _target(parts[3:], request)
        route = target.routes.get(request.method)
        if route is None:
            allowed = ",".join(target.routes)
            raise Denied(
                405, "METHOD_NOT_ALLOWED", f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
            )
        if route is _several:
            return self.composite(ask)
        return route(self.org, ask, *target.arguments)

    def composite(self, ask: Ask) -> Answer:
        """Carry out up to 25 calls as one, in order; `@{ref.id}` takes a value of an earlier answer."""
        given = ask.body()
        requests = given.get("compositeRequest")
        if not isinstance(requests, list) or not requests or not all(isinstance(one, dict) for one in requests):
            raise malformed("compositeRequest must be an array of objects")
        if len(requests) > 25:
            raise Denied(400, "LIMIT_EXCEEDED", "The composite request can hold at most 25 subrequests")
        wide = [
            one for one in requests if "/composite/sobjects" in str(one.get("url")) or "/query" in str(one.get("url"))
        ]
        if len(wide) > 5:
            raise Denied(
                400, "LIMIT_EXCEEDED", "At most 5 subrequests of a composite request may be collections or queries"
            )
        answers: dict[str, object] = {}
        told = []
        for one in requests:
            name = one.get("referenceId")
            if not isinstance(name, str) or not name or name in answers:
                raise Denied(400, "INVALID_INPUT", f"referenceId must be given once: {name}")
            answer = _part(self, ask, one, answers)
            body = json.loads(answer.encoded() or b"null")
            answers[name] = body
            told.append({"body": body, "httpHeaders": {}, "httpStatusCode": answer.status, "referenceId": name})
        return reply({"compositeResponse": told})

    def _identity(self, request: Call) -> Answer:
        try:
            self.org.sessions.check(request)
        except Denied:
            return Answer(403, b"Bad_OAuth_Token", {}, "text/html;charset=UTF-8")
        if request.path == USERINFO:
            return about.userinfo(self.org)
        parts = request.segments()
        if len(parts) != 3:
            raise not_found()
        return about.identity(self.org, parts[1], parts[2])


def _part(self: Salesforce, ask: Ask, one: Json, answers: Mapping[str, object]) -> Answer:
    def filled(text: str) -> str:
        def value(found: re.Match[str]) -> str:
            held: object = answers.get(found[1])
            for step in re.findall(r"[\w]+", found[2]):
                held = held[int(step)] if isinstance(held, list) else held.get(step) if isinstance(held, dict) else None
            return str(held)

        return re.sub(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}", value, text)

    url, method = filled(str(one.get("url"))), str(one.get("method"))
    body = one.get("body")
    content = b"" if body is None else filled(json.dumps(body)).encode()
    headers = {**ask.call.headers, "content-type": "application/json"}
    headers |= {name.lower(): str(value) for name, value in dict(one.get("httpHeaders") or {}).items()}  # type: ignore[call-overload]
    headers.pop("content-encoding", None)
    inner = call(method, url, headers, content)
    if "/composite" in urlsplit(url).path and "/composite/sobjects" not in urlsplit(url).path:
        raise Denied(400, "INVALID_INPUT", "A composite request cannot hold a composite request")
    try:
        return self.work(inner, ask.fault)
    except Denied as denied:
        return denial(denied.status, [denied.error])
    except RowRefused as refused:
        return denial(400, refused.errors)


def _kind(parts: list[str], request: Call) -> str:
    if parts == ["composite"]:
        found = json.loads(request.body or b"{}") if request.body[:1] == b"{" else {}
        inner = found.get("compositeRequest") if isinstance(found, dict) else None
        methods = [str(one.get("method")) for one in inner or [] if isinstance(one, dict)]
        return READ if methods and all(method == "GET" for method in methods) else WRITE
    target = _target(parts, request)
    return READ if request.method == "GET" and target.kind == WRITE else target.kind


def _several(_org: Org, _ask: Ask) -> Answer:
    """Stand for a composite request, which needs the whole dialect."""
    raise not_found()


_PLAIN: Mapping[tuple[str, ...], Target] = {
    (): Target(READ, {"GET": about.resources}),
    ("limits",): Target(READ, {"GET": about.limits}),
    ("query",): Target(SEARCH, {"GET": reading.query}),
    ("queryAll",): Target(SEARCH, {"GET": reading.query_all}),
    ("tooling", "query"): Target(SEARCH, {"GET": reading.tooling_query}),
    ("sobjects",): Target(READ, {"GET": about.everything}),
    ("composite",): Target(WRITE, {"POST": _several}),
    ("tooling", "sobjects", "CustomField"): Target(WRITE, {"POST": setup.create_field}),
}
_RECORD: Mapping[str, Route] = {"GET": reading.one, "PATCH": writing.change, "DELETE": writing.delete}
_KEYED: Mapping[str, Route] = {"GET": reading.by_external_id, "PATCH": writing.upsert}
_CUSTOM_FIELD = {"GET": setup.one_field, "PATCH": setup.change_field, "DELETE": setup.delete_field}


def _target(parts: list[str], request: Call) -> Target:
    plain = _PLAIN.get(tuple(parts))
    if plain is not None:
        return plain
    match parts:
        case ["query" | "queryAll", locator] | ["tooling", "query", locator]:
            return Target(SEARCH, {"GET": reading.more}, (locator,))
        case ["sobjects", entity, *rest]:
            return _sobjects(entity, rest)
        case ["composite", "sobjects", *rest]:
            return _collections(rest, request)
        case ["jobs", "ingest" | "query" as which, *rest]:
            return _ingest(rest) if which == "ingest" else _query_jobs(rest)
        case ["tooling", "sobjects", "CustomField", number]:
            return Target(WRITE, _CUSTOM_FIELD, (number,))
    raise not_found()


def _sobjects(entity: str, rest: list[str]) -> Target:
    match rest:
        case []:
            return Target(WRITE, {"GET": about.basic, "POST": writing.create}, (entity,))
        case ["describe", *what] if what in ([], ["layouts"]):
            return Target(READ, {"GET": about.layouts if what else about.describe}, (entity,))
        case ["deleted" | "updated" as what]:
            return Target(READ, {"GET": reading.changed_since}, (entity, what))
        case [number]:
            return Target(WRITE, _RECORD, (entity, number))
        case [name, value]:
            return Target(WRITE, _KEYED, (entity, name, value))
    raise not_found()


def _collections(rest: list[str], request: Call) -> Target:
    match rest:
        case []:
            routes = {"POST": writing.collection_create, "PATCH": writing.collection_update}
            return Target(WRITE, {**routes, "DELETE": writing.collection_delete})
        case [entity]:
            kind = READ if request.method == "POST" else WRITE
            return Target(kind, {"GET": writing.collection_read, "POST": writing.collection_read}, (entity,))
        case [entity, name]:
            return Target(WRITE, {"PATCH": writing.collection_upsert}, (entity, name))
    raise not_found()


def _ingest(rest: list[str]) -> Target:
    match rest:
        case []:
            return Target(WRITE, {"GET": jobs.everything, "POST": jobs.create})
        case [number]:
            return Target(WRITE, {"GET": jobs.one, "PATCH": jobs.change, "DELETE": jobs.delete}, (number,))
        case [number, "batches"]:
            return Target(WRITE, {"PUT": jobs.upload}, (number,))
        case [number, which]:
            return Target(READ, {"GET": jobs.results}, (number, which))
    raise not_found()


def _query_jobs(rest: list[str]) -> Target:
    match rest:
        case []:
            return Target(SEARCH, {"GET": query_jobs.everything, "POST": query_jobs.create})
        case [number]:
            routes = {"GET": query_jobs.one, "PATCH": query_jobs.change, "DELETE": query_jobs.delete}
            return Target(READ, routes, (number,))
        case [number, "results"]:
            return Target(READ, {"GET": query_jobs.results}, (number,))
    raise not_found()
