"""Who set a HubSpot property: the newest version of its history, and what its source says about a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from engage_sync.connectors.base import Author, Kind, Role
from engage_sync.errors import EngageError
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.server import Sandbox
from tests.connectors.sandboxed import Clock, hardened, hubspot, sandbox
from tests.connectors.scripted import Asked, Said, connector, scripted

KIND = Kind("contacts", Role.CONTACT, ("jobtitle",))
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
AT = "2026-06-01T12:00:00Z"


@pytest.fixture(scope="module")
def crm() -> Iterator[Sandbox]:
    clock = Clock()
    clock.held = NOON
    with sandbox(clock=clock) as running:
        yield running


SOURCES = [
    ("CRM_UI:Ann Lee", Author("Ann Lee", AT, human=True, ours=False)),
    ("CRM_UI:userId:12345", Author("user 12345", AT, human=True, ours=False)),
    ("CRM_UI", Author("a person in HubSpot", AT, human=True, ours=False)),
    ("MOBILE_IOS:77", Author("user 77", AT, human=True, ours=False)),
    ("IMPORT:4711", Author("import 4711", AT, human=True, ours=False)),
    ("INTEGRATION:225", Author("integration 225", AT, human=False)),
    ("API", Author("api", AT, human=False)),
    ("AUTOMATION_PLATFORM:enrollment 9", Author("automation platform enrollment 9", AT, human=False, ours=False)),
    ("CALCULATED", Author("calculated", AT, human=False, ours=False)),
    ("FORM:signup", Author("form signup", AT, human=None, ours=False)),
]


@pytest.mark.parametrize(("source", "author"), SOURCES, ids=[source for source, _ in SOURCES])
def test_source_of_the_newest_version(crm: Sandbox, source: str, author: Author) -> None:
    record = crm.store.create("contacts", {"jobtitle": "First"}, source="INTEGRATION:1")
    crm.store.update("contacts", record, {"jobtitle": "Second"}, source="CRM_UI:Zoe")
    crm.store.update("contacts", record, {"jobtitle": "Third"}, source=source)
    crm.store.update("contacts", record, {"firstname": "Later"}, source="CRM_UI:Zoe")
    assert hubspot(crm).authors(KIND, [(record, "jobtitle")]) == {(record, "jobtitle"): author}


def test_each_field_of_each_record_has_its_own(crm: Sandbox) -> None:
    first = crm.store.create("contacts", {"jobtitle": "A"}, source="CRM_UI:Ann")
    second = crm.store.create("contacts", {"jobtitle": "B", "firstname": "C"}, source="CRM_UI:Ben")
    crm.store.update("contacts", second, {"firstname": "D"}, source="CRM_UI:Cid")
    asked = [(first, "jobtitle"), (second, "jobtitle"), (second, "firstname"), ("404404", "jobtitle")]
    found = hubspot(crm).authors(KIND, asked)
    assert {one: author.name for one, author in found.items()} == {
        (first, "jobtitle"): "Ann",
        (second, "jobtitle"): "Ben",
        (second, "firstname"): "Cid",
    }


def test_a_hundred_fields_take_two_calls(crm: Sandbox) -> None:
    ids = crm.store.create_many("contacts", [{"jobtitle": "A"} for _ in range(100)])
    made = hardened(crm)
    assert len(made.authors(KIND, [(record, "jobtitle") for record in ids])) == 100
    assert made.calls == {"read": 2, "write": 0}


def test_a_fault_is_raised_and_not_repeated(crm: Sandbox) -> None:
    """Whoever asks goes on without an answer: nothing is worth a pause here."""
    pauses: list[float] = []
    crm.faults.add(Fault("bad_gateway"))
    with pytest.raises(EngageError):
        hardened(crm, pauses).authors(KIND, [("1", "jobtitle")])
    assert pauses == []


STRANGE = [
    {},
    {"results": "none"},
    {"results": [{"id": "1"}, 5, {"id": "1", "propertiesWithHistory": []}]},
    {"results": [{"id": "1", "propertiesWithHistory": {"jobtitle": {"value": "x"}}}]},
    {"results": [{"id": "1", "propertiesWithHistory": {"jobtitle": ["x", []]}}]},
    {"results": [{"propertiesWithHistory": {"jobtitle": [{"sourceType": "CRM_UI"}]}}]},
]


@pytest.mark.parametrize("body", STRANGE)
def test_an_answer_of_another_shape_says_nothing(body: object) -> None:
    with scripted(lambda _: Said(body=body)) as server:
        assert connector(server).authors(KIND, [("1", "jobtitle")]) == {}


def test_versions_are_read_whatever_their_order_and_time() -> None:
    versions = [
        {"value": "a", "timestamp": 1780315200000, "sourceType": "CRM_UI", "updatedByUserId": 12},
        {"value": "b", "timestamp": "2026-06-01T12:00:00.500Z", "sourceType": "INTEGRATION", "sourceLabel": "Zap"},
    ]

    def answer(asked: Asked) -> Said:
        assert asked.json()["propertiesWithHistory"] == ["jobtitle"]
        return Said(body={"results": [{"id": "1", "propertiesWithHistory": {"jobtitle": versions}}]})

    with scripted(answer) as server:
        found = connector(server).authors(KIND, [("1", "jobtitle")])
        assert found == {("1", "jobtitle"): Author("integration Zap", "2026-06-01T12:00:00.500000Z", human=False)}
        versions.reverse()
        assert connector(server).authors(KIND, [("1", "jobtitle")]) == found
        versions.pop(0)
        expected = Author("user 12", "2026-06-01T12:00:00Z", human=True, ours=False)
        assert connector(server).authors(KIND, [("1", "jobtitle")]) == {("1", "jobtitle"): expected}
