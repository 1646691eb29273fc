"""The answers that faults put in place of the right one: error pages, rate limits, refusals, results with holes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from engage_sync.sandbox.limits import DAILY, SECONDLY, TEN_SECONDLY, too_many
from engage_sync.sandbox.refusal import Detail, Refused
from engage_sync.sandbox.wire import Answer, Call, Json, item, refusal


def html(status: int, title: str) -> Answer:
    """Give an HTML page as a proxy in front of the CRM would."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status, page.encode(), kind="text/html; charset=utf-8")


def _refusal(status: int, category: str, message: str) -> Answer:
    return refusal(Refused(message, status=status, category=category))


def _missing_scopes(_seconds: float) -> Answer:
    context = {"requiredGranularScopes": ["crm.objects.contacts.write"]}
    detail = Detail("One or more of the following scopes are required.", context=context)
    message = "This app hasn't been granted all required scopes to make this call."
    return refusal(Refused(message, status=403, category="MISSING_SCOPES", details=[detail]))


def _migration(seconds: float) -> Answer:
    answer = _refusal(477, "MIGRATION_IN_PROGRESS", "This account is currently being migrated.")
    return replace(answer, headers={"Retry-After": str(int(seconds))})


BEFORE: Mapping[str, Callable[[float], Answer]] = {
    "too_many_ten_secondly": lambda _: too_many(TEN_SECONDLY),
    "too_many_secondly": lambda _: too_many(SECONDLY),
    "too_many_daily": lambda _: too_many(DAILY),
    "locked": lambda _: _refusal(423, "LOCKED", "The resource is locked; try again in two seconds."),
    "migration": _migration,
    "server_error": lambda _: _refusal(500, "INTERNAL_ERROR", "internal error"),
    "not_utf8": lambda _: Answer(500, b"\xff\xfe Erreur interne \xe9", kind="text/plain"),
    "bad_gateway": lambda _: html(502, "502 Bad Gateway"),
    "unavailable": lambda _: html(503, "503 Service Unavailable"),
    "gateway_timeout": lambda _: html(504, "504 Gateway Timeout"),
    "html_200": lambda _: html(200, "Please stand by"),
    "accepted_202": lambda _: Answer(202),
    "batch_refused": lambda _: _refusal(400, "VALIDATION_ERROR", "There was a problem with the request."),
    "invalid_token": lambda _: _refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found."),
    "expired_token": lambda _: _refusal(401, "EXPIRED_AUTHENTICATION", "The OAuth token used expired 1 second(s) ago."),
    "missing_scopes": _missing_scopes,
}
"""Faults whose answer stands instead of the work. The argument is the fault's `seconds`."""


def not_found_rows(call: Call, work: Callable[[Call], Answer]) -> Answer:
    """Do every other row of a batch; one error names all the rest. A call that is no batch is answered as it is."""
    try:
        body = json.loads(call.body or b"null")
    except ValueError:
        return work(call)
    rows = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return work(call)
    answer = work(replace(call, body=json.dumps({**body, "inputs": rows[1::2]}).encode()))
    if answer.status >= 300 or not isinstance(answer.body, dict):
        return answer
    message = "Could not get some CONTACT objects, they may be deleted or not exist. Check that ids are valid."
    refused = Refused(message, category="OBJECT_NOT_FOUND")
    key = "id" if all("id" in row for row in rows) else "objectWriteTraceId"
    context = {"ids" if key == "id" else key: [str(row.get(key, "")) for row in rows[::2]]}
    errors = [item(refused, context)]
    return replace(answer, status=207, body={**answer.body, "numErrors": 1, "errors": errors})


def without_one(answer: Answer) -> Answer:
    """Leave the first result out."""
    if not isinstance(answer.body, dict):
        return answer
    body: Json = dict(answer.body)
    results = body.get("results")
    if isinstance(results, list):
        body["results"] = results[1:]
    return replace(answer, body=body)
