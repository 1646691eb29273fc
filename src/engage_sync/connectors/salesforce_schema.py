"""What a Salesforce org has and lets its integration user do: the objects and fields, what is hidden, what stands on no
page (crm-apis §B1, §B11). Reads only; fields and permissions are made in `salesforce_provision`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from engage_sync.connectors.base import Field, Guide, Lack, Memory, Schema
from engage_sync.connectors.replies import moment, text
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused
from engage_sync.connectors.salesforce_fields import Shape, describe_object
from engage_sync.connectors.salesforce_find import every
from engage_sync.connectors.salesforce_http import API, Rows, Transport
from engage_sync.connectors.salesforce_rows import TASK
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Transient

PERMISSION_SET, PERMISSION_SET_LABEL = "Engage_Sync", "Engage Sync"
FIELDS_PLACE = "Setup → Object Manager → {object} → Fields & Relationships"
HIDDEN = "hidden"
"""The `native` type of a field that exists and that the integration user may not see."""

SECURITY_PLACE = f"{FIELDS_PLACE} → {{field}} → Set Field-Level Security"
GUIDE = Guide(
    create=(
        f"create {{field}} under {FIELDS_PLACE} → New, or correct the name; if it is there already, tick Visible for"
        f" the integration user's profile under {SECURITY_PLACE}"
    ),
    reveal=(
        f"assign the permission set {PERMISSION_SET_LABEL} to the integration user (Setup → Permission Sets → Manage"
        f" Assignments), or tick Visible for its profile under {SECURITY_PLACE}"
    ),
    unlock=(
        f"untick Read-Only for the integration user's profile under {SECURITY_PLACE} (for a custom field"
        " `engage-sync provision --apply` does it); a formula cannot be written: map another field"
    ),
    options=(
        f"add them under {FIELDS_PLACE} → {{field}} → Values → New, or, for a global value set, under"
        " Setup → Picklist Value Sets"
    ),
    unique=f"tick External ID and Unique under {FIELDS_PLACE} → {{field}} → Edit",
    object=(
        "tick Read and Edit under Setup → Permission Sets → a set of the integration user → Object Settings → {object}"
    ),
    makes=r"[A-Za-z](?:_?[A-Za-z0-9])*__c",
)
"""Where an admin clicks. Only custom fields can be made by `provision`, and none of a package."""

TASK_FIELDS = ("Subject", "Description", "ActivityDate", "WhoId", "WhatId", "OwnerId")
"""What a task of ours fills in, beside fields that nobody can hide."""
MAY_CREATE_TASKS = (
    "tick Access Activities and Edit Tasks under Setup → Permission Sets → a set of the integration user → System"
    " Permissions"
)

_SHOWN = 3
_NONE: frozenset[str] = frozenset()
_UNSEEN = frozenset({"NOT_FOUND", "INVALID_TYPE", "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY"})

Given = TypeVar("Given")


def describe(
    http: Transport,
    objects: Iterable[str],
    memory: Memory | None = None,
    ask: Callable[[str], Shape | None] | None = None,
) -> Schema:
    """Log in and describe each object, by `ask` (else `shape_of`); one that is not there or not visible is left out.

    Beside one call for each object this takes three: the versions, the hidden custom fields, and the fields that our
    permission set grants. Page layouts are looked at only for objects with such a field that was seen on no page yet;
    `memory` keeps which were.
    """
    who = http.identity()
    lack = _version_lack(_offered(http))
    if lack is not None:
        return Schema(who.org, {}, [lack], who.site)
    describing = ask or partial(shape_of, http)
    shapes = [shape for name in objects if (shape := describing(name)) is not None]
    known: dict[tuple[str, str], str] = optional(lambda: custom_fields(http, [shape.object for shape in shapes]), {})
    return Schema(
        account=who.org,
        objects={shape.object: {**_hidden(shape, known), **shape.fields} for shape in shapes},
        missing=[lack for shape in shapes for lack in _lacks(shape)],
        site=who.site,
        advice=_advice(http, shapes, memory),
        at=moment(http.now_ms()),
    )


def shape_of(http: Transport, name: str) -> Shape | None:
    """Describe an object; None where it is not there or not visible."""
    try:
        return describe_object(http, name)
    except (CallRefused, AccessRefused) as error:
        if (isinstance(error, CallRefused) and error.status == 404) or error.code in _UNSEEN:
            return None
        raise


def task_lacks(http: Transport) -> list[Lack]:
    """Say what the integration user lacks to create tasks: the permission, and access to each field of theirs."""
    shape = shape_of(http, TASK)
    if shape is None:
        return [Lack("the integration user sees no tasks", MAY_CREATE_TASKS, TASK)]
    lacks = []
    if not (shape.createable and shape.queryable):
        lacks.append(Lack("the integration user may not create and read tasks", MAY_CREATE_TASKS, TASK))
    for name in TASK_FIELDS:
        place = f"tick Visible for the integration user's profile, and not Read-Only, under {SECURITY_PLACE}"
        todo = place.replace("{object}", TASK).replace("{field}", name)
        if name not in shape.fields:
            lacks.append(Lack(f"the field {TASK}.{name} is hidden from the integration user", todo, TASK))
        elif shape.createable and not shape.fields[name].writable:
            lacks.append(Lack(f"the integration user may not edit the field {TASK}.{name}", todo, TASK))
    return lacks


def why_unseen(http: Transport, name: str) -> EngageError:
    """Give the error for an object that cannot be described: the org speaks other versions, or hides the object."""
    lack = _version_lack(_offered(http))
    if lack is not None:
        return Misbehaved(f"{lack.problem}: {lack.todo}")
    todo = GUIDE.object.replace("{object}", name)
    return LoginFailed(f"the integration user sees no object {name}: {todo}")


def custom_fields(http: Transport, objects: Sequence[str]) -> dict[tuple[str, str], str]:
    """Give the id of every custom field of the objects by object and name, the hidden ones too.

    Raises AccessRefused or CallRefused where the user may not ask the Tooling API.
    """
    if not objects:
        return {}
    named = ", ".join(f"'{name}'" for name in objects)
    chosen = "SELECT Id, DeveloperName, NamespacePrefix, TableEnumOrId FROM CustomField"
    found: dict[tuple[str, str], str] = {}
    for row in every(http, chosen, f"TableEnumOrId IN ({named})", tooling=True):
        name, own, prefix = text(row.get("DeveloperName")), text(row.get("Id")), text(row.get("NamespacePrefix"))
        if name and own:
            found[str(row.get("TableEnumOrId")), f"{prefix}__{name}__c" if prefix else f"{name}__c"] = own
    return found


def optional(ask: Callable[[], Given], otherwise: Given) -> Given:
    """Ask for what is good to know, twice if need be; give `otherwise` where the user may not, or the org is silent."""
    for last in (False, True):
        try:
            return ask()
        except (CallRefused, AccessRefused):
            return otherwise
        except Transient as error:
            if error.suspend:
                raise
            if last:
                break
    return otherwise


def _offered(http: Transport) -> list[str]:
    return optional(http.versions, [])


def _version_lack(offered: Sequence[str]) -> Lack | None:
    """Compare the org's versions with ours: it keeps every version between its oldest and its newest (crm-apis §B1)."""
    known = sorted(float(version) for version in offered if version.replace(".", "", 1).isdecimal())
    if not known or known[0] <= float(API) <= known[-1]:
        return None
    problem = f"the org offers the API versions {known[0]} to {known[-1]}, engage-sync speaks {API}"
    if known[-1] < float(API):
        return Lack(problem, "wait for the org's next Salesforce release, or install an older engage-sync")
    return Lack(problem, "upgrade engage-sync: Salesforce has retired the version that this one speaks")


def _hidden(shape: Shape, known: Mapping[tuple[str, str], str]) -> dict[str, Field]:
    names = (name for object_, name in known if object_ == shape.object and name not in shape.fields)
    return {
        name: Field(name=name, label=name, type=None, native=HIDDEN, readable=False, writable=False) for name in names
    }


def _lacks(shape: Shape) -> Iterator[Lack]:
    todo = GUIDE.object.replace("{object}", shape.object)
    if not shape.queryable:
        yield Lack(f"the integration user may not read {shape.object} records", todo, shape.object)
    if not shape.updateable:
        yield Lack(f"the integration user may not edit {shape.object} records", todo, shape.object)


# -- page layouts


def _advice(http: Transport, shapes: Sequence[Shape], memory: Memory | None) -> list[str]:
    """Say which fields that we made stand on no page layout. Ids are for machines: nobody needs to see those."""
    nothing: frozenset[tuple[str, str]] = frozenset()
    ours = optional(lambda: _granted(http), nothing)
    sentences = []
    for shape in shapes:
        fields = [field for name, field in shape.fields.items() if (shape.object, name) in ours and not field.unique]
        missing = _unplaced(http, shape.object, fields, memory)
        if missing:
            labels = ", ".join(field.label for field in missing)
            place = f"Setup → Object Manager → {shape.object} → Page Layouts{_layout_names(http, shape.object)}"
            sentences.append(
                f"add {labels} to the page layout of {shape.object} ({place}) so that people see them; where they still"
                f" do not, tick Visible for their profiles under {FIELDS_PLACE.replace('{object}', shape.object)}"
            )
    return sentences


def _granted(http: Transport) -> frozenset[tuple[str, str]]:
    """Give object and name of the fields that our permission set grants: those that `provision` made."""
    rows = http.query(f"SELECT Field FROM FieldPermissions WHERE Parent.Name = '{PERMISSION_SET}'")
    named = (str(row.get("Field")).partition(".") for row in rows.records)
    return frozenset((object_, name) for object_, _, name in named)


def _unplaced(http: Transport, object_: str, fields: Sequence[Field], memory: Memory | None) -> list[Field]:
    """Give the fields that were seen on no page layout of the object, now or before; none where layouts do not tell."""
    key = f"salesforce.on_pages.{object_}"
    before = frozenset(((memory.get(key) if memory is not None else None) or "").split(","))
    unknown = [field for field in fields if field.name not in before]
    if not unknown:
        return []
    shown = optional(lambda: frozenset(_shown(http.get(f"sobjects/{object_}/describe/layouts"))), _NONE)
    if not shown:
        return []
    if memory is not None and not shown.isdisjoint(field.name for field in unknown):
        memory.put(key, ",".join(sorted(field.name for field in fields if field.name in shown | before)))
    return [field for field in unknown if field.name not in shown]


def _shown(answer: object) -> Iterator[str]:
    """Give the names of the fields on the layouts, wherever in their sections, rows and items they stand."""
    waiting = [answer]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            if node.get("type") == "Field" and isinstance(node.get("value"), str):
                yield str(node["value"])
            waiting += [inner for inner in node.values() if isinstance(inner, list | dict)]


def _layout_names(http: Transport, object_: str) -> str:
    asked = f"SELECT Name FROM Layout WHERE TableEnumOrId = '{object_}'"
    rows = optional(lambda: http.query(asked, tooling=True), Rows([], 0, done=True, now_ms=0))
    names = [name for row in rows.records if (name := text(row.get("Name")))]
    more = " or …" if len(names) > _SHOWN else ""
    return f" → {' or '.join(names[:_SHOWN])}{more}" if names else ""
