"""Whether values may enter a record: known properties, right types, unique values (crm-apis §A7, §A9). Every refusal is
worded as HubSpot words it. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from engage_sync.sandbox.properties import Property
from engage_sync.sandbox.refusal import Detail, Refused
from engage_sync.sandbox.shelf import Record, Shelf, unique_values
from engage_sync.sandbox.values import BadValue, normal, to_milliseconds

Prepared = dict[str, str | None]
"""Checked values in the form they are stored in; None clears."""
Row = tuple[Record | None, Mapping[str, str]]
"""A record (None: to be created) and the values wanted on it."""

DETAILS_SHOWN = 2
"""HubSpot's `errors` may be shorter than its message says; so are these."""


def prepare(shelf: Shelf, record: Record | None, values: Mapping[str, str]) -> Prepared:
    """Check and normalise values for one record. Raises Refused (400) for bad ones."""
    return prepare_rows(shelf, [(record, values)])[0]


def prepare_rows(shelf: Shelf, rows: Sequence[Row]) -> list[Prepared]:
    """Check many rows together. Raises one Refused for all of them: a bad value in any row refuses the whole batch."""
    prepared: list[Prepared] = []
    details: list[Detail] = []
    for record, values in rows:
        fitting, bad = _examine(shelf, record, values)
        prepared.append(fitting)
        details += [detail for detail in bad if detail not in details]
    if details:
        raise refuse(details)
    return prepared


def _examine(shelf: Shelf, record: Record | None, values: Mapping[str, str]) -> tuple[Prepared, list[Detail]]:
    prepared: Prepared = {}
    details: list[Detail] = []
    for name, text in values.items():
        prop = shelf.type.properties.get(name)
        if prop is None or prop.archived:
            details.append(_unknown(name))
        elif prop.read_only:
            details.append(
                _detail("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.', name)
            )
        elif text == "":
            prepared[name] = None
        else:
            try:
                prepared[name] = normal(prop, text, None if record is None else record.values.get(name))
            except BadValue as bad:
                details.append(_detail(bad.code, str(bad), name))
    return prepared, details


def refuse(details: Sequence[Detail]) -> Refused:
    """Give the 400 for bad values; the message holds all of them, `errors` only the first few."""
    told = [
        {"isValid": False, "message": d.message, "error": d.code, "name": d.context.get("propertyName", [""])[0]}
        for d in details
    ]
    return Refused(f"Property values were not valid: {json.dumps(told)}", details=details[:DETAILS_SHOWN])


def claim(shelf: Shelf, record: Record | None, values: Mapping[str, str | None]) -> None:
    """Check that unique values are free. Raises Refused: 409 for an e-mail (naming its owner), 400 for another."""
    taken = {name: value for name, value in values.items() if value is not None}
    for name in shelf.unique_names():
        for value in unique_values(name, taken):
            owner = shelf.owner(name, value)
            if owner is None or (record is not None and owner == record.id):
                continue
            if name == "email":
                raise Refused(f"Contact already exists. Existing ID: {owner}", status=409, category="CONFLICT")
            where = f"objectTypeId=ObjectTypeId{{legacyObjectType={shelf.type.singular}}}, propertyName={name}"
            message = f"Cannot set PropertyValueCoordinates{{{where}, value={value}}}. {owner} already has that value."
            raise refuse([_detail("CONFLICTING_UNIQUE_VALUE", message, name)])


def complete(shelf: Shelf, values: Mapping[str, str | None], former_owners: Collection[str]) -> None:
    """Check what only a new record must hold: the required properties, and an owner who still works here.

    Raises Refused (400).
    """
    lacking = [name for name in shelf.type.required if values.get(name) is None]
    if lacking:
        what = f"Error creating {shelf.type.singular}. Some required properties were not set."
        raise Refused(what, context={"properties": lacking})
    owner = values.get("hubspot_owner_id")
    if owner in former_owners:
        raise refuse([_detail("INVALID_OWNER_ID", f"Owner {owner} does not exist", "hubspot_owner_id")])


def prepare_many(shelf: Shelf, rows: Iterable[Mapping[str, str]]) -> Iterator[tuple[dict[str, str], int, int]]:
    """Check rows of an import quickly, giving values, creation and last-modified instant (0: now).

    Read-only values that an import carries may be set. Raises Refused at the first bad row, also when two rows share a
    unique value.
    """
    properties = {p.name: p for p in shelf.type.properties.values() if not p.archived}
    odd = {name for name, p in properties.items() if p.type != "string" or name in ("email", "domain")}
    unique = shelf.unique_names()
    seen: dict[str, set[str]] = {name: set(shelf.unique.get(name, {})) for name in unique}
    for row in rows:
        if not row.keys() <= properties.keys():
            raise refuse([_unknown(name) for name in row if name not in properties])
        values = {name: text for name, text in row.items() if text}
        for name in values.keys() & odd:
            values[name] = _imported(properties[name], values[name])
        for name in unique:
            for value in unique_values(name, values):
                if value in seen[name]:
                    raise refuse([_detail("CONFLICTING_UNIQUE_VALUE", f"Two records have {name} {value}.", name)])
                seen[name].add(value)
        created = to_milliseconds(values["createdate"]) if "createdate" in values else 0
        modified = to_milliseconds(values[shelf.type.modified]) if shelf.type.modified in values else 0
        yield values, created, modified


def _imported(prop: Property, text: str) -> str:
    try:
        return normal(prop, text)
    except BadValue as bad:
        raise refuse([_detail(bad.code, str(bad), prop.name)]) from bad


def _unknown(name: str) -> Detail:
    return _detail("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist', name)


def _detail(code: str, message: str, name: str) -> Detail:
    return Detail(message, code, {"propertyName": [name]})
