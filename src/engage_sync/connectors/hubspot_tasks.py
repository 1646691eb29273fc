"""Creating HubSpot tasks, each once: batch creates with one outcome for each key, whatever the batch does (§A7, §A8).

A create is not idempotent: a lost answer may hide a task that exists. So every task carries its key in its body, and a
key that may have been sent before is looked for among the tasks of its record before it is sent again. A first try
costs no such look-up. It changes and deletes no task, and nothing of the record that a task is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock

from engage_sync.connectors.base import CallKind, Change, Outcome, Status
from engage_sync.connectors.hubspot_errors import NOT_FOUND, CallRefused, Trouble, troubles
from engage_sync.connectors.hubspot_http import API, Answer, Transport
from engage_sync.connectors.hubspot_push import NO_ANSWER, may_split, once_each, outcome_of, status_of
from engage_sync.connectors.hubspot_read import MERGED, Found, look_up
from engage_sync.connectors.hubspot_related import BODY, TASKS, find, keys_of, signed
from engage_sync.connectors.replies import text
from engage_sync.errors import LoginFailed

TYPES: Mapping[str, int] = {"contacts": 204, "companies": 192}
"""What a task may be about → HubSpot's association type from a task to it."""
OWNER = "hubspot_owner_id"
_NONE = Found([], {}, [])


@dataclass(frozen=True, slots=True)
class _Row:
    """One task to be: its change, the live record it is about, who gets it, and whether that record is a survivor."""

    change: Change
    record: str
    owner: str | None
    moved: bool = False

    @property
    def key(self) -> str:
        return self.change.record

    @property
    def object_name(self) -> str:
        return str(self.change.values.get("object"))

    def written(self, task: str, request: str | None) -> Outcome:
        moved_to = self.record if self.moved else None
        return Outcome(self.key, Status.WRITTEN, request=request, values={"id": task}, moved_to=moved_to)

    def inputs(self) -> dict[str, object]:
        """Give the row of the batch."""
        values = self.change.values
        properties = {
            "hs_task_subject": values.get("subject") or "",
            BODY: signed(values.get("body") or "", self.key),
            "hs_task_status": "NOT_STARTED",
            "hs_task_type": "TODO",
            "hs_timestamp": _instant(values.get("due") or ""),
            OWNER: self.owner or "",
        }
        kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": TYPES[self.object_name]}
        return {
            "properties": {name: value for name, value in properties.items() if value},
            "associations": [{"to": {"id": self.record}, "types": [kind]}],
            "objectWriteTraceId": self.key,
        }


class Tasks:
    """The tasks of one connector. It remembers the keys it has sent, so that pushing one again creates no second task.

    Safe for threads, each with keys of its own.
    """

    def __init__(self, http: Transport) -> None:
        self._http = http
        self._lock = Lock()
        self._open: set[str] = set()
        self._made: dict[str, Outcome] = {}

    def push(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Create up to 100 tasks. Raises Transient, LoginFailed, Misbehaved; what was answered before stands."""
        yield from once_each(changes, self._push)

    def _push(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        for outcome in _Batch(self._http, self).push(changes):
            if outcome.status is Status.WRITTEN:
                with self._lock:
                    self._made[outcome.record] = outcome
                    self._open.discard(outcome.record)
            yield outcome

    def made(self, key: str) -> Outcome | None:
        """Give how an earlier push created a task, or None."""
        return self._made.get(key)

    def doubtful(self, change: Change) -> bool:
        """Tell whether a task may exist: the caller says so, or it was sent and no answer said what became of it."""
        return change.values.get("tried") == "true" or change.record in self._open

    def sending(self, rows: Iterable[_Row]) -> list[str]:
        """Note keys before they are sent, and give those that were not noted yet."""
        with self._lock:
            fresh = [row.key for row in rows if row.key not in self._open]
            self._open.update(fresh)
            return fresh

    def refused(self, keys: Iterable[str]) -> None:
        """Forget keys of which an answer said that nothing was made."""
        with self._lock:
            self._open.difference_update(keys)


class _Batch:
    """One push: an owner that was refused once is not tried again for the rows that are left."""

    def __init__(self, http: Transport, known: Tasks) -> None:
        self._http, self._known = http, known
        self._former: set[str] = set()

    def push(self, changes: Sequence[Change]) -> Iterator[Outcome]:
        rest: list[Change] = []
        for change in changes:
            if (outcome := self._known.made(change.record) or _unfit(change)) is not None:
                yield outcome
            else:
                rest.append(change)
        for name in TYPES:
            yield from self._about(name, [change for change in rest if change.values["object"] == name])

    def _about(self, object_name: str, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Create the tasks about records of one object: find the records and their owners, then what exists already."""
        if not changes:
            return
        asked = [str(change.values["about"]) for change in changes]
        found = look_up(self._http, object_name, asked, [OWNER, MERGED])
        owners = {str(row.get("id")): _owner(row) for row in found.rows}
        rows: list[_Row] = []
        for change, one in zip(changes, asked, strict=True):
            record = found.merged.get(one, one)
            if record in owners:
                rows.append(_Row(change, record, owners[record], moved=record != one))
            else:
                yield _gone(change)
        doubtful = [row for row in rows if self._known.doubtful(row.change)]
        there = self._there(doubtful)
        for row in doubtful:
            if row.key in there:
                yield row.written(there[row.key], None)
        yield from self._create([row for row in rows if row.key not in there])

    def _there(self, rows: Sequence[_Row]) -> dict[str, str]:
        """Give the ids of the tasks that exist already, by key; the rows are about records of one object."""
        if not rows:
            return {}
        return find(self._http, rows[0].object_name, [row.record for row in rows], [row.key for row in rows])

    def _create(self, rows: Sequence[_Row]) -> Iterator[Outcome]:
        """Send rows of which none exists, and give one outcome for each."""
        if not rows:
            return
        rows = [replace(row, owner=None) if row.owner in self._former else row for row in rows]
        fresh = self._known.sending(rows)
        body = {"inputs": [row.inputs() for row in rows]}
        try:
            answer = self._http.send("POST", f"/crm/{API}/objects/{TASKS}/batch/create", body, kind=CallKind.WRITE)
        except LoginFailed:
            self._known.refused(fresh)
            raise
        except CallRefused as refused:
            self._known.refused(fresh)
            if not may_split(refused):
                raise
            yield from self._refused(rows, refused)
        else:
            yield from self._answered(rows, answer)

    def _refused(self, rows: Sequence[_Row], refused: CallRefused) -> Iterator[Outcome]:
        """Deal with the refusal of a whole batch: apart with the rows that it names, else halve until one is left."""
        blames = refused.troubles or (Trouble(refused.code, refused.message),)
        if len(rows) == 1:
            yield from self._settle([(rows[0], blames[0])], refused.request)
            return
        guilty = [row for row in rows if any(_names(trouble, row) for trouble in blames)]
        if not 0 < len(guilty) < len(rows):
            guilty = list(rows[: len(rows) // 2])
        apart = {row.key for row in guilty}
        yield from self._create(guilty)
        yield from self._create([row for row in rows if row.key not in apart])

    def _settle(self, refused: Sequence[tuple[_Row, Trouble]], request: str | None) -> Iterator[Outcome]:
        """Deal with rows that were refused one by one: mend what can be mended, else the refusal is the outcome."""
        self._known.refused(row.key for row, trouble in refused if status_of(trouble) is Status.REFUSED)
        ownerless = [row for row, trouble in refused if row.owner is not None and _about_owner(trouble)]
        self._former.update(row.owner for row in ownerless if row.owner is not None)
        yield from self._create(ownerless)
        mended = {row.key for row in ownerless}
        rest = [(row, trouble) for row, trouble in refused if row.key not in mended]
        # One that is about no property may be about the record, which may have gone since it was looked up.
        unclear = [row for row, trouble in rest if not trouble.properties]
        found = (
            look_up(self._http, unclear[0].object_name, [row.record for row in unclear], [MERGED]) if unclear else _NONE
        )
        moved: list[_Row] = []
        for row, trouble in rest:
            if (survivor := found.merged.get(row.record)) is not None:
                moved.append(replace(row, record=survivor, moved=True))
            elif row.record in found.gone:
                yield _gone(row.change)
            else:
                status = Status.FAILED if trouble.about_no_record() else status_of(trouble)
                yield outcome_of(row.change, status, trouble, request)
        yield from self._create(moved)

    def _answered(self, rows: Sequence[_Row], answer: Answer) -> Iterator[Outcome]:
        """Give an outcome to each row that the answer names, and find out about the others."""
        left = {row.key: row for row in rows}
        strange: list[str] = []
        for result in answer.rows_if_any():
            task, keys = text(result.get("id")), [text(result.get("objectWriteTraceId")), *keys_of(result)]
            key = next((one for one in keys if one in left), None)
            if task is not None and key is not None:
                yield left.pop(key).written(task, answer.request)
            elif task is not None:
                strange.append(task)
        if strange and left:  # created, but the answer shows neither trace nor body
            for live in look_up(self._http, TASKS, strange, [BODY]).rows:
                for key in [key for key in keys_of(live) if key in left]:
                    yield left.pop(key).written(str(live.get("id")), answer.request)
        refused: list[tuple[_Row, Trouble]] = []
        nameless: list[Trouble] = []
        for trouble in troubles(answer.body):
            named = [left.pop(row.key) for row in list(left.values()) if _names(trouble, row)]
            refused += [(row, trouble) for row in named]
            nameless += [] if named else [trouble]
        yield from self._settle(refused, answer.request)
        yield from self._silent(list(left.values()), nameless, answer)

    def _silent(self, rows: Sequence[_Row], nameless: Sequence[Trouble], answer: Answer) -> Iterator[Outcome]:
        """Deal with rows that the answer does not name. An error that names no row is about one of them."""
        if not rows:
            return
        if not nameless:
            for row in rows:
                yield outcome_of(row.change, Status.FAILED, NO_ANSWER, answer.request)
            return
        there = self._there(rows)
        for row in [row for row in rows if row.key in there]:
            yield row.written(there[row.key], answer.request)
        rest = [row for row in rows if row.key not in there]
        if len(rest) == 1:
            yield from self._settle([(rest[0], nameless[0])], answer.request)
            return
        yield from self._create(rest[: len(rest) // 2])
        yield from self._create(rest[len(rest) // 2 :])


def _unfit(change: Change) -> Outcome | None:
    """Refuse what cannot be a task here; None for what can."""
    object_name, about = change.values.get("object"), change.values.get("about")
    if object_name in TYPES and about:
        return None
    words = f"a HubSpot task is about one of {' and '.join(TYPES)}, not about {object_name or 'nothing'} {about or ''}"
    return Outcome(change.record, Status.REFUSED, "INVALID_TASK", words.rstrip())


def _gone(change: Change) -> Outcome:
    return Outcome(change.record, Status.GONE, NOT_FOUND, "the record that the task is about does not exist any more")


def _owner(row: Mapping[str, object]) -> str | None:
    properties = row.get("properties")
    return (text(properties.get(OWNER)) or None) if isinstance(properties, dict) else None


def _names(trouble: Trouble, row: _Row) -> bool:
    return row.key in trouble.ids or row.record in trouble.ids


def _about_owner(trouble: Trouble) -> bool:
    """Tell whether a refusal is about who shall get the task: a person who left stays the owner of records."""
    return OWNER in trouble.properties or "owner" in f"{trouble.code} {trouble.message}".lower()


def _instant(given: str) -> str:
    """Write an instant as HubSpot reads it back, without more digits than it keeps; what is none, it must refuse."""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        return given
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
