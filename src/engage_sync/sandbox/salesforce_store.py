"""The records of one pretend Salesforce org, without HTTP: create, edit, delete, undelete, purge, merge, convert, who
changed what, and the tasks about a record; its fields, their visibility and its validation rules. Thread-safe. Every
write moves SystemModstamp, whole seconds, whoever made it. It knows no request and no wire form."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from engage_sync.sandbox import salesforce_catalog
from engage_sync.sandbox.salesforce_access import Access
from engage_sync.sandbox.salesforce_fields import FieldDef, ObjectDef
from engage_sync.sandbox.salesforce_ids import mint, normal
from engage_sync.sandbox.salesforce_refusal import refuse
from engage_sync.sandbox.salesforce_rows import Rows, no_twin
from engage_sync.sandbox.salesforce_shelf import Edit, Record, Shelf, getter, key
from engage_sync.sandbox.salesforce_tasks import hanging
from engage_sync.sandbox.salesforce_values import canonical, moment, python_value, seconds

PERSON = "Dana Weber"
"""Who edits when a test does not say."""
INTEGRATION = "Engage Sync"
ORG = mint("00D", 1)
USERNAME = "engage-sync@acme.example"

Rule = tuple[Callable[[Mapping[str, object]], bool], str]


class SalesforceStore:
    """One org's records. `clock` gives aware instants. With `field_security` false every field is visible at once.

    Values go in as Python: text, numbers, booleans, dates, aware datetimes, None or `""` for empty.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        org: str = ORG,
        username: str = USERNAME,
        field_security: bool = True,
        objects: Mapping[str, ObjectDef] | None = None,
    ) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.shelves = {one.name: Shelf(one) for one in (objects or salesforce_catalog.objects()).values()}
        self.org_id = normal(org) or ORG
        self.username = username
        self.rules: dict[str, list[Rule]] = {}
        self.locked: dict[str, int | None] = {}
        """Id of a record or of a parent account → how many more writes of such rows fail; None: all."""
        self.record_types: dict[str, Mapping[str, frozenset[str]]] = {}
        """Id of a record → field → the picklist values that its record type has."""
        self._users: dict[str, str] = {}
        self._getters: dict[str, dict[str, Callable[[Record], object]]] = {}
        self.user_id = mint("005", 1)
        self.access = Access(self.shelves, self.user_id, security=field_security)
        self._found(username)

    # -- reading

    def now(self) -> int:
        """Give the clock's epoch seconds, cut."""
        return seconds(self.clock())

    def shelf(self, object_: str) -> Shelf:
        """Give the records of one object; hold `lock` while reading it. Raises KeyError."""
        return self.shelves[object_]

    def type(self, object_: str) -> ObjectDef:
        """Give one object's definition."""
        return self.shelves[object_].type

    def getters(self, object_: str) -> Mapping[str, Callable[[Record], object]]:
        """Give the functions that read each field of an object's records."""
        held = self._getters.get(object_)
        if held is None:
            held = self._getters[object_] = {f.name: getter(f) for f in self.type(object_).fields.values()}
        return held

    def ids(self, object_: str, *, deleted: bool = False) -> list[str]:
        """Give the ids of all live (or all deleted) records, 18 characters, ascending."""
        with self.lock:
            records = self.shelf(object_).records
            return [number for number in self.shelf(object_).order if records[number].deleted == deleted]

    def need(self, object_: str, record: str, *, deleted: bool | None = False) -> Record:
        """Give the record itself; `deleted` None takes both. Raises RowRefused."""
        known = normal(record)
        found = None if known is None else self.shelf(object_).records.get(known)
        if found is None:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if deleted is not None and found.deleted != deleted:
            raise refuse("ENTITY_IS_DELETED", "entity is deleted")
        return found

    def values(self, object_: str, record: str, *, deleted: bool | None = False) -> dict[str, object]:
        """Give all fields of a live record, typed: str, float, int, bool, date, aware datetime; None is empty."""
        with self.lock:
            found = self.need(object_, record, deleted=deleted)
            fields = self.type(object_).fields
            return {name: python_value(fields[name], get(found)) for name, get in self.getters(object_).items()}

    def text(self, object_: str, record: str, fields: Iterable[str] | None = None) -> dict[str, str | None]:
        """Give fields of a live record (all, or those named) as the connector seam writes them; None is empty."""
        with self.lock:
            found = self.need(object_, record)
            known, getters = self.type(object_).fields, self.getters(object_)
            return {name: canonical(known[name], getters[name](found)) for name in (fields or getters)}

    def find(self, object_: str, field: str, value: object) -> str | None:
        """Give the id of the first live record that holds a value, or None. Text compares without case."""
        with self.lock:
            shelf = self.shelf(object_)
            one = shelf.type.fields[field]
            wanted = key(one, value)
            if field in shelf.unique:
                return shelf.unique[field].get(wanted)
            get = self.getters(object_)[field]
            return next((r.id for r in shelf.live() if key(one, get(r)) == wanted), None)

    def edits(self, object_: str, record: str) -> list[Edit]:
        """Give what was changed on a record, oldest first; values it was created with are not edits."""
        with self.lock:
            return self.need(object_, record, deleted=None).edits()

    def stamp(self, object_: str, record: str) -> datetime:
        """Give a record's SystemModstamp."""
        with self.lock:
            return moment(self.need(object_, record, deleted=None).stamp)

    def tasks(self, object_: str, record: str) -> list[dict[str, str | None]]:
        """Give the live tasks about a record, oldest first, as the connector seam writes their fields."""
        with self.lock:
            found = hanging(self.shelf("Task"), self.need(object_, record, deleted=None).id)
            return [self.text("Task", task.id) for task, _ in found]

    # -- what people do

    def create(self, object_: str, values: Mapping[str, object], *, by: str = PERSON) -> str:
        """Create a record and give its id. Raises RowRefused."""
        return self.create_many(object_, [values], by=by)[0]

    def create_many(self, object_: str, rows: Iterable[Mapping[str, object]], *, by: str = PERSON) -> list[str]:
        """Create many records quickly, as an import does: CreatedDate, LastModifiedDate and SystemModstamp may be
        given as aware datetimes. Raises RowRefused at the first wrong row."""
        with self.lock:
            shelf, user, now = self.shelf(object_), self.user(by), self.now()
            rows_ = Rows(shelf)
            made = []
            for row in rows:
                values, system = rows_.whole(row)
                record = self.insert(object_, values, user, now)
                for name, at in system.items():
                    if name == "stamp":
                        shelf.restamp(record, at)
                    else:
                        setattr(record, name, at)
                made.append(record.id)
            return made

    def edit(self, object_: str, record: str, values: Mapping[str, object], *, by: str = PERSON) -> None:
        """Change fields of a live record, as a person does in the page. Raises RowRefused."""
        self.edit_at_once(object_, [record], values, by=by)

    def edit_at_once(
        self, object_: str, records: Sequence[str], values: Mapping[str, object], *, by: str = PERSON
    ) -> None:
        """Change the same fields of many records in one and the same second, as a mass update does."""
        with self.lock:
            shelf, now = self.shelf(object_), self.now()
            reader = Rows(shelf)
            for number in records:
                found = self.need(object_, number)
                self.apply(shelf, found, reader.changes(values, found), by, now)

    def touch(self, object_: str, records: Iterable[str]) -> None:
        """Move SystemModstamp alone, as automated work of the org does; LastModifiedDate stays."""
        with self.lock:
            now = self.now()
            for number in records:
                self.shelf(object_).restamp(self.need(object_, number, deleted=None), now)

    def delete(self, object_: str, record: str) -> None:
        """Put a live record into the recycle bin; an account takes its contacts with it, and each its tasks."""
        with self.lock:
            self.bin(object_, self.need(object_, record))

    def undelete(self, object_: str, record: str) -> None:
        """Take a record out of the recycle bin. Raises RowRefused when its unique values are taken."""
        with self.lock:
            shelf, found = self.shelf(object_), self.need(object_, record, deleted=True)
            no_twin(shelf, found.values, found)
            found.deleted, found.master = False, None
            shelf.claim(found)
            shelf.restamp(found, self.now())

    def purge(self, object_: str, record: str) -> None:
        """Remove a record for good, live or deleted: only the list of deletions names it from now on."""
        with self.lock:
            shelf, removed = self.shelf(object_), self.need(object_, record, deleted=None)
            self._drop_tasks(removed.id)
            shelf.remove(removed)
            shelf.purged[removed.id] = self.now()

    def merge(self, object_: str, winner: str, loser: str, *, by: str = PERSON) -> str:
        """Merge two live records and give the winner's id: the loser is deleted with MasterRecordId, what hung on it
        hangs on the winner. Raises RowRefused."""
        with self.lock:
            shelf, first, second = self.shelf(object_), self.need(object_, winner), self.need(object_, loser)
            if first is second:
                raise refuse("INVALID_CROSS_REFERENCE_KEY", "A record cannot be merged with itself")
            now = self.now()
            shelf.release(second)
            second.deleted, second.master = True, first.id
            shelf.restamp(second, now)
            self.apply(shelf, first, {}, by, now)
            if object_ == "Account":
                for contact in self._staff(second.id):
                    self.apply(self.shelf("Contact"), contact, {"AccountId": first.id}, by, now)
            self._move_tasks(second.id, first.id, by)
            return first.id

    def convert(self, lead: str, *, account: str | None = None, by: str = PERSON) -> tuple[str, str]:
        """Convert a lead and give the ids of the contact and the account it became; a new account unless one is
        given. Custom fields are not carried over."""
        with self.lock:
            found = self.need("Lead", lead)
            if found.values.get("IsConverted"):
                raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
            held = found.values
            firm = account or self.create("Account", {"Name": held["Company"], "Phone": held.get("Phone")}, by=by)
            names = ("Salutation", "FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "LeadSource")
            person = {name: held[name] for name in names if name in held}
            contact = self.create("Contact", {**person, "AccountId": firm}, by=by)
            became = {"IsConverted": True, "ConvertedAccountId": firm, "ConvertedContactId": contact}
            became |= {"ConvertedDate": moment(self.now()).date().isoformat(), "Status": "Closed - Converted"}
            self.apply(self.shelf("Lead"), found, became, by, self.now())
            self._move_tasks(found.id, contact, by)
            return contact, firm

    # -- what admins do

    def add_field(self, object_: str, field: FieldDef, *, visible: bool = True, edit: bool = True) -> None:
        """Add a field, or replace the one of that name; `visible` grants it to the integration user's profile."""
        with self.lock:
            shelf = self.shelf(object_)
            shelf.type.put(field)
            if field.unique:
                shelf.unique[field.name] = {}
                for record in shelf.live():
                    shelf.claim(record)
            else:
                shelf.unique.pop(field.name, None)
            self._getters.pop(object_, None)
            self.access.changed()
            if visible:
                self.access.grant(object_, field.name, edit=edit)

    def drop_field(self, object_: str, field: str) -> None:
        """Delete a custom field with its values."""
        with self.lock:
            shelf = self.shelf(object_)
            shelf.type.drop(field)
            shelf.unique.pop(field, None)
            for record in shelf.records.values():
                record.values.pop(field, None)
            self._getters.pop(object_, None)
            self.hide(object_, field)

    def grant(self, object_: str, field: str, *, edit: bool = True) -> None:
        """Let the integration user see a field, and edit it or not."""
        with self.lock:
            self.access.grant(object_, field, edit=edit)

    def hide(self, object_: str, field: str) -> None:
        """Take a field out of the integration user's sight: from its profile and from every permission set."""
        with self.lock:
            shelf = self.shelf("FieldPermissions")
            for record in [r for r in shelf.live() if r.values.get("Field") == f"{object_}.{field}"]:
                shelf.remove(record)
            self.access.hide(object_, field)

    def allow(self, object_: str, *, read: bool = True, edit: bool = True) -> None:
        """Change what the integration user may do with an object's records."""
        with self.lock:
            self.access.allow(object_, read=read, edit=edit)

    def validation_rule(self, object_: str, predicate: Callable[[Mapping[str, object]], bool], message: str) -> None:
        """Refuse writes after which `predicate(values)` is true, as a rule's error condition does. `values` are those
        stored: set fields only, numbers as float, instants as epoch seconds."""
        with self.lock:
            self.rules.setdefault(object_, []).append((predicate, message))

    def record_type(self, records: Iterable[str], choices: Mapping[str, Iterable[str]]) -> None:
        """Give records a type that has only some values of some picklists; others are refused there by the API."""
        with self.lock:
            few = {name: frozenset(values) for name, values in choices.items()}
            for record in records:
                self.record_types[record] = few

    def lock_rows(self, records: Iterable[str], times: int | None = 1) -> None:
        """Let the next `times` writes to each of these records fail with UNABLE_TO_LOCK_ROW; an account's id locks its
        contacts. None: until `unlock`."""
        with self.lock:
            self.locked.update(dict.fromkeys(records, times))

    def unlock(self) -> None:
        """Let all rows be written again."""
        with self.lock:
            self.locked.clear()

    def user(self, name: str) -> str:
        """Give the id of a user by name; a new name is a new user."""
        with self.lock:
            if name not in self._users:
                shelf = self.shelf("User")
                number = mint("005", len(shelf.records) + 1)
                login = f"{name.lower().replace(' ', '.')}@acme.example"
                values = {"Username": login, "Name": name, "LastName": name, "Email": login, "IsActive": True}
                shelf.add(Record(number, {**values, "UserType": "Standard"}, self.now(), self.user_id))
                self._users[name] = number
            return self._users[name]

    # -- for the dialect, which has checked what it writes; hold `lock`

    def insert(self, object_: str, values: dict[str, object], user: str, now: int) -> Record:
        """Create one record from checked values."""
        shelf = self.shelf(object_)
        number = mint(shelf.type.prefix, shelf.next_number)
        shelf.next_number += 1
        if "OwnerId" in shelf.type.fields:
            values.setdefault("OwnerId", user)
        record = Record(number, values, now, user)
        shelf.add(record)
        if shelf.type.setup:
            self.access.changed()
        return record

    def apply(self, shelf: Shelf, record: Record, values: Mapping[str, object], by: str, now: int) -> None:
        """Change one record by checked values; a value that stays is no edit, but the record counts as touched."""
        held = record.values
        if shelf.unique:
            shelf.release(record)
        changed = []
        for name, after in values.items():
            before = held.get(name)
            if before == after:
                continue
            changed.append((name, before, after))
            if after is None:
                del held[name]
            else:
                held[name] = after
        if changed:
            record.changes.append((now, by, tuple(changed)))
        if shelf.unique:
            shelf.claim(record)
        record.modified, record.editor = now, self._users.get(by) or self.user(by)
        shelf.restamp(record, now)
        if shelf.type.setup:
            self.access.changed()

    def bin(self, object_: str, record: Record) -> None:
        """Delete one live record; setup records are gone at once."""
        shelf, now = self.shelf(object_), self.now()
        if shelf.type.setup:
            shelf.remove(record)
            self.access.changed()
            return
        shelf.release(record)
        record.deleted = True
        shelf.restamp(record, now)
        if object_ != "Task":
            self._drop_tasks(record.id)
        if object_ == "Account":
            for contact in self._staff(record.id):
                self.bin("Contact", contact)

    # -- inside

    def _found(self, username: str) -> None:
        """Set the org up: itself and its integration user."""
        user, org = salesforce_catalog.founders(username, INTEGRATION)
        self.shelf("User").add(Record(self.user_id, user, self.now(), self.user_id))
        self._users[INTEGRATION] = self.user_id
        self.shelf("Organization").add(Record(self.org_id, org, self.now(), self.user_id))

    def _move_tasks(self, lost: str, survivor: str, by: str) -> None:
        for task, field in hanging(self.shelf("Task"), lost):
            self.apply(self.shelf("Task"), task, {field: survivor}, by, self.now())

    def _drop_tasks(self, record: str) -> None:
        for task, _ in hanging(self.shelf("Task"), record):
            self.bin("Task", task)

    def _staff(self, account: str) -> list[Record]:
        return [r for r in self.shelf("Contact").live() if r.values.get("AccountId") == account]
