"""HubSpot's own objects: contacts, companies and tasks with the built-in properties a customer-success project meets.
Data only; it knows no record and no request."""

from __future__ import annotations

from engage_sync.sandbox.properties import Group, ObjectType, Option, Property

BUYING_ROLES = (
    "BLOCKER BUDGET_HOLDER CHAMPION DECISION_MAKER END_USER EXECUTIVE_SPONSOR INFLUENCER LEGAL_AND_COMPLIANCE OTHER"
)
LIFECYCLE = "subscriber lead marketingqualifiedlead salesqualifiedlead opportunity customer evangelist other"
INDUSTRIES = (
    "AUTOMOTIVE BANKING BIOTECHNOLOGY COMPUTER_SOFTWARE CONSTRUCTION DESIGN EDUCATION_MANAGEMENT FINANCIAL_SERVICES "
    "FOOD_BEVERAGES GOVERNMENT_ADMINISTRATION HOSPITAL_HEALTH_CARE HOSPITALITY INFORMATION_TECHNOLOGY_AND_SERVICES "
    "INSURANCE INTERNET LOGISTICS_AND_SUPPLY_CHAIN MANUFACTURING MARKETING_AND_ADVERTISING "
    "MECHANICAL_OR_INDUSTRIAL_ENGINEERING MEDIA_PRODUCTION REAL_ESTATE RENEWABLES_ENVIRONMENT RETAIL "
    "TELECOMMUNICATIONS UTILITIES"
)

CONTACTS = """
email|Email|string|text
firstname|First Name|string|text
lastname|Last Name|string|text
jobtitle|Job Title|string|text
company|Company Name|string|text
phone|Phone Number|string|phonenumber
mobilephone|Mobile Phone Number|string|phonenumber
website|Website URL|string|text
city|City|string|text
country|Country/Region|string|text
hubspot_owner_id|Contact owner|string|text
message|Message|string|textarea
hs_language|Preferred language|string|text
associatedcompanyid|Primary Associated Company ID|number|number|ro
hs_additional_emails|Additional email addresses|string|text|ro
hs_merged_object_ids|Merged record IDs|string|text|ro
hs_calculated_merged_vids|Merged vids with timestamps of a contact|string|text|ro
hs_email_domain|Email Domain|string|text|ro
createdate|Create Date|datetime|date|ro
lastmodifieddate|Last Modified Date|datetime|date|ro
hs_object_id|Record ID|number|number|ro
num_notes|Number of Sales Activities|number|number|ro
notes_last_contacted|Last Contacted|datetime|date|ro
"""

COMPANIES = """
name|Company name|string|text
domain|Company Domain Name|string|text
website|Website URL|string|text
phone|Phone Number|string|phonenumber
city|City|string|text
country|Country/Region|string|text
description|Description|string|textarea
hubspot_owner_id|Company owner|string|text
numberofemployees|Number of Employees|number|number
annualrevenue|Annual Revenue|number|number
founded_year|Year Founded|string|text
hs_additional_domains|Additional Domains|string|text|ro
hs_merged_object_ids|Merged record IDs|string|text|ro
createdate|Create Date|datetime|date|ro
hs_lastmodifieddate|Last Modified Date|datetime|date|ro
hs_object_id|Record ID|number|number|ro
num_associated_contacts|Number of Associated Contacts|number|number|ro
"""

TASKS = """
hs_task_subject|Task Title|string|text
hs_task_body|Notes|string|textarea
hs_timestamp|Due date|datetime|date
hubspot_owner_id|Assigned to|string|text
createdate|Create Date|datetime|date|ro
hs_lastmodifieddate|Last Modified Date|datetime|date|ro
hs_object_id|Record ID|number|number|ro
"""
TASK_STATES = "NOT_STARTED IN_PROGRESS WAITING COMPLETED DEFERRED"
TASK_TYPES = "TODO CALL EMAIL"
TASK_PRIORITIES = "NONE LOW MEDIUM HIGH"


def objects() -> dict[str, ObjectType]:
    """Give fresh definitions of contacts, companies and tasks, as a new HubSpot account has them."""
    contacts = ObjectType(
        name="contacts",
        type_id="0-1",
        singular="CONTACT",
        modified="lastmodifieddate",
        defaults=("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
        properties=_read(CONTACTS, "contactinformation"),
        groups={"contactinformation": Group("contactinformation", "Contact information", 0)},
        first_id=501,
    )
    companies = ObjectType(
        name="companies",
        type_id="0-2",
        singular="COMPANY",
        modified="hs_lastmodifieddate",
        defaults=("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
        properties=_read(COMPANIES, "companyinformation"),
        groups={"companyinformation": Group("companyinformation", "Company information", 0)},
        first_id=9001,
    )
    for made in (
        _enumeration("hs_buying_role", "Buying Role", "checkbox", "contactinformation", BUYING_ROLES),
        _enumeration("lifecyclestage", "Lifecycle Stage", "radio", "contactinformation", LIFECYCLE),
        Property(
            "hs_email_optout",
            "Unsubscribed from all email",
            "bool",
            "booleancheckbox",
            "contactinformation",
            built_in=True,
        ),
    ):
        contacts.properties[made.name] = made
    for made in (
        _enumeration("industry", "Industry", "select", "companyinformation", INDUSTRIES),
        _enumeration("lifecyclestage", "Lifecycle Stage", "radio", "companyinformation", LIFECYCLE),
    ):
        companies.properties[made.name] = made
    return {"contacts": contacts, "companies": companies, "tasks": _tasks()}


def _tasks() -> ObjectType:
    tasks = ObjectType(
        name="tasks",
        type_id="0-27",
        singular="TASK",
        modified="hs_lastmodifieddate",
        defaults=("createdate", "hs_lastmodifieddate", "hs_object_id"),
        properties=_read(TASKS, "task"),
        groups={"task": Group("task", "Task information", 0)},
        first_id=70001,
        required=("hs_timestamp",),
    )
    for made in (
        _enumeration("hs_task_status", "Task Status", "select", "task", TASK_STATES),
        _enumeration("hs_task_type", "Task Type", "select", "task", TASK_TYPES),
        _enumeration("hs_task_priority", "Priority", "select", "task", TASK_PRIORITIES),
    ):
        tasks.properties[made.name] = made
    return tasks


def _read(table: str, group: str) -> dict[str, Property]:
    made = {}
    for line in table.strip().splitlines():
        name, label, kind, field_type, *flags = line.split("|")
        made[name] = Property(name, label, kind, field_type, group, built_in=True, read_only="ro" in flags)
    return made


def _enumeration(name: str, label: str, field_type: str, group: str, values: str) -> Property:
    options = tuple(Option(v.replace("_", " ").capitalize(), v, n) for n, v in enumerate(values.split()))
    return Property(name, label, "enumeration", field_type, group, options=options, built_in=True)
