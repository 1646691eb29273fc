"""HubSpot's calls about properties and property groups (crm-apis §A9). Turns requests into definitions and back."""

from __future__ import annotations

from dataclasses import replace

from engage_sync.sandbox.objects import Desk
from engage_sync.sandbox.properties import Group, ObjectType, Option, Property
from engage_sync.sandbox.refusal import Refused, unreadable
from engage_sync.sandbox.values import instant
from engage_sync.sandbox.wire import Answer, Call, Json, inputs, item, needed, text


def everything(desk: Desk, call: Call, object_: str) -> Answer:
    """GET all properties of an object."""
    archived = call.flag("archived")
    with desk.store.lock:
        held = list(desk.store.type(object_).properties.values())
    return Answer(200, {"results": [show(prop) for prop in held if prop.archived == archived]})


def one(desk: Desk, _call: Call, object_: str, name: str) -> Answer:
    """GET one property."""
    with desk.store.lock:
        return Answer(200, show(desk.store.type(object_).live(name)))


def create(desk: Desk, call: Call, object_: str) -> Answer:
    """POST a new property."""
    with desk.store.lock:
        return Answer(201, show(desk.store.type(object_).add(_read(call.json(), desk))))


def change(desk: Desk, call: Call, object_: str, name: str) -> Answer:
    """PATCH a property: `options` replace the whole list; what is not sent stays."""
    body = call.json()
    with desk.store.lock:
        type_ = desk.store.type(object_)
        before = type_.live(name)
        if "hasUniqueValue" in body and body["hasUniqueValue"] != before.unique:
            raise Refused("hasUniqueValue cannot be changed after a property was created.")
        after = replace(
            before,
            label=text(body, "label") or before.label,
            type=text(body, "type") or before.type,
            field_type=text(body, "fieldType") or before.field_type,
            group=text(body, "groupName") or before.group,
            description=before.description if "description" not in body else text(body, "description") or "",
            options=_options(body) if "options" in body else before.options,
            updated=instant(desk.store.now()),
        )
        return Answer(200, show(type_.change(after)))


def archive(desk: Desk, _call: Call, object_: str, name: str) -> Answer:
    """DELETE archives a property."""
    with desk.store.lock:
        desk.store.type(object_).archive(name)
    return Answer(204)


def batch_create(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/create: rows fail one by one."""
    results, errors = [], []
    with desk.store.lock:
        type_ = desk.store.type(object_)
        for row in inputs(call.json()):
            try:
                results.append(show(type_.add(_read(row, desk))))
            except Refused as refused:
                errors.append(item(refused, {"name": [text(row, "name") or ""]}))
    return _answer(desk, results, errors, 201)


def batch_read(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/read by name."""
    results, errors = [], []
    with desk.store.lock:
        type_ = desk.store.type(object_)
        for name in [needed(row, "name") for row in inputs(call.json())]:
            try:
                results.append(show(type_.live(name)))
            except Refused as refused:
                errors.append(item(refused, {"name": [name]}))
    return _answer(desk, results, errors, 200)


def batch_archive(desk: Desk, call: Call, object_: str) -> Answer:
    """POST batch/archive by name."""
    with desk.store.lock:
        type_ = desk.store.type(object_)
        for row in inputs(call.json()):
            type_.archive(needed(row, "name"))
    return Answer(204)


def groups(desk: Desk, _call: Call, object_: str) -> Answer:
    """GET all groups."""
    with desk.store.lock:
        held = list(desk.store.type(object_).groups.values())
    return Answer(200, {"results": [show_group(group) for group in held if not group.archived]})


def group(desk: Desk, _call: Call, object_: str, name: str) -> Answer:
    """GET one group."""
    with desk.store.lock:
        return Answer(200, show_group(desk.store.type(object_).group(name)))


def create_group(desk: Desk, call: Call, object_: str) -> Answer:
    """POST a new group."""
    body = call.json()
    made = Group(needed(body, "name"), needed(body, "label"))
    with desk.store.lock:
        return Answer(201, show_group(desk.store.type(object_).add_group(made)))


def change_group(desk: Desk, call: Call, object_: str, name: str) -> Answer:
    """PATCH a group's label."""
    body = call.json()
    with desk.store.lock:
        found = desk.store.type(object_).group(name)
        found.label = text(body, "label") or found.label
        return Answer(200, show_group(found))


def archive_group(desk: Desk, _call: Call, object_: str, name: str) -> Answer:
    """DELETE archives a group that no live property is in."""
    with desk.store.lock:
        type_: ObjectType = desk.store.type(object_)
        found = type_.group(name)
        if any(p.group == name and not p.archived for p in type_.properties.values()):
            raise Refused(f"Property group {name} still has properties.")
        found.archived = True
    return Answer(204)


def show(prop: Property) -> Json:
    """Give a property's definition as JSON."""
    return {
        "name": prop.name,
        "label": prop.label,
        "type": prop.type,
        "fieldType": prop.field_type,
        "description": prop.description,
        "groupName": prop.group,
        "options": [
            {
                "label": option.label,
                "value": option.value,
                "description": option.description,
                "displayOrder": option.order,
                "hidden": option.hidden,
            }
            for option in prop.options
        ],
        "displayOrder": prop.order,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": prop.unique,
        "hidden": prop.hidden,
        "hubspotDefined": prop.built_in,
        "archived": prop.archived,
        "formField": not prop.read_only,
        "dataSensitivity": "non_sensitive",
        "modificationMetadata": {
            "archivable": not prop.built_in,
            "readOnlyDefinition": prop.built_in,
            "readOnlyOptions": prop.read_only,
            "readOnlyValue": prop.read_only,
        },
        "createdAt": prop.created,
        "updatedAt": prop.updated,
    }


def show_group(group_: Group) -> Json:
    """Give a group as JSON."""
    return {"name": group_.name, "label": group_.label, "displayOrder": group_.order, "archived": group_.archived}


def _read(body: Json, desk: Desk) -> Property:
    now = instant(desk.store.now())
    options = body.get("options")
    made = Property(
        name=needed(body, "name"),
        label=needed(body, "label"),
        type=needed(body, "type"),
        field_type=needed(body, "fieldType"),
        group=needed(body, "groupName"),
        description=text(body, "description") or "",
        options=_options(body) if options is not None else (),
        unique=body.get("hasUniqueValue") is True,
        hidden=body.get("hidden") is True,
        created=now,
        updated=now,
    )
    if made.type == "bool" and not made.options:
        return replace(made, options=(Option("Yes", "true", 0), Option("No", "false", 1)))
    return made


def _options(body: Json) -> tuple[Option, ...]:
    given = body.get("options")
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise unreadable("options must be a list of objects")
    read = []
    for place, row in enumerate(given):
        if not isinstance(row.get("hidden"), bool):
            raise unreadable("Some required fields were not set: [options.hidden]")
        order = row.get("displayOrder", place)
        if not isinstance(order, int):
            raise unreadable("displayOrder must be a number")
        described = text(row, "description") or ""
        read.append(Option(needed(row, "label"), needed(row, "value"), order, row["hidden"], described))
    return tuple(read)


def _answer(desk: Desk, results: list[Json], errors: list[Json], done: int) -> Answer:
    now = instant(desk.store.now())
    body: Json = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not errors:
        return Answer(done if desk.dated == "v3" else 200, body)
    return Answer(207 if desk.dated == "v3" else 200, body | {"numErrors": len(errors), "errors": errors})
