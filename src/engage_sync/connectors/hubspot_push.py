"""Writing HubSpot records: batch updates with one outcome for each record, whatever the batch as a whole does (§A7).

HubSpot refuses 100 rows for one bad one, and answers some batches without naming all rows. So rows are matched by id,
a refused batch is split until the culprit is alone, a row without an answer counts as failed, and an unknown id is
looked up: merged into another record (which is then written) or gone. It never creates a record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from engage_sync.connectors.base import CallKind, Change, Kind, Outcome, Status
from engage_sync.connectors.hubspot_errors import NOT_FOUND, CallRefused, Trouble, troubles
from engage_sync.connectors.hubspot_http import API, Answer, Transport
from engage_sync.connectors.hubspot_read import MERGED, look_up, merged_ids
from engage_sync.connectors.replies import text

NO_PROPERTY = "PROPERTY_DOESNT_EXIST"
NO_ANSWER = Trouble("NO_ANSWER", "HubSpot's answer says nothing of this record")
LATER = {"RATE_LIMIT", "RATE_LIMITS", "INTERNAL_ERROR", "SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "LOCKED"}
SPLITTABLE = {400, 404, 409, 413}
"""Statuses of a whole batch that one of its rows may have caused."""


def push(http: Transport, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
    """Write up to 100 changes. A record that comes twice is sent once, with the later values winning."""
    yield from once_each(changes, lambda rows: _Batch(http, kind.object, [row.record for row in rows]).write(rows))


def once_each(changes: Sequence[Change], write: Callable[[Sequence[Change]], Iterator[Outcome]]) -> Iterator[Outcome]:
    """Write changes so that no record comes twice, and give each of its changes the record's outcome."""
    copies = Counter(change.record for change in changes)
    rows: dict[str, Change] = {}
    for change in changes:
        earlier = rows.get(change.record)
        values = {**earlier.values, **change.values} if earlier else change.values
        rows[change.record] = Change(change.record, values)
    for outcome in write(list(rows.values())):
        for _ in range(copies[outcome.record]):
            yield outcome


class _Batch:
    """One push: what was learned from earlier answers helps with the rows that are left."""

    def __init__(self, http: Transport, object_name: str, asked: Iterable[str]) -> None:
        self._http, self._object = http, object_name
        self._taken = set(asked)
        self._bad_values: dict[tuple[str, str | None], Trouble] = {}

    def write(self, rows: Sequence[Change], *, guess: bool = True) -> Iterator[Outcome]:
        """Write rows with different ids and give one outcome for each. `guess` whom a refusal is about, else halve."""
        rows, known = self._sift(rows)
        for row, trouble in known:
            yield outcome_of(row, Status.REFUSED, trouble, None)
        if not rows:
            return
        inputs = [
            {"id": row.record, "properties": {name: value or "" for name, value in row.values.items()}} for row in rows
        ]
        path = f"/crm/{API}/objects/{self._object}/batch/update"
        try:
            answer = self._http.send("POST", path, {"inputs": inputs}, kind=CallKind.WRITE)
        except CallRefused as refused:
            if not may_split(refused):
                raise
            yield from self._refused(rows, refused, guess=guess)
        else:
            yield from self._answered(rows, answer)

    def _sift(self, rows: Sequence[Change]) -> tuple[Sequence[Change], list[tuple[Change, Trouble]]]:
        """Set apart the rows that hold a value refused before: asking again would split the batch again."""
        if not self._bad_values:
            return rows, []
        bad = {
            row.record: trouble
            for row in rows
            for pair in row.values.items()
            if (trouble := self._bad_values.get(pair)) is not None
        }
        return [row for row in rows if row.record not in bad], [(r, bad[r.record]) for r in rows if r.record in bad]

    def _refused(self, rows: Sequence[Change], refused: CallRefused, *, guess: bool) -> Iterator[Outcome]:
        """Deal with the rows that a refusal of a whole batch is about, and write the others."""
        unknown = {name for trouble in refused.troubles if trouble.code == NO_PROPERTY for name in trouble.properties}
        if guilty := [row for row in rows if unknown & row.values.keys()]:
            yield from self._without_property(guilty, unknown, refused)
        elif guilty := self._named(rows, [t for t in refused.troubles if t.about_no_record()]):
            yield from self._missing(guilty)
        elif len(rows) == 1:
            yield self._culprit(rows[0], refused)
            return
        else:
            suspects = self._suspects(rows, refused) if guess else []
            guilty = suspects or list(rows[: len(rows) // 2])
            found = False
            for outcome in self.write(guilty, guess=guess):
                found = found or outcome.status is Status.REFUSED
                yield outcome
            guess = guess and (found or not suspects)
        done = {row.record for row in guilty}
        yield from self.write([row for row in rows if row.record not in done], guess=guess)

    def _culprit(self, row: Change, refused: CallRefused) -> Outcome:
        trouble = next(iter(refused.troubles), Trouble(refused.code, refused.message))
        if trouble.code is not None and trouble.code.startswith("INVALID_"):
            self._bad_values.update(
                {(name, row.values[name]): trouble for name in trouble.properties if name in row.values}
            )
        return outcome_of(row, Status.REFUSED, trouble, refused.request)

    def _suspects(self, rows: Sequence[Change], refused: CallRefused) -> list[Change]:
        """Guess which rows caused the refusal, to split there first. Empty when the guess is all rows or none.

        It is the rows that are named by id, else those with the value that the message names first: HubSpot's words
        are `VALUE was not one of the allowed options: […]`.
        """
        named = self._named(rows, refused.troubles)
        if not named:
            words = " ".join(filter(None, [*(trouble.message for trouble in refused.troubles), refused.message]))
            blamed = {name for trouble in refused.troubles for name in trouble.properties}
            parts = {row.record: _parts(row, blamed) for row in rows}
            places = {part: place for part in set().union(*parts.values()) if (place := words.find(part)) >= 0}
            first = min(places, key=lambda part: (places[part], -len(part)), default=None)
            named = [row for row in rows if first in parts[row.record]]
        return named if len(named) < len(rows) else []

    @staticmethod
    def _named(rows: Sequence[Change], blames: Iterable[Trouble]) -> list[Change]:
        ids = {one for trouble in blames for one in trouble.ids}
        return [row for row in rows if row.record in ids]

    def _without_property(self, rows: Sequence[Change], names: set[str], refused: CallRefused) -> Iterator[Outcome]:
        """Refuse rows with an unknown property, unless it exists by now: a new one takes a moment to be writable."""
        there = {name for name in names if self._exists(name)}
        for row in rows:
            absent = sorted((names & row.values.keys()) - there)
            words = f"{refused.message or 'unknown property'}" + (f" ({', '.join(absent)})" if absent else "")
            yield outcome_of(
                row, Status.REFUSED if absent else Status.FAILED, Trouble(NO_PROPERTY, words), refused.request
            )

    def _exists(self, name: str) -> bool:
        try:
            self._http.get(f"/crm/{API}/properties/{self._object}/{name}")
        except CallRefused:
            return False
        return True

    def _answered(self, rows: Sequence[Change], answer: Answer) -> Iterator[Outcome]:
        """Give an outcome to each row that the answer names, and find out about the others."""
        left = {row.record: row for row in rows}
        strange: list[Mapping[str, object]] = []
        for result in answer.rows_if_any():
            if (asked := left.pop(str(result.get("id")), None)) is None:
                strange.append(result)
            else:
                yield _written(asked, result, answer.request)
        for loser, survivor in self._moved(strange, left):
            yield _written(loser, survivor, answer.request, moved_to=str(survivor.get("id")))
        lost: list[Change] = []
        nameless: list[Trouble] = []
        for trouble in troubles(answer.body):
            if not trouble.ids:
                nameless.append(trouble)
            for row in [left.pop(one) for one in trouble.ids if one in left]:
                if trouble.about_no_record():
                    lost.append(row)
                else:
                    yield outcome_of(row, status_of(trouble), trouble, answer.request)
        yield from self._missing(lost)
        yield from self._unanswered(list(left.values()), nameless, answer)

    def _moved(
        self, strange: Sequence[Mapping[str, object]], left: dict[str, Change]
    ) -> list[tuple[Change, Mapping[str, object]]]:
        """Match results for ids that were not asked for: records that asked ones were merged into."""
        if not strange or not left:
            return []
        survivors = look_up(self._http, self._object, [str(row.get("id")) for row in strange], [MERGED])
        was = {str(survivor.get("id")): merged_ids(survivor) for survivor in survivors.rows}
        pairs = []
        for result in strange:
            old = next((one for one in was.get(str(result.get("id")), []) if one in left), None)
            if old is not None:
                pairs.append((left.pop(old), result))
        return pairs

    def _unanswered(self, rows: Sequence[Change], nameless: Sequence[Trouble], answer: Answer) -> Iterator[Outcome]:
        """Deal with rows that the answer does not name: an error without ids is about one of them."""
        if nameless and len(rows) > 1:
            half = len(rows) // 2
            yield from self.write(rows[:half])
            yield from self.write(rows[half:])
            return
        for row in rows:
            trouble = nameless[0] if nameless else NO_ANSWER
            if trouble.about_no_record():
                yield from self._missing([row])
            else:
                yield outcome_of(row, status_of(trouble), trouble, answer.request)

    def _missing(self, rows: Sequence[Change]) -> Iterator[Outcome]:
        """Find out what became of ids that HubSpot does not know: write the survivor of a merge, else the row is gone.

        Two changes that reach one survivor were planned for two records; the first wins, the next plan sorts it out.
        """
        if not rows:
            return
        found = look_up(self._http, self._object, [row.record for row in rows], [MERGED])
        gone = set(found.gone)
        for row in rows:
            survivor = found.merged.get(row.record)
            if survivor is None and row.record in gone:
                yield Outcome(row.record, Status.GONE, NOT_FOUND, "the record does not exist any more")
            elif survivor is None:
                yield Outcome(row.record, Status.FAILED, NOT_FOUND, "HubSpot did not find the record, but reads it")
            elif survivor in self._taken:
                words = f"merged into {survivor}, which another change has reached"
                yield Outcome(row.record, Status.GONE, "MERGED", words, moved_to=survivor)
            else:
                self._taken.add(survivor)
                for end in self.write([Change(survivor, row.values)]):
                    yield replace(end, record=row.record, moved_to=end.moved_to or survivor)


def _parts(row: Change, names: set[str]) -> set[str]:
    """Give the values of a row, those of several options one by one; of the named properties if any are named."""
    values = [value for name, value in row.values.items() if value and (name in names or not names)]
    return {part for value in values for part in (value, *value.split(";")) if part}


def may_split(refused: CallRefused) -> bool:
    """Tell whether one row may be why a whole batch was refused; else the call itself was wrong."""
    return refused.status in SPLITTABLE and (refused.status != 404 or refused.code is not None)


def status_of(trouble: Trouble) -> Status:
    """Give how a record ends that an answer says this of."""
    later = LATER & {trouble.code, trouble.category} or trouble is NO_ANSWER
    return Status.FAILED if later else Status.REFUSED


def outcome_of(row: Change, status: Status, trouble: Trouble, request: str | None) -> Outcome:
    """Give the outcome of a change that was not made, in HubSpot's words."""
    return Outcome(row.record, status, trouble.code, trouble.message, request)


def _written(row: Change, result: Mapping[str, object], request: str | None, *, moved_to: str | None = None) -> Outcome:
    properties = result.get("properties")
    told = properties if isinstance(properties, dict) else {}
    values = {name: told[name] or None for name in row.values if name in told}
    stamp = text(result.get("updatedAt"))
    return Outcome(row.record, Status.WRITTEN, request=request, values=values, moved_to=moved_to, updated_at=stamp)
