"""Making fields: what each type must give, and that nobody sees a field before it is granted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.salesforce_fields import text
from tests.sandbox.conftest import Org

VALUES = {"valueSetDefinition": {"sorted": False, "value": [{"fullName": "a", "label": "A", "default": False}]}}
FIELDS: dict[str, dict[str, Any]] = {
    "Text__c": {"type": "Text", "length": 255, "unique": True, "externalId": True},
    "Long__c": {"type": "LongTextArea", "length": 32_768, "visibleLines": 3},
    "Number__c": {"type": "Number", "precision": 18, "scale": 4},
    "Check__c": {"type": "Checkbox", "defaultValue": False},
    "Pick__c": {"type": "Picklist", "valueSet": {"restricted": True, **VALUES}},
    "Many__c": {"type": "MultiselectPicklist", "visibleLines": 4, "valueSet": VALUES},
    "Date__c": {"type": "Date"},
    "Moment__c": {"type": "DateTime"},
    "Url__c": {"type": "Url"},
    "Mail__c": {"type": "Email"},
}


def make(org: Org, name: str, metadata: dict[str, Any], object_: str = "Contact") -> Any:
    body = {"FullName": f"{object_}.{name}", "Metadata": {"label": "A label", **metadata}}
    return org("POST", "tooling/sobjects/CustomField", body)


def permit(org: Org, *names: str, edit: bool = True) -> str:
    made = org("POST", "sobjects/PermissionSet", {"Name": "Engage", "Label": "Engage"})
    number: str = made["id"]
    for name in names:
        rights = {"PermissionsRead": True, "PermissionsEdit": edit}
        org(
            "POST", "sobjects/FieldPermissions", {"ParentId": number, "SobjectType": "Contact", "Field": name, **rights}
        )
        assert org.status == 201
    return number


def described(org: Org) -> dict[str, Any]:
    return {field["name"]: field for field in org.get("sobjects/Contact/describe")["fields"]}


def test_every_type_is_made_and_read_back(org: Org) -> None:
    for name, metadata in FIELDS.items():
        made = make(org, name, metadata)
        assert (org.status, made["success"]) == (201, True), made
    assert not set(FIELDS) & set(described(org))
    number = permit(org, *(f"Contact.{name}" for name in FIELDS))
    assert not set(FIELDS) & set(described(org)), "not before the set is assigned"
    org("POST", "sobjects/PermissionSetAssignment", {"PermissionSetId": number, "AssigneeId": org.sandbox.user_id})
    fields = described(org)
    kinds = {name: fields[name]["type"] for name in FIELDS}
    assert list(kinds.values()) == [
        *("string", "textarea", "double", "boolean", "picklist", "multipicklist", "date", "datetime", "url", "email")
    ]
    assert (fields["Text__c"]["unique"], fields["Text__c"]["externalId"]) == (True, True)
    assert (fields["Number__c"]["precision"], fields["Number__c"]["scale"]) == (18, 4)
    assert (fields["Pick__c"]["restrictedPicklist"], fields["Many__c"]["restrictedPicklist"]) == (True, False)
    assert all(fields[name]["custom"] and fields[name]["updateable"] for name in FIELDS)


@pytest.mark.parametrize(
    ("name", "metadata", "code"),
    [
        ("NoEnd", {"type": "Date"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("two__parts__c", {"type": "Date"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("1st__c", {"type": "Date"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("x" * 41 + "__c", {"type": "Date"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Nope"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ("X__c", {"type": "Date", "label": ""}, "REQUIRED_FIELD_MISSING"),
        ("X__c", {"type": "Date", "label": "x" * 41}, "STRING_TOO_LONG"),
        ("X__c", {"type": "Text"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Text", "length": 256}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "LongTextArea", "length": 500}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Number", "precision": 18}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Number", "precision": 19, "scale": 0}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Checkbox"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Checkbox", "defaultValue": "false", "required": True}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Picklist"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "MultiselectPicklist", "valueSet": VALUES}, "FIELD_INTEGRITY_EXCEPTION"),
        ("X__c", {"type": "Date", "externalId": True}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)
def test_fields_that_cannot_be_made(org: Org, name: str, metadata: dict[str, Any], code: str) -> None:
    [error] = make(org, name, metadata)
    assert (org.status, error["errorCode"]) == (400, code)


def test_names_are_taken_once(org: Org) -> None:
    make(org, "X__c", {"type": "Date"})
    assert make(org, "x__c", {"type": "Date"})[0]["errorCode"] == "DUPLICATE_DEVELOPER_NAME"
    assert make(org, "X__c", {"type": "Date"}, "Nope")[0]["errorCode"] == "INVALID_CROSS_REFERENCE_KEY"
    assert make(org, "X__c", {"type": "Date"}, "Account")["success"]


def test_adding_a_value_keeps_values_and_rights(org: Org) -> None:
    number = make(org, "Pick__c", FIELDS["Pick__c"])["id"]
    org.store.grant("Contact", "Pick__c")
    person = org.store.create("Contact", {"LastName": "A", "Pick__c": "a"})
    held = org.get(f"tooling/sobjects/CustomField/{number}")
    metadata = held["Metadata"]
    assert (held["FullName"], metadata["valueSet"]["restricted"]) == ("Contact.Pick__c", True)
    assert org.refused({"id": person, "Pick__c": "b"})["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    listed = metadata["valueSet"]["valueSetDefinition"]["value"]
    metadata["valueSet"]["valueSetDefinition"]["value"] = [{"valueName": "b", "label": "B"}, *listed]
    assert org("PATCH", f"tooling/sobjects/CustomField/{number}", {"Metadata": metadata}) is None
    assert org.status == 204
    assert org.update([{"id": person, "Pick__c": "b"}])[0]["success"]
    metadata["valueSet"]["valueSetDefinition"]["value"] = [{"valueName": "b", "label": "B"}]
    org("PATCH", f"tooling/sobjects/CustomField/{number}", {"Metadata": metadata})
    assert org.refused({"id": person, "Pick__c": "a"})["statusCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    org("PATCH", f"tooling/sobjects/CustomField/{number}", {"Metadata": {"type": "Date", "label": "D"}})
    assert org.status == 400
    org("DELETE", f"tooling/sobjects/CustomField/{number}")
    assert "Pick__c" not in described(org)
    org.get(f"tooling/sobjects/CustomField/{number}")
    assert org.status == 404


def test_tables_of_the_tooling_api(org: Org) -> None:
    made = make(org, "X__c", {"type": "Date"})["id"]
    make(org, "Y__c", {"type": "Date"})
    where = "WHERE TableEnumOrId = 'Contact' AND DeveloperName = 'X'"
    assert org.rows(f"SELECT Id, FullName FROM CustomField {where}", "tooling/query") == [
        {"Id": made, "FullName": "Contact.X__c"}
    ]
    several = org.query("SELECT Id, Metadata FROM CustomField WHERE TableEnumOrId = 'Contact'", "tooling/query")
    assert several[0]["errorCode"] == "MALFORMED_QUERY"
    assert "no more than one row" in several[0]["message"]
    names = "SELECT QualifiedApiName FROM FieldDefinition WHERE EntityDefinition.QualifiedApiName = 'Contact'"
    for how in ("query", "tooling/query"):
        assert {"QualifiedApiName": "X__c"} in org.rows(names, how)
    [layout] = org.rows("SELECT Name FROM Layout WHERE TableEnumOrId = 'Contact'", "tooling/query")
    assert layout == {"Name": "Contact Layout"}
    assert org.query("SELECT Id FROM CustomField")[0]["errorCode"] == "INVALID_TYPE"


def test_permissions(org: Org) -> None:
    make(org, "X__c", {"type": "Date"})
    number = permit(org, "Contact.X__c", edit=False)
    assign = {"PermissionSetId": number, "AssigneeId": org.sandbox.user_id}
    assert org("POST", "sobjects/PermissionSetAssignment", assign)["success"]
    [again] = org("POST", "sobjects/PermissionSetAssignment", assign)
    assert again["errorCode"] == "DUPLICATE_VALUE"
    assert again["message"].startswith("Duplicate PermissionSetAssignment")
    assert described(org)["X__c"]["updateable"] is False
    [held] = org.rows(f"SELECT Id, PermissionsEdit FROM FieldPermissions WHERE ParentId = '{number}'")
    assert held["PermissionsEdit"] is False
    org("PATCH", f"sobjects/FieldPermissions/{held['Id']}", {"PermissionsEdit": True})
    assert org.status == 204
    assert described(org)["X__c"]["updateable"] is True
    field = {"ParentId": number, "SobjectType": "Contact", "PermissionsRead": True, "PermissionsEdit": True}

    def code(**more: Any) -> str:
        return str(org("POST", "sobjects/FieldPermissions", {**field, **more})[0]["errorCode"])

    assert code(Field="Contact.X__c") == "DUPLICATE_VALUE"
    assert code(Field="Contact.Nope__c") == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert code(Field="Contact.LastName") == "FIELD_INTEGRITY_EXCEPTION"
    assert code(Field="Contact.Title", PermissionsRead=False) == "FIELD_INTEGRITY_EXCEPTION"
    assert code(Field="Contact.Title", ParentId=org.sandbox.user_id) == "FIELD_INTEGRITY_EXCEPTION"
    [gone] = org("POST", "sobjects/PermissionSet", {"Name": "engage", "Label": "x"})
    assert gone["errorCode"] == "DUPLICATE_VALUE"
    org.store.hide("Contact", "X__c")
    assert "X__c" not in described(org)
    assert code(Field="Contact.Nope__c") == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert org("POST", "sobjects/FieldPermissions", {**field, "Field": "Contact.X__c"})["success"]
    assert "X__c" in described(org)
    org("DELETE", f"sobjects/PermissionSetAssignment/{org.rows('SELECT Id FROM PermissionSetAssignment')[0]['Id']}")
    assert "X__c" not in described(org)


def test_a_user_who_may_not_customize(serve_org: Callable[..., Org]) -> None:
    org = serve_org(may_customize=False)
    assert make(org, "X__c", {"type": "Date"})[0]["errorCode"] == "INSUFFICIENT_ACCESS"
    [error] = org("POST", "sobjects/PermissionSet", {"Name": "E", "Label": "E"})
    assert error["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"
    assert org.get("sobjects/PermissionSet/describe")["createable"] is False


def test_an_org_without_field_security(serve_org: Callable[..., Org]) -> None:
    org = serve_org(field_security=False)
    make(org, "X__c", {"type": "Date"})
    assert described(org)["X__c"]["updateable"] is True
    org.store.add_field("Contact", text("Z__c", "Z", custom=True), visible=False)
    assert "Z__c" in described(org)
