"""One row that the integration writes to a Salesforce object: found, checked field by field as the org would, then done
or refused with all its errors (crm-apis §B5, B10). The same rules for single records, collections and Bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_ids import normal
from engage_sync.sandbox.salesforce_refusal import RowError, RowRefused, missing, refuse
from engage_sync.sandbox.salesforce_rows import defaults, lacking, no_twin, required
from engage_sync.sandbox.salesforce_setup_rules import check_setup
from engage_sync.sandbox.salesforce_shelf import Record, Shelf, key
from engage_sync.sandbox.salesforce_store import INTEGRATION, SalesforceStore
from engage_sync.sandbox.salesforce_tasks import ABOUT, check_task
from engage_sync.sandbox.salesforce_values import BadValue, cell_reader, json_reader

NULL = "#N/A"
LOCKED = "unable to obtain exclusive access to this record or 1 records: {}"
READ_ONLY = (
    "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is "
    "read/write for your profile or permission set."
)


@dataclass(slots=True)
class Writer:
    """Writes rows of one object for the integration user; hold the store's lock. `from_cells` rows are CSV text.
    With `duplicate_rules` a person whose e-mail another has is refused unless `save_duplicates`."""

    store: SalesforceStore
    entity: str
    from_cells: bool = False
    duplicate_rules: bool = False
    save_duplicates: bool = False
    may_customize: bool = True
    _columns: dict[tuple[str, bool], tuple[FieldDef, Callable[..., object]]] = field(default_factory=dict)
    _emails: dict[str, set[str]] | None = None

    @property
    def shelf(self) -> Shelf:
        """Give the records written to."""
        return self.store.shelf(self.entity)

    def column(self, name: str, *, create: bool = False) -> tuple[FieldDef, Callable[..., object]]:
        """Find a field that may be written, and the reader of its values. Raises RowRefused."""
        known = self._columns.get((name, create))
        if known is None:
            one = self.shelf.type.find(name)
            rights = self.store.access.rights(self.entity)
            if one is None or one.name not in rights:
                raise missing(name, self.entity)
            if not rights[one.name] or (one.create_only and not create):
                raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", READ_ONLY.format(one.name), one.name)
            known = one, cell_reader(one) if self.from_cells else json_reader(one)
            self._columns[name, create] = known
        return known

    def find(self, number: object, *, deleted: bool = False) -> Record:
        """Find the record a row is about. Raises RowRefused."""
        if not number:
            raise refuse("MISSING_ARGUMENT", "Id not specified in an update call")
        if not isinstance(number, str):
            raise refuse("MALFORMED_ID", f"{self.entity} ID: id value of incorrect type: {number}", "Id")
        found = self.shelf.records.get(number)
        if found is None:
            known = normal(number)
            if known is None or known[:3] != self.shelf.type.prefix:
                raise refuse("MALFORMED_ID", f"{self.entity} ID: id value of incorrect type: {number}", "Id")
            found = self.shelf.records.get(known)
        if found is None:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if found.deleted != deleted:
            raise refuse("ENTITY_IS_DELETED", "entity is deleted")
        return found

    def update(self, number: object, given: Iterable[tuple[str, object]]) -> Record:
        """Change a record. Raises RowRefused, changing nothing."""
        self._may()
        typed = self._read(given, create=False)
        record = self.find(number)
        self._check_lock(record.id, record.values.get("AccountId"))
        if record.values.get("IsConverted"):
            raise refuse("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
        self._check(typed, record)
        if self.shelf.type.setup:
            check_setup(self.store, self.entity, {**record.values, **typed}, record)
        self.store.apply(self.shelf, record, typed, INTEGRATION, self.store.now())
        self._note(record, typed)
        return record

    def insert(self, given: Iterable[tuple[str, object]]) -> Record:
        """Create a record; a task locks what it is about. Raises RowRefused."""
        if not self.shelf.type.setup and not self.store.access.may(self.entity)[1]:
            label = self.shelf.type.label
            raise refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {label}")
        self._may()
        typed = {name: value for name, value in self._read(given, create=True).items() if value is not None}
        typed = {**defaults(self.shelf.type), **typed}
        if self.entity == "Task":
            self._check_lock(*(typed.get(name) for name in ABOUT))
        without = [one.name for one in required(self.shelf.type) if one.name not in typed]
        if without:
            raise lacking(*without)
        self._check(typed, None)
        if self.shelf.type.setup:
            check_setup(self.store, self.entity, typed, None)
        record = self.store.insert(self.entity, typed, self.store.user_id, self.store.now())
        self._note(record, typed)
        return record

    def upsert(self, by: FieldDef, value: object, given: Iterable[tuple[str, object]]) -> tuple[Record, bool]:
        """Change the record whose `by` holds `value`, or create one: the record, and whether it is new."""
        if value is None or value == "":
            raise refuse("MISSING_ARGUMENT", f"{by.name} not specified")
        if by.name == "Id":
            return self.update(value, given), False
        owners = self.owners(by, value)
        if len(owners) > 1:
            raise refuse(
                "DUPLICATE_EXTERNAL_ID", f"{by.name}: more than one record found for external id field: {owners}"
            )
        if owners:
            return self.update(owners[0], given), False
        return self.insert([*given, (by.name, value)]), True

    def owners(self, by: FieldDef, value: object) -> list[str]:
        """Give the live records that hold a value in an external-id field. Raises RowRefused."""
        typed = self._value(by, value)
        wanted = key(by, typed)
        if by.unique:
            owner = self.shelf.unique[by.name].get(wanted)
            return [] if owner is None else [owner]
        return [r.id for r in self.shelf.live() if key(by, r.values.get(by.name)) == wanted]

    def delete(self, number: object) -> Record:
        """Put a record into the recycle bin. Raises RowRefused."""
        self._may()
        record = self.find(number)
        self._check_lock(record.id, record.values.get("AccountId"))
        self.store.bin(self.entity, record)
        return record

    # -- the checks

    def _may(self) -> None:
        type_ = self.shelf.type
        if not self.store.access.may(self.entity)[1] or (type_.setup and not self.may_customize):
            raise refuse("INSUFFICIENT_ACCESS_OR_READONLY", f"insufficient access rights on entity: {self.entity}")

    def _read(self, given: Iterable[tuple[str, object]], *, create: bool) -> dict[str, object]:
        typed: dict[str, object] = {}
        errors: list[RowError] = []
        columns = self._columns
        for name, raw in given:
            try:
                one, read = columns.get((name, create)) or self.column(name, create=create)
                if self.from_cells:
                    typed[one.name] = self._cell(one, read, raw)
                else:
                    typed[one.name] = read(raw)
            except BadValue as error:
                errors.append(RowError(error.code, str(error), (one.name,)))
            except RowRefused as refused:
                errors.extend(refused.errors)
        if errors:
            raise RowRefused(*errors)
        return typed

    def _cell(self, one: FieldDef, read: Callable[..., object], raw: object) -> object:
        if raw != NULL:
            return read(raw)
        if one.type == "boolean":
            raise BadValue("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{one.label}: value not of required type: {NULL}")
        return None

    def _value(self, one: FieldDef, raw: object) -> object:
        try:
            return cell_reader(one)(raw) if isinstance(raw, str) else json_reader(one)(raw)
        except BadValue as error:
            raise refuse(error.code, str(error), one.name) from error

    def _check_lock(self, *numbers: object) -> None:
        """Refuse while one of the records is locked. Raises RowRefused."""
        for number in numbers if self.store.locked else ():
            if isinstance(number, str) and number in self.store.locked:
                left = self.store.locked[number]
                if left is not None:
                    self.store.locked[number] = left - 1
                    if left <= 1:
                        del self.store.locked[number]
                raise refuse("UNABLE_TO_LOCK_ROW", LOCKED.format(number))

    def _check(self, typed: Mapping[str, object], record: Record | None) -> None:
        type_ = self.shelf.type
        for name, value in typed.items():
            one = type_.fields[name]
            if value is None and one.required:
                raise lacking(name)
            if one.type == "reference" and isinstance(value, str) and one.refers_to:
                self._check_reference(one, value)
        if self.entity == "Task":
            after = typed if record is None else {**record.values, **typed}
            check_task(typed, after, self._person(after.get("WhoId")))
        if record is not None and record.id in self.store.record_types:
            self._check_type(typed, self.store.record_types[record.id])
        no_twin(self.shelf, typed, record)
        for predicate, message in self.store.rules.get(self.entity, ()):
            before = {} if record is None else record.values
            after = {name: value for name, value in {**before, **typed}.items() if value is not None}
            if predicate(after):
                raise refuse("FIELD_CUSTOM_VALIDATION_EXCEPTION", message)
        if self.duplicate_rules and not self.save_duplicates:
            self._check_duplicates(typed, record)

    def _check_reference(self, one: FieldDef, value: str) -> None:
        shelves = [self.store.shelf(name) for name in one.refers_to]
        if not any(value[:3] == shelf.type.prefix for shelf in shelves):
            raise refuse("FIELD_INTEGRITY_EXCEPTION", f"{one.label}: id value of incorrect type: {value}", one.name)
        found = next((shelf.records[value] for shelf in shelves if value in shelf.records), None)
        if found is None or found.deleted:
            raise refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", one.name)
        if one.name == "OwnerId" and self.entity != "Account" and found.values.get("IsActive") is False:
            words = f"operation performed with inactive user [{value[:15]}] as owner of {self.entity.lower()}"
            raise refuse("INACTIVE_OWNER_OR_USER", words)

    def _person(self, number: object) -> Record | None:
        """Find the contact or lead of an id."""
        return next((r for name in ("Contact", "Lead") if (r := self.store.shelf(name).records.get(str(number)))), None)

    def _check_type(self, typed: Mapping[str, object], few: Mapping[str, frozenset[str]]) -> None:
        for name in few.keys() & typed.keys():
            value = typed[name]
            lost = [part for part in str(value).split(";") if part not in few[name]] if value is not None else []
            if lost:
                label = self.shelf.type.fields[name].label
                message = f"{label}: bad value for restricted picklist field: {lost[0]}"
                raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, name)

    def _check_duplicates(self, typed: Mapping[str, object], record: Record | None) -> None:
        if "Email" not in self.shelf.type.fields or self.shelf.type.setup:
            return
        email = typed.get("Email", None if record is None else record.values.get("Email"))
        if not isinstance(email, str):
            return
        if self._emails is None:
            self._emails = {}
            for one in self.shelf.live():
                held = one.values.get("Email")
                if isinstance(held, str):
                    self._emails.setdefault(held.lower(), set()).add(one.id)
        others = self._emails.get(email.lower(), set()) - {"" if record is None else record.id}
        if others:
            raise refuse("DUPLICATES_DETECTED", "Use one of these records?")

    def _note(self, record: Record, typed: Mapping[str, object]) -> None:
        email = typed.get("Email")
        if self._emails is not None and isinstance(email, str):
            self._emails.setdefault(email.lower(), set()).add(record.id)
