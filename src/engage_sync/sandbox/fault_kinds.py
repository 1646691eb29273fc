"""The names of the faults of each dialect: what each is, whether the call takes effect before its answer goes wrong,
and whether trying again later mends it (crm-apis §E). Data only; the modules `*_faults.py` carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault: what it is, whether the call takes effect, and whether trying again later mends it. It can
    only happen to calls whose `METHOD path` fits one of the globs `where`; others never meet it."""

    what: str
    takes_effect: bool
    passing: bool = True
    where: tuple[str, ...] = ("*",)


HUBSPOT: Mapping[str, FaultKind] = {
    "too_many_ten_secondly": FaultKind("429, policy TEN_SECONDLY_ROLLING", takes_effect=False),
    "too_many_secondly": FaultKind("429, policy SECONDLY (searches)", takes_effect=False),
    "too_many_daily": FaultKind("429, policy DAILY: nothing works before midnight", takes_effect=False, passing=False),
    "locked": FaultKind("423: the record is locked, wait two seconds", takes_effect=False),
    "migration": FaultKind("477 with Retry-After: the account is being moved", takes_effect=False, passing=False),
    "server_error": FaultKind("500 with HubSpot's error body", takes_effect=False),
    "server_error_after": FaultKind("500 although the call took effect", takes_effect=True),
    "not_utf8": FaultKind("500 with a body that is not UTF-8", takes_effect=False),
    "bad_gateway": FaultKind("502 with an HTML page", takes_effect=False),
    "unavailable": FaultKind("503 with an HTML page", takes_effect=False),
    "gateway_timeout": FaultKind("504 with an HTML page", takes_effect=False),
    "gateway_timeout_after": FaultKind("504 although the call took effect", takes_effect=True),
    "html_200": FaultKind("200 with an HTML page", takes_effect=False),
    "html_200_after": FaultKind("200 with an HTML page although the call took effect", takes_effect=True),
    "truncated_200": FaultKind("200 whose JSON ends in the middle; the call took effect", takes_effect=True),
    "cut_body": FaultKind("the connection ends in the middle of the body; the call took effect", takes_effect=True),
    "accepted_202": FaultKind("202 without a body; nothing happened", takes_effect=False),
    "accepted_202_after": FaultKind("202 without a body; the call took effect", takes_effect=True),
    "empty_results": FaultKind("2xx whose results and errors are empty; nothing happened", takes_effect=False),
    "missing_result": FaultKind("one record is left out of the results, without an error", takes_effect=True),
    "pretended": FaultKind(
        "2xx with results as if written; nothing happened",
        takes_effect=False,
        where=(*(f"POST */objects/*/batch/{verb}" for verb in ("update", "create", "upsert")), "PATCH */objects/*"),
    ),
    "rows_not_found": FaultKind("207: one error names half of the rows, the others are done", takes_effect=True),
    "batch_refused": FaultKind("400 VALIDATION_ERROR that names no row", takes_effect=False, passing=False),
    "invalid_token": FaultKind("401 INVALID_AUTHENTICATION", takes_effect=False, passing=False),
    "expired_token": FaultKind("401 EXPIRED_AUTHENTICATION", takes_effect=False),
    "missing_scopes": FaultKind("403 MISSING_SCOPES", takes_effect=False, passing=False),
    "drop_before": FaultKind("the connection ends before the call took effect", takes_effect=False),
    "drop_after": FaultKind("the connection ends after the call took effect", takes_effect=True),
    "reset_after": FaultKind("the connection is reset after the call took effect", takes_effect=True),
    "hang": FaultKind("no answer for `seconds`, then 524; nothing happened", takes_effect=False),
    "hang_after": FaultKind("no answer for `seconds`, then 524; the call took effect", takes_effect=True),
    "shuffled": FaultKind("the results come in another order", takes_effect=True),
}
"""Every fault of the HubSpot stand-in."""

_WRITES = ("POST */composite*", "PATCH */composite*", "POST */sobjects/*", "PATCH */sobjects/*")
_JOBS = ("PATCH /services/data/*/jobs/ingest/*",)
_POLLS = ("GET /services/data/*/jobs/ingest/*", "GET /services/data/*/jobs/query/*")
_TOKEN = ("POST /services/oauth2/token",)
_DATA = ("* /services/data/*",)
_ANY = ("* /services/*",)

SALESFORCE: Mapping[str, FaultKind] = {
    "session_expired": FaultKind("401 INVALID_SESSION_ID", takes_effect=False, where=_DATA),
    "total_requests": FaultKind(
        "403 REQUEST_LIMIT_EXCEEDED, TotalRequests: the day is used up", takes_effect=False, passing=False, where=_DATA
    ),
    "concurrent_requests": FaultKind("403 REQUEST_LIMIT_EXCEEDED, ConcurrentRequests", takes_effect=False, where=_DATA),
    "api_disabled": FaultKind("403 API_DISABLED_FOR_ORG", takes_effect=False, passing=False, where=_DATA),
    "version_retired": FaultKind("410: the API version is gone", takes_effect=False, passing=False, where=_DATA),
    "server_error": FaultKind("500 UNKNOWN_EXCEPTION", takes_effect=False, where=_ANY),
    "server_error_after": FaultKind("500 although the call took effect", takes_effect=True, where=_DATA),
    "bad_gateway": FaultKind("502 with an HTML page", takes_effect=False, where=_ANY),
    "unavailable": FaultKind("503 with an HTML page", takes_effect=False, where=_ANY),
    "unavailable_after": FaultKind(
        "503 with an HTML page although the call took effect", takes_effect=True, where=_ANY
    ),
    "maintenance": FaultKind("503 SERVER_UNAVAILABLE", takes_effect=False, where=_ANY),
    "html_200": FaultKind("200 with an HTML page", takes_effect=False, where=_ANY),
    "html_200_after": FaultKind("200 with an HTML page although the call took effect", takes_effect=True, where=_ANY),
    "truncated_200": FaultKind(
        "2xx whose body ends in the middle; the call took effect", takes_effect=True, where=_ANY
    ),
    "cut_body": FaultKind("the connection ends in the middle of the body; it took effect", takes_effect=True),
    "drop_before": FaultKind("the connection ends before the call took effect", takes_effect=False),
    "drop_after": FaultKind("the connection ends after the call took effect", takes_effect=True),
    "reset_after": FaultKind("the connection is reset after the call took effect", takes_effect=True),
    "hang": FaultKind("no answer for `seconds`, then 504; nothing happened", takes_effect=False),
    "hang_after": FaultKind("no answer for `seconds`, then 504; the call took effect", takes_effect=True),
    "lock_rows": FaultKind(
        "every other row fails with UNABLE_TO_LOCK_ROW, the others are done",
        takes_effect=True,
        where=(*_WRITES, *_JOBS),
    ),
    "missing_result": FaultKind(
        "one row is left out of the results of a collection", takes_effect=True, where=("* */composite/sobjects*",)
    ),
    "empty_results": FaultKind(
        "200 with no results for a collection; nothing happened", takes_effect=False, where=("* */composite/sobjects*",)
    ),
    "pretended": FaultKind(
        "2xx with results, or a complete job, as if written; nothing happened",
        takes_effect=False,
        where=("POST */composite/sobjects", "PATCH */composite/sobjects*", *_JOBS),
    ),
    "expired_locator": FaultKind(
        "400 INVALID_QUERY_LOCATOR", takes_effect=False, where=("GET */query/01g*", "GET */queryAll/01g*")
    ),
    "query_timeout": FaultKind("400 QUERY_TIMEOUT", takes_effect=False, where=("GET */query*",)),
    "job_fails": FaultKind(
        "the ingest job ends as Failed with half of its rows unprocessed", takes_effect=True, where=_JOBS
    ),
    "job_aborted": FaultKind("an admin aborts the ingest job after half of its rows", takes_effect=True, where=_JOBS),
    "job_nothing": FaultKind("the ingest job fails before its first row", takes_effect=False, where=_JOBS),
    "poll_503": FaultKind("503 with an HTML page while a job is asked for", takes_effect=False, where=_POLLS),
    "results_cut": FaultKind(
        "a results file ends in the middle",
        takes_effect=False,
        where=("GET */jobs/*esults", "GET */jobs/*ecords"),
    ),
    "login_refused": FaultKind(
        "400 invalid_grant: authentication failure", takes_effect=False, passing=False, where=_TOKEN
    ),
    "inactive_user": FaultKind("400 invalid_grant: inactive user", takes_effect=False, passing=False, where=_TOKEN),
    "login_503": FaultKind("503 with an HTML page for a token request", takes_effect=False, where=_TOKEN),
    "login_429": FaultKind("429 for a token request: login rate exceeded", takes_effect=False, where=_TOKEN),
}
"""Every fault of the Salesforce stand-in."""
