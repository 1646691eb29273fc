"""Field-level security of what `provision` made: a permission set of ours that lets the integration user read and edit
it, without which a new field is invisible to everybody (crm-apis §B11). It grants; it never takes a permission away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from engage_sync.connectors.base import CallKind
from engage_sync.connectors.replies import text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused, troubles
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.connectors.salesforce_schema import PERMISSION_SET, PERMISSION_SET_LABEL, optional

FieldName = tuple[str, str]
"""Object and field."""

ROWS = 200
"""Rows in one call (crm-apis §B5)."""
_TWICE = frozenset({"DUPLICATE_VALUE", "DUPLICATE_DEVELOPER_NAME"})
"""It is there already: made meanwhile, or by a call whose answer was lost."""
_BOTH = {"PermissionsRead": True, "PermissionsEdit": True}


class SetRefusedError(Exception):
    """The permission set cannot be made or given to the user. Its text is Salesforce's, a sentence."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """One field's row in the permission set: a new one, or `id` of the one that lacks a right."""

    field: FieldName
    id: str | None

    def body(self, parent: str) -> dict[str, object]:
        """Give what to send, without the id."""
        if self.id is not None:
            return dict(_BOTH)
        object_, name = self.field
        return {"ParentId": parent, "SobjectType": object_, "Field": f"{object_}.{name}", **_BOTH}


def grant(http: Transport, fields: Sequence[FieldName]) -> dict[FieldName, str]:
    """Let the session's user read and edit the fields. Gives why not, for those that were refused.

    What is granted already is not written again; where Salesforce does not tell what is, writing it twice does no harm.
    """
    if not fields:
        return {}
    try:
        parent = _permission_set(http)
        held: dict[FieldName, tuple[str, bool]] = optional(lambda: _held(http, parent), {})
        wanted = [_Grant(field, held[field][0] if field in held else None) for field in fields]
        refused = _write(http, parent, [one for one in wanted if one.id is None or not held[one.field][1]])
        _assign(http, parent)
    except SetRefusedError as error:
        return dict.fromkeys(fields, str(error))
    except (CallRefused, AccessRefused) as error:
        return dict.fromkeys(fields, str(error))
    return refused


def _permission_set(http: Transport) -> str:
    """Find our permission set, or make it."""
    if (known := _set_id(http)) is not None:
        return known
    body = {
        "Name": PERMISSION_SET,
        "Label": PERMISSION_SET_LABEL,
        "Description": "Read and edit access to the fields that engage-sync keeps up to date.",
    }
    try:
        made = _id_of(http.send("POST", "sobjects/PermissionSet", body, kind=CallKind.WRITE))
    except CallRefused as refused:
        if refused.code not in _TWICE:
            raise
        made = None
    made = made or _set_id(http)
    if made is None:
        raise SetRefusedError(f"Salesforce tells no id of the permission set {PERMISSION_SET}")
    return made


def _set_id(http: Transport) -> str | None:
    rows = http.query(f"SELECT Id FROM PermissionSet WHERE Name = '{PERMISSION_SET}'").records
    return text(rows[0].get("Id")) if rows else None


def _held(http: Transport, parent: str) -> dict[FieldName, tuple[str, bool]]:
    """Give the rows of the set by field: their id, and whether they grant reading and editing."""
    asked = f"SELECT Id, Field, PermissionsRead, PermissionsEdit FROM FieldPermissions WHERE ParentId = '{parent}'"
    found: dict[FieldName, tuple[str, bool]] = {}
    for row in http.query(asked).records:
        object_, _, name = str(row.get("Field")).partition(".")
        whole = row.get("PermissionsRead") is True and row.get("PermissionsEdit") is True
        found[object_, name] = (str(row.get("Id")), whole)
    return found


def _write(http: Transport, parent: str, grants: Iterable[_Grant]) -> dict[FieldName, str]:
    """Write rows, many in a call; one that failed among others is tried again by itself, for its own reason."""
    refused: dict[FieldName, str] = {}
    waiting = sorted(grants, key=lambda one: (one.id is not None, one.field))
    for method in ("POST", "PATCH"):
        rows = iter([one for one in waiting if (one.id is None) == (method == "POST")])
        while batch := list(islice(rows, ROWS)):
            for one in _left(batch, _together(http, method, parent, batch)):
                if (why := _alone(http, method, parent, one)) is not None:
                    refused[one.field] = why
    return refused


def _together(http: Transport, method: str, parent: str, batch: Sequence[_Grant]) -> list[object]:
    """Send rows as a collection; gives its results, none where Salesforce does not take them this way."""
    records = [
        {"attributes": {"type": "FieldPermissions"}, **({"id": one.id} if one.id else {}), **one.body(parent)}
        for one in batch
    ]
    body = {"allOrNone": False, "records": records}
    try:
        answer = http.send(method, "composite/sobjects", body, kind=CallKind.WRITE)
    except (CallRefused, AccessRefused):
        return []
    return answer if isinstance(answer, list) and len(answer) == len(batch) else []


def _left(batch: Sequence[_Grant], results: Sequence[object]) -> list[_Grant]:
    """Give the rows that the collection did not write. Results are in the order of the rows (crm-apis §B5)."""
    if not results:
        return list(batch)
    return [one for one, result in zip(batch, results, strict=True) if not _done(result)]


def _done(result: object) -> bool:
    if not isinstance(result, Mapping):
        return False
    return result.get("success") is True or any(one.code in _TWICE for one in troubles(result.get("errors")))


def _alone(http: Transport, method: str, parent: str, one: _Grant) -> str | None:
    path = f"sobjects/FieldPermissions/{one.id}" if one.id else "sobjects/FieldPermissions"
    try:
        http.send(method, path, one.body(parent), kind=CallKind.WRITE)
    except (CallRefused, AccessRefused) as error:
        return None if error.code in _TWICE else str(error)
    return None


def _assign(http: Transport, parent: str) -> None:
    """Give the permission set to the session's user."""
    user = http.identity().user
    if not user:
        raise SetRefusedError("Salesforce does not tell whose session this is")
    asked = f"SELECT Id FROM PermissionSetAssignment WHERE PermissionSetId = '{parent}' AND AssigneeId = '{user}'"
    if optional(lambda: bool(http.query(asked).records), otherwise=False):
        return
    try:
        body = {"PermissionSetId": parent, "AssigneeId": user}
        http.send("POST", "sobjects/PermissionSetAssignment", body, kind=CallKind.WRITE)
    except CallRefused as refused:
        if refused.code not in _TWICE:
            raise


def _id_of(answer: object) -> str | None:
    return text(answer.get("id")) if isinstance(answer, dict) else None
