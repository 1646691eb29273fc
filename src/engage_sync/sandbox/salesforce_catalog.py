"""The objects of a new Salesforce org, as far as a sync of people and accounts meets them: Contact, Account, Lead,
Task, and of the setup User, Group, Organization, PermissionSet, FieldPermissions, PermissionSetAssignment. Definitions
only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engage_sync.sandbox.salesforce_fields import Choice, FieldDef, ObjectDef, Values, choices, text

LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
INDUSTRIES = ("Agriculture", "Banking", "Consulting", "Education", "Energy", "Healthcare", "Retail", "Technology")
SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")
RATINGS = ("Hot", "Warm", "Cold")
ACCOUNT_TYPES = ("Prospect", "Customer - Direct", "Customer - Channel", "Partner", "Other")
TASK_STATES = ("Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")
TASK_SUBJECTS = ("Call", "Email", "Send Letter", "Send Quote", "Other")
PRIORITIES = ("High", "Normal", "Low")
LEAD_STATES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")


def objects() -> dict[str, ObjectDef]:
    """Give the objects of a new org, by name."""
    known = (
        ObjectDef("Contact", "Contact", "Contacts", "003", _named(_contact())),
        ObjectDef("Account", "Account", "Accounts", "001", _named(_account())),
        ObjectDef("Lead", "Lead", "Leads", "00Q", _named(_lead())),
        ObjectDef("Task", "Task", "Tasks", "00T", _named(_task()), name_field="Subject"),
        *_setup(),
    )
    for one in known[:4]:
        shown = [name for name, held in one.fields.items() if not held.read_only and name != "OwnerId"]
        one.layouts[f"{one.label} Layout"] = shown
    return {one.name: one for one in known}


def _named(fields: list[FieldDef]) -> dict[str, FieldDef]:
    return {one.name: one for one in fields}


def _kept(name: str, label: str, kind: str, **more: object) -> FieldDef:
    """Define a field that the org keeps itself."""
    return FieldDef(name, label, kind, read_only=True, **more)  # type: ignore[arg-type]  # the names are FieldDef's own


def _system(*, merges: bool = True, owners: tuple[str, ...] = ("User",)) -> list[FieldDef]:
    fields = [
        _kept("Id", "Record ID", "id", length=18, required=True, defaulted=True),
        _kept("IsDeleted", "Deleted", "boolean", required=True, defaulted=True),
    ]
    if merges:
        fields.append(_kept("MasterRecordId", "Master Record ID", "reference", length=18, relation="MasterRecord"))
    if owners:
        fields.append(
            FieldDef("OwnerId", "Owner ID", "reference", 18, refers_to=owners, relation="Owner", defaulted=True)
        )
    user: dict[str, Any] = {"length": 18, "required": True, "refers_to": ("User",)}
    return [
        *fields,
        _kept("CreatedDate", "Created Date", "datetime", required=True, defaulted=True),
        _kept("CreatedById", "Created By ID", "reference", relation="CreatedBy", **user),
        _kept("LastModifiedDate", "Last Modified Date", "datetime", required=True, defaulted=True),
        _kept("LastModifiedById", "Last Modified By ID", "reference", relation="LastModifiedBy", **user),
        _kept("SystemModstamp", "System Modstamp", "datetime", required=True, defaulted=True),
    ]


def _full_name(values: Values) -> object:
    return " ".join(str(values[part]) for part in ("FirstName", "LastName") if values.get(part)) or None


def _person() -> list[FieldDef]:
    return [
        FieldDef("Salutation", "Salutation", "picklist", 40, choices=choices(SALUTATIONS)),
        text("FirstName", "First Name", 40),
        text("LastName", "Last Name", 80, required=True),
        FieldDef("Name", "Full Name", "string", 121, read_only=True, formula=_full_name),
    ]


def _reach() -> list[FieldDef]:
    return [
        FieldDef("Phone", "Business Phone", "phone", 40),
        FieldDef("MobilePhone", "Mobile Phone", "phone", 40),
        FieldDef("Email", "Email", "email", 80),
    ]


def _address(prefix: str, label: str) -> list[FieldDef]:
    start = f"{label} " if label else ""

    def whole(values: Values) -> object:
        parts = {
            part.lower(): values.get(prefix + part) for part in ("Street", "City", "State", "PostalCode", "Country")
        }
        parts["postalCode"] = parts.pop("postalcode")
        return parts if any(parts.values()) else None

    return [
        FieldDef(f"{prefix}Street", f"{start}Street", "textarea", 255),
        text(f"{prefix}City", f"{start}City", 40),
        text(f"{prefix}State", f"{start}State/Province", 80),
        text(f"{prefix}PostalCode", f"{start}Zip/Postal Code", 20),
        text(f"{prefix}Country", f"{start}Country", 80),
        FieldDef(f"{prefix}Address", f"{start}Address", "address", read_only=True, formula=whole),
    ]


def _contact() -> list[FieldDef]:
    return [
        *_system(),
        FieldDef("AccountId", "Account ID", "reference", 18, refers_to=("Account",), relation="Account"),
        *_person(),
        *_address("Mailing", "Mailing"),
        *_reach(),
        text("Title", "Title", 128),
        text("Department", "Department", 80),
        FieldDef("ReportsToId", "Reports To ID", "reference", 18, refers_to=("Contact",), relation="ReportsTo"),
        FieldDef("LeadSource", "Lead Source", "picklist", 255, choices=choices(LEAD_SOURCES)),
        FieldDef("Birthdate", "Birthdate", "date"),
        FieldDef("Description", "Contact Description", "textarea", 32_000),
        FieldDef("HasOptedOutOfEmail", "Email Opt Out", "boolean", defaulted=True),
        FieldDef("DoNotCall", "Do Not Call", "boolean", defaulted=True),
        _kept("LastActivityDate", "Last Activity", "date"),
    ]


def _account() -> list[FieldDef]:
    return [
        *_system(),
        text("Name", "Account Name", 255, required=True),
        FieldDef("Type", "Account Type", "picklist", 255, choices=choices(ACCOUNT_TYPES)),
        FieldDef("ParentId", "Parent Account ID", "reference", 18, refers_to=("Account",), relation="Parent"),
        *_address("Billing", "Billing"),
        FieldDef("Phone", "Account Phone", "phone", 40),
        FieldDef("Website", "Website", "url", 255),
        FieldDef("Industry", "Industry", "picklist", 255, choices=choices(INDUSTRIES)),
        FieldDef("AnnualRevenue", "Annual Revenue", "currency", precision=18, scale=0),
        FieldDef("NumberOfEmployees", "Employees", "int", precision=8),
        FieldDef("Rating", "Account Rating", "picklist", 255, choices=choices(RATINGS)),
        FieldDef("Description", "Account Description", "textarea", 32_000),
        _kept("LastActivityDate", "Last Activity", "date"),
    ]


def _lead() -> list[FieldDef]:
    return [
        *_system(owners=("User", "Group")),
        *_person(),
        text("Title", "Title", 128),
        text("Company", "Company", 255, required=True),
        *_address("", ""),
        *_reach(),
        FieldDef("Website", "Website", "url", 255),
        FieldDef("LeadSource", "Lead Source", "picklist", 255, choices=choices(LEAD_SOURCES)),
        FieldDef("Status", "Status", "picklist", 255, required=True, defaulted=True, choices=choices(LEAD_STATES)),
        FieldDef("Industry", "Industry", "picklist", 255, choices=choices(INDUSTRIES)),
        FieldDef("Rating", "Rating", "picklist", 255, choices=choices(RATINGS)),
        FieldDef("NumberOfEmployees", "Employees", "int", precision=8),
        FieldDef("Description", "Description", "textarea", 32_000),
        _kept("IsConverted", "Converted", "boolean", required=True, defaulted=True),
        _kept("ConvertedDate", "Converted Date", "date"),
        _kept("ConvertedAccountId", "Converted Account ID", "reference", length=18, refers_to=("Account",)),
        _kept("ConvertedContactId", "Converted Contact ID", "reference", length=18, refers_to=("Contact",)),
        _kept("LastActivityDate", "Last Activity", "date"),
    ]


def _task() -> list[FieldDef]:
    def closed(values: Values) -> object:
        return values.get("Status") == "Completed"

    given: dict[str, Any] = {"required": True, "defaulted": True}
    return [
        *_system(merges=False),
        FieldDef("WhoId", "Name ID", "reference", 18, refers_to=("Contact", "Lead"), relation="Who"),
        FieldDef("WhatId", "Related To ID", "reference", 18, refers_to=("Account",), relation="What"),
        FieldDef("Subject", "Subject", "combobox", 255, choices=choices(TASK_SUBJECTS)),
        FieldDef("ActivityDate", "Due Date Only", "date"),
        FieldDef("Status", "Status", "picklist", 255, choices=_usual(TASK_STATES, "Not Started"), **given),
        FieldDef("Priority", "Priority", "picklist", 255, choices=_usual(PRIORITIES, "Normal"), **given),
        FieldDef("Description", "Description", "textarea", 32_000),
        FieldDef("IsClosed", "Closed", "boolean", read_only=True, formula=closed),
    ]


def _usual(values: tuple[str, ...], usual: str) -> tuple[Choice, ...]:
    """Define the values of a picklist, of which one is taken where none is given."""
    return tuple(replace(one, default=one.value == usual) for one in choices(values))


def founders(username: str, name: str) -> tuple[dict[str, object], dict[str, object]]:
    """Give the values of the integration user and of the organization itself."""
    user: dict[str, object] = {"Username": username, "Name": name, "LastName": name, "Email": username}
    user |= {"IsActive": True, "UserType": "Standard", "TimeZoneSidKey": "Europe/Berlin"}
    org: dict[str, object] = {"Name": "Acme", "IsSandbox": False, "OrganizationType": "Enterprise Edition"}
    return user, {**org, "InstanceName": "EU99", "TimeZoneSidKey": "Europe/Berlin"}


def _setup() -> list[ObjectDef]:
    return [
        ObjectDef(
            name, label, f"{label}s", prefix, _named(fields), setup=True, deletable=name not in ("User", "Organization")
        )
        for name, label, prefix, fields in (*_org(), *_permissions())
    ]


_Setup = tuple[str, str, str, list[FieldDef]]


def _kept_of_setup(*names: str) -> list[FieldDef]:
    """Give what the org keeps of a setup record: all, or the fields named; setup records have no recycle bin."""
    plain = [one for one in _system(merges=False, owners=()) if one.name != "IsDeleted"]
    return [one for one in plain if not names or one.name in names]


def _org() -> list[_Setup]:
    user = [
        *_kept_of_setup(),
        text("Username", "Username", 80, required=True, unique=True),
        text("Name", "Full Name", 121),
        text("LastName", "Last Name", 80),
        FieldDef("Email", "Email", "email", 128),
        FieldDef("IsActive", "Active", "boolean"),
        text("UserType", "User Type", 40),
        text("TimeZoneSidKey", "Time Zone", 40),
        FieldDef("ProfileId", "Profile ID", "reference", 18),
    ]
    organization = [
        *_kept_of_setup(),
        text("Name", "Name", 80),
        FieldDef("IsSandbox", "Is Sandbox", "boolean"),
        text("OrganizationType", "Edition", 40),
        text("InstanceName", "Instance Name", 5),
        text("NamespacePrefix", "Namespace Prefix", 15),
        text("TimeZoneSidKey", "Time Zone", 40),
    ]
    group = [
        *_kept_of_setup(),
        text("Name", "Name", 40, required=True),
        text("DeveloperName", "Developer Name", 80),
        text("Type", "Type", 40),
    ]
    return [
        ("User", "User", "005", user),
        ("Group", "Group", "00G", group),
        ("Organization", "Organization", "00D", organization),
    ]


def _permissions() -> list[_Setup]:
    permission_set = [
        *_kept_of_setup(),
        text("Name", "Permission Set Name", 80, required=True, unique=True),
        text("Label", "Permission Set Label", 80, required=True),
        text("Description", "Description", 255),
        FieldDef("IsOwnedByProfile", "Is Owned By Profile", "boolean", read_only=True),
        FieldDef("IsCustom", "Is Custom", "boolean", read_only=True),
        text("NamespacePrefix", "Namespace Prefix", 15, read_only=True),
        FieldDef("ProfileId", "Profile ID", "reference", 18, read_only=True),
    ]
    link: dict[str, Any] = {"required": True, "create_only": True}
    parent = FieldDef("ParentId", "Parent ID", "reference", 18, refers_to=("PermissionSet",), relation="Parent", **link)
    field_permissions = [
        *_kept_of_setup("Id", "SystemModstamp"),
        parent,
        text("SobjectType", "Sobject Type Name", 40, **link),
        text("Field", "Field Name", 120, **link),
        FieldDef("PermissionsRead", "Read Access", "boolean"),
        FieldDef("PermissionsEdit", "Edit Access", "boolean"),
    ]
    object_permissions = [
        *_kept_of_setup("Id", "SystemModstamp"),
        parent,
        text("SobjectType", "Sobject Type Name", 40, **link),
        *(
            FieldDef(f"Permissions{right}", f"{right} Records", "boolean")
            for right in ("Create", "Read", "Edit", "Delete", "ViewAllRecords", "ModifyAllRecords")
        ),
    ]
    assignment = [
        *_kept_of_setup("Id", "SystemModstamp"),
        FieldDef(
            "PermissionSetId",
            "PermissionSet ID",
            "reference",
            18,
            refers_to=("PermissionSet",),
            relation="PermissionSet",
            **link,
        ),
        FieldDef("AssigneeId", "Assignee ID", "reference", 18, refers_to=("User",), relation="Assignee", **link),
    ]
    return [
        ("PermissionSet", "Permission Set", "0PS", permission_set),
        ("FieldPermissions", "Field Permission", "01k", field_permissions),
        ("ObjectPermissions", "Object Permission", "110", object_permissions),
        ("PermissionSetAssignment", "Permission Set Assignment", "0Pa", assignment),
    ]
