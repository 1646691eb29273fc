"""Bulk API 2.0 jobs as Salesforce tells of them, those that write and those that query: looking, and waiting for their
end (crm-apis §B8). Makes and ends none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engage_sync.connectors.replies import SHORT, senseless, text
from engage_sync.connectors.salesforce_errors import CallRefused
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.errors import Transient

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two looks at a job: they grow with the time that it takes."""
PATIENCE = 2 * 3600.0
"""Seconds that one run waits for a job. It stays remembered: the next run waits on."""
SILENCE = 900.0
"""Seconds without a good answer about a job after which the run ends."""
OPEN, ABORTED, FAILED, COMPLETE = "Open", "Aborted", "Failed", "JobComplete"
GONE = "Gone"
"""Not a state of Salesforce's: it does not know the job, any more or at all."""
UNDER_WAY = frozenset({"UploadComplete", "InProgress"})
ENDED = frozenset({COMPLETE, FAILED, ABORTED, GONE})


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Salesforce tells of it. `message` is why it failed."""

    id: str
    state: str
    message: str | None = None


def look(http: Transport, path: str, job_id: str) -> Job:
    """Ask how a job is. `path` is `jobs/ingest` or `jobs/query`."""
    try:
        answer = http.get(f"{path}/{job_id}")
    except CallRefused as refused:
        if refused.status == 404:
            return Job(job_id, GONE)
        raise
    state = text(answer.get("state")) if isinstance(answer, Mapping) else None
    if not isinstance(answer, Mapping) or state not in ENDED | UNDER_WAY | {OPEN}:
        raise senseless(f"Salesforce told of the Bulk job {job_id} without a known state", str(answer)[:SHORT])
    return Job(job_id, state, text(answer.get("errorMessage")))


def ended(
    http: Transport,
    path: str,
    job: Job,
    *,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    pause: float = FIRST_PAUSE,
) -> Job:
    """Wait until a job has ended. Looks that fail are harmless: the job goes on by itself.

    Raises Transient when it takes longer than `PATIENCE`, or nothing is heard of it for longer than `SILENCE`.
    """
    started = heard = clock()
    while job.state not in ENDED:
        wait = pause
        try:
            job = look(http, path, job.id)
            heard = clock()
        except Transient as error:
            if error.suspend or clock() - heard > SILENCE:
                raise
            wait = max(pause, min(error.retry_after or 0.0, LONGEST_PAUSE))
        if job.state in ENDED:
            break
        if job.state == OPEN:  # it was closed: only a Salesforce that lost that can say so
            raise senseless(f"Salesforce calls the Bulk job {job.id} open, which was closed", None)
        if clock() - started > PATIENCE:
            waited = f"{PATIENCE / 3600:.0f} hours"
            raise Transient(
                f"Salesforce's Bulk job {job.id} is still {job.state} after {waited}; the next run waits on for it",
                suspend=True,
            )
        sleep(wait)
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return job
