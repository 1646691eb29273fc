"""Bulk API 2.0 ingest jobs: created, uploaded, closed, worked off row by row, asked for their results (crm-apis §B8).
A job is worked off when it is closed; it tells so after `bulk_delay_polls` questions."""

from __future__ import annotations

from dataclasses import dataclass, field

from engage_sync.sandbox import salesforce_csv as csv_
from engage_sync.sandbox.salesforce_csv import DELIMITERS, ENDINGS, BadUpload
from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_org import Org
from engage_sync.sandbox.salesforce_refusal import Denied, RowRefused, refuse
from engage_sync.sandbox.salesforce_undo import Undo
from engage_sync.sandbox.salesforce_values import instant, seconds
from engage_sync.sandbox.salesforce_wire import Ask, reply, text_of
from engage_sync.sandbox.salesforce_writes import LOCKED, Writer
from engage_sync.sandbox.wire import Answer, Json

OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
LARGEST = 150 * 1024 * 1024
SLICE = 10_000
"""Rows that are worked off before others may reach the org."""
OVER = ("JobComplete", "Failed", "Aborted")


@dataclass(slots=True)
class Job:
    """One ingest job. `shown` is the state it tells, which trails `state` for `polls` questions."""

    id: str
    entity: str
    operation: str
    key: str | None
    delimiter: str
    ending: str
    version: str
    created: int
    user: str
    state: str = "Open"
    polls: int = 0
    error: str | None = None
    uploads: list[bytes] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    done: list[list[str]] = field(default_factory=list)
    failed: list[list[str]] = field(default_factory=list)
    left: list[list[str]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """Give the state that answers tell."""
        return self.state if self.polls <= 0 or self.state not in OVER else "InProgress"


def create(org: Org, ask: Ask) -> Answer:
    """Create a job; doing it twice makes two."""
    given = ask.body()
    entity, operation = text_of(given, "object"), text_of(given, "operation")
    if operation not in OPERATIONS:
        raise Denied(
            400, "INVALIDOPERATION" if operation else "INVALIDJOB", f"InvalidJob : Invalid operation: {operation}"
        )
    if entity.lower() not in {name.lower() for name in org.store.shelves}:
        raise Denied(400, "INVALIDENTITY", f"InvalidJob : Unable to find object: {entity}")
    delimiter = str(given.get("columnDelimiter") or "COMMA")
    ending = str(given.get("lineEnding") or "LF")
    if delimiter not in DELIMITERS or ending not in ENDINGS or given.get("contentType", "CSV") != "CSV":
        raise Denied(400, "INVALIDJOB", "InvalidJob : columnDelimiter, lineEnding or contentType is not supported")
    key = given.get("externalIdFieldName")
    if operation == "upsert":
        _check_key(org, entity, key)
    elif key is not None:
        raise Denied(400, "INVALIDJOB", "InvalidJob : externalIdFieldName is for upsert only")
    number = org.mint("750")
    name = org.entity(entity)
    now = seconds(org.store.clock())
    known = str(key) if isinstance(key, str) else None
    job = Job(number, name, operation, known, delimiter, ending, ask.version, now, org.store.user_id)
    org.jobs[number] = job
    return reply(told(job))


def everything(org: Org, _ask: Ask) -> Answer:
    """List all ingest jobs, newest first."""
    jobs = [told(job) for job in org.jobs.values() if isinstance(job, Job)]
    return reply({"done": True, "nextRecordsUrl": None, "records": jobs[::-1]})


def one(org: Org, _ask: Ask, number: str) -> Answer:
    """Tell how a job is doing."""
    job = _job(org, number)
    answer = reply(told(job))
    job.polls -= 1 if job.state in OVER else 0
    return answer


def upload(org: Org, ask: Ask, number: str) -> Answer:
    """Take the rows of an open job."""
    job = _job(org, number)
    kind = ask.call.headers.get("content-type", "")
    if not kind.startswith("text/csv"):
        raise Denied(400, "INVALIDCONTENTTYPE", f"Content type {kind or 'none'} is not text/csv")
    if job.state != "Open":
        raise Denied(400, "INVALIDJOBSTATE", f"Job is not in the open state; it is {job.state}")
    content = ask.content()
    if len(content) * 4 // 3 > LARGEST:
        raise Denied(413, "REQUEST_TOO_LARGE", "The data of a job cannot be larger than 150 MB in base64")
    job.uploads.append(content)
    return Answer(201)


def change(org: Org, ask: Ask, number: str) -> Answer:
    """Close a job, which works it off, or abort it."""
    job, state = _job(org, number), ask.body().get("state")
    if state not in ("UploadComplete", "Aborted"):
        raise Denied(400, "INVALIDJOBSTATE", f"Invalid job state: {state}")
    if state == "Aborted" and job.state in OVER and job.shown not in OVER:
        job.state = "Aborted"
        return reply(told(job))
    if job.state != "Open":
        verb = "Closing" if state == "UploadComplete" else "Aborting"
        raise Denied(
            400, "INVALIDJOBSTATE", f"{verb} already {'Completed' if job.shown in OVER else 'Closed'} Job not allowed"
        )
    if state == "Aborted":
        job.state, job.left = "Aborted", []
        return reply(told(job))
    job.state = "UploadComplete"
    answer = reply(told(job))
    work(org, ask, job)
    return answer


def delete(org: Org, _ask: Ask, number: str) -> Answer:
    """Forget a job that is over."""
    job = _job(org, number)
    if job.shown not in (*OVER, "UploadComplete"):
        raise Denied(400, "DELETEJOBSTATE", f"Job {job.id} cannot be deleted in the state {job.shown}")
    del org.jobs[job.id]
    return Answer(204)


def results(org: Org, _ask: Ask, number: str, which: str) -> Answer:
    """Give the successful, failed or unprocessed rows."""
    job = _job(org, number)
    if job.shown not in OVER:
        raise Denied(400, "INVALIDJOBSTATE", f"Job {job.id} is {job.shown}: there are no results yet")
    more = {"successfulresults": ["sf__Id", "sf__Created"], "failedresults": ["sf__Id", "sf__Error"]}
    rows = {"successfulresults": job.done, "failedresults": job.failed, "unprocessedrecords": job.left}
    if which.lower() not in rows:
        raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
    head = [*more.get(which.lower(), []), *job.header]
    content = csv_.write(head, rows[which.lower()])
    return Answer(200, content, {}, "text/csv")


def work(org: Org, ask: Ask, job: Job) -> None:
    """Work a closed job off, row by row. A fault may end it half way, leaving rows unprocessed."""
    job.polls = org.bulk_delay_polls
    try:
        rows = _rows(org, ask, job)
    except BadUpload as error:
        job.state, job.error = "Failed", str(error)
        return
    fault = ask.fault
    end = {"job_nothing": 0, "job_fails": len(rows) // 2, "job_aborted": len(rows) // 2}.get(fault or "", len(rows))
    writer = org.writer(job.entity, ask, cells=True)
    todo, job.left = rows[:end], rows[end:]
    for place in range(0, len(todo), SLICE):
        with org.store.lock:
            undo = Undo(org.store, {job.entity.lower()}) if fault == "pretended" else None
            _slice(org, job, writer, todo[place : place + SLICE], lock=fault == "lock_rows")
            if undo is not None:
                undo.back()
    if org.dice is not None:
        org.dice.shuffle(job.done)
        org.dice.shuffle(job.failed)
    job.state = {"job_fails": "Failed", "job_nothing": "Failed", "job_aborted": "Aborted"}.get(
        fault or "", "JobComplete"
    )
    if job.state == "Failed":
        job.error = "InternalServerError : Too many retries: batch processing timed out"


def _slice(org: Org, job: Job, writer: Writer, rows: list[list[str]], *, lock: bool) -> None:
    header, done, failures = job.header, job.done, job.failed
    key = job.key if job.operation == "upsert" else "Id"
    at = next((place for place, name in enumerate(header) if name.lower() == (key or "").lower()), None)
    names = [(place, name) for place, name in enumerate(header) if place != at]
    field = org.store.type(job.entity).find(job.key) if job.key else None
    seen: set[str] = set()
    for place, row in enumerate(rows):
        try:
            value = row[at] if at is not None else ""
            if lock and place % 2 == 0:
                raise refuse("UNABLE_TO_LOCK_ROW", LOCKED.format(value))
            if value and job.operation != "insert":
                if value in seen:
                    raise refuse("DUPLICATE_VALUE", f"Duplicate id specified: {value}", key or "Id")
                seen.add(value)
            number, new = _write(job, writer, field, value, [(name, row[spot]) for spot, name in names if row[spot]])
            done.append([number, new, *row])
        except RowRefused as refused:
            first = refused.errors[0]
            failures.append(["", f"{first.code}:{first.message}:{', '.join(first.fields)} --", *row])


def _write(
    job: Job, writer: Writer, key: FieldDef | None, value: str, cells: list[tuple[str, object]]
) -> tuple[str, str]:
    match job.operation:
        case "update":
            return writer.update(value, cells).id, "false"
        case "insert":
            return writer.insert(cells).id, "true"
        case "upsert" if key is not None:
            record, new = writer.upsert(key, value, cells)
            return record.id, "true" if new else "false"
    return writer.delete(value).id, "false"


def _rows(org: Org, ask: Ask, job: Job) -> list[list[str]]:
    """Read what was uploaded and check its header. Raises BadUpload."""
    if len(job.uploads) > 1:
        raise BadUpload(
            f"ClientInputError : Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the "
            "current Job then create a new Job and make sure you only do 'PUT' once on a given Job."
        )
    if not job.uploads:
        raise BadUpload("ClientInputError : No content was uploaded for this job")
    job.header, rows = csv_.read(job.uploads[0], DELIMITERS[job.delimiter], job.ending)
    job.uploads = []
    with org.store.lock:
        writer = org.writer(job.entity, ask, cells=True)
        type_, rights = writer.shelf.type, org.store.access.rights(job.entity)
        for name in job.header:
            one = type_.find(name)
            if one is None or one.name not in rights:
                raise BadUpload(f"InvalidBatch : Field name not found : {name}")
            if [other.lower() for other in job.header].count(name.lower()) > 1:
                raise BadUpload(f"InvalidBatch : Field name is not unique : {name}")
    return rows


def told(job: Job) -> Json:
    """Write a job as answers have it."""
    over = job.shown in OVER
    body: Json = {
        "id": job.id,
        "operation": job.operation,
        "object": job.entity,
        "createdById": job.user,
        "createdDate": instant(job.created),
        "systemModstamp": instant(job.created),
        "state": job.shown,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(job.version),
        "jobType": "V2Ingest",
        "contentUrl": f"services/data/v{job.version}/jobs/ingest/{job.id}/batches",
        "lineEnding": job.ending,
        "columnDelimiter": job.delimiter,
        "numberRecordsProcessed": len(job.done) + len(job.failed) if over else 0,
        "numberRecordsFailed": len(job.failed) if over else 0,
        "retries": 0,
        "totalProcessingTime": 0,
        "apiActiveProcessingTime": 0,
        "apexProcessingTime": 0,
    }
    if job.key:
        body["externalIdFieldName"] = job.key
    if over and job.error:
        body["errorMessage"] = job.error
    return body


def _job(org: Org, number: str) -> Job:
    found = org.jobs[org.job(number)]
    if not isinstance(found, Job):
        raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
    return found


def _check_key(org: Org, entity: str, key: object) -> None:
    field = org.store.type(org.entity(entity)).find(str(key))
    if field is None or not (field.external_id or field.name == "Id"):
        raise Denied(
            400,
            "INVALIDJOB",
            f"InvalidJob : Field name provided, {key} does not match an External ID, Salesforce Id, or indexed field "
            f"for {entity}",
        )
