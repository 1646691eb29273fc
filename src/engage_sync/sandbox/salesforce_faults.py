"""What Salesforce's faults do to a call: instead of its work, to the work itself, or to its answer afterwards
(crm-apis §E). The names are in `fault_kinds.py`, the socket is the server's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from engage_sync.sandbox.fault_answers import html
from engage_sync.sandbox.faults import Ending, Fault
from engage_sync.sandbox.salesforce_refusal import RowError
from engage_sync.sandbox.salesforce_wire import denial, reply
from engage_sync.sandbox.wire import Answer, Call

Work = Callable[[Call, str | None], Answer]
INSIDE = ("lock_rows", "job_fails", "job_aborted", "job_nothing", "pretended")
"""Faults that the work itself must know."""
_UNEXPECTED = "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345"


def _denial(status: int, code: str, message: str) -> Answer:
    return denial(status, [RowError(code, message)])


def _login(status: int, error: str, description: str) -> Answer:
    return reply({"error": error, "error_description": description}, status)


BEFORE: Mapping[str, Callable[[], Answer]] = {
    "session_expired": lambda: _denial(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "total_requests": lambda: _denial(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_requests": lambda: _denial(
        403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    ),
    "api_disabled": lambda: _denial(403, "API_DISABLED_FOR_ORG", "API is disabled for this user"),
    "version_retired": lambda: _denial(410, "UNSUPPORTED_API_VERSION", "The requested API version is retired"),
    "server_error": lambda: _denial(500, "UNKNOWN_EXCEPTION", _UNEXPECTED),
    "bad_gateway": lambda: html(502, "502 Bad Gateway"),
    "unavailable": lambda: html(503, "503 Service Unavailable"),
    "maintenance": lambda: _denial(503, "SERVER_UNAVAILABLE", "The server is temporarily unavailable: too busy"),
    "html_200": lambda: html(200, "Down for Maintenance"),
    "empty_results": lambda: reply([]),
    "expired_locator": lambda: _denial(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    "query_timeout": lambda: _denial(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "poll_503": lambda: html(503, "503 Service Unavailable"),
    "login_refused": lambda: _login(400, "invalid_grant", "authentication failure"),
    "inactive_user": lambda: _login(400, "invalid_grant", "inactive user"),
    "login_503": lambda: html(503, "503 Service Unavailable"),
    "login_429": lambda: _login(429, "invalid_request", "login rate exceeded"),
}
"""Faults whose answer stands instead of the work."""


def strike(fault: Fault, call: Call, work: Work) -> Ending:
    """Let a fault happen to a call. A call that is refused anyway (status 300 and more) is answered as it is."""
    name = fault.name
    if name in ("drop_before", "hang"):
        return Ending(_too_late(), fault.seconds) if name == "hang" else Ending(None)
    if name in BEFORE:
        return Ending(BEFORE[name]())
    answer = work(call, name if name in INSIDE else None)
    if name in INSIDE or answer.status >= 300:
        return Ending(answer)
    return _spoilt(fault, answer)


def _spoilt(fault: Fault, answer: Answer) -> Ending:
    match fault.name:
        case "drop_after" | "reset_after":
            return Ending(None, reset=fault.name == "reset_after")
        case "hang_after":
            return Ending(_too_late(), fault.seconds)
        case "cut_body":
            return Ending(answer, cut=True)
    return Ending(_garbled(fault.name, answer))


def _garbled(name: str, answer: Answer) -> Answer:
    if name in ("truncated_200", "results_cut"):
        body = answer.encoded()
        return replace(answer, body=body[: len(body) // 2])
    if name == "missing_result":
        rows = json.loads(answer.encoded() or b"null")
        return reply(rows[1:], answer.status, answer.headers) if isinstance(rows, list) else answer
    instead = BEFORE[name.removesuffix("_after")]()
    return replace(instead, headers={**answer.headers, **instead.headers})


def _too_late() -> Answer:
    return html(504, "504 Gateway Timeout")
