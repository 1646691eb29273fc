"""A row of a Salesforce object as people and imports write it: Python values made typed, complete, and without a twin
of what is unique. It changes no record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from engage_sync.sandbox.salesforce_fields import FieldDef, ObjectDef
from engage_sync.sandbox.salesforce_refusal import RowRefused, missing, refuse
from engage_sync.sandbox.salesforce_shelf import KEPT, Record, Shelf, key
from engage_sync.sandbox.salesforce_values import BadValue, python_reader, seconds

SYSTEM = {"CreatedDate": "created", "LastModifiedDate": "modified", "SystemModstamp": "stamp"}
"""Instants that an import may set, and where a record keeps them."""


class Rows:
    """Reads rows of one shelf; keeps the readers of its fields."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._usual = defaults(shelf.type)
        self._readers: dict[str, tuple[FieldDef, Callable[[object], object]]] = {}

    def changes(self, row: Mapping[str, object], record: Record | None) -> dict[str, object]:
        """Read new values of some fields; None clears. Raises RowRefused."""
        values: dict[str, object] = {}
        for name, raw in row.items():
            field, read = self._readers.get(name) or self._reader(name)
            try:
                value = values[name] = read(raw)
            except BadValue as error:
                raise refuse(error.code, str(error), name) from error
            if value is None and field.required:
                raise lacking(name)
        no_twin(self._shelf, values, record)
        return values

    def whole(self, row: Mapping[str, object]) -> tuple[dict[str, object], dict[str, int]]:
        """Read a new record: its set values, and the instants of its own that were given. Raises RowRefused."""
        system = {SYSTEM[name]: seconds(at) for name, at in row.items() if name in SYSTEM and isinstance(at, datetime)}
        if system:
            row = {name: raw for name, raw in row.items() if name not in SYSTEM}
        given = self.changes(row, None)
        values = {**self._usual, **{name: value for name, value in given.items() if value is not None}}
        without = [name for name in self._required() if name not in values]
        if without:
            raise lacking(*without)
        return values, system

    def _reader(self, name: str) -> tuple[FieldDef, Callable[[object], object]]:
        field = self._shelf.type.fields.get(name)
        if field is None:
            raise missing(name, self._shelf.type.name)
        if name in KEPT:
            raise refuse("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {name}", name)
        self._readers[name] = field, python_reader(field)
        return self._readers[name]

    def _required(self) -> list[str]:
        return [field.name for field in required(self._shelf.type)]


def no_twin(shelf: Shelf, values: Mapping[str, object], record: Record | None) -> None:
    """Refuse unique values that another live record holds. Raises RowRefused."""
    for name, owners in shelf.unique.items():
        value = values.get(name)
        owner = None if value is None else owners.get(key(shelf.type.fields[name], value))
        if owner is not None and (record is None or owner != record.id):
            message = f"duplicate value found: {name} duplicates value on record with id: {owner[:15]}"
            raise refuse("DUPLICATE_VALUE", message, name)


def defaults(type_: ObjectDef) -> dict[str, object]:
    """Give what stands in the picklists that somebody leaves out: the value marked so, else the first."""
    return {
        f.name: next((c.value for c in f.choices if c.default), f.choices[0].value)
        for f in type_.fields.values()
        if f.defaulted and f.type == "picklist" and f.choices
    }


def required(type_: ObjectDef) -> list[FieldDef]:
    """Give the fields that somebody must fill in."""
    return [f for f in type_.fields.values() if f.required and not f.read_only and not f.defaulted]


def lacking(*names: str) -> RowRefused:
    """Refuse a record without fields that somebody must fill in."""
    return refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", *names)
