"""A Salesforce task of ours: read from a change, checked before anything is sent, written as a row; and what it means
when Salesforce refuses that row (crm-apis §B10). It sends nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from engage_sync.connectors.base import Change, Outcome, Status
from engage_sync.connectors.salesforce_errors import AccessRefused, Trouble
from engage_sync.connectors.salesforce_fields import full_id
from engage_sync.connectors.salesforce_rows import NO_ANSWER, NO_COLUMN, TASK, Said, fields_of, sentence
from engage_sync.connectors.salesforce_schema import MAY_CREATE_TASKS

LINKS: Mapping[str, str] = {"Contact": "WhoId", "Lead": "WhoId", "Account": "WhatId"}
"""Object → the field of a task that names such a record."""
SUBJECT, DESCRIPTION = 255, 32_000
"""Characters that fit."""
USER = "005"
"""How the ids of users begin. A queue, which may own a lead, cannot be trusted to own a task."""
GONE_WORDS = "the record that the task is about does not exist any more"

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_OURS = "engage-sync "
_STATE = {"Status": "Not Started", "Priority": "Normal"}
_OWNER_CODES = frozenset({"INACTIVE_OWNER_OR_USER", "OP_WITH_INVALID_USER_TYPE_EXCEPTION", "TRANSFER_REQUIRES_READ"})
_STATE_CODES = frozenset({"INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "INVALID_FIELD_FOR_INSERT_UPDATE"})
_RULE = "FIELD_CUSTOM_VALIDATION_EXCEPTION"
_ASTRAY = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY", "CANNOT_UPDATE_CONVERTED_LEAD"})
_ASTRAY |= {"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"}
_DENIED = frozenset({"INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "INVALID_TYPE"})
_HIDDEN = frozenset({NO_COLUMN, "INVALID_FIELD_FOR_INSERT_UPDATE"})
_NOT_INSERTED = frozenset({"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "INVALID_TYPE_FOR_OPERATION"})
_UNSURE = frozenset({NO_ANSWER.code, "UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE"})

Target = tuple[str, str]
"""Object and id of the record that a task is about."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task goes: the field that names the record, its id, and the user who owns it; `moved` when it is another
    record than the one asked for, which was merged or converted into it."""

    link: str
    record: str
    owner: str | None
    moved: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One task to create, `about` a record, due on a day; `tried` when it may exist already. The fields `without` are
    left to the org."""

    key: str
    about: Target
    subject: str
    body: str
    due: str | None
    tried: bool
    place: Place | None = None
    without: frozenset[str] = frozenset()

    def description(self) -> str:
        """Give the text of the task, the key as its last line."""
        return f"{self.body}\n{_OURS}{self.key}" if self.body else f"{_OURS}{self.key}"

    def row(self) -> dict[str, object]:
        """Give the JSON of the task."""
        given: dict[str, object] = {"Subject": self.subject, "Description": self.description(), **_STATE}
        given["ActivityDate"] = self.due
        if self.place is not None:
            given |= {self.place.link: self.place.record, "OwnerId": self.place.owner}
        kept = {name: value for name, value in given.items() if value is not None and name not in self.without}
        return {"attributes": {"type": TASK}, **kept}

    def ended(self, status: Status, code: str | None = None, words: str | None = None, record: str = "") -> Outcome:
        """Give the outcome of the task; `record` is its own id."""
        moved = self.place.record if self.place is not None and self.place.moved else None
        return Outcome(self.key, status, code, words, values={"id": record} if record else {}, moved_to=moved)

    def spared(self, said: Sequence[Trouble]) -> Task | None:
        """Give the task without the fields that it can do without and was refused for; None where it is not that."""
        owner = self.place.owner if self.place is not None else None
        spare = {name for one in said for name in _STATE if one.code in _STATE_CODES and name in fields_of(one)}
        if owner is not None and any(_about_owner(one, owner) for one in said):
            spare.add("OwnerId")
        return replace(self, without=self.without | spare) if spare - self.without else None


def read(change: Change) -> Task | Outcome:
    """Read a change as a task; one that Salesforce could not take is refused, in a sentence."""
    values = change.values
    subject = " ".join((values.get("subject") or "").split())
    object_, about = values.get("object") or "", values.get("about") or ""
    due = _day(values.get("due"))
    body, tried = (values.get("body") or "").strip(), values.get("tried") == "true"
    task = Task(change.record, (object_, full_id(about)), subject, body, due, tried)
    length = len(task.description()) + task.description().count("\n")  # a line break counts twice there
    if keys_in(task.description())[-1:] != [change.record]:
        problem = ("INVALID_KEY", f"the key of a task is one line of text, not {change.record!r}")
    elif object_ not in LINKS:
        problem = ("INVALID_TYPE", f"a task is about a record of {', '.join(LINKS)}, not of {object_ or 'no object'}")
    elif not _ID.fullmatch(about):
        problem = ("MALFORMED_ID", f"a task is about a record by its id, and {about!r} is no Salesforce id")
    elif not subject:
        problem = ("REQUIRED_FIELD_MISSING", "the task has no subject: give the action a text")
    elif len(subject) > SUBJECT:
        problem = ("STRING_TOO_LONG", f"the subject has {len(subject)} characters and Salesforce keeps {SUBJECT}")
    elif length > DESCRIPTION:
        problem = ("STRING_TOO_LONG", f"the text has {length} characters and Salesforce keeps {DESCRIPTION}")
    elif due is None and values.get("due"):
        problem = ("INVALID_DATE", f"a task is due at an instant in ISO 8601, and {values['due']!r} is none")
    else:
        return task
    return task.ended(Status.REFUSED, *problem)


def keys_in(description: object) -> list[str]:
    """Give the keys that stand in the text of a task, wherever people may have written around them."""
    lines = description.splitlines() if isinstance(description, str) else []
    return [line.strip().removeprefix(_OURS).strip() for line in lines if line.strip().startswith(_OURS)]


def unsure(said: Said) -> bool:
    """Tell whether the task may exist although Salesforce does not say so."""
    return any(one.code in _UNSURE for one in said.troubles)


def astray(said: Sequence[Trouble]) -> bool:
    """Tell whether a task may have been refused because the record that it is about went away meanwhile."""
    return any(one.code in _ASTRAY for one in said)


def lacking(said: Sequence[Trouble]) -> AccessRefused | None:
    """Give the error for a right that the integration user lacks: to tasks, or to a field of theirs. Else None.

    It is no refusal of a single task: every one would meet it, and once an admin has mended it they can be created.
    """
    denied = any(_denied(one) for one in said)
    if not denied and not any(one.code in _HIDDEN for one in said):
        return None
    todo = f" — the integration user may not create tasks: {MAY_CREATE_TASKS}" if denied else ""
    return AccessRefused(f"Salesforce takes no task: {sentence(said, TASK)}{todo}", tuple(said))


def _denied(one: Trouble) -> bool:
    """Tell a missing right from what a trigger of the org says with the same code."""
    return one.code in _DENIED or (one.code in _NOT_INSERTED and "execution of" not in (one.message or ""))


def _about_owner(one: Trouble, owner: str) -> bool:
    if one.code == _RULE:
        return False
    return one.code in _OWNER_CODES or "OwnerId" in fields_of(one) or owner[:15] in (one.message or "")


def _day(instant: str | None) -> str | None:
    """Give the UTC day of an instant."""
    try:
        moment = datetime.fromisoformat(instant or "")
        return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()
    except (ValueError, OverflowError):
        return None
