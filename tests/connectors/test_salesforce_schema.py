"""Describing a Salesforce org: what is there, what is hidden, what the user may not do, what stands on no page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engage_sync.connectors.base import Lack
from engage_sync.connectors.salesforce_provision import provision
from engage_sync.connectors.salesforce_schema import describe
from engage_sync.core.definitions import ValueType
from engage_sync.errors import LoginFailed, Transient
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.connectors.salesforce_setup import OBJECTS, SPECS, UNIQUE, between, denied, org, transport
from tests.connectors.sandboxed import Memory
from tests.connectors.scripted import Asked, Said

NOTE = FieldDef("Note__c", "Note", "string", 80, custom=True)


@pytest.fixture
def crm() -> Iterator[SalesforceSandbox]:
    with org() as running:
        yield running


def paths(crm: SalesforceSandbox) -> list[str]:
    return [call.path.rsplit("/v62.0/", 1)[-1] for call in crm.calls.all() if call.kind != "login"]


def test_a_whole_org_is_described(crm: SalesforceSandbox) -> None:
    schema = describe(transport(crm), OBJECTS)
    assert (schema.account, schema.site) == (crm.org_id, crm.base_url)
    assert set(schema.objects) == set(OBJECTS)
    assert (list(schema.missing), list(schema.advice)) == ([], [])
    contact = schema.objects["Contact"]
    assert (contact["Email"].type, contact["Email"].length, contact["Email"].writable) == (ValueType.TEXT, 80, True)
    assert not contact["SystemModstamp"].writable
    assert contact["AccountId"].type is None
    assert contact["HasOptedOutOfEmail"].blank == "false"


def test_a_check_takes_one_call_for_each_object_and_three_more(crm: SalesforceSandbox) -> None:
    describe(transport(crm), OBJECTS)
    assert len(paths(crm)) == len(OBJECTS) + 3


def test_an_object_that_is_not_there_or_not_visible_is_left_out(crm: SalesforceSandbox) -> None:
    with between(crm, lambda asked: denied() if "sobjects/Lead/" in asked.path else None) as http:
        schema = describe(http, ["Contact", "Gizmo", "Lead"])
    assert set(schema.objects) == {"Contact"}
    assert list(schema.missing) == []


@pytest.mark.parametrize(
    ("versions", "problem", "todo"),
    [
        (("40.0", "41.0", "61.0"), "the API versions 40.0 to 61.0, engage-sync speaks 62.0", "next Salesforce release"),
        (("63.0", "70.0"), "the API versions 63.0 to 70.0, engage-sync speaks 62.0", "upgrade engage-sync"),
    ],
)
def test_an_org_that_does_not_speak_our_version_is_told(versions: tuple[str, ...], problem: str, todo: str) -> None:
    with org(versions=versions) as crm:
        schema = describe(transport(crm), OBJECTS)
        assert (schema.account, schema.objects) == (crm.org_id, {})
    [lack] = schema.missing
    assert problem in lack.problem
    assert todo in lack.todo
    assert lack.object is None


@pytest.mark.parametrize("said", [Said(404, b"<html>"), Said(200, b"<html>"), Said(200, []), Said(200, {"a": 1})])
def test_an_org_that_tells_no_versions_is_described_all_the_same(crm: SalesforceSandbox, said: Said) -> None:
    with between(crm, lambda asked: said if asked.path.rstrip("/") == "/services/data" else None) as http:
        assert set(describe(http, OBJECTS).objects) == set(OBJECTS)


def test_what_the_user_may_not_do_with_an_object_is_told(crm: SalesforceSandbox) -> None:
    crm.store.allow("Account", read=True, edit=False)
    place = (
        "tick Read and Edit under Setup → Permission Sets → a set of the integration user → Object Settings → Account"
    )
    assert list(describe(transport(crm), OBJECTS).missing) == [
        Lack("the integration user may not edit Account records", place, "Account")
    ]


def test_a_hidden_field_is_there_but_not_readable(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", NOTE, visible=False)
    crm.store.add_field("Account", FieldDef("Other__c", "Other", "string", 80, custom=True), visible=True)
    objects = describe(transport(crm), OBJECTS).objects
    hidden = objects["Contact"]["Note__c"]
    assert (hidden.readable, hidden.writable, hidden.type, hidden.native) == (False, False, None, "hidden")
    assert objects["Account"]["Other__c"].readable
    assert "Note__c" not in objects["Account"]


def test_fields_of_packages_keep_their_prefix(crm: SalesforceSandbox) -> None:
    rows = [{"Id": "00N1", "DeveloperName": "Score", "NamespacePrefix": "acme", "TableEnumOrId": "Contact"}]
    answer = Said(200, {"totalSize": 1, "done": True, "records": rows})
    with between(crm, lambda asked: answer if "CustomField" in asked.path else None) as http:
        assert not describe(http, OBJECTS).objects["Contact"]["acme__Score__c"].readable


def test_more_hidden_fields_than_one_page_holds() -> None:
    with org(page=3) as crm:
        for number in range(8):
            crm.store.add_field("Contact", FieldDef(f"N{number}__c", "N", "string", 80, custom=True), visible=False)
        found = describe(transport(crm), OBJECTS).objects["Contact"]
    assert sorted(name for name, field in found.items() if not field.readable) == [f"N{n}__c" for n in range(8)]


@pytest.mark.parametrize("said", [denied(), denied("INVALID_TYPE", 400), Said(503, b"<html>"), Said(200, b"<html>")])
def test_what_is_only_good_to_know_may_be_refused(crm: SalesforceSandbox, said: Said) -> None:
    provision(transport(crm), SPECS[:1])
    crm.store.add_field("Contact", NOTE, visible=False)
    optional = ("/tooling/", "FieldPermissions", "/layouts")
    with between(crm, lambda asked: said if any(part in asked.path for part in optional) else None) as http:
        schema = describe(http, OBJECTS)
    assert SPECS[0].name in schema.objects["Contact"]
    assert "Note__c" not in schema.objects["Contact"]
    assert list(schema.advice) == []


def test_a_read_only_formula_is_not_writable(crm: SalesforceSandbox) -> None:
    crm.store.add_field("Contact", FieldDef("F__c", "F", "string", 80, custom=True, formula=lambda _: "x"))
    found = describe(transport(crm), OBJECTS).objects["Contact"]["F__c"]
    assert (found.readable, found.writable, found.native) == (True, False, "formula")


def test_only_restricted_picklists_have_options(crm: SalesforceSandbox) -> None:
    for name, restricted in (("Open__c", False), ("Closed__c", True)):
        kind = FieldDef(name, name, "picklist", 255, choices=choices(["a"]), restricted=restricted, custom=True)
        crm.store.add_field("Contact", kind)
    fields = describe(transport(crm), OBJECTS).objects["Contact"]
    assert (fields["Open__c"].options, fields["Closed__c"].options) == (None, ("a",))


# -- errors


def test_a_disabled_api_fails_the_check(crm: SalesforceSandbox) -> None:
    crm.faults.add(Fault("api_disabled", times=None))
    with pytest.raises(LoginFailed, match="API Enabled"):
        describe(transport(crm), OBJECTS)


def test_a_refused_login_fails_the_check(crm: SalesforceSandbox) -> None:
    crm.faults.add(Fault("inactive_user", times=None))
    with pytest.raises(LoginFailed, match="activate the user"):
        describe(transport(crm), OBJECTS)


@pytest.mark.parametrize("name", ["unavailable", "drop_before", "truncated_200", "total_requests"])
def test_an_object_that_gives_no_answer_is_no_missing_object(crm: SalesforceSandbox, name: str) -> None:
    crm.faults.add(Fault(name, path="*/describe", times=None))
    with pytest.raises(Transient):
        describe(transport(crm), OBJECTS)


def test_a_day_that_is_used_up_is_told_wherever_it_is_met(crm: SalesforceSandbox) -> None:
    crm.faults.add(Fault("total_requests", path="*/tooling/query", times=None))
    with pytest.raises(Transient, match="last 24 hours") as told:
        describe(transport(crm), OBJECTS)
    assert told.value.suspend


# -- page layouts


def place(crm: SalesforceSandbox, object_: str, *fields: str) -> None:
    """Put fields on the page layout, as an admin does."""
    crm.store.type(object_).layouts[f"{object_} Layout"] += fields


def test_fields_of_ours_that_stand_on_no_page_are_advice(crm: SalesforceSandbox) -> None:
    provision(transport(crm), [*SPECS[:3], UNIQUE])
    crm.store.add_field("Contact", NOTE)
    place(crm, "Contact", SPECS[1].name)
    [advice] = describe(transport(crm), OBJECTS).advice
    labels = ", ".join(spec.label for spec in (SPECS[0], SPECS[2]))
    where = "Setup → Object Manager → Contact → Page Layouts → Contact Layout"
    assert advice.startswith(f"add {labels} to the page layout of Contact ({where}) so that people see them")


def test_pages_are_looked_at_until_every_field_was_seen_on_one(crm: SalesforceSandbox) -> None:
    memory = Memory()
    provision(transport(crm), SPECS[:2])

    def looked() -> tuple[int, int]:
        crm.calls.clear()
        advice = describe(transport(crm), OBJECTS, memory).advice
        return len(advice), sum(path.endswith("/layouts") for path in paths(crm))

    assert looked() == (1, 1)
    place(crm, "Contact", SPECS[0].name)
    assert looked() == (1, 1)
    place(crm, "Contact", SPECS[1].name)
    assert looked() == (0, 1)
    assert looked() == (0, 0)
    provision(transport(crm), SPECS[:3])
    assert looked() == (1, 1)


def test_a_page_without_a_name_is_advised_all_the_same(crm: SalesforceSandbox) -> None:
    provision(transport(crm), SPECS[:1])

    def nameless(asked: Asked) -> Said | None:
        return denied() if "FROM+Layout" in asked.path else None

    with between(crm, nameless) as http:
        [advice] = describe(http, OBJECTS).advice
    assert "(Setup → Object Manager → Contact → Page Layouts)" in advice
