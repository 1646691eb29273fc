"""What HubSpot's answers other than success mean, as the project's typed errors (crm-apis §A13).

Reads answers; never sends anything. Every field of an error body is optional and may be of any type, so all reading
here is tolerant, and a message never carries more than HubSpot's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engage_sync.connectors.replies import SHORT, Reply, json_object, senseless, text
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Suspended, Transient

NOT_FOUND = "OBJECT_NOT_FOUND"
ID_KEYS = ("ids", "id", "objectWriteTraceId", "fromObjectId")
"""Where the context of an error names the rows that it is about (crm-apis §A7, §A8)."""

PAUSES = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}
"""Seconds to pause by the policy that a 429 names (crm-apis §A3)."""

MOVE = 3_600.0
LONGEST_MOVE = 86_400.0
"""Seconds to leave an account alone that HubSpot is moving: where it does not tell, and at most (crm-apis §A13)."""

LONGEST = 6
"""A 429's `Retry-After` is believed up to this many times the usual pause."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error of an answer: the CRM's code and words, the record ids (or the traces that rows were sent with) and
    property names that it blames."""

    code: str | None
    message: str | None
    ids: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    category: str | None = None
    finer: str | None = None
    """HubSpot's subCategory."""

    def about_no_record(self) -> bool:
        """Tell whether the error is that there is no such record."""
        return NOT_FOUND in {self.code, self.category}


class CallRefused(Misbehaved):
    """The whole call was answered with no. The caller may know what to mend; else it is an answer not understood."""

    def __init__(self, what: str, *, status: int, body: Mapping[str, object], data: bytes = b"") -> None:
        self.status = status
        self.code = text(body.get("category")) or text(body.get("errorType"))
        self.message = text(body.get("message"))
        self.request = text(body.get("correlationId"))
        self.troubles = tuple(troubles(body))
        super().__init__(what, data[:SHORT].decode("utf-8", "replace"))


class ScopeMissing(LoginFailed):
    """The token is good but lacks permissions. `scopes` are those that HubSpot named."""

    def __init__(self, what: str, scopes: tuple[str, ...]) -> None:
        self.scopes = scopes
        super().__init__(what)


class TokenRefused(LoginFailed):
    """401: the token is wrong or expired."""


def parse(reply: Reply, *, secret: bool = False) -> dict[str, object]:
    """Read a 2xx answer. No body is {}; anything else that is no JSON object is worth another try, then Misbehaved.

    An answer that may hold tokens (`secret`) is not kept.
    """
    if not reply.data.strip():
        return {}
    body = json_object(reply.data)
    if body is None:
        what = f"HubSpot answered {reply.status} with something other than JSON (a proxy's page, or cut short)"
        raise senseless(what, None if secret else reply.start())
    return body


def failure(reply: Reply, asked: str) -> EngageError:
    """Give the error that a non-2xx answer stands for. `asked` names the call, such as `POST /crm/v3/…`."""
    body = json_object(reply.data) or {}
    words = _words(reply, body, asked)
    wait = reply.retry_after()
    status = reply.status
    if status == 401:
        return TokenRefused(f"{words}. Check the token in the connector's file, or make a new one in HubSpot")
    if status == 403:
        scopes = tuple(_scopes(body))
        todo = f"; give the app or key {', '.join(scopes)} under Settings → Integrations" if scopes else ""
        return ScopeMissing(f"{words}{todo}", scopes)
    if status in {408, 423, 429, 477} or (status >= 500 and status not in {501, 505}):
        return _later(status, body, words, wait)
    return CallRefused(words, status=status, body=body, data=reply.data)


def troubles(body: Mapping[str, object]) -> Iterator[Trouble]:
    """Read the `errors` of an answer, and the ids that the answer as a whole blames."""
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            ids = tuple(one for key in ID_KEYS for one in _texts(error, key))
            category = text(error.get("category"))
            code = text(error.get("code")) or category or text(error.get("subCategory"))
            named = tuple(_texts(error, "propertyName"))
            yield Trouble(code, text(error.get("message")), ids, named, category, text(error.get("subCategory")))
    if whole := tuple(_texts(body, "ids")):
        category = text(body.get("category"))
        yield Trouble(category, text(body.get("message")), whole, (), category)


def _later(status: int, body: Mapping[str, object], words: str, wait: float | None) -> Transient:
    """Say when to try again: as told, else by the table of crm-apis §A13."""
    if status == 423:
        return Transient(words, max(wait or 0.0, 2.0))
    if status == 477:
        move = min(wait, LONGEST_MOVE) if wait is not None else MOVE
        moving = f"{words}; HubSpot is moving this account"
        return Suspended(moving, why="HubSpot is moving the account", retry_after=move)
    if status != 429:
        return Transient(words, wait)
    policy = (text(body.get("policyName")) or "").upper()
    if policy == "DAILY" or (not policy and "daily" in words.lower()):
        return Suspended(f"{words}; the account's calls of this day are used up", why="daily limit")
    usual = PAUSES.get(policy, PAUSES["TEN_SECONDLY_ROLLING"])
    # On a 429 the header is not documented, and a number far beyond the policy's window would be milliseconds.
    return Transient(words, wait if wait is not None and wait <= LONGEST * usual else usual)


def _words(reply: Reply, body: Mapping[str, object], asked: str) -> str:
    """Join what a person needs for a report: the call, the status, HubSpot's message, its correlation id."""
    message = text(body.get("message")) or text(body.get("error_description")) or ""
    detail = "; ".join(t.message for t in troubles(body) if t.message and t.message not in message)
    request = text(body.get("correlationId"))
    parts = [f"HubSpot answered {reply.status} to {asked}", *([message[:SHORT]] if message else [])]
    parts += [detail[:SHORT]] if detail else []
    return ": ".join(parts) + (f" (correlation id {request})" if request else "")


def _scopes(body: Mapping[str, object]) -> Iterator[str]:
    seen: set[str] = set()
    errors = body.get("errors")
    for holder in (body, *(e for e in (errors if isinstance(errors, list) else ()) if isinstance(e, dict))):
        for key in ("requiredGranularScopes", "requiredScopes"):
            for scope in _texts(holder, key):
                if scope not in seen:
                    seen.add(scope)
                    yield scope


def _texts(holder: Mapping[str, object], key: str) -> Iterator[str]:
    """Give the texts under `context[key]`, whether one or a list."""
    context = holder.get("context")
    value = context.get(key) if isinstance(context, dict) else None
    for one in value if isinstance(value, list) else [value]:
        if (found := text(one)) is not None:
            yield found
