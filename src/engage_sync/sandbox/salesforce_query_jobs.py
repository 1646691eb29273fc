"""Bulk API 2.0 query jobs: a query whose rows are fetched as CSV pages (crm-apis §B8). Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from engage_sync.sandbox import salesforce_csv as csv_
from engage_sync.sandbox.salesforce_jobs import OVER
from engage_sync.sandbox.salesforce_org import Org
from engage_sync.sandbox.salesforce_query import Found, Runner
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_soql import parse
from engage_sync.sandbox.salesforce_values import cell, instant, seconds
from engage_sync.sandbox.salesforce_wire import Ask, reply, text_of
from engage_sync.sandbox.wire import Answer, Json

MOST = 50_000


@dataclass(slots=True)
class QueryJob:
    """One query job; `found` is taken when the job is made."""

    id: str
    operation: str
    query: str
    found: Found
    version: str
    created: int
    user: str
    polls: int
    aborted: bool = False

    @property
    def shown(self) -> str:
        """Give the state that answers tell."""
        if self.aborted:
            return "Aborted"
        return "InProgress" if self.polls > 0 else "JobComplete"


def create(org: Org, ask: Ask) -> Answer:
    """Create a query job."""
    given = ask.body()
    operation, text = text_of(given, "operation"), text_of(given, "query")
    if operation not in ("query", "queryAll"):
        raise Denied(400, "INVALIDJOB", f"InvalidJob : Invalid operation: {operation}")
    parsed = parse(text)
    if parsed.count or parsed.offset:
        raise Denied(400, "API_ERROR", "Aggregate Relationships, COUNT() and OFFSET are not supported in Bulk Query")
    with org.store.lock:
        found = Runner(org.store).run(parsed, deleted=operation == "queryAll")
    if any(column.field.type == "address" for column in found.columns):
        raise Denied(400, "API_ERROR", "Selecting compound data not supported in Bulk Query")
    number, now = org.mint("750"), seconds(org.store.clock())
    job = QueryJob(number, operation, text, found, ask.version, now, org.store.user_id, org.bulk_delay_polls)
    org.jobs[number] = job
    return reply(_told(job) | {"state": "UploadComplete"})


def everything(org: Org, _ask: Ask) -> Answer:
    """List all query jobs, newest first."""
    jobs = [_told(job) for job in org.jobs.values() if isinstance(job, QueryJob)]
    return reply({"done": True, "nextRecordsUrl": None, "records": jobs[::-1]})


def one(org: Org, _ask: Ask, number: str) -> Answer:
    """Tell how a job is doing."""
    job = _job(org, number)
    answer = reply(_told(job))
    job.polls -= 1
    return answer


def change(org: Org, ask: Ask, number: str) -> Answer:
    """Abort a job."""
    job = _job(org, number)
    if ask.body().get("state") != "Aborted" or job.shown in OVER:
        raise Denied(400, "INVALIDJOBSTATE", f"Job {job.id} is {job.shown} and can only be aborted before")
    job.aborted = True
    return reply(_told(job))


def delete(org: Org, _ask: Ask, number: str) -> Answer:
    """Forget a job that is over."""
    job = _job(org, number)
    if job.shown not in OVER:
        raise Denied(400, "DELETEJOBSTATE", f"Job {job.id} cannot be deleted in the state {job.shown}")
    del org.jobs[job.id]
    return Answer(204)


def results(org: Org, ask: Ask, number: str) -> Answer:
    """Give one page of rows; `Sforce-Locator` leads to the next and is `null` at the end."""
    job = _job(org, number)
    if job.shown != "JobComplete":
        raise Denied(400, "INVALIDJOBSTATE", f"Job {job.id} is {job.shown}: there are no results")
    place = _place(ask.call.one("locator"))
    most = ask.call.one("maxRecords")
    if most is not None and not (most.isdigit() and int(most) > 0):
        raise Denied(400, "INVALID_PARAMETER", f"maxRecords is not a number: {most}")
    size = min(int(most), MOST) if most else MOST
    with org.store.lock:
        records = job.found.records[place : place + size]
        columns = [(column.get, column.field) for column in job.found.columns]
        rows = [[cell(field, get(record)) for get, field in columns] for record in records]
    after = place + len(rows)
    locator = "null" if after >= job.found.count else f"MTAw{after:x}"
    head = [".".join(column.path) for column in job.found.columns]
    headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(rows))}
    return Answer(200, csv_.write(head, rows), headers, "text/csv")


def _place(locator: str | None) -> int:
    if locator in (None, "", "null"):
        return 0
    try:
        return int(str(locator).removeprefix("MTAw"), 16)
    except ValueError:
        raise Denied(400, "INVALID_LOCATOR", f"Invalid locator: {locator}") from None


def _told(job: QueryJob) -> Json:
    body: Json = {
        "id": job.id,
        "operation": job.operation,
        "object": job.found.object,
        "createdById": job.user,
        "createdDate": instant(job.created),
        "systemModstamp": instant(job.created),
        "state": job.shown,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version),
        "lineEnding": "LF",
        "columnDelimiter": "COMMA",
        "jobType": "V2Query",
    }
    return body | ({"numberRecordsProcessed": job.found.count, "retries": 0} if job.shown in OVER else {})


def _job(org: Org, number: str) -> QueryJob:
    found = org.jobs[org.job(number)]
    if not isinstance(found, QueryJob):
        raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
    return found
