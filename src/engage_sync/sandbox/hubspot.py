"""HubSpot's dialect: which path and method means which call, what scope it needs, how it counts against the limits
(crm-apis part A). It answers one request at a time and knows nothing of sockets."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engage_sync.sandbox import associations, batches, definitions, objects
from engage_sync.sandbox.access import Access, Grant, require
from engage_sync.sandbox.limits import Meter
from engage_sync.sandbox.objects import Desk
from engage_sync.sandbox.refusal import Refused
from engage_sync.sandbox.store import INTEGRATION, Store
from engage_sync.sandbox.values import instant, milliseconds
from engage_sync.sandbox.wire import Answer, Call, Json, refusal

Route = Callable[..., Answer]
READ, SEARCH, WRITE, LOGIN = "read", "search", "write", "login"

_INFO = ["oauth", "v2", "private-apps", "get", "access-token-info"]
_VERSION = re.compile(r"v\d|\d{4}-\d{2}")
_NAMES = {
    "contact": "contacts",
    "0-1": "contacts",
    "company": "companies",
    "0-2": "companies",
    "task": "tasks",
    "0-27": "tasks",
}

_BATCHES: Mapping[str, tuple[Route, str]] = {
    "read": (batches.read, READ),
    "update": (batches.update, WRITE),
    "create": (batches.create, WRITE),
    "upsert": (batches.upsert, WRITE),
    "archive": (batches.archive, WRITE),
}
_OBJECT: Mapping[str, Route] = {"GET": objects.page, "POST": objects.create}
_RECORD: Mapping[str, Route] = {"GET": objects.one, "PATCH": objects.change, "DELETE": objects.archive}
_WHOLE: Mapping[str, Route] = {"merge": objects.merge, "gdpr-delete": objects.erase, "search": objects.find}
_PROPERTIES: Mapping[str, Route] = {"GET": definitions.everything, "POST": definitions.create}
_PROPERTY: Mapping[str, Route] = {"GET": definitions.one, "PATCH": definitions.change, "DELETE": definitions.archive}
_PROPERTY_BATCHES: Mapping[str, tuple[Route, str]] = {
    "read": (definitions.batch_read, READ),
    "create": (definitions.batch_create, WRITE),
    "archive": (definitions.batch_archive, WRITE),
}
_ASSOCIATION_BATCHES: Mapping[str, tuple[Route, str]] = {
    "read": (associations.read, READ),
    "create": (associations.create, WRITE),
}
_GROUPS: Mapping[str, Route] = {"GET": definitions.groups, "POST": definitions.create_group}
_GROUP: Mapping[str, Route] = {
    "GET": definitions.group,
    "PATCH": definitions.change_group,
    "DELETE": definitions.archive_group,
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for: the route with its arguments, its kind, and the scopes of which one is needed."""

    kind: str
    route: Route
    arguments: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    version: str = "v3"


class HubSpot:
    """One HubSpot account over a store. `shuffle` mixes the results of batches; None keeps their order."""

    def __init__(
        self,
        store: Store,
        access: Access,
        meter: Meter,
        *,
        portal: int = 1,
        timezone: str = "UTC",
        shuffle: random.Random | None = None,
    ) -> None:
        self.store = store
        self.access = access
        self.meter = meter
        self.portal = portal
        self.timezone = timezone
        self.shuffle = shuffle

    def kind(self, call: Call) -> str:
        """Say how a call counts: `read`, `search`, `write` or `login`; an unknown path reads."""
        try:
            return self._target(call).kind
        except Refused:
            return READ

    def answer(self, call: Call) -> Answer:
        """Answer one request: credentials first, then limits, then scopes, then the work."""
        headers: Mapping[str, str] = {}
        try:
            if _is_token(call.segments()):
                return self._token(call)
            if call.segments() == _INFO:
                return self._info(call)
            grant = self.access.check(call.headers.get("authorization"))
            headers, refused = self.meter.enter(grant.app, search=self.kind(call) == SEARCH, oauth=grant.oauth)
            answer = refused or self._work(call, grant)
        except Refused as refused_:
            answer = refusal(refused_)
        return Answer(answer.status, answer.body, {**headers, **answer.headers}, answer.kind)

    def _work(self, call: Call, grant: Grant) -> Answer:
        target = self._target(call)
        require(grant, target.scopes)
        desk = Desk(self.store, self.portal, f"{INTEGRATION}:engage-sync", self.shuffle, target.version)
        return target.route(desk, call, *target.arguments)

    def _token(self, call: Call) -> Answer:
        if call.method != "POST":
            raise _no_method(call)
        return self.access.refresh(call.body)

    def _info(self, call: Call) -> Answer:
        """Tell what the private-app token in the body may do; OAuth tokens are not known here."""
        if call.method != "POST":
            raise _no_method(call)
        grant = self.access.check(f"Bearer {call.json().get('tokenKey', '')}")
        if grant.oauth:
            raise _no_path(call)
        return Answer(200, {"userId": 1, "hubId": self.portal, "appId": 1, "scopes": sorted(grant.scopes)})

    def _target(self, call: Call) -> Target:
        parts = call.segments()
        if _is_token(parts):
            return Target(LOGIN, lambda *_: self._token(call))
        if parts == _INFO:
            return Target(LOGIN, lambda *_: self._info(call))
        match parts:
            case ["crm", version, area, *rest] if _VERSION.fullmatch(version):
                return self._crm(call, area, version, rest)
            case ["crm", area, version, *rest] if _VERSION.fullmatch(version):
                return self._crm(call, area, version, rest)
            case ["account-info", _, "details"]:
                return Target(READ, _by_method(call, {"GET": self._details}))
            case ["account-info", _, "api-usage", "daily", "private-apps"]:
                return Target(READ, _by_method(call, {"GET": self._usage}))
        raise _no_path(call)

    def _crm(self, call: Call, area: str, version: str, rest: list[str]) -> Target:
        if area == "owners":
            return Target(READ, _by_method(call, {"GET": _no_owners}))
        if area not in ("objects", "properties", "associations") or not rest:
            raise _no_path(call)
        object_ = self._name(rest[0])
        if area == "associations":
            return self._associations(call, object_, version, rest[1:])
        find = _object_target if area == "objects" else _property_target
        route, kind, arguments = find(call, rest[1:])
        right = "write" if kind == WRITE else "read"
        scopes = [f"crm.schemas.{object_}.{right}"] if area == "properties" else []
        if area == "objects" or right == "read":
            scopes += _scopes(object_, right)
        return Target(kind, route, (object_, *arguments), tuple(scopes), version)

    def _associations(self, call: Call, from_: str, version: str, rest: list[str]) -> Target:
        match rest:
            case [to, "batch", verb] if verb in _ASSOCIATION_BATCHES:
                route, kind = _ASSOCIATION_BATCHES[verb]
                route = _by_method(call, {"POST": route})
                scopes = _scopes(from_, "write" if kind == WRITE else "read")
                return Target(kind, route, (from_, self._name(to)), tuple(scopes), version)
        raise _no_path(call)

    def _name(self, object_: str) -> str:
        return self.store.type(_NAMES.get(object_, object_)).name

    def _details(self, _desk: Desk, _call: Call) -> Answer:
        offset = datetime.now(UTC).astimezone(self.meter.zone).utcoffset()
        seconds = int(offset.total_seconds()) if offset else 0
        body: Json = {
            "portalId": self.portal,
            "accountType": "STANDARD",
            "timeZone": self.timezone,
            "companyCurrency": "EUR",
            "additionalCurrencies": [],
            "utcOffset": f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02d}:{abs(seconds) % 3600 // 60:02d}",
            "utcOffsetMilliseconds": seconds * 1000,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
        return Answer(200, body)

    def _usage(self, _desk: Desk, _call: Call) -> Answer:
        row: Json = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": self.meter.rates.daily,
            "currentUsage": self.meter.used_today,
            "collectedAt": instant(self.store.now()),
            "fetchStatus": "SUCCESS",
            "resetsAt": instant(milliseconds(self.meter.resets_at())),
        }
        return Answer(200, {"results": [row]})


def _object_target(call: Call, rest: list[str]) -> tuple[Route, str, tuple[str, ...]]:
    match rest:
        case []:
            return _by_method(call, _OBJECT), READ if call.method == "GET" else WRITE, ()
        case ["batch", verb] if verb in _BATCHES:
            route, kind = _BATCHES[verb]
            return _by_method(call, {"POST": route}), kind, ()
        case [verb] if verb in _WHOLE:
            return _by_method(call, {"POST": _WHOLE[verb]}), SEARCH if verb == "search" else WRITE, ()
        case [number]:
            return _by_method(call, _RECORD), READ if call.method == "GET" else WRITE, (number,)
    raise _no_path(call)


def _property_target(call: Call, rest: list[str]) -> tuple[Route, str, tuple[str, ...]]:
    kind = READ if call.method == "GET" else WRITE
    match rest:
        case []:
            return _by_method(call, _PROPERTIES), kind, ()
        case ["batch", verb] if verb in _PROPERTY_BATCHES:
            route, kind = _PROPERTY_BATCHES[verb]
            return _by_method(call, {"POST": route}), kind, ()
        case ["groups"]:
            return _by_method(call, _GROUPS), kind, ()
        case ["groups", name]:
            return _by_method(call, _GROUP), kind, (name,)
        case [name]:
            return _by_method(call, _PROPERTY), kind, (name,)
    raise _no_path(call)


def _scopes(object_: str, right: str) -> list[str]:
    """Give the scopes of which one lets records of an object be read or written; contacts' ones are good for tasks."""
    return [f"crm.objects.{name}.{right}" for name in (["contacts", "tasks"] if object_ == "tasks" else [object_])]


def _is_token(parts: list[str]) -> bool:
    return len(parts) == 3 and parts[0] == "oauth" and parts[2] == "token"


def _by_method(call: Call, routes: Mapping[str, Route]) -> Route:
    if call.method not in routes:
        raise _no_method(call)
    return routes[call.method]


def _no_owners(_desk: Desk, _call: Call, *_rest: str) -> Answer:
    return Answer(200, {"results": []})


def _no_method(call: Call) -> Refused:
    return Refused(f"Method {call.method} is not allowed here.", status=405, category="METHOD_NOT_ALLOWED")


def _no_path(call: Call) -> Refused:
    return Refused(f"No resource at {call.path}.", status=404, category="OBJECT_NOT_FOUND")
