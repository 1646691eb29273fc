"""Describing HubSpot's properties, and creating ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engage_sync.connectors.base import FieldSpec
from engage_sync.core.definitions import ValueType
from engage_sync.errors import LoginFailed, Transient
from engage_sync.sandbox.access import SCOPES
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.server import Sandbox
from tests.connectors.sandboxed import SPECS, Memory, hardened, hubspot, sandbox
from tests.connectors.scripted import TOKEN, Asked, Said, connector, scripted


@pytest.fixture
def crm() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


def test_fields_of_every_type_are_created_and_described_alike(crm: Sandbox) -> None:
    connector = hubspot(crm)
    assert {done.result for done in connector.provision(SPECS)} == {"created"}
    fields = connector.check().objects["contacts"]
    for spec in SPECS:
        wanted = ValueType.TEXT if spec.type is ValueType.URL else spec.type
        assert fields[spec.name].type is wanted
        assert fields[spec.name].writable
        assert fields[spec.name].options == (spec.options or None)
    assert fields["engage_text"].length == 65_536


def test_provisioning_twice_changes_nothing(crm: Sandbox) -> None:
    connector = hubspot(crm)
    connector.provision(SPECS)
    before = crm.calls.count("write")
    assert [done.result for done in connector.provision(SPECS)] == ["exists"] * len(SPECS)
    assert crm.calls.count("write") == before


def test_missing_options_are_added_after_those_that_exist(crm: Sandbox) -> None:
    connector = hubspot(crm)
    spec = FieldSpec("contacts", "engage_seg", "Seg", ValueType.MULTISELECT, ("b", "a"))
    connector.provision([spec])
    more = FieldSpec("contacts", "engage_seg", "Seg", ValueType.MULTISELECT, ("c", "a"))
    (done,) = connector.provision([more])
    assert (done.result, done.message) == ("options added", "c")
    assert connector.check().objects["contacts"]["engage_seg"].options == ("b", "a", "c")


def test_unique_field_is_created_unique(crm: Sandbox) -> None:
    connector = hubspot(crm)
    spec = FieldSpec("companies", "engage_external_id", "Id", ValueType.TEXT, unique=True)
    connector.provision([spec])
    assert connector.check().objects["companies"]["engage_external_id"].unique


def test_existing_field_that_differs_is_left_alone_and_told(crm: Sandbox) -> None:
    connector = hubspot(crm)
    connector.provision([FieldSpec("contacts", "engage_x", "X", ValueType.TEXT)])
    number = FieldSpec("contacts", "engage_x", "X", ValueType.NUMBER)
    unique = FieldSpec("contacts", "engage_x", "X", ValueType.TEXT, unique=True)
    (first,), (second,) = connector.provision([number]), connector.provision([unique])
    assert (first.result, second.result) == ("exists", "exists")
    assert "number" in (first.message or "")
    assert "unique" in (second.message or "")


def test_refused_field_is_told_with_hubspots_words_and_others_are_created(crm: Sandbox) -> None:
    specs = [
        FieldSpec("contacts", "Not A Name!", "X", ValueType.TEXT),
        FieldSpec("companies", "engage_ok", "X", ValueType.TEXT),
    ]
    refused, created = hubspot(crm).provision(specs)
    assert (refused.spec, refused.result) == (specs[0], "refused")
    assert refused.message
    assert created.result == "created"


@pytest.mark.parametrize("name", ["drop_after", "server_error_after", "bad_gateway", "too_many_ten_secondly"])
@pytest.mark.parametrize("skip", [0, 1])
def test_provisioning_survives_faults(crm: Sandbox, name: str, skip: int) -> None:
    crm.faults.add(Fault(name, kind="write", skip=skip))
    done = hardened(crm).provision(SPECS[:2])
    assert {one.result for one in done} <= {"created", "exists"}
    assert {spec.name for spec in SPECS[:2]} <= set(hubspot(crm).check().objects["contacts"])


def test_read_only_properties_are_not_writable(crm: Sandbox) -> None:
    fields = hubspot(crm).check().objects["contacts"]
    assert not fields["hs_object_id"].writable
    assert fields["jobtitle"].writable
    assert fields["email"].type is ValueType.TEXT


def test_check_names_the_account_and_nothing_missing(crm: Sandbox) -> None:
    schema = hubspot(crm).check()
    assert schema.account == "1"
    assert list(schema.missing) == []
    assert set(schema.objects) == {"contacts", "companies"}


def test_missing_read_scope_is_a_sentence(crm: Sandbox) -> None:
    lacking = {scope for scope in SCOPES if "contacts" not in scope}
    crm.access.allow("narrow", lacking)
    schema = hubspot(crm, access_token="narrow").check()
    assert schema.objects["contacts"] == {}
    assert schema.objects["companies"]
    [lack] = [lack for lack in schema.missing if "crm.objects.contacts.read" in lack.problem]
    assert lack.object == "contacts"
    assert "Scopes" in lack.todo


def test_missing_schema_scope_refuses_the_fields_with_its_name(crm: Sandbox) -> None:
    crm.access.allow("narrow", {scope for scope in SCOPES if not scope.startswith("crm.schemas.contacts.write")})
    contact, company = hubspot(crm, access_token="narrow").provision(
        [FieldSpec(name, "engage_x", "X", ValueType.TEXT) for name in ("contacts", "companies")]
    )
    assert contact.result == "refused"
    assert "crm.schemas.contacts.write" in (contact.message or "")
    assert company.result == "created"


def test_wrong_token_fails_the_check(crm: Sandbox) -> None:
    with pytest.raises(LoginFailed, match="token"):
        hubspot(crm, access_token="wrong").check()


def portal(asked: Asked) -> Said:
    """Answer as a stand-in that knows no account API, and a token whose scopes leave writing out."""
    if asked.path.startswith("/oauth"):
        assert asked.json() == {"tokenKey": TOKEN}
        return Said(200, {"hubId": 1, "scopes": ["crm.objects.contacts.read", "crm.objects.companies.read"]})
    if asked.path.startswith("/account-info"):
        return Said(404, b"<html>not found")
    return Said(200, {"results": []})


def test_scopes_that_hubspot_tells_are_compared_with_the_needed_ones() -> None:
    with scripted(portal) as server:
        schema = connector(server).check()
    assert schema.account == ""
    assert [lack.problem for lack in schema.missing] == [
        "the token lacks the scope crm.objects.contacts.write",
        "the token lacks the scope crm.objects.companies.write",
        "the token lacks the scope crm.schemas.contacts.write",
        "the token lacks the scope crm.schemas.companies.write",
    ]


def test_scopes_are_asked_until_they_suffice_and_not_again() -> None:
    with scripted(lambda asked: Said(404) if asked.path.startswith("/oauth") else portal(asked)) as server:
        crm = connector(server)
        for _ in range(3):
            assert list(crm.check().missing) == []
        assert sum(asked.path.startswith("/oauth") for asked in server.asked) == 1


def test_unreachable_crm_is_transient(crm: Sandbox) -> None:
    crm.faults.add(Fault("bad_gateway"))
    with pytest.raises(Transient):
        hubspot(crm).check()


READING = frozenset({"crm.objects.contacts.read", "crm.objects.companies.read"})


def test_missing_write_scope_is_found_by_a_write_that_changes_nothing() -> None:
    """Where HubSpot does not tell a token's scopes, and when they were taken away after a good answer."""
    with sandbox(scopes=READING) as crm:
        crm.faults.add(Fault("server_error", path="*/access-token-info", times=None))
        connector = hubspot(crm, Memory())
        assert list(connector.check().missing) == []
        found = connector.probe(["contacts", "companies"])
        assert [(lack.object, lack.problem) for lack in found] == [
            ("contacts", "the token lacks the scope crm.objects.contacts.write"),
            ("companies", "the token lacks the scope crm.objects.companies.write"),
        ]
        crm.access.allow(crm.token)
        assert connector.probe(["contacts", "companies"]) == []
        crm.access.allow(crm.token, READING)
        assert len(connector.probe(["contacts", "companies"])) == 2
