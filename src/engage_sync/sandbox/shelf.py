"""The records of one CRM object in memory, with the indexes that make paging and look-ups quick. It checks nothing and
locks nothing: the store does both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from engage_sync.sandbox.properties import ObjectType
from engage_sync.sandbox.values import instant


class Edit(NamedTuple):
    """One change of one value. `at` is epoch milliseconds; `source` says who: `CRM_UI:Dana`, `INTEGRATION:engage`."""

    at: int
    source: str
    property: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class Record:
    """One record. `values` holds only what is set; instants are epoch milliseconds."""

    id: int
    values: dict[str, str]
    created: int
    modified: int
    source: str
    archived: int | None = None
    edits: list[Edit] | None = None

    def copy(self) -> Record:
        """Give a copy whose values no later change reaches."""
        return replace(self, values=dict(self.values), edits=list(self.edits or ()))


@dataclass(slots=True)
class Shelf:
    """All records of one object. `moved` maps a merged-away id to its survivor; `unique` maps values to record ids."""

    type: ObjectType
    records: dict[int, Record] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    unique: dict[str, dict[str, int]] = field(default_factory=dict)
    archived: set[int] = field(default_factory=set)
    stale: dict[int, list[tuple[int, Record | None]]] = field(default_factory=dict)
    """Record id → (instant the index catches up, the record before that change or None for a new one), oldest first."""
    next_id: int = 1
    _live: list[Record] | None = None

    def copy(self) -> Shelf:
        """Give a copy that no later change of records reaches; the object's definition is the same."""
        return replace(
            self,
            records={number: record.copy() for number, record in self.records.items()},
            moved=dict(self.moved),
            unique={name: dict(held) for name, held in self.unique.items()},
            archived=set(self.archived),
            stale={number: list(waiting) for number, waiting in self.stale.items()},
            _live=None,
        )

    def resolve(self, record: int) -> int:
        """Follow merges to the surviving id."""
        while record in self.moved:
            record = self.moved[record]
        return record

    def new_id(self) -> int:
        """Give an id that was never used; ids only grow."""
        self.next_id += 1
        return self.next_id - 1

    def unique_names(self) -> list[str]:
        """Give the properties whose values belong to one live record only."""
        own = [p.name for p in self.type.properties.values() if p.unique and not p.archived]
        return ["email", *own] if "email" in self.type.properties else own

    def put(self, record: Record) -> None:
        """Add a record with the largest id so far."""
        self.records[record.id] = record
        self.index(record)
        if self._live is not None:
            self._live.append(record)

    def put_many(self, records: Sequence[Record]) -> None:
        """Add many new records at once."""
        self.records.update((record.id, record) for record in records)
        for name in self.unique_names():
            held = self.unique.setdefault(name, {})
            held.update((value, record.id) for record in records for value in unique_values(name, record.values))
        self._live = None

    def remove(self, record: Record) -> None:
        """Forget a record (merged away or erased)."""
        self.unindex(record)
        self.archived.discard(record.id)
        del self.records[record.id]
        self._live = None

    def shelve(self, record: Record, at: int | None) -> None:
        """Archive (an instant) or restore (None) a record."""
        record.archived = at
        if at is None:
            self.archived.discard(record.id)
            self.index(record)
        else:
            self.archived.add(record.id)
            self.unindex(record)
        self._live = None

    def index(self, record: Record) -> None:
        """Enter the unique values of a record."""
        for name in self.unique_names():
            for value in unique_values(name, record.values):
                self.unique.setdefault(name, {})[value] = record.id

    def unindex(self, record: Record) -> None:
        """Take the unique values of a record out."""
        for name in self.unique_names():
            held = self.unique.get(name, {})
            for value in unique_values(name, record.values):
                if held.get(value) == record.id:
                    del held[value]

    def owner(self, name: str, value: str) -> int | None:
        """Give the live record that holds a unique value, or None. Further e-mail addresses count as e-mail."""
        return self.unique.get(name, {}).get(value.strip().lower() if name == "email" else value)

    def live(self) -> list[Record]:
        """Give all records that are not archived, by id. Do not change the list."""
        if self._live is None:
            self._live = [self.records[i] for i in sorted(self.records.keys() - self.archived)]
        return self._live

    def in_bin(self) -> list[Record]:
        """Give the archived records, by id."""
        return [self.records[i] for i in sorted(self.archived)]

    def indexed(self, now: int) -> Iterable[Record]:
        """Give the live records as the search index sees them at `now`: changes too fresh for it do not show."""
        self._catch_up(now)
        return self._lagging() if self.stale else self.live()

    def note(self, record: int, before: Record | None, visible: int) -> None:
        """Keep what the search index still shows of a record until `visible`."""
        self.stale.setdefault(record, []).append((visible, before))

    def stamp(self, record: Record, at: int, text: str | None = None) -> None:
        """Set the instant of the last change."""
        record.modified = at
        record.values[self.type.modified] = text or instant(at)

    def _catch_up(self, now: int) -> None:
        for record, waiting in list(self.stale.items()):
            left = [entry for entry in waiting if entry[0] > now]
            if left:
                self.stale[record] = left
            else:
                del self.stale[record]

    def _lagging(self) -> Iterator[Record]:
        old = {record: waiting[0][1] for record, waiting in self.stale.items()}
        fresh = (record for record in self.live() if record.id not in old)
        return iter(sorted([*fresh, *(r for r in old.values() if r is not None)], key=lambda record: record.id))


def unique_values(name: str, values: dict[str, str]) -> list[str]:
    """Give what a record occupies of a unique property: its e-mail and further addresses, or its one value."""
    found = [values[name]] if name in values else []
    if name == "email" and "hs_additional_emails" in values:
        found += [part.strip().lower() for part in values["hs_additional_emails"].split(";") if part.strip()]
    return found
