"""Large first loads by Bulk API 2.0 query jobs (crm-apis §B8): many records for few calls of the org's day.

Knows the life of a query job and the CSV of its results; which records are asked for is the caller's business. A job
that a dying process leaves behind expires by itself.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engage_sync.connectors.base import CallKind
from engage_sync.connectors.replies import SHORT, senseless, text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import Shape
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_jobs import COMPLETE, ENDED, ended, look

PATH = "jobs/query"
PAGE = 20_000
"""Records of one page of results."""
NOT_IN_BULK = frozenset({"address", "location", "base64"})
"""Types that a Bulk query cannot select."""
_NO_MORE = frozenset({"", "null"})


@dataclass(frozen=True, slots=True)
class Results:
    """One page of a job's results. `locator` names the next one, None after the last."""

    rows: list[dict[str, object]]
    locator: str | None
    now_ms: int


def possible(shape: Shape, fields: list[str]) -> bool:
    """Tell whether a Bulk query can select these fields."""
    return not any(shape.fields[name].native in NOT_IN_BULK for name in fields if name in shape.fields)


def begin(http: Transport, soql: str) -> str | None:
    """Have a query worked on and give the job's id; None where the org has no Bulk API for us."""
    try:
        answer = http.send("POST", PATH, {"operation": "query", "query": soql}, kind=CallKind.SEARCH)
    except (CallRefused, AccessRefused):
        return None
    job = text(answer.get("id")) if isinstance(answer, Mapping) else None
    if not job:
        raise senseless("Salesforce made a Bulk query job without an id", str(answer)[:SHORT])
    return job


def results(
    http: Transport,
    job_id: str,
    locator: str | None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Results | None:
    """Give one page of a job's results, waiting for its end before the first; None when the job came to nothing."""
    if locator is None:
        job = look(http, PATH, job_id)
        if job.state not in ENDED:
            job = ended(http, PATH, job, sleep=sleep, clock=clock)
        if job.state != COMPLETE:
            return None
    asked = {"maxRecords": str(PAGE), **({"locator": locator} if locator else {})}
    try:
        reply = http.download(f"{PATH}/{job_id}/results", asked)
    except CallRefused:  # the results have expired, or the locator
        return None
    rows = _rows(reply.data)
    told = reply.headers.get("sforce-numberofrecords", "")
    if told.isdigit() and int(told) != len(rows):
        raise senseless(f"Salesforce tells of {told} records and gives {len(rows)}", None)
    following = reply.headers.get("sforce-locator", "")
    return Results(rows, None if following in _NO_MORE else following, reply.date_ms() or http.now_ms())


def _rows(data: bytes) -> list[dict[str, object]]:
    """Read the records of a results file; cells may hold line ends, commas and quotes."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)
    try:
        header = next(reader, [])
        rows = [dict[str, object](zip(header, row, strict=True)) for row in reader]
    except (csv.Error, UnicodeDecodeError, ValueError) as broken:
        raise senseless(f"Salesforce gave Bulk results cut short or garbled ({broken})", None) from None
    if data.strip() and "Id" not in header:
        raise senseless("Salesforce gave Bulk results without ids", ",".join(header)[:SHORT])
    return rows
