"""Writing Salesforce records: a few by sObject Collections, many by Bulk API 2.0 jobs (crm-apis §B5, §B8).

Whatever the way, each change gets exactly one outcome, a record that comes twice is sent once, and rows that a job
leaves without a word count as failed. Where the org has no Bulk API for us, and for rows that CSV cannot carry,
collections do the work. It never creates a record.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from engage_sync.connectors import salesforce_csv
from engage_sync.connectors.base import Change, Kind, Memory, Outcome, Status
from engage_sync.connectors.salesforce_bulk import PATH, Jobs, NoBulk
from engage_sync.connectors.salesforce_collections import Judged, Writing
from engage_sync.connectors.salesforce_errors import CallRefused, Trouble
from engage_sync.connectors.salesforce_fields import Shape, full_id
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_jobs import FAILED, Job
from engage_sync.connectors.salesforce_rows import (
    DUPLICATE_RULE,
    NO_ANSWER,
    NO_COLUMN,
    UNPROCESSED,
    csv_trouble,
    fields_of,
)

_UNUSABLE = re.compile(r"InvalidBatch|Exceeded_?Quota|LIMIT_EXCEEDED|API_DISABLED|Feature_?Not_?Enabled", re.IGNORECASE)
"""In the message of a job that failed for a reason that another job would meet too."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """`whole_above`: changes above which a job is cheaper than collections. `file`: bytes of one upload, of which
    Salesforce takes 100 MB (crm-apis §B8)."""

    whole_above: int = 2_000
    file: int = 90_000_000


USUAL = Sizes()


@dataclass(slots=True)
class _Ends:
    """How the rows of one job ended."""

    written: list[Change] = field(default_factory=list)
    answered: list[Judged] = field(default_factory=list)
    again: list[Change] = field(default_factory=list)
    """Rows that another job can write."""
    singly: list[Change] = field(default_factory=list)
    """Rows that collections must write."""


def push(
    http: Transport,
    kind: Kind,
    changes: Sequence[Change],
    shape: Shape,
    memory: Memory,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    sizes: Sizes = USUAL,
) -> Iterator[Outcome]:
    """Write any number of changes. A record that comes twice, by 15 or 18 characters, is sent once: later values win.

    Called with the changes of a job that was left behind, it takes up that job.
    """
    rows, names = _merged(changes)
    jobs = Jobs(http, memory, kind.object, sleep=sleep, clock=clock)
    writing = Writing(http, shape, rows)
    if len(rows) > sizes.whole_above:
        outcomes = _Whole(http, shape, jobs, writing, sizes).write(list(rows.values()))
    else:
        jobs.settle()
        outcomes = writing.write(list(rows.values()))
    for outcome in outcomes:
        if (asked := names.get(outcome.record)) is None:
            yield outcome
        else:
            yield from (replace(outcome, record=name) for name in asked)


def _merged(changes: Iterable[Change]) -> tuple[dict[str, Change], dict[str, list[str]]]:
    """Give one change per 18-character id, and the names that the caller used where they are others or several."""
    rows: dict[str, Change] = {}
    names: dict[str, list[str]] = {}
    for change in changes:
        record = full_id(change.record)
        earlier = rows.get(record)
        if earlier is None and record == change.record:
            rows[record] = change
            continue
        values = {**earlier.values, **change.values} if earlier is not None else change.values
        rows[record] = Change(record, values)
        names.setdefault(record, [record] if earlier is not None else []).append(change.record)
    return rows, names


class _Whole:
    """One push by jobs, with collections for what is left over."""

    def __init__(self, http: Transport, shape: Shape, jobs: Jobs, writing: Writing, sizes: Sizes) -> None:
        self._http, self._shape, self._sizes = http, shape, sizes
        self._jobs, self._writing = jobs, writing

    def write(self, rows: Sequence[Change]) -> Iterator[Outcome]:
        """Write rows with different ids, job after job."""
        todo = [row for row in rows if salesforce_csv.writable(row)]
        singly = [row for row in rows if not salesforce_csv.writable(row)] if len(todo) < len(rows) else []
        while len(todo) > self._sizes.whole_above:
            fields = salesforce_csv.columns(todo)
            file = next(salesforce_csv.files(todo, fields, self._shape, self._sizes.file))
            try:
                job = self._jobs.run(file.data)
            except NoBulk:
                break
            ends = self._ends(job, file.rows, fields)
            self._jobs.forget()
            yield from (Outcome(row.record, Status.WRITTEN) for row in ends.written)
            yield from self._writing.judge(ends.answered)
            singly += ends.singly
            todo = [*ends.again, *todo[len(file.rows) :]]
        self._jobs.settle()
        yield from self._writing.write([*todo, *singly])

    def _ends(self, job: Job, rows: Sequence[Change], fields: Sequence[str]) -> _Ends:
        """Read what became of the rows of an ended job. Raises Transient, with the job still remembered."""
        left = {row.record: row for row in rows}
        ends = _Ends()
        for record, _ in self._results(job, "successfulResults"):
            if (row := left.pop(record, None)) is not None:
                ends.written.append(row)
        for record, told in self._results(job, "failedResults") if left else ():
            if (row := left.pop(record, None)) is not None:
                trouble = csv_trouble(told) if told.strip() else NO_ANSWER
                # Jobs take no notice of the header that lets a duplicate rule pass; collections do.
                if trouble.code == DUPLICATE_RULE:
                    ends.singly.append(row)
                else:
                    ends.answered.append((row, (trouble,)))
        if left:
            self._leave(job, left, fields, ends)
        return ends

    def _leave(self, job: Job, left: dict[str, Change], fields: Sequence[str], ends: _Ends) -> None:
        """Deal with the rows that a job did not come to, or says nothing of."""
        message = job.message or ""
        if job.state == FAILED and _UNUSABLE.search(message):
            unknown = Trouble(NO_COLUMN, message)
            named = set(fields_of(unknown)) & set(fields)
            guilty = [row for row in left.values() if named & row.values.keys()]
            ends.answered += [(row, (unknown,)) for row in guilty]
            others = [row for row in left.values() if not named & row.values.keys()]
            (ends.again if guilty else ends.singly).extend(others)
            return
        unprocessed = {record for record, _ in self._results(job, "unprocessedRecords")}
        words = UNPROCESSED if not message else Trouble(UNPROCESSED.code, f"{UNPROCESSED.message}: {message}")
        for record, row in left.items():
            ends.answered.append((row, (words if record in unprocessed else NO_ANSWER,)))

    def _results(self, job: Job, which: str) -> Iterator[tuple[str, str]]:
        """Give id and error of each row of one list of results; none where the job has no such list."""
        try:
            reply = self._http.download(f"{PATH}/{job.id}/{which}")
        except CallRefused as refused:
            if refused.status in {400, 404}:
                return
            raise
        yield from salesforce_csv.results(reply.data, f"the {which} of the Bulk job {job.id}")
