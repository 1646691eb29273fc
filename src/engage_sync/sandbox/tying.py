"""The associations that a request wants for a task: checked against the records and HubSpot's association types
(crm-apis §A8). Changes nothing; the routes put them into the store."""

from __future__ import annotations

from collections.abc import Mapping

from engage_sync.sandbox.refusal import Detail, Refused, unreadable
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.ties import TASKS, TYPES
from engage_sync.sandbox.wire import Json, needed

End = tuple[str, str]
"""An object's name and the id of one of its records."""

_OBJECTS: Mapping[int, str] = {number: to for (from_, to), number in TYPES.items() if from_ == TASKS}


def wished(store: Store, object_: str, row: Json) -> list[End]:
    """Read the `associations` of a record to be created: what it is to be about. Hold the store's lock.

    Raises Refused (400): a type that is none of this object's, a record that is not there.
    """
    given = row.get("associations") or []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise unreadable("associations must be a list of objects")
    if given and object_ != TASKS:
        raise Refused(f"Associations can be made here with {TASKS} only, not while creating {object_}.")
    ends = [(_OBJECTS[number], record) for one in given for number, record in _one(one)]
    return [(name, live(store, name, record)) for name, record in ends]


def _one(given: Json) -> list[tuple[int, str]]:
    record = needed(part(given, "to"), "id")
    numbers = type_ids(given)
    if strange := [number for number in numbers if number not in _OBJECTS]:
        raise Refused(f"The association type {strange[0]} is not one between a task and another record.")
    return [(number, record) for number in numbers]


def part(given: Json, name: str) -> Json:
    """Read an object inside a body. Raises Refused."""
    found = given.get(name)
    if not isinstance(found, dict):
        raise unreadable(f"Some required fields were not set: [{name}]")
    return found


def type_ids(given: Json) -> list[int]:
    """Read the `types` of an association: HubSpot's own ones, by number. Raises Refused."""
    types = given.get("types")
    if not isinstance(types, list) or not types or not all(isinstance(one, dict) for one in types):
        raise unreadable("Some required fields were not set: [types]")
    if any(one.get("associationCategory") != "HUBSPOT_DEFINED" for one in types):
        raise Refused("Only associations of the category HUBSPOT_DEFINED are defined in this account.")
    return [int(needed(one, "associationTypeId")) for one in types]


def live(store: Store, object_: str, record: str) -> str:
    """Give the id of the live record at the other end, following merges. Raises Refused (400)."""
    try:
        return str(store.need(object_, record).id)
    except Refused:
        message = f"{store.type(object_).singular}={record} is not valid"
        details = [Detail(message, "INVALID_OBJECT_IDS")]
        raise Refused(f"One or more associations are not valid. {message}", details=details) from None
