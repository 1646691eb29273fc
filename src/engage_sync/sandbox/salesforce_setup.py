"""The Tooling API of a Salesforce org: custom fields made and changed, and the tables that tell about fields and
layouts (crm-apis §B11). A field made here is invisible to everyone until field permissions are granted."""

from __future__ import annotations

from dataclasses import replace

from engage_sync.sandbox.salesforce_fields import FieldDef, ObjectDef, text
from engage_sync.sandbox.salesforce_ids import mint, normal
from engage_sync.sandbox.salesforce_metadata import from_metadata, to_metadata
from engage_sync.sandbox.salesforce_org import Org
from engage_sync.sandbox.salesforce_refusal import Denied, RowRefused, refuse
from engage_sync.sandbox.salesforce_shelf import Record, Shelf
from engage_sync.sandbox.salesforce_wire import Ask, denial, reply
from engage_sync.sandbox.wire import Answer, Json


def create_field(org: Org, ask: Ask) -> Answer:
    """Create a custom field."""
    given = ask.body()
    with org.store.lock:
        try:
            _may(org)
            entity, name = _full_name(org, given.get("FullName"))
            if org.store.type(entity).find(name) is not None:
                raise refuse(
                    "DUPLICATE_DEVELOPER_NAME",
                    f"There is already a field named {name.removesuffix('__c')} on {entity}.",
                    "DeveloperName",
                )
            field = from_metadata(name, _metadata(given))
            org.store.add_field(entity, field, visible=False)
        except RowRefused as refused:
            return denial(400, refused.errors)
        return reply(
            {"id": _number(org, entity, name), "success": True, "errors": [], "warnings": [], "infos": []}, 201
        )


def change_field(org: Org, ask: Ask, number: str) -> Answer:
    """Change a custom field: its whole Metadata is replaced. Values of a picklist that are left out become inactive."""
    given = ask.body()
    with org.store.lock:
        entity, field = _field(org, number)
        try:
            _may(org)
            new = from_metadata(field.name, _metadata(given))
            if new.type != field.type and {new.type, field.type} - {
                "string",
                "picklist",
                "textarea",
                "url",
                "email",
                "phone",
            }:
                raise refuse(
                    "FIELD_INTEGRITY_EXCEPTION",
                    f"Cannot change the type of {field.name} from {field.type} to {new.type}",
                    "Type",
                )
            kept = {one.value for one in new.choices}
            gone = tuple(replace(one, active=False) for one in field.choices if one.value not in kept)
            org.store.add_field(entity, replace(new, choices=new.choices + gone), visible=False)
        except RowRefused as refused:
            return denial(400, refused.errors)
        return Answer(204)


def one_field(org: Org, ask: Ask, number: str) -> Answer:
    """Answer one custom field with its Metadata."""
    with org.store.lock:
        entity, field = _field(org, number)
        row = _custom_field(org, entity, field)
        attributes = {"type": "CustomField", "url": f"{ask.root}/tooling/sobjects/CustomField/{row['Id']}"}
        return reply({"attributes": attributes, **row})


def delete_field(org: Org, _ask: Ask, number: str) -> Answer:
    """Delete a custom field with its values."""
    with org.store.lock:
        entity, field = _field(org, number)
        try:
            _may(org)
        except RowRefused as refused:
            return denial(403, refused.errors)
        org.store.drop_field(entity, field.name)
        return Answer(204)


def virtual(org: Org, *, tooling: bool) -> dict[str, Shelf]:
    """Give the tables that are made up from definitions; hold the store's lock."""
    shelves = {}
    for name, build in _TABLES.items():
        if tooling or name in ("FieldDefinition", "EntityParticle", "EntityDefinition"):
            shelves[name] = build(org)
    return shelves


def _custom_fields(org: Org) -> Shelf:
    fields = [
        _id(),
        text("DeveloperName", "Developer Name"),
        text("TableEnumOrId", "Entity"),
        text("FullName", "Full Name"),
        text("NamespacePrefix", "Namespace Prefix"),
        FieldDef("Metadata", "Metadata", "json"),
    ]
    rows = [_custom_field(org, e, f) for e, f in _all_fields(org) if f.custom]
    return _shelf("CustomField", "00N", fields, rows)


def _definitions(org: Org) -> Shelf:
    fields = [
        _id(),
        text("QualifiedApiName", "API Name"),
        text("DeveloperName", "Developer Name"),
        text("Label", "Label"),
        text("DataType", "Data Type"),
        text("EntityDefinitionId", "Entity ID"),
        text("EntityDefinition.QualifiedApiName", "Entity"),
        text("DurableId", "Durable ID"),
    ]
    return _shelf("FieldDefinition", "000", fields, _told_fields(org))


def _particles(org: Org) -> Shelf:
    shelf = _definitions(org)
    shelf.type.name = "EntityParticle"
    return shelf


def _entities(org: Org) -> Shelf:
    fields = [_id(), text("QualifiedApiName", "API Name"), text("Label", "Label"), text("KeyPrefix", "Key Prefix")]
    rows: list[Json] = [
        {"QualifiedApiName": t.type.name, "Label": t.type.label, "KeyPrefix": t.type.prefix}
        for t in org.store.shelves.values()
    ]
    return _shelf("EntityDefinition", "000", fields, rows)


def _layouts(org: Org) -> Shelf:
    fields = [_id(), text("Name", "Name"), text("TableEnumOrId", "Entity"), text("LayoutType", "Type")]
    rows: list[Json] = [
        {"Name": name, "TableEnumOrId": entity, "LayoutType": "Standard"}
        for entity, shelf in org.store.shelves.items()
        for name in shelf.type.layouts
    ]
    return _shelf("Layout", "00h", fields, rows)


_TABLES = {
    "CustomField": _custom_fields,
    "FieldDefinition": _definitions,
    "EntityParticle": _particles,
    "EntityDefinition": _entities,
    "Layout": _layouts,
}


def _told_fields(org: Org) -> list[Json]:
    return [
        {
            "QualifiedApiName": field.name,
            "DeveloperName": field.name.removesuffix("__c"),
            "Label": field.label,
            "DataType": field.type,
            "EntityDefinitionId": entity,
            "EntityDefinition.QualifiedApiName": entity,
            "DurableId": f"{entity}.{field.name}",
        }
        for entity, field in _all_fields(org)
    ]


def _shelf(name: str, prefix: str, fields: list[FieldDef], rows: list[Json]) -> Shelf:
    shelf = Shelf(ObjectDef(name, name, name, prefix, {one.name: one for one in fields}, setup=True))
    for place, row in enumerate(rows, start=1):
        number = str(row.get("Id") or mint(prefix, place))
        shelf.add(
            Record(number, {key: value for key, value in row.items() if value is not None and key != "Id"}, 0, "")
        )
    shelf.order.sort()
    return shelf


def _id() -> FieldDef:
    return FieldDef("Id", "ID", "id", 18, read_only=True)


def _all_fields(org: Org) -> list[tuple[str, FieldDef]]:
    return [(entity, field) for entity, shelf in org.store.shelves.items() for field in shelf.type.fields.values()]


def _custom_field(org: Org, entity: str, field: FieldDef) -> Json:
    return {
        "Id": _number(org, entity, field.name),
        "DeveloperName": field.name.removesuffix("__c"),
        "TableEnumOrId": entity,
        "FullName": f"{entity}.{field.name}",
        "NamespacePrefix": None,
        "Metadata": to_metadata(field),
    }


def _number(org: Org, entity: str, name: str) -> str:
    """Give the id of a custom field, the same each time."""
    key = f"00N {entity}.{name}"
    with org.lock:
        if key not in org.minted:
            org.minted["00N"] = org.minted.get("00N", 0) + 1
            org.minted[key] = org.minted["00N"]
        return mint("00N", org.minted[key])


def _field(org: Org, number: str) -> tuple[str, FieldDef]:
    known = normal(number)
    for entity, field in _all_fields(org):
        if field.custom and _number(org, entity, field.name) == known:
            return entity, field
    raise Denied(404, "NOT_FOUND", "The requested resource does not exist")


def _may(org: Org) -> None:
    if not org.may_customize:
        raise refuse("INSUFFICIENT_ACCESS", "insufficient access rights on entity: CustomField")


def _full_name(org: Org, given: object) -> tuple[str, str]:
    if not isinstance(given, str) or given.count(".") != 1:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"FullName must be Object.Field__c, not {given}", "FullName")
    entity, _, name = given.partition(".")
    shelf = org.store.shelves.get(entity)
    if shelf is None or shelf.type.setup:
        raise refuse("INVALID_CROSS_REFERENCE_KEY", f"Entity Enumeration Or ID: bad value: {entity}", "TableEnumOrId")
    return entity, name


def _metadata(given: Json) -> Json:
    found = given.get("Metadata")
    if not isinstance(found, dict):
        raise refuse("REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", "Metadata")
    return found
