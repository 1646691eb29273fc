"""The records of one Salesforce object in memory, with the two orders that keyset reading needs: by id, and by
(SystemModstamp, id). It checks nothing and locks nothing: the store does both."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from engage_sync.sandbox.salesforce_fields import FieldDef, ObjectDef

Bound = tuple[float, str]
"""A place in the order by (SystemModstamp, id): epoch seconds and an id."""
Getter = Callable[["Record"], object]


class Edit(NamedTuple):
    """One change of one value. `at` is epoch seconds; `by` the name of a person, or of the integration."""

    at: int
    by: str
    field: str
    before: object
    after: object


class Record:
    """One record. `values` holds only what is set; instants are epoch seconds; `creator` and `editor` are user ids."""

    __slots__ = ("changes", "created", "creator", "deleted", "editor", "id", "master", "modified", "stamp", "values")

    def __init__(self, number: str, values: dict[str, object], now: int, user: str) -> None:
        self.id = number
        self.values = values
        self.created = self.modified = self.stamp = now
        self.creator = self.editor = user
        self.deleted = False
        self.master: str | None = None
        self.changes: list[tuple[int, str, tuple[tuple[str, object, object], ...]]] = []

    def edits(self) -> list[Edit]:
        """Give the changes one by one, oldest first."""
        return [Edit(at, by, *change) for at, by, changes in self.changes for change in changes]


KEPT: dict[str, Getter] = {
    "Id": attrgetter("id"),
    "IsDeleted": attrgetter("deleted"),
    "MasterRecordId": attrgetter("master"),
    "CreatedDate": attrgetter("created"),
    "CreatedById": attrgetter("creator"),
    "LastModifiedDate": attrgetter("modified"),
    "LastModifiedById": attrgetter("editor"),
    "SystemModstamp": attrgetter("stamp"),
}
"""The fields that a record keeps beside its values."""


def getter(field: FieldDef) -> Getter:
    """Give the function that reads a field of a record: set values, what the org keeps, formulas, unset checkboxes."""
    if field.name in KEPT:
        return KEPT[field.name]
    name, formula = field.name, field.formula
    if formula is not None:
        return lambda record: formula(record.values)
    if field.type == "boolean":
        return lambda record: record.values.get(name, False)
    return lambda record: record.values.get(name)


class Shelf:
    """All records of one object, deleted ones too. `unique` maps a field's values to the id of the live owner."""

    def __init__(self, type_: ObjectDef) -> None:
        self.type = type_
        self.records: dict[str, Record] = {}
        self.order: list[str] = []
        self.unique: dict[str, dict[object, str]] = {f.name: {} for f in type_.fields.values() if f.unique}
        self.purged: dict[str, int] = {}
        """Id → when it was removed for good, in epoch seconds: `/deleted/` goes on telling of it."""
        self.next_number = 1
        self._stamps: list[int] = []
        self._buckets: dict[int, list[str]] = {}
        self._unsorted: set[int] = set()
        self._entries = 0

    def live(self) -> list[Record]:
        """Give the records that are not deleted, by id."""
        records = self.records
        return [record for record in map(records.__getitem__, self.order) if not record.deleted]

    def add(self, record: Record) -> None:
        """Put a new record in; its id is greater than all others."""
        self.records[record.id] = record
        self.order.append(record.id)
        self._file(record)
        if self.unique:
            self.claim(record)

    def remove(self, record: Record) -> None:
        """Take a record away for good."""
        self.release(record)
        del self.records[record.id]
        del self.order[bisect_left(self.order, record.id)]

    def restamp(self, record: Record, now: int) -> None:
        """Move a record's SystemModstamp."""
        if record.stamp != now:
            record.stamp = now
            self._file(record)

    def claim(self, record: Record) -> None:
        """Enter a record's unique values."""
        for name, owners in self.unique.items():
            value = record.values.get(name)
            if value is not None:
                owners[key(self.type.fields[name], value)] = record.id

    def release(self, record: Record) -> None:
        """Give a record's unique values back."""
        for name, owners in self.unique.items():
            value = record.values.get(name)
            held = key(self.type.fields[name], value)
            if value is not None and owners.get(held) == record.id:
                del owners[held]

    def by_id(self, low: str = "", high: str | None = None) -> Iterator[Record]:
        """Give the records from id `low` (included) to `high` (included), by id."""
        end = len(self.order) if high is None else bisect_right(self.order, high)
        return map(self.records.__getitem__, self.order[bisect_left(self.order, low) : end])

    def by_stamp(self, low: Bound = (float("-inf"), ""), high: float = float("inf")) -> Iterator[Record]:
        """Give the records from `low` (included) to the second `high` (included), by (SystemModstamp, id)."""
        self._tidy()
        since, after = low
        get = self.records.get
        for second in self._stamps[bisect_left(self._stamps, since) : bisect_right(self._stamps, high)]:
            bucket = self._sorted(second)
            held = bucket[bisect_left(bucket, after) :] if second == since else bucket
            for record in map(get, held):
                if record is not None and record.stamp == second:
                    yield record

    def _file(self, record: Record) -> None:
        bucket = self._buckets.get(record.stamp)
        if bucket is None:
            bucket = self._buckets[record.stamp] = []
            insort(self._stamps, record.stamp)
        elif bucket and bucket[-1] >= record.id:
            self._unsorted.add(record.stamp)
        bucket.append(record.id)
        self._entries += 1

    def _sorted(self, second: int) -> list[str]:
        if second in self._unsorted:
            self._unsorted.discard(second)
            self._buckets[second] = sorted(set(self._buckets[second]))
        return self._buckets[second]

    def _tidy(self) -> None:
        """Forget places that records have left, when they have become many."""
        if self._entries <= 2 * len(self.records) + 1000:
            return
        self._stamps, self._buckets, self._unsorted, self._entries = [], {}, set(), 0
        for record in map(self.records.__getitem__, self.order):
            self._buckets.setdefault(record.stamp, []).append(record.id)
        self._stamps = sorted(self._buckets)
        self._entries = len(self.records)


def key(field: FieldDef, value: object) -> object:
    """Give what a unique value is compared by."""
    return value if field.case_sensitive or not isinstance(value, str) else value.lower()
