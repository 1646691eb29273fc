"""Writing Salesforce records by sObject Collections, 200 rows a call, an outcome for each row (crm-apis §B5).

A bad row refuses itself only. A call that is refused as a whole is taken apart until the culprit is alone; a row that
is not answered counts as failed; a deleted record is looked up: merged into another (which is then written) or gone.
Records are named by their 18-character ids here. It never waits, and what it creates is its caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from engage_sync.connectors.base import CallKind, Change, Outcome, Status
from engage_sync.connectors.replies import SHORT, senseless
from engage_sync.connectors.salesforce_errors import CallRefused, Trouble
from engage_sync.connectors.salesforce_fields import Shape, wire
from engage_sync.connectors.salesforce_find import look_up
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_rows import Fate, Said, aligned, fate, sentence

BATCH = 200
PATH = "composite/sobjects"
ALLOW_DUPLICATES = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
"""The records exist: a duplicate rule of the org has nothing to say about them (crm-apis §B5)."""
_ROWS_FAULT = frozenset({400, 413})
"""Statuses of a whole call that one of its rows may have caused."""
ENOUGH = 40
"""Refused calls in a row after which the fault is not looked for in single rows any more: all rows are meant."""
_NOT_ROWS_FAULT = frozenset({"UNSUPPORTED_API_VERSION", "INVALID_TYPE"})

Judged = tuple[Change, tuple[Trouble, ...]]
Row = TypeVar("Row")
Told = list[tuple[Row, Said]]
"""The rows of one call, each with what its answer says of it."""


class Collection(Generic[Row]):
    """Rows on their way into calls of one kind. `record` gives the JSON of a row, `read` what an answer's results say
    of rows; `strange` tells the rows that are suspected first when a call is refused as a whole."""

    def __init__(
        self,
        http: Transport,
        method: str,
        record: Callable[[Row], Mapping[str, object]],
        read: Callable[[Sequence[Row], Sequence[object]], Iterable[Said]],
        *,
        headers: Mapping[str, str] | None = None,
        strange: Callable[[Row], bool] = lambda _: False,
    ) -> None:
        self._http, self._method, self._headers = http, method, headers
        self._record, self._read, self._strange = record, read, strange
        self._in_a_row = 0

    def send(self, rows: Sequence[Row]) -> Iterator[Told[Row]]:
        """Send rows, 200 a call, and give each once. Raises CallRefused where no row is to blame."""
        for start in range(0, len(rows), BATCH):
            yield from self._call(rows[start : start + BATCH])

    def _call(self, rows: Sequence[Row]) -> Iterator[Told[Row]]:
        body = {"allOrNone": False, "records": [self._record(row) for row in rows]}
        try:
            answer = self._http.send(self._method, PATH, body, kind=CallKind.WRITE, headers=self._headers)
        except CallRefused as refused:
            if refused.status not in _ROWS_FAULT or refused.code in _NOT_ROWS_FAULT:
                raise
            yield from self._apart(rows, refused)
            return
        if not isinstance(answer, list | None):  # the client gives None for an empty list
            raise senseless("Salesforce answered a write with something other than a list", str(answer)[:SHORT])
        self._in_a_row = 0
        yield list(zip(rows, self._read(rows, answer or []), strict=True))

    def _apart(self, rows: Sequence[Row], refused: CallRefused) -> Iterator[Told[Row]]:
        """Send the rows of a refused call in two calls: the suspects and the others, or else halves."""
        self._in_a_row += 1 if len(rows) > 1 else 0
        if len(rows) == 1 or self._in_a_row > ENOUGH:
            said = Said(written=False, troubles=refused.troubles or (Trouble(None, str(refused)),))
            yield [(row, said) for row in rows]
            return
        parts = [row for row in rows if self._strange(row)], [row for row in rows if not self._strange(row)]
        for part in parts if all(parts) else (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            yield from self._call(part)


class Writing:
    """One push to one object. No record is written twice in it, however many lead to it."""

    def __init__(self, http: Transport, shape: Shape, asked: Iterable[str]) -> None:
        self._http, self._shape = http, shape
        self._taken = set(asked)
        attributes = {"type": shape.object}
        self._calls: Collection[Change] = Collection(
            http,
            "PATCH",
            lambda row: {"attributes": attributes, "id": row.record, **wire(row.values, shape)},
            lambda rows, answer: aligned([row.record for row in rows], answer),
            headers=ALLOW_DUPLICATES,
            strange=self._strange,
        )

    def write(self, rows: Sequence[Change]) -> Iterator[Outcome]:
        """Write rows with different ids and give one outcome for each."""
        for told in self._calls.send(rows):
            yield from (Outcome(row.record, Status.WRITTEN) for row, said in told if said.written)
            yield from self.judge((row, said.troubles) for row, said in told if not said.written)

    def judge(self, refused: Iterable[Judged]) -> Iterator[Outcome]:
        """Give the outcomes of rows that were answered with errors."""
        lost: list[Judged] = []
        for row, said in refused:
            match fate(said):
                case Fate.LOST:
                    lost.append((row, said))
                case Fate.LATER:
                    yield self._outcome(row, Status.FAILED, said)
                case Fate.REFUSED:
                    yield self._outcome(row, Status.REFUSED, said)
        if lost:
            yield from self._lost(lost)

    def _strange(self, row: Change) -> bool:
        """Tell whether a row holds text for a field that is no text: JSON of the wrong type sinks a whole call."""
        sent = wire(row.values, self._shape)
        return any(
            isinstance(value, str) and (field := self._shape.fields.get(name)) is not None and field.native in _NO_TEXT
            for name, value in sent.items()
        )

    def _lost(self, rows: Sequence[Judged]) -> Iterator[Outcome]:
        """Find out what became of records that Salesforce does not know: write the survivor of a merge once.

        Two changes that reach one survivor were planned for two records; the first wins, the next plan sorts it out.
        A converted lead has become a contact, which is another object's business.
        """
        found = look_up(self._http, self._shape, [row.record for row, _ in rows])
        gone = set(found.gone)
        onward: dict[str, Change] = {}
        for row, said in rows:
            survivor = found.merged.get(row.record)
            if survivor is None and row.record in gone:
                yield Outcome(row.record, Status.GONE, said[0].code, "the record does not exist any more")
            elif survivor is None:
                live = Status.FAILED if said[0].code == "ENTITY_IS_DELETED" else Status.REFUSED
                yield self._outcome(row, live, said)
            elif survivor[:3] != row.record[:3]:
                words = f"the lead was converted to the contact {survivor}, which takes changes in its place"
                yield Outcome(row.record, Status.GONE, said[0].code, words)
            elif survivor in self._taken:
                words = f"merged into {survivor}, which another change has reached"
                yield Outcome(row.record, Status.GONE, "MERGED", words, moved_to=survivor)
            else:
                self._taken.add(survivor)
                onward[survivor] = row
        for end in self.write([Change(survivor, row.values) for survivor, row in onward.items()]):
            yield replace(end, record=onward[end.record].record, moved_to=end.moved_to or end.record)

    def _outcome(self, row: Change, status: Status, said: tuple[Trouble, ...]) -> Outcome:
        return Outcome(row.record, status, said[0].code, sentence(said, self._shape.object))


_NO_TEXT = frozenset({"boolean", "int", "long", "double", "currency", "percent"})
