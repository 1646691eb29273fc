"""What Salesforce says of one row of a write, and what that means for its record (crm-apis §B5, §B10).

Only reads answers, those of sObject Collections and those of Bulk jobs alike; it sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise

from engage_sync.connectors.replies import text
from engage_sync.connectors.salesforce_errors import PASSING, Trouble, troubles
from engage_sync.connectors.salesforce_fields import full_id

NO_ANSWER = Trouble("NO_ANSWER", "Salesforce's answer says nothing of this record")
UNPROCESSED = Trouble("UNPROCESSED", "the Bulk job ended before it came to this record")
DUPLICATE_RULE = "DUPLICATES_DETECTED"
NO_COLUMN = "INVALID_FIELD"
TASK = "Task"
"""The object that none of our own fields is on."""

_LATER = PASSING | {NO_ANSWER.code, UNPROCESSED.code, "ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUEST_LIMIT_EXCEEDED"}
_LATER_WORDS = ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", "Too many SOQL queries")
"""Parts of messages that say the same when a trigger of the org met it (crm-apis §B10)."""
_LOST = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY"})
_CONVERTED = "CANNOT_UPDATE_CONVERTED_LEAD"
_HIDDEN = frozenset({NO_COLUMN, "INVALID_FIELD_FOR_INSERT_UPDATE"})
_CODE = re.compile(r"[A-Z][A-Z0-9_]+")
_NAMED = re.compile(r"[Nn]o such column '(\w+)'|[Ff]ield name not found ?: ?(\w+)|fields: ([\w, ]+)\.")


class Fate(Enum):
    """What a row's error means."""

    LATER = auto()
    """Another try may mend it."""
    LOST = auto()
    """The record may be deleted, merged or a converted lead."""
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says of one row: written, with the record's 18-character id where it tells, or the errors."""

    written: bool
    troubles: tuple[Trouble, ...] = ()
    record: str = ""


def fate(said: Sequence[Trouble]) -> Fate:
    """Say what the errors of one row mean. A lock counts before all others: the others may pass with it."""
    if any(one.code in _LATER or any(words in (one.message or "") for words in _LATER_WORDS) for one in said):
        return Fate.LATER
    if any(one.code == _CONVERTED or (one.code in _LOST and set(one.fields) <= {"Id", "id"}) for one in said):
        return Fate.LOST
    return Fate.REFUSED


def sentence(said: Sequence[Trouble], object_name: str) -> str:
    """Give Salesforce's words for one row, and for a field that it does not let us write, where to click."""
    words = "; ".join(one.message for one in said if one.message) or "no reason given"
    hidden = [one for one in said if one.code in _HIDDEN]
    if not hidden:
        return words
    name = next((f" → {name}" for one in hidden for name in fields_of(one)), "")
    granted = "" if object_name == TASK else ", or the permission set that `engage-sync provision --apply` makes"
    return (
        f"{words} — unless its name is wrong or it is read-only, the field is hidden from the integration user:"
        f" Setup → Object Manager → {object_name} → Fields & Relationships{name} → Set Field-Level Security{granted}"
    )


def fields_of(trouble: Trouble) -> list[str]:
    """Give the fields that an error is about: those that it lists, else those in its words."""
    if trouble.fields:
        return list(trouble.fields)
    found = _NAMED.search(trouble.message or "")
    named = next((group for group in found.groups() if group), "") if found else ""
    return [name for part in named.split(",") if (name := part.strip())]


def csv_trouble(told: str) -> Trouble:
    """Read the `sf__Error` of a Bulk job: `CODE:message:fields --` (crm-apis §B8)."""
    code, colon, rest = told.partition(":")
    if not colon or not _CODE.fullmatch(code.strip()):
        return Trouble(None, told.strip() or None)
    message, colon, named = rest.rpartition(":")
    if not colon or not named.rstrip().endswith("--"):
        return Trouble(code.strip(), rest.strip() or None)
    fields = tuple(one for part in re.split(r"[,;]", named.rstrip().removesuffix("--")) if (one := part.strip()))
    return Trouble(code.strip(), message.strip() or None, fields)


def aligned(ids: Sequence[str], answer: Sequence[object]) -> Iterator[Said]:
    """Say what a collections answer tells of each row, in the order of the rows asked for.

    Results come in that order, but a failed one has no id. So those with an id are tied to it first, and between two
    of them the others count by position where there are as many as rows; else nobody knows whose they are.
    """
    places = {one: place for place, one in enumerate(ids)}
    tied: dict[int, object] = {}
    anchors = [(-1, -1)]
    for at, result in enumerate(answer):
        place = places.get(_id(result))
        if place is not None and place not in tied:
            tied[place] = result
            if place > anchors[-1][0]:
                anchors.append((place, at))
    for (left, left_at), (right, right_at) in pairwise([*anchors, (len(ids), len(answer))]):
        between = answer[left_at + 1 : right_at]
        sure = len(between) == right - left - 1
        for place in range(left + 1, right):
            result = tied.get(place)
            if result is None and sure and not _id(between[place - left - 1]):
                result = between[place - left - 1]
            yield _said(result)
        if right < len(ids):
            yield _said(tied[right])


def in_order(count: int, answer: Sequence[object]) -> list[Said]:
    """Say what the answer to a creation tells of each of `count` rows, by position: new records have no id to tie.

    With more or fewer results than rows nobody knows whose they are; a success that names no record is no answer.
    """
    said = [_said(result) for result in answer] if len(answer) == count else [_said(None)] * count
    return [_said(None) if one.written and not one.record else one for one in said]


def _said(result: object) -> Said:
    if isinstance(result, Mapping):
        if result.get("success") is True:
            return Said(written=True, record=_id(result))
        if found := tuple(troubles(result.get("errors"))):
            return Said(written=False, troubles=found)
    return Said(written=False, troubles=(NO_ANSWER,))


def _id(result: object) -> str:
    told = text(result.get("id")) if isinstance(result, Mapping) else None
    return full_id(told) if told else ""
