"""What a Salesforce org asks of its own setup records when they are created: fields that exist, no second assignment
(crm-apis §B11). Checks only."""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.sandbox.salesforce_refusal import refuse
from engage_sync.sandbox.salesforce_shelf import Record
from engage_sync.sandbox.salesforce_store import SalesforceStore

_TOGETHER = {
    "FieldPermissions": ("ParentId", "Field"),
    "ObjectPermissions": ("ParentId", "SobjectType"),
    "PermissionSetAssignment": ("PermissionSetId", "AssigneeId"),
}
_SECOND = {
    "FieldPermissions": "duplicate value found: <unknown> duplicates value on record with id: {}",
    "ObjectPermissions": "duplicate value found: <unknown> duplicates value on record with id: {}",
    "PermissionSetAssignment": "Duplicate PermissionSetAssignment. Assignee: {assignee}; Permission Set: {set}",
}


def check_setup(store: SalesforceStore, object_: str, values: Mapping[str, object], record: Record | None) -> None:
    """Check a setup record before it is created or changed. Raises RowRefused."""
    if object_ == "FieldPermissions":
        _check_field(store, values)
    together = _TOGETHER.get(object_)
    if together is None or record is not None:
        return
    wanted = [values.get(name) for name in together]
    for held in store.shelf(object_).live():
        if [held.values.get(name) for name in together] == wanted:
            told = _SECOND[object_].format(
                held.id[:15], assignee=str(values.get("AssigneeId"))[:15], set=str(values.get("PermissionSetId"))[:15]
            )
            raise refuse("DUPLICATE_VALUE", told)


def _check_field(store: SalesforceStore, values: Mapping[str, object]) -> None:
    named = str(values.get("Field"))
    object_, _, name = named.partition(".")
    shelf = store.shelves.get(object_)
    field = None if shelf is None else shelf.type.fields.get(name)
    if shelf is None or field is None or object_ != values.get("SobjectType"):
        message = f"Field Name: bad value for restricted picklist field: {named}"
        raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, "Field")
    if field.required:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"You cannot deploy to a required field: {named}", "Field")
    if values.get("PermissionsEdit") and not values.get("PermissionsRead"):
        message = f"Permission Edit {named} depends on permission(s): Read {named}"
        raise refuse("FIELD_INTEGRITY_EXCEPTION", message, "PermissionsEdit")
    if values.get("PermissionsEdit") and (field.calculated or field.read_only):
        message = f"You cannot grant edit access to a read-only field: {named}"
        raise refuse("FIELD_INTEGRITY_EXCEPTION", message, "PermissionsEdit")
