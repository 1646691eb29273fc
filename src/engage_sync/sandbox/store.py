"""The records of one pretend CRM, without HTTP: create, update, archive, restore, merge, erase, and who changed what.
Thread-safe. Every change moves the record's last-modified instant, whoever made it. It knows no request and no wire
form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime

from engage_sync.sandbox import catalog
from engage_sync.sandbox.checks import Prepared, claim, complete, prepare, prepare_many
from engage_sync.sandbox.merging import merged
from engage_sync.sandbox.properties import ObjectType
from engage_sync.sandbox.refusal import Refused, not_found
from engage_sync.sandbox.shelf import Edit, Record, Shelf
from engage_sync.sandbox.ties import TASKS, Ties
from engage_sync.sandbox.values import instant, milliseconds

PERSON = "CRM_UI"
"""The source of an edit by hand; `CRM_UI:Dana Weber` names the person."""
INTEGRATION = "INTEGRATION"
IMPORT = "IMPORT"
MERGE = "MERGE_OBJECTS"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A record at one moment. `values` holds only what is set; instants are ISO 8601 with milliseconds."""

    id: str
    values: Mapping[str, str]
    created: str
    modified: str
    archived: bool


class Store:
    """One CRM account's records.

    `clock` gives aware instants. `lag` is how many seconds the search index trails. With `merge_mints_id` false a merge
    keeps the winner's id (HubSpot has portals of both sorts, crm-apis §A10). `former_owners` are owner ids of people
    who left: records keep them, a new record cannot be given to them.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lag: float = 0.0,
        merge_mints_id: bool = True,
        types: Mapping[str, ObjectType] | None = None,
    ) -> None:
        self.clock = clock
        self.lag = lag
        self.merge_mints_id = merge_mints_id
        self.lock = threading.RLock()
        self._shelves = {t.name: Shelf(t, next_id=t.first_id) for t in (types or catalog.objects()).values()}
        self._employers: dict[int, int] = {}
        self._ties = Ties()
        self.former_owners: set[str] = set()

    # -- reading

    @property
    def types(self) -> Mapping[str, ObjectType]:
        """Give the objects by name, with their properties."""
        return {name: shelf.type for name, shelf in self._shelves.items()}

    def type(self, object_: str) -> ObjectType:
        """Give one object's definition. Raises Refused for an unknown object."""
        return self.shelf(object_).type

    def shelf(self, object_: str) -> Shelf:
        """Give the records of one object; hold `lock` while reading it."""
        if object_ not in self._shelves:
            raise Refused(f"Unable to infer object type from: {object_}")
        return self._shelves[object_]

    def now(self) -> int:
        """Give the clock's epoch milliseconds."""
        return milliseconds(self.clock())

    def ids(self, object_: str, *, archived: bool = False) -> list[str]:
        """Give the ids of all live (or all archived) records."""
        with self.lock:
            shelf = self.shelf(object_)
            return [str(record.id) for record in (shelf.in_bin() if archived else shelf.live())]

    def get(self, object_: str, record: str) -> Snapshot | None:
        """Give a record, archived ones too, following merges; None when it never was or was erased."""
        with self.lock:
            found = self._find(self.shelf(object_), record)
            return None if found is None else _snapshot(found)

    def values(self, object_: str, record: str) -> dict[str, str]:
        """Give the set values of a live record. Raises Refused (404) when there is none."""
        with self.lock:
            return dict(self.need(object_, record).values)

    def find(self, object_: str, name: str, value: str) -> str | None:
        """Give the id of the live record that holds a unique value (an e-mail or a further address too), or None."""
        with self.lock:
            owner = self.shelf(object_).owner(name, value)
            return None if owner is None else str(owner)

    def edits(self, object_: str, record: str) -> list[Edit]:
        """Give what was changed on a record, oldest first; values it was created with are not edits."""
        with self.lock:
            return list(self.need(object_, record, archived=None).edits or ())

    def need(self, object_: str, record: str, *, archived: bool | None = False) -> Record:
        """Give the record itself, following merges; `archived` None takes both. Raises Refused (404)."""
        found = self._find(self.shelf(object_), record)
        if found is None or (archived is not None and (found.archived is not None) != archived):
            raise not_found()
        return found

    # -- changing

    def create(self, object_: str, values: Mapping[str, str], *, source: str = PERSON) -> str:
        """Create a record and give its id. Raises Refused: invalid values (400), an e-mail that exists (409)."""
        with self.lock:
            return str(self.insert(object_, prepare(self.shelf(object_), None, values), source).id)

    def create_many(self, object_: str, rows: Iterable[Mapping[str, str]], *, source: str = IMPORT) -> list[str]:
        """Create many records quickly, as an import does: read-only values (createdate, the last-modified property,
        hs_additional_emails) may be given. Raises Refused before anything is created."""
        with self.lock:
            shelf, now = self.shelf(object_), self.now()
            text = instant(now)
            made = [
                self._new(shelf, values, source, created or now, modified or now, text)
                for values, created, modified in prepare_many(shelf, rows)
            ]
            shelf.put_many(made)
            return [str(record.id) for record in made]

    def update(self, object_: str, record: str, values: Mapping[str, str], *, source: str = PERSON) -> str:
        """Change values of a live record (`""` clears) and give the id it has now. Raises Refused, changing nothing."""
        with self.lock:
            found = self.need(object_, record)
            self.apply(object_, found, prepare(self.shelf(object_), found, values), source)
            return str(found.id)

    def archive(self, object_: str, record: str) -> None:
        """Put a record into the recycle bin; one that is not there, or already in it, stays as it is."""
        with self.lock:
            shelf = self.shelf(object_)
            found = self._find(shelf, record)
            if found is not None and found.archived is None:
                self._note(shelf, found)
                shelf.shelve(found, self.now())

    def restore(self, object_: str, record: str) -> None:
        """Take a record out of the recycle bin. Raises Refused: not there (404), its unique values are taken (409)."""
        with self.lock:
            shelf, found = self.shelf(object_), self.need(object_, record, archived=True)
            claim(shelf, found, found.values)
            self._note_new(shelf, found.id)
            shelf.shelve(found, None)
            shelf.stamp(found, self.now())

    def merge(self, object_: str, winner: str, loser: str, *, source: str = MERGE) -> str:
        """Merge two live records and give the survivor's id, a new one; both old ids lead to it from now on."""
        if object_ == TASKS:
            raise Refused("Merging is not supported for object type TASK.")
        with self.lock:
            shelf, first, second = self.shelf(object_), self.need(object_, winner), self.need(object_, loser)
            if first is second:
                raise Refused("Cannot merge a record with itself.")
            number = shelf.new_id() if self.merge_mints_id else first.id
            survivor = merged(shelf, first, second, now=self.now(), source=source, number=number)
            self._note(shelf, first)
            self._note(shelf, second)
            if number != first.id:
                self._note_new(shelf, number)
            shelf.remove(first)
            shelf.remove(second)
            shelf.put(survivor)
            shelf.moved.update({old: number for old in (first.id, second.id) if old != number})
            self._repoint(object_, (first.id, second.id), number)
            self._ties.move(object_, (first.id, second.id), number)
            return str(number)

    def erase(self, object_: str, record: str) -> None:
        """Delete a record for good, as a privacy request does; live or archived. One that is not there stays so."""
        with self.lock:
            shelf = self.shelf(object_)
            found = self._find(shelf, record)
            if found is not None:
                shelf.remove(found)
                shelf.stale.pop(found.id, None)
                self._ties.drop((object_, found.id))

    def employ(self, contact: str, company: str) -> None:
        """Make a company the primary one of a contact."""
        with self.lock:
            person, firm = self.need("contacts", contact), self.need("companies", company)
            self._employers[person.id] = firm.id
            person.values["associatedcompanyid"] = str(firm.id)

    def employer(self, contact: str) -> str | None:
        """Give the live primary company of a contact, or None."""
        with self.lock:
            return self._employer(self.need("contacts", contact, archived=None).id)

    def employees(self, company: str) -> list[str]:
        """Give the live contacts of a company, by id."""
        with self.lock:
            firm = str(self.need("companies", company, archived=None).id)
            return [str(r.id) for r in self.shelf("contacts").live() if self._employer(r.id) == firm]

    def associate(self, task: str, object_: str, record: str) -> None:
        """Let a live task be about a live contact or company. Raises Refused (404)."""
        with self.lock:
            self._ties.tie(self.need(TASKS, task).id, (object_, self.need(object_, record).id))

    def tasks(self, object_: str, record: str) -> list[Snapshot]:
        """Give the live tasks about a contact or company, by id, following merges. Raises Refused (404)."""
        with self.lock:
            shelf, end = self.shelf(TASKS), (object_, self.need(object_, record, archived=None).id)
            found = [shelf.records[task] for task in sorted(self._ties.tasks(end))]
            return [_snapshot(task) for task in found if task.archived is None]

    def about(self, task: str) -> list[tuple[str, str]]:
        """Give the live records that a task is about, as object and id. Raises Refused (404)."""
        with self.lock:
            ends = self._ties.about(self.need(TASKS, task, archived=None).id)
            return [(name, str(i)) for name, i in ends if self.shelf(name).records[i].archived is None]

    @contextmanager
    def pretending(self) -> Iterator[None]:
        """Undo all that is done to records within, as if it had never been; ids given away stay given away."""
        with self.lock:
            kept = {name: shelf.copy() for name, shelf in self._shelves.items()}
            employers, ties = dict(self._employers), deepcopy(self._ties)
            try:
                yield
            finally:
                for name, shelf in kept.items():
                    shelf.next_id = self._shelves[name].next_id
                self._shelves, self._employers, self._ties = kept, employers, ties

    # -- for the dialects, which check whole batches before they change anything; hold `lock`

    def insert(self, object_: str, values: Prepared, source: str) -> Record:
        """Create one record from checked values."""
        shelf, now = self.shelf(object_), self.now()
        complete(shelf, values, self.former_owners)
        claim(shelf, None, values)
        record = self._new(shelf, {k: v for k, v in values.items() if v is not None}, source, now, now, instant(now))
        self._note_new(shelf, record.id)
        shelf.put(record)
        return record

    def apply(self, object_: str, record: Record, values: Prepared, source: str) -> None:
        """Change one live record by checked values; a value that stays is no edit, but the record counts as touched."""
        shelf, now = self.shelf(object_), self.now()
        claim(shelf, record, values)
        self._note(shelf, record)
        shelf.unindex(record)
        for name, after in values.items():
            before = record.values.get(name)
            if before == after:
                continue
            record.edits = record.edits if record.edits is not None else []
            record.edits.append(Edit(now, source, name, before, after))
            if after is None:
                del record.values[name]
            else:
                record.values[name] = after
        shelf.index(record)
        shelf.stamp(record, now)

    # -- inside

    def _find(self, shelf: Shelf, record: str) -> Record | None:
        return shelf.records.get(shelf.resolve(int(record))) if record.isascii() and record.isdigit() else None

    def _new(self, shelf: Shelf, values: dict[str, str], source: str, created: int, modified: int, text: str) -> Record:
        record = Record(shelf.new_id(), values, created, modified, source)
        values.setdefault("createdate", text)
        values.setdefault(shelf.type.modified, text)
        values["hs_object_id"] = str(record.id)
        return record

    def _note(self, shelf: Shelf, record: Record) -> None:
        if self.lag:
            shelf.note(record.id, record.copy(), self.now() + int(self.lag * 1000))

    def _note_new(self, shelf: Shelf, number: int) -> None:
        if self.lag:
            shelf.note(number, None, self.now() + int(self.lag * 1000))

    def _employer(self, contact: int) -> str | None:
        companies = self._shelves["companies"]
        firm = companies.records.get(companies.resolve(self._employers.get(contact, 0)))
        return None if firm is None or firm.archived is not None else str(firm.id)

    def _repoint(self, object_: str, old: tuple[int, int], new: int) -> None:
        if object_ == "contacts":
            firms = [self._employers.pop(contact, None) for contact in old]
            firm = firms[0] or firms[1]
            if firm is not None:
                self._employers[new] = firm
        elif object_ == "companies":
            people = self._shelves["contacts"].records
            for contact in [contact for contact, firm in self._employers.items() if firm in old]:
                self._employers[contact] = new
                if contact in people:
                    people[contact].values["associatedcompanyid"] = str(new)


def _snapshot(record: Record) -> Snapshot:
    archived = record.archived is not None
    return Snapshot(str(record.id), dict(record.values), instant(record.created), instant(record.modified), archived)
