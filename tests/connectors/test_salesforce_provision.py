"""Making fields, values and permissions in Salesforce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engage_sync.connectors.base import CallKind, Field, FieldSpec, Provisioned
from engage_sync.connectors.salesforce_provision import provision
from engage_sync.connectors.salesforce_schema import describe
from engage_sync.core.definitions import ValueType
from engage_sync.errors import Transient
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.connectors.salesforce_setup import OBJECTS, SPECS, UNIQUE, between, denied, org, transport
from tests.connectors.scripted import Asked, Said

CHOICE = FieldSpec("Contact", "Engage_Stage__c", "Engage stage", ValueType.SELECT, ("trial", "customer_won"))


@pytest.fixture
def crm() -> Iterator[SalesforceSandbox]:
    with org() as running:
        yield running


def field(crm: SalesforceSandbox, spec: FieldSpec) -> Field:
    """Describe a field as the integration user sees it."""
    return describe(transport(crm), OBJECTS).objects[spec.object][spec.name]


def one(crm: SalesforceSandbox, spec: FieldSpec) -> Provisioned:
    (done,) = provision(transport(crm), [spec])
    return done


def writes(crm: SalesforceSandbox) -> int:
    return crm.calls.count("write")


def permission_sets(crm: SalesforceSandbox) -> list[dict[str, object]]:
    held = [crm.store.values("PermissionSet", own) for own in crm.store.ids("PermissionSet")]
    return [values for values in held if values["Name"] == "Engage_Sync"]


def test_fields_of_every_type_are_made_and_can_be_read_and_written(crm: SalesforceSandbox) -> None:
    done = provision(transport(crm), [*SPECS, UNIQUE])
    assert [(made.spec, made.result, made.message) for made in done] == [
        (spec, "created", None) for spec in [*SPECS, UNIQUE]
    ]
    for spec in SPECS:
        made = field(crm, spec)
        assert (made.type, made.readable, made.writable) == (spec.type, True, True)
        assert made.options == (spec.options or None)
    texts = {made.type: made.length for made in (field(crm, spec) for spec in SPECS)}
    assert (texts[ValueType.TEXT], texts[ValueType.LONG_TEXT]) == (255, 32_768)
    assert {field(crm, spec).decimals for spec in SPECS if spec.type is ValueType.NUMBER} == {4}
    assert field(crm, UNIQUE).unique


def test_external_ids_are_compared_exactly(crm: SalesforceSandbox) -> None:
    one(crm, UNIQUE)
    made = crm.store.type("Account").fields[UNIQUE.name]
    assert (made.external_id, made.unique, made.case_sensitive) == (True, True, True)


def test_one_permission_set_is_made_for_all_and_given_to_the_user(crm: SalesforceSandbox) -> None:
    provision(transport(crm), [*SPECS, UNIQUE])
    [made] = permission_sets(crm)
    assert made["Label"] == "Engage Sync"
    granted = [crm.store.values("FieldPermissions", own) for own in crm.store.ids("FieldPermissions")]
    assert sorted(row["Field"] for row in granted) == sorted(f"{spec.object}.{spec.name}" for spec in [*SPECS, UNIQUE])
    assert all(row["PermissionsRead"] and row["PermissionsEdit"] for row in granted)
    assigned = [crm.store.values("PermissionSetAssignment", own) for own in crm.store.ids("PermissionSetAssignment")]
    assert [row["AssigneeId"] for row in assigned] == [crm.user_id]


def test_many_permissions_take_one_call(crm: SalesforceSandbox) -> None:
    provision(transport(crm), [*SPECS, UNIQUE])
    assert writes(crm) == len(SPECS) + 1 + 3  # fields, then the set, its permissions, its assignment


def test_provisioning_twice_changes_nothing(crm: SalesforceSandbox) -> None:
    provision(transport(crm), [*SPECS, UNIQUE])
    before = writes(crm)
    assert {made.result for made in provision(transport(crm), [*SPECS, UNIQUE])} == {"exists"}
    assert writes(crm) == before


@pytest.mark.parametrize("name", ["drop_before", "drop_after", "html_200_after"])
@pytest.mark.parametrize("skip", range(5))
def test_the_next_run_mends_what_a_crash_left_half_done(crm: SalesforceSandbox, name: str, skip: int) -> None:
    specs = [SPECS[0], CHOICE]
    crm.faults.add(Fault(name, kind="write", skip=skip))
    with pytest.raises(Transient):
        provision(transport(crm), specs)
    assert {made.result for made in provision(transport(crm), specs)} <= {"created", "exists"}
    assert all(field(crm, spec).writable for spec in specs)
    before = writes(crm)
    assert {made.result for made in provision(transport(crm), specs)} == {"exists"}
    assert writes(crm) == before
    assert len(permission_sets(crm)) == 1


def test_a_field_that_nobody_was_let_into_is_granted(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", FieldDef("Engage_Note__c", "Note", "string", 255, custom=True), visible=False)
    spec = FieldSpec("Contact", "Engage_Note__c", "Note", ValueType.TEXT)
    assert one(crm, spec) == Provisioned(spec, "exists")
    assert field(crm, spec).writable


def test_a_permission_that_only_lets_read_is_widened(crm: SalesforceSandbox) -> None:
    one(crm, SPECS[0])
    [row] = crm.store.ids("FieldPermissions")
    crm.store.edit("FieldPermissions", row, {"PermissionsEdit": False})
    crm.store.access.changed()
    assert not field(crm, SPECS[0]).writable
    assert one(crm, SPECS[0]).result == "exists"
    assert field(crm, SPECS[0]).writable
    assert crm.store.ids("FieldPermissions") == [row]


def test_a_lost_assignment_is_made_again(crm: SalesforceSandbox) -> None:
    one(crm, SPECS[0])
    crm.store.delete("PermissionSetAssignment", crm.store.ids("PermissionSetAssignment")[0])
    crm.store.access.changed()
    assert one(crm, SPECS[0]).result == "exists"
    assert field(crm, SPECS[0]).writable


def test_missing_values_come_after_those_that_are_there(crm: SalesforceSandbox) -> None:
    stage = FieldDef(
        CHOICE.name, "Stage", "picklist", 255, choices=choices(["won", "trial"]), restricted=True, custom=True
    )
    crm.store.add_field("Contact", stage)
    done = one(crm, CHOICE)
    assert (done.result, done.message) == ("options added", "customer_won")
    assert field(crm, CHOICE).options == ("won", "trial", "customer_won")
    labels = {choice.value: choice.label for choice in crm.store.type("Contact").fields[CHOICE.name].choices}
    assert labels["customer_won"] == "Customer won"
    assert one(crm, CHOICE) == Provisioned(CHOICE, "exists")


def test_values_of_a_hidden_picklist_are_added_too(crm: SalesforceSandbox) -> None:
    stage = FieldDef(CHOICE.name, "Stage", "picklist", 255, choices=choices(["trial"]), restricted=True, custom=True)
    crm.store.add_field("Contact", stage, visible=False)
    assert one(crm, CHOICE).result == "options added"
    assert field(crm, CHOICE).options == ("trial", "customer_won")


def test_a_value_that_was_switched_off_comes_on_again(crm: SalesforceSandbox) -> None:
    one(crm, CHOICE)
    less = {
        "type": "Picklist",
        "label": "Stage",
        "valueSet": {
            "restricted": True,
            "valueSetDefinition": {"sorted": False, "value": [{"valueName": "customer_won"}]},
        },
    }
    rows = transport(crm).query(f"SELECT Id FROM CustomField WHERE DeveloperName = '{CHOICE.name[:-3]}'", tooling=True)
    transport(crm).send(
        "PATCH", f"tooling/sobjects/CustomField/{rows.records[0]['Id']}", {"Metadata": less}, kind=CallKind.WRITE
    )
    assert field(crm, CHOICE).options == ("customer_won",)
    assert one(crm, CHOICE).message == "trial"
    assert set(field(crm, CHOICE).options or ()) == set(CHOICE.options)
    assert len(crm.store.type("Contact").fields[CHOICE.name].choices) == 2


def test_an_open_picklist_takes_any_value_and_is_left_alone(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", FieldDef(CHOICE.name, "Stage", "picklist", 255, choices=choices(["x"]), custom=True))
    assert one(crm, CHOICE) == Provisioned(CHOICE, "exists")


def test_values_of_a_standard_picklist_are_the_admins(crm: SalesforceSandbox) -> None:
    held = crm.store.type("Contact").fields["LeadSource"]
    crm.store.type("Contact").put(
        FieldDef("LeadSource", held.label, "picklist", 255, choices=held.choices, restricted=True)
    )
    spec = FieldSpec("Contact", "LeadSource", "", ValueType.SELECT, ("Web", "engage"))
    done = one(crm, spec)
    assert done.result == "refused"
    assert "standard picklist without the values engage" in (done.message or "")
    assert "Setup → Object Manager → Contact → Fields & Relationships → LeadSource → Values → New" in (
        done.message or ""
    )
    assert writes(crm) == 0


def test_values_of_a_global_value_set_are_the_admins(crm: SalesforceSandbox) -> None:
    one(crm, CHOICE)
    more = FieldSpec("Contact", CHOICE.name, "", ValueType.SELECT, ("trial", "lost"))
    body = {"Id": "00N", "Metadata": {"type": "Picklist", "label": "x", "valueSet": {"valueSetName": "Stages"}}}

    def shared(asked: Asked) -> Said | None:
        return Said(200, body) if asked.method == "GET" and "/tooling/sobjects/CustomField/" in asked.path else None

    with between(crm, shared) as http:
        (done,) = provision(http, [more])
    assert done.result == "refused"
    assert "Setup → Picklist Value Sets → Stages → New" in (done.message or "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Engage_Health", "name it Engage_Health__c"),
        (f"Engage_{'x' * 40}__c", "47 characters before __c, and Salesforce takes 40"),
        ("Engage__Health__c", "letters, digits and single underscores"),
        ("1st__c", "a letter first"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_any_write(crm: SalesforceSandbox, name: str, told: str) -> None:
    done = one(crm, FieldSpec("Contact", name, "x", ValueType.TEXT))
    assert done.result == "refused"
    assert told in (done.message or "")
    assert writes(crm) == 0


def test_a_name_in_another_case_is_told_as_it_is(crm: SalesforceSandbox) -> None:
    one(crm, CHOICE)
    before = writes(crm)
    done = one(crm, FieldSpec("Contact", "engage_stage__c", "x", ValueType.SELECT, ("trial",)))
    assert (done.result, done.message) == (
        "refused",
        "Contact has a field Engage_Stage__c: write it so in the connector's file",
    )
    assert writes(crm) == before


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (FieldSpec("Contact", "X__c", "x", ValueType.LONG_TEXT, unique=True), "LongTextArea"),
        (FieldSpec("Contact", "X__c", "x", ValueType.MULTISELECT), "names none yet"),
        (FieldSpec("Gizmo", "X__c", "x", ValueType.TEXT), "sees no object Gizmo"),
    ],
)
def test_what_cannot_be_made_is_a_sentence_and_the_others_are_made(
    crm: SalesforceSandbox, spec: FieldSpec, told: str
) -> None:
    refused, made = provision(transport(crm), [spec, UNIQUE])
    assert refused.result == "refused"
    assert told in (refused.message or "")
    assert made.result == "created"
    assert field(crm, UNIQUE).writable


def test_an_existing_field_that_differs_is_left_alone_and_told(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", FieldDef("A__c", "A", "date", custom=True))
    crm.store.add_field("Contact", FieldDef("B__c", "B", "string", 80, custom=True))
    crm.store.add_field("Contact", FieldDef("C__c", "C", "string", 80, custom=True, formula=lambda _: "c"))
    wanted = [
        FieldSpec("Contact", "A__c", "A", ValueType.NUMBER),
        FieldSpec("Contact", "B__c", "B", ValueType.TEXT, unique=True),
        FieldSpec("Contact", "C__c", "C", ValueType.TEXT),
    ]
    done = provision(transport(crm), wanted)
    assert [made.result for made in done] == ["exists"] * 3
    assert [
        part in (made.message or "")
        for made, part in zip(
            done, ("of type date, wanted Number", "tick External ID and Unique", "is a formula"), strict=True
        )
    ] == [True] * 3
    assert writes(crm) == 0


def test_a_user_who_may_not_customize_is_told_what_an_admin_must_do() -> None:
    with org(may_customize=False) as crm:
        done = one(crm, SPECS[0])
        unique = one(crm, UNIQUE)
    assert done.result == "refused"
    for part in ("INSUFFICIENT_ACCESS", "Customize Application", "Setup → Object Manager → Contact", "Text(255)"):
        assert part in (done.message or "")
    assert "External ID and Unique" in (unique.message or "")


@pytest.mark.parametrize("closed", ["sobjects/PermissionSet", "FROM+PermissionSet+", "PermissionSetAssignment"])
def test_a_field_that_was_made_but_not_granted_is_refused_with_the_way_out(crm: SalesforceSandbox, closed: str) -> None:
    with between(crm, lambda asked: denied() if asked.path.endswith(closed) or closed in asked.path else None) as http:
        (done,) = provision(http, [SPECS[0]])
    assert done.result == "refused"
    for part in ("was created, but", "insufficient access rights", "Setup → Permission Sets → Engage Sync"):
        assert part in (done.message or "")
    assert one(crm, SPECS[0]).result == "exists"
    assert field(crm, SPECS[0]).writable


def test_permissions_go_one_by_one_where_collections_do_not_take_them(crm: SalesforceSandbox) -> None:
    with between(crm, lambda asked: denied("INVALID_TYPE", 400) if "composite" in asked.path else None) as http:
        done = provision(http, SPECS[:3])
    assert {made.result for made in done} == {"created"}
    assert all(field(crm, spec).writable for spec in SPECS[:3])


def test_one_permission_that_is_refused_keeps_no_other_back(crm: SalesforceSandbox) -> None:
    refused = f"Contact.{SPECS[0].name}".encode()

    def strict(asked: Asked) -> Said | None:
        if "composite" in asked.path:
            return denied("INVALID_TYPE", 400)
        return denied() if asked.path.endswith("FieldPermissions") and refused in asked.body else None

    with between(crm, strict) as http:
        first, second = provision(http, SPECS[:2])
    assert (first.result, second.result) == ("refused", "created")
    assert field(crm, SPECS[1]).writable


def test_without_reading_tooling_a_hidden_field_counts_as_there(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", FieldDef("Engage_Note__c", "Note", "string", 255, custom=True), visible=False)
    spec = FieldSpec("Contact", "Engage_Note__c", "Note", ValueType.TEXT)
    with between(crm, lambda asked: denied() if "/tooling/query" in asked.path else None) as http:
        (done,) = provision(http, [spec])
    assert done == Provisioned(spec, "exists")
    assert field(crm, spec).writable


def test_where_salesforce_does_not_tell_what_is_granted_it_is_granted_again(crm: SalesforceSandbox) -> None:
    provision(transport(crm), SPECS[:1])
    crm.store.add_field("Contact", FieldDef("Engage_Note__c", "Note", "string", 255, custom=True), visible=False)
    spec = FieldSpec("Contact", "Engage_Note__c", "Note", ValueType.TEXT)
    silent = ("FROM+FieldPermissions", "FROM+PermissionSetAssignment")
    with between(crm, lambda asked: denied() if any(part in asked.path for part in silent) else None) as http:
        assert [made.result for made in provision(http, [SPECS[0], spec])] == ["exists", "exists"]
    assert field(crm, spec).writable
    assert len(crm.store.ids("PermissionSetAssignment")) == 1


@pytest.mark.parametrize("name", ["missing_result", "empty_results", "lock_rows"])
def test_permissions_without_a_result_or_with_a_passing_error_are_granted_all_the_same(
    crm: SalesforceSandbox, name: str
) -> None:
    crm.faults.add(Fault(name, path="*/composite/sobjects"))
    assert {made.result for made in provision(transport(crm), SPECS[:4])} == {"created"}
    assert [call.fault for call in crm.calls.all() if call.path.endswith("composite/sobjects")] == [name]
    assert all(field(crm, spec).writable for spec in SPECS[:4])
    assert len(crm.store.ids("FieldPermissions")) == 4


def test_picklist_of_an_org_that_calls_its_values_otherwise_is_made_too(crm: SalesforceSandbox) -> None:
    """The first way of naming the values is refused, the Metadata API's is taken."""
    crm.faults.add(Fault("version_retired", method="POST", path="*/tooling/sobjects/CustomField", contains="valueName"))
    assert one(crm, CHOICE).result == "created"
    assert field(crm, CHOICE).options == CHOICE.options
