"""What Salesforce's answers other than success mean, as the project's typed errors (crm-apis §B10).

Reads answers; never sends anything. Errors are a list of `{errorCode, message, fields}`, or one object where a login
failed; all reading here is tolerant, and a message never carries more than Salesforce's own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engage_sync.connectors.replies import SHORT, Reply, json_of, text
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Suspended, Transient

CONCURRENT_PAUSE = 10.0
"""Seconds to wait when too many long calls run at once; Salesforce looks at the last 20 (crm-apis §B9)."""
LOGIN_PAUSE = 60.0
"""Seconds to wait when an org logs in too often."""

PASSING = frozenset(
    {"UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION", "REQUEST_RUNNING_TOO_LONG"}
)
"""Codes of a whole call, or of one row, that another try may mend."""
RETIRED = frozenset({"UNSUPPORTED_API_VERSION"})
_DISABLED = frozenset({"API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "FUNCTIONALITY_NOT_ENABLED"})

_HINTS = (
    ("audience", "set auth.login_url to the org's My Domain, or to https://test.salesforce.com for a sandbox"),
    (
        "hasn't approved",
        "let admin-approved users be pre-authorized in Setup → External Client App Manager → the app → Policies",
    ),
    ("inactive", "activate the user in Setup → Users, or name another one in auth.username"),
    ("no client credentials user", "choose a Run As user in the app's policies, under Client Credentials Flow"),
    (
        "not supported on this domain",
        "client credentials need the org's own My Domain in auth.login_url, such as https://your-domain.my.salesforce.com",
    ),
    ("expired", "check this machine's clock, and that the certificate in the app has not expired"),
    (
        "assertion",
        "the private key must belong to the certificate in the app, which must not have expired; check the clock too",
    ),
    ("invalid_client", "check client_id (the consumer key) and client_secret (the consumer secret)"),
    ("client identifier", "check client_id (the consumer key)"),
    ("authentication failure", "check the app's credentials and the user's login hours and IP ranges"),
)
"""Part of what Salesforce says when a login fails → what a person must do."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error: Salesforce's code and words, and the fields that it names."""

    code: str | None
    message: str | None
    fields: tuple[str, ...] = ()


class CallRefused(Misbehaved):
    """The whole call was answered with no. The caller may know what to mend; else it is an answer not understood."""

    def __init__(self, what: str, *, status: int, troubles: tuple[Trouble, ...], data: str = "") -> None:
        self.status = status
        self.troubles = troubles
        self.code = troubles[0].code if troubles else None
        super().__init__(what, data)


class AccessRefused(LoginFailed):
    """The session is good but may not do this. `code` is Salesforce's word for it."""

    def __init__(self, what: str, troubles: tuple[Trouble, ...]) -> None:
        self.troubles = troubles
        self.code = troubles[0].code if troubles else None
        super().__init__(what)


class TokenRefused(LoginFailed):
    """401: the session has ended, or never was one."""


def failure(reply: Reply, asked: str) -> EngageError:
    """Give the error that a non-2xx answer stands for. `asked` names the call, such as `GET query`."""
    found = tuple(troubles(json_of(reply.data)))
    code = found[0].code if found else None
    words = _words(reply, found, asked)
    status = reply.status
    if status == 401:
        return TokenRefused(words)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _over_limit(words, found[0].message or "", reply)
    if code in _DISABLED:
        return AccessRefused(f"{words}. An admin must give the user's profile the permission API Enabled", found)
    if status == 403:
        return AccessRefused(words, found)
    if status in {408, 420, 429} or (status >= 500 and status not in {501, 505}) or code in PASSING:
        return Transient(words, reply.retry_after())
    if status == 410 or code in RETIRED:
        words = f"{words}. The org does not speak this version of its API any more: upgrade engage-sync"
    return CallRefused(words, status=status, troubles=found, data=reply.start())


def login_failure(reply: Reply, where: str, now_ms: int) -> EngageError:
    """Give the error for a refused token request. `now_ms` is our clock, compared with Salesforce's."""
    if reply.status in {408, 420, 429} or reply.status >= 500:
        return Transient(f"Salesforce answered {reply.status} to the login at {where}", reply.retry_after())
    body = json_of(reply.data)
    if not isinstance(body, dict) or not body.get("error"):
        return LoginFailed(
            f"the login at {where} was answered with {reply.status} and no words of Salesforce's: check auth.login_url"
        )
    error, told = text(body.get("error")) or "", text(body.get("error_description")) or ""
    words = f"Salesforce refused the login at {where}: {error}" + (f" ({told})" if told else "")
    said = f"{error} {told}".lower()
    if "rate" in said and "exceeded" in said:
        return Transient(words, LOGIN_PAUSE)
    hint = next((todo for part, todo in _HINTS if part in said), "check the credentials in the connector's file")
    skew = _skew(reply, now_ms)
    return LoginFailed(f"{words}: {hint}{skew}")


def troubles(body: object) -> Iterator[Trouble]:
    """Read the errors of an answer or of one row: a list, or one object, with `errorCode` or `statusCode`."""
    for error in body if isinstance(body, list) else [body]:
        if isinstance(error, Mapping):
            code = text(error.get("errorCode")) or text(error.get("statusCode")) or text(error.get("error"))
            message = text(error.get("message")) or text(error.get("error_description"))
            named = error.get("fields")
            fields = tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()
            if code or message:
                yield Trouble(code, message, fields)


def _over_limit(words: str, message: str, reply: Reply) -> Transient:
    if "concurrent" in message.lower():
        return Transient(words, reply.retry_after() or CONCURRENT_PAUSE)
    return Suspended(f"{words}; the org's calls of the last 24 hours are used up", why="daily limit")


def _words(reply: Reply, found: tuple[Trouble, ...], asked: str) -> str:
    detail = "; ".join(f"{one.code or 'error'}: {one.message or 'no message'}"[:SHORT] for one in found[:3])
    return f"Salesforce answered {reply.status} to {asked}" + (f": {detail}" if detail else "")


def _skew(reply: Reply, now_ms: int) -> str:
    theirs = reply.date_ms()
    apart = 0 if theirs is None else round((now_ms - theirs) / 60_000)
    if abs(apart) < 2:
        return ""
    return f". This machine's clock is {abs(apart)} minutes {'ahead of' if apart > 0 else 'behind'} Salesforce's"
