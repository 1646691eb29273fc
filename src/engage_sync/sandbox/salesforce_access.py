"""Which fields the integration user of a Salesforce org may see and edit: by its profile, and by the permission sets
assigned to it. A new field is invisible until it is granted (crm-apis §B11). Decides; it refuses nothing itself."""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.sandbox.salesforce_fields import ObjectDef
from engage_sync.sandbox.salesforce_shelf import Shelf

Rights = Mapping[str, bool]
"""Visible field → whether it may be edited."""


class Access:
    """The rights of one user over the objects of `shelves`; hold the store's lock. `changed` must be told of every
    change of a field or of the setup."""

    def __init__(self, shelves: Mapping[str, Shelf], user: str, *, security: bool) -> None:
        self.security = security
        self._shelves = shelves
        self._user = user
        self._profile = {(o, name): True for o, shelf in shelves.items() for name in shelf.type.fields}
        self._objects: dict[str, tuple[bool, bool]] = {}
        self._known: dict[str, dict[str, bool]] = {}

    def rights(self, object_: str) -> Rights:
        """Give the visible fields of an object."""
        held = self._known.get(object_)
        if held is None:
            held = self._known[object_] = self._rights(self._shelves[object_].type)
        return held

    def may(self, object_: str) -> tuple[bool, bool]:
        """Say whether records of an object may be read and written."""
        return self._objects.get(object_, (True, True))

    def allow(self, object_: str, *, read: bool, edit: bool) -> None:
        """Change what may be done with an object."""
        self._objects[object_] = (read, edit)

    def grant(self, object_: str, field: str, *, edit: bool) -> None:
        """Let the user's profile see a field."""
        self._profile[object_, field] = edit
        self.changed()

    def hide(self, object_: str, field: str) -> None:
        """Take a field out of the user's profile."""
        self._profile.pop((object_, field), None)
        self.changed()

    def changed(self) -> None:
        """Forget what was worked out."""
        self._known.clear()

    def _rights(self, type_: ObjectDef) -> dict[str, bool]:
        granted = self._granted(type_.name) if self.security and not type_.setup else {}
        rights = {}
        for name, field in type_.fields.items():
            editable = not (field.read_only or field.calculated)
            if type_.setup or not self.security or field.required or name in ("Id", "IsDeleted"):
                rights[name] = editable
                continue
            edit = self._profile.get((type_.name, name))
            more = granted.get(name)
            if edit is not None or more is not None:
                rights[name] = editable and bool(edit or more)
        return rights

    def _granted(self, object_: str) -> dict[str, bool]:
        """Read the permission sets of the user: field → may edit."""
        assigned = {
            record.values.get("PermissionSetId")
            for record in self._shelves["PermissionSetAssignment"].live()
            if record.values.get("AssigneeId") == self._user
        }
        granted: dict[str, bool] = {}
        for record in self._shelves["FieldPermissions"].live():
            values = record.values
            object_name, _, field = str(values.get("Field")).partition(".")
            if object_name == object_ and values.get("ParentId") in assigned and values.get("PermissionsRead"):
                granted[field] = granted.get(field, False) or bool(values.get("PermissionsEdit"))
        return granted
