"""The life of one Bulk API 2.0 update job: made, filled, closed, waited for, never left open (crm-apis §B8).

Making a job is not idempotent and its answer may be lost, so what is about to be done stands in the connector's memory
before it is done: first that a job is made, then its id with a mark of what goes into it. A process that starts again
takes up a job that holds the same changes, aborts one that was never closed, and waits for one that runs. Nothing here
knows what the rows mean.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from engage_sync.connectors.base import CallKind, Memory
from engage_sync.connectors.replies import SHORT, senseless, text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import full_id
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_jobs import ABORTED, ENDED, FIRST_PAUSE, GONE, OPEN, UNDER_WAY, Job, ended, look

PATH = "jobs/ingest"
_SKEW = 600_000
"""Milliseconds that a job's creation may lie apart from when we noted that we make one."""
_BELOW_ROOT = re.compile(r"^.*/services/data/v[\d.]+/")


class NoBulk(Exception):
    """Salesforce has no Bulk API for this org, user, object or day. The text is its own; never leaves the connector."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What memory holds: the job's id (None: it was about to be made), when that was, and a mark of its content."""

    job: str | None
    since: int
    mark: str


class Jobs:
    """The jobs of one object, one at a time. `sleep` takes seconds, `clock` gives them."""

    def __init__(
        self,
        http: Transport,
        memory: Memory,
        object_name: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http, self._memory, self._object = http, memory, object_name
        self._key = f"bulk job {object_name}"
        self._sleep, self._clock = sleep, clock

    def run(self, data: bytes) -> Job:
        """Have a file processed and give the ended job, which stays remembered until `forget`.

        A remembered job that holds the very same file is taken up, any other is settled first. Raises NoBulk, and
        Transient with the job remembered.
        """
        mark = sha256(data).hexdigest()
        kept = self._kept()
        if kept is not None and kept.job is not None and kept.mark == mark:
            job = look(self._http, PATH, kept.job)
            if job.state in UNDER_WAY:
                return self._waited(job)
            if job.state in ENDED - {ABORTED, GONE}:
                return job
        self.settle()
        job_id = self._make(mark)
        try:
            self._http.upload(f"{PATH}/{job_id}/batches", data)
            self._http.send("PATCH", f"{PATH}/{job_id}", {"state": "UploadComplete"}, kind=CallKind.WRITE)
        except (CallRefused, AccessRefused) as refused:
            self.settle()
            raise NoBulk(str(refused)) from refused
        self._sleep(FIRST_PAUSE)
        return self._waited(Job(job_id, "UploadComplete"), FIRST_PAUSE)

    def settle(self) -> None:
        """Bring a remembered job to its end: abort an open one, wait for one that runs. Then forget it."""
        kept = self._kept()
        if kept is None:
            return
        try:
            for job_id in [kept.job] if kept.job is not None else list(self._strays(kept.since)):
                job = look(self._http, PATH, job_id)
                if job.state == OPEN:
                    self._abort(job_id)
                elif job.state in UNDER_WAY:
                    self._waited(job)
        except (CallRefused, AccessRefused):
            pass  # Bulk was switched off since, or taken from us: nobody works on the job for us any more
        self.forget()

    def forget(self) -> None:
        """Forget the job: what it did is known."""
        self._memory.put(self._key, None)

    def _waited(self, job: Job, pause: float = FIRST_PAUSE) -> Job:
        return ended(self._http, PATH, job, sleep=self._sleep, clock=self._clock, pause=pause)

    # -- steps

    def _make(self, mark: str) -> str:
        since = self._http.now_ms()
        self._keep(_Kept(None, since, mark))
        wanted = {
            "object": self._object,
            "operation": "update",
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        try:
            answer = self._http.send("POST", PATH, wanted, kind=CallKind.WRITE)
        except (CallRefused, AccessRefused) as refused:
            self.forget()
            raise NoBulk(str(refused)) from refused
        job_id = text(answer.get("id")) if isinstance(answer, Mapping) else None
        if not job_id:
            raise senseless("Salesforce made a Bulk job without an id", str(answer)[:SHORT])
        self._keep(_Kept(job_id, since, mark))
        return job_id

    def _abort(self, job_id: str) -> None:
        try:
            self._http.send("PATCH", f"{PATH}/{job_id}", {"state": ABORTED}, kind=CallKind.WRITE)
        except CallRefused:
            job = look(self._http, PATH, job_id)
            if job.state == OPEN:
                raise
            self._waited(job)

    def _strays(self, since: int) -> Iterator[str]:
        """Find jobs of ours that were made when the answer to the making was lost: open, made then, by our user."""
        user = full_id(self._http.identity().user)
        path, params = PATH, {"jobType": "V2Ingest"}
        while path:
            answer = self._http.get(path, params)
            rows = answer.get("records") if isinstance(answer, Mapping) else None
            if not isinstance(answer, Mapping) or not isinstance(rows, list):
                raise senseless("Salesforce listed its Bulk jobs without any", str(answer)[:SHORT])
            for row in rows:
                if isinstance(row, Mapping) and self._is_ours(row, user, since) and (found := text(row.get("id"))):
                    yield found
            onward = text(answer.get("nextRecordsUrl")) if answer.get("done") is False else None
            path, params = _BELOW_ROOT.sub("", onward or ""), {}

    def _is_ours(self, row: Mapping[str, object], user: str, since: int) -> bool:
        if (row.get("state"), row.get("object"), row.get("operation")) != (OPEN, self._object, "update"):
            return False
        by, made = text(row.get("createdById")), _epoch_ms(text(row.get("createdDate")))
        return bool(by and user and full_id(by) == user) and (made is None or abs(made - since) <= _SKEW)

    # -- memory

    def _kept(self) -> _Kept | None:
        try:
            kept = json.loads(self._memory.get(self._key) or "null")
            return None if kept is None else _Kept(kept["job"], kept["since"], kept["mark"])
        except (ValueError, KeyError, TypeError):
            return None

    def _keep(self, kept: _Kept) -> None:
        self._memory.put(self._key, json.dumps({"job": kept.job, "since": kept.since, "mark": kept.mark}))


def settle(
    http: Transport,
    memory: Memory,
    object_name: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Bring the job of an object that an earlier process left behind to its end; sends nothing when there is none.

    Before a pull, so that it sees what the job wrote, and before a push, so that the job does not overtake it. Raises
    Transient, with the job remembered, when it does not end.
    """
    Jobs(http, memory, object_name, sleep=sleep, clock=clock).settle()


def _epoch_ms(told: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(told).timestamp() * 1000) if told else None
    except ValueError:
        return None
