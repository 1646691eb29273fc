"""Every kind of gap between what a project declares and what a CRM describes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engage_sync.connectors.base import Field
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.core.definitions import (
    Entity,
    ManagedField,
    Metric,
    MetricKind,
    Model,
    ObjectMap,
    Property,
    ValueType,
)
from engage_sync.sync.findings import PROVISION, Examined, Finding, Step, decimals, findings, longest

ID = "Engage_Id__c"
MODEL = Model(
    properties=(
        Property("mrr", Entity.ACCOUNT, "traits.mrr", type=ValueType.NUMBER),
        Property("renewal", Entity.ACCOUNT, "Renewal__c", connector="salesforce", type=ValueType.DATE),
        Property("renewal", Entity.USER, "Renewal__c", connector="salesforce", type=ValueType.DATE),
    ),
    metrics=tuple(Metric(kind.value, Entity.ACCOUNT, kind) for kind in MetricKind),
    links={Entity.USER: "https://app.example.com/u/{external_id}"},
)
TYPES = ("power", "influencer", "active", "inactive", "zombie")


def text(name: str = "X__c", **more: object) -> Field:
    return replace(Field(name, name, ValueType.TEXT, "string"), **more)  # type: ignore[arg-type]


def managed(kind: ValueType, source: str = "plan", *options: str, field: str = "X__c") -> ManagedField:
    return ManagedField(field, source, kind, options=options)


def found(
    *written: ManagedField,
    fields: tuple[Field, ...] = (),
    entity: Entity = Entity.USER,
    provisions: bool = True,
    **declared: object,
) -> list[Finding]:
    """Examine a declared object beside its fields."""
    object_map = ObjectMap("salesforce", "Contact", entity, write=written, **declared)  # type: ignore[arg-type]
    described = {field.name: field for field in fields}
    file = "connectors/salesforce.yaml"
    return list(findings(Examined(object_map, described, MODEL, Salesforce.guide, provisions, file)))


def test_a_field_that_fits_is_no_finding() -> None:
    for kind in ValueType:
        assert found(managed(kind), fields=(text(type=kind),)) == []


def test_a_missing_field_of_ours_is_provisioned() -> None:
    assert found(managed(ValueType.TEXT)) == [Finding(Step.PROVISION, "X__c", "Contact has no field X__c", PROVISION)]


def test_a_missing_field_that_cannot_be_made_is_for_the_admin() -> None:
    [standard] = found(managed(ValueType.TEXT, field="Engage"))
    [nobody] = found(managed(ValueType.TEXT), provisions=False)
    [read] = found(read=("Rating__c",))
    for finding in (standard, nobody, read):
        assert finding.step is Step.CREATE
        assert "Setup → Object Manager → Contact → Fields & Relationships → New" in finding.todo
        assert "correct the name in connectors/salesforce.yaml" in finding.todo
        assert PROVISION not in finding.todo


def test_a_misspelt_name_has_the_nearest_right_one() -> None:
    [read] = found(read=("Titel",), fields=(text("Title"),))
    assert read.todo.startswith("did you mean Title? Correct the name in connectors/salesforce.yaml")
    [case] = found(managed(ValueType.TEXT, field="x__c"), fields=(text(),))
    assert case.todo.startswith("did you mean X__c?")
    [ours] = found(managed(ValueType.TEXT, field="X_2__c"), fields=(text("X_1__c"),))
    assert ours.todo == PROVISION


@pytest.mark.lesson(18)
def test_a_hidden_field_is_revealed() -> None:
    hidden = text(readable=False, writable=False, type=None, native="hidden")
    [written] = found(managed(ValueType.NUMBER), fields=(hidden,))
    [read] = found(read=("X__c",), fields=(hidden,))
    assert {written.step, read.step} == {Step.REVEAL}
    assert written.problem == read.problem == "Contact.X__c is there, but hidden from the credentials"
    place = "Setup → Object Manager → Contact → Fields & Relationships → X__c → Set Field-Level Security"
    assert place in read.todo
    assert written.todo == f"{PROVISION}; if that is refused, {read.todo}"


def test_a_formula_cannot_be_written_but_read() -> None:
    formula = text(writable=False, native="formula")
    [written] = found(managed(ValueType.TEXT), fields=(formula,))
    assert (written.step, written.problem) == (Step.UNLOCK, "X__c is read-only (formula)")
    assert "map another field" in written.todo
    assert found(read=("X__c",), fields=(formula,)) == []


def test_a_value_needs_a_field_of_its_type() -> None:
    [wrong] = found(managed(ValueType.NUMBER, "events"), fields=(text(type=ValueType.DATE),))
    assert wrong.problem == "X__c is a date field and cannot hold events, a number"
    [unknown] = found(managed(ValueType.NUMBER, "events"), fields=(text(type=None, native="reference"),))
    assert unknown.problem == "X__c is a reference field and cannot hold events, a number"
    assert {wrong.step, unknown.step} == {Step.TYPE}


@pytest.mark.lesson(17)
def test_missing_options_are_added_by_provision_or_by_the_admin() -> None:
    kind = managed(ValueType.SELECT, "stage", "trial", "won")
    [ours] = found(kind, fields=(text(type=ValueType.SELECT, options=("won",)),))
    assert (ours.step, ours.problem) == (Step.OPTIONS, "X__c lacks the options trial")
    assert ours.todo.startswith(f"{PROVISION}; if that is refused, add them under Setup → Object Manager → Contact")
    standard = replace(kind, field="LeadSource")
    [theirs] = found(standard, fields=(text("LeadSource", type=ValueType.SELECT, options=("won",)),))
    assert theirs.todo.startswith(
        "add them under Setup → Object Manager → Contact → Fields & Relationships → LeadSource"
    )
    assert found(kind, fields=(text(type=ValueType.SELECT, options=None),)) == []


@pytest.mark.parametrize(
    ("kind", "source", "options", "needed"),
    [
        (ValueType.SELECT, "stage", ("trial", "customer"), 8),
        (ValueType.MULTISELECT, "segments", ("a", "bb", "c"), 6),
        (ValueType.MULTISELECT, "user_types", TYPES, len("active;influencer;power")),
        (ValueType.URL, "link", (), len("https://app.example.com/u/") + 1),
        (ValueType.BOOLEAN, "lapsed_influencer", (), 5),
        (ValueType.DATE, "renewal", (), 10),
        (ValueType.DATETIME, "last_active_at", (), 20),
        (ValueType.TEXT, "external_id", (), None),
        (ValueType.NUMBER, "events", (), None),
    ],
)
def test_a_field_must_be_long_enough(
    kind: ValueType, source: str, options: tuple[str, ...], needed: int | None
) -> None:
    field = managed(kind, source, *options)
    assert longest(field, MODEL, Entity.USER) == needed
    room = needed or 1
    assert found(field, fields=(text(length=room),)) == []
    if needed is not None:
        [short] = found(field, fields=(text(length=room - 1),))
        assert (short.step, short.problem) == (
            Step.ROOM,
            f"X__c takes {room - 1} characters, and {source} can have {room}",
        )


@pytest.mark.parametrize(
    ("source", "digits"),
    [
        *(("seat_use", 4), ("active_share", 4), ("mrr", 2), ("users", 0), ("days_since_active", 0)),
        *((kind.value, digits) for kind, digits in ((MetricKind.AVG, 4), (MetricKind.SUM, 2), (MetricKind.MAX, 2))),
        *((kind.value, 0) for kind in (MetricKind.COUNT, MetricKind.DISTINCT, MetricKind.ACTIVE_USERS)),
    ],
)
def test_a_number_field_must_keep_the_digits_after_the_point(source: str, digits: int) -> None:
    field = managed(ValueType.NUMBER, source)
    assert decimals(field, MODEL, Entity.ACCOUNT) == digits
    number = text(type=ValueType.NUMBER, decimals=digits)
    assert found(field, fields=(number,), entity=Entity.ACCOUNT) == []
    if digits:
        [coarse] = found(field, fields=(replace(number, decimals=digits - 1),), entity=Entity.ACCOUNT)
        assert coarse.step is Step.ROOM
        assert coarse.problem == f"X__c keeps {digits - 1} digits after the point, and {source} can have {digits}"
    assert found(field, fields=(replace(number, decimals=None),), entity=Entity.ACCOUNT) == []


@pytest.mark.lesson(7)
@pytest.mark.parametrize("written", [True, False])
def test_the_external_id_must_be_unique(*, written: bool) -> None:
    ids = (managed(ValueType.TEXT, "external_id", field=ID),) if written else ()
    [loose] = found(*ids, fields=(text(ID),), match_external_id=ID)
    assert (loose.step, loose.problem) == (Step.UNIQUE, f"Contact.{ID} holds the external id but is not unique")
    assert loose.todo.startswith("tick External ID and Unique under Setup → Object Manager → Contact")
    assert found(*ids, fields=(text(ID, unique=True),), match_external_id=ID) == []
    [missing] = found(*ids, match_external_id=ID)
    assert missing.todo == PROVISION


def test_a_key_must_be_text() -> None:
    [email] = found(match_email="X__c", fields=(text(type=ValueType.BOOLEAN),))
    assert (email.step, email.problem) == (Step.TYPE, "X__c is a boolean field and cannot hold an e-mail address")
    assert found(match_domain="X__c", fields=(text(type=ValueType.URL),)) == []


def test_a_property_must_be_readable_from_its_field() -> None:
    [clash] = found(read=("Renewal__c",), fields=(text("Renewal__c", type=ValueType.BOOLEAN),))
    assert clash.problem == "Renewal__c is a boolean field and never reads as renewal, a date property"
    for kind in (ValueType.DATE, ValueType.DATETIME, ValueType.TEXT, None):
        assert found(read=("Renewal__c",), fields=(text("Renewal__c", type=kind),)) == []


def test_each_guide_has_a_place_for_every_step() -> None:
    for guide in (HubSpot.guide, Salesforce.guide):
        sentences = (guide.create, guide.reveal, guide.unlock, guide.options, guide.unique, guide.object)
        assert all("→" in sentence or "HubSpot makes" in sentence for sentence in sentences)
        assert all(sentence.count("{") == sentence.count("}") for sentence in sentences)
