"""Field history as a table: who changed a tracked field of a record from what to what (`ContactHistory`, `X__History`).
Made up from the edits that the store keeps; only fields that the org tracks are in it, and it changes nothing."""

from __future__ import annotations

from engage_sync.sandbox.salesforce_fields import FieldDef, ObjectDef, text
from engage_sync.sandbox.salesforce_ids import mint
from engage_sync.sandbox.salesforce_shelf import Record, Shelf
from engage_sync.sandbox.salesforce_store import SalesforceStore

PREFIX = "017"
LONGEST = 255
"""Characters above which a value is not told."""


def histories(store: SalesforceStore, wanted: str) -> dict[str, Shelf]:
    """Give the history that a query names, as the one table; none where nothing of its object is tracked. Hold the
    store's lock."""
    for name, shelf in store.shelves.items():
        table = f"{name.removesuffix('__c')}__History" if name.endswith("__c") else f"{name}History"
        if shelf.type.tracked and table.lower() == wanted.lower():
            return {table: _history(store, table, shelf)}
    return {}


def _history(store: SalesforceStore, table: str, shelf: Shelf) -> Shelf:
    parent = "ParentId" if shelf.type.name.endswith("__c") else f"{shelf.type.name}Id"
    fields = [
        FieldDef("Id", "History ID", "id", 18, read_only=True),
        FieldDef(parent, "Parent ID", "reference", 18),
        text("Field", "Changed Field", 255),
        text("OldValue", "Old Value", LONGEST),
        text("NewValue", "New Value", LONGEST),
        FieldDef("CreatedById", "Created By ID", "reference", 18),
        text("CreatedBy.Name", "Created By", 121),
        FieldDef("CreatedDate", "Created Date", "datetime"),
    ]
    made = Shelf(ObjectDef(table, table, table, PREFIX, {one.name: one for one in fields}))
    edits = sorted(
        (edit.at, record.id, place, edit)
        for record in shelf.live()
        for place, edit in enumerate(record.edits())
        if edit.field in shelf.type.tracked
    )
    for number, (at, owner, _, edit) in enumerate(edits, start=1):
        values = {
            parent: owner,
            "Field": edit.field,
            "OldValue": _told(edit.before),
            "NewValue": _told(edit.after),
            "CreatedById": store.user(edit.by),
            "CreatedBy.Name": edit.by,
            "CreatedDate": at,
        }
        made.add(Record(mint(PREFIX, number), {key: one for key, one in values.items() if one is not None}, at, ""))
    return made


def _told(value: object) -> str | None:
    shown = None if value is None else str(value)
    return shown if shown is not None and len(shown) <= LONGEST else None
