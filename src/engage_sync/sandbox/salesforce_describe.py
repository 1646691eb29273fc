"""What a Salesforce org says about itself: its objects and their fields as one user sees them, layouts, limits
(crm-apis §B9, B11). A field that the user may not see is absent. Changes nothing."""

from __future__ import annotations

from engage_sync.sandbox.salesforce_fields import NUMBERS, FieldDef, ObjectDef
from engage_sync.sandbox.salesforce_org import Org
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_wire import Ask, reply
from engage_sync.sandbox.wire import Answer, Json

_SOAP = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "date": "xsd:date"}
_SOAP |= {"datetime": "xsd:dateTime", "address": "urn:address"}


def everything(org: Org, _ask: Ask) -> Answer:
    """Answer `/sobjects`."""
    with org.store.lock:
        seen = [shelf.type for name, shelf in org.store.shelves.items() if org.store.access.may(name)[0]]
        return reply({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [_head(org, type_) for type_ in seen]})


def basic(org: Org, _ask: Ask, entity: str) -> Answer:
    """Answer `/sobjects/{object}`."""
    with org.store.lock:
        return reply({"objectDescribe": _head(org, org.store.type(org.entity(entity))), "recentItems": []})


def describe(org: Org, ask: Ask, entity: str) -> Answer:
    """Answer `/sobjects/{object}/describe`."""
    with org.store.lock:
        type_ = org.store.type(org.entity(entity))
        rights = org.store.access.rights(type_.name)
        edit = _may_edit(org, type_)
        fields = [_field(type_.fields[name], editable=edit and editable) for name, editable in rights.items()]
        urls = {
            "sobject": f"{ask.root}/sobjects/{type_.name}",
            "describe": f"{ask.root}/sobjects/{type_.name}/describe",
        }
        more: Json = {"fields": fields, "childRelationships": [], "recordTypeInfos": [], "urls": urls}
        return reply(_head(org, type_) | more)


def layouts(org: Org, _ask: Ask, entity: str) -> Answer:
    """Answer `/sobjects/{object}/describe/layouts`: which fields are on the pages."""
    with org.store.lock:
        type_ = org.store.type(org.entity(entity))
        rights = org.store.access.rights(type_.name)
        pages = [
            {"id": None, "detailLayoutSections": [_section([n for n in names if n in rights], type_)]}
            for names in type_.layouts.values()
        ]
    return reply({"layouts": pages, "recordTypeMappings": [], "recordTypeSelectorRequired": [False]})


def limits(org: Org, _ask: Ask) -> Answer:
    """Answer `/limits`."""
    left = max(0, org.usage.limit - org.usage.used)
    most = {"DailyBulkApiBatches": 15_000, "DailyBulkV2QueryJobs": 10_000, "DailyBulkV2QueryFileStorageMB": 976_562}
    body: Json = {"DailyApiRequests": {"Max": org.usage.limit, "Remaining": left}}
    return reply(body | {name: {"Max": number, "Remaining": number} for name, number in most.items()})


def versions(org: Org) -> Answer:
    """Answer `/services/data`."""
    return reply([{"label": f"Release {v}", "url": f"/services/data/v{v}", "version": v} for v in org.versions])


def resources(_org: Org, ask: Ask) -> Answer:
    """Answer `/services/data/vXX.0`."""
    names = ("sobjects", "query", "queryAll", "limits", "composite", "tooling", "jobs")
    return reply({name: f"{ask.root}/{name}" for name in names} | {"identity": "/id"})


def identity(org: Org, org_id: str, user: str) -> Answer:
    """Answer `/id/{org}/{user}`."""
    store = org.store
    if org_id[:15] != store.org_id[:15] or user[:15] != store.user_id[:15]:
        raise Denied(404, "NOT_FOUND", "The requested resource does not exist")
    return reply(_identity(org) | {"asserted_user": True, "username": store.username, "active": True})


def userinfo(org: Org) -> Answer:
    """Answer `/services/oauth2/userinfo`."""
    return reply(
        _identity(org)
        | {
            "sub": f"{org.base_url()}/id/{org.store.org_id}/{org.store.user_id}",
            "preferred_username": org.store.username,
        }
    )


def _identity(org: Org) -> Json:
    base = org.base_url()
    return {
        "id": f"{base}/id/{org.store.org_id}/{org.store.user_id}",
        "user_id": org.store.user_id,
        "organization_id": org.store.org_id,
        "name": "Engage Sync",
        "email": org.store.username,
        "user_type": "STANDARD",
        "active": True,
        "urls": {"rest": f"{base}/services/data/v{{version}}/", "custom_domain": base},
    }


def _may_edit(org: Org, type_: ObjectDef) -> bool:
    return org.store.access.may(type_.name)[1] and (org.may_customize or not type_.setup)


def _head(org: Org, type_: ObjectDef) -> Json:
    edit = _may_edit(org, type_)
    return {
        "name": type_.name,
        "label": type_.label,
        "labelPlural": type_.plural,
        "keyPrefix": type_.prefix,
        "custom": type_.name.endswith("__c"),
        "createable": edit and type_.createable,
        "updateable": edit and type_.updateable,
        "deletable": edit and type_.deletable,
        "queryable": True,
        "retrieveable": True,
        "replicateable": not type_.setup,
        "searchable": not type_.setup,
        "layoutable": not type_.setup,
        "mergeable": "MasterRecordId" in type_.fields,
        "undeletable": not type_.setup,
        "triggerable": not type_.setup,
    }


def _field(one: FieldDef, *, editable: bool) -> Json:
    text = one.type not in (*NUMBERS, "int", "boolean", "date", "datetime", "address")
    sortable = not one.long and one.type not in ("multipicklist", "address")
    return {
        "name": one.name,
        "label": one.label,
        "type": one.type,
        "soapType": _SOAP.get(one.type, "xsd:double" if one.type in NUMBERS else "xsd:string"),
        "length": one.length if text else 0,
        "byteLength": one.length * 3 if text else 0,
        "precision": one.precision if one.type != "int" else 0,
        "scale": one.scale,
        "digits": one.precision if one.type == "int" else 0,
        "custom": one.custom,
        "calculated": one.calculated and one.custom,
        "createable": editable,
        "updateable": editable and not one.create_only,
        "nillable": not one.required and one.type != "boolean",
        "defaultedOnCreate": one.defaulted or one.type == "boolean",
        "unique": one.unique,
        "externalId": one.external_id,
        "idLookup": one.external_id or one.name in ("Id", "Email"),
        "caseSensitive": one.case_sensitive,
        "restrictedPicklist": one.restricted,
        "picklistValues": [
            {
                "value": c.value,
                "label": c.label or c.value,
                "active": c.active,
                "defaultValue": c.default,
                "validFor": None,
            }
            for c in one.choices
        ],
        "referenceTo": list(one.refers_to),
        "relationshipName": one.relation,
        "filterable": not one.long and one.type != "address",
        "sortable": sortable,
        "groupable": sortable and one.type not in NUMBERS,
        "nameField": one.name == "Name",
        "autoNumber": False,
        "encrypted": False,
        "deprecatedAndHidden": False,
        "permissionable": not one.required,
        "inlineHelpText": one.help or None,
        "compoundFieldName": None,
        "defaultValue": False if one.type == "boolean" else None,
        "extraTypeInfo": ("plaintextarea" if one.type == "textarea" else None),
        "htmlFormatted": False,
    }


def _section(names: list[str], type_: ObjectDef) -> Json:
    items = [
        {
            "label": type_.fields[name].label,
            "editableForUpdate": True,
            "layoutComponents": [{"type": "Field", "value": name, "displayLines": 1, "tabOrder": place}],
        }
        for place, name in enumerate(names)
        if name in type_.fields
    ]
    rows = [{"layoutItems": items[place : place + 2], "numItems": 2} for place in range(0, len(items), 2)]
    return {"heading": f"{type_.label} Information", "columns": 2, "rows": len(rows), "layoutRows": rows}
