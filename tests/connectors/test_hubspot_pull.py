"""Pulling from HubSpot: few calls, nothing lost, whatever the clocks, the index and the width of the question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.connectors.base import Cursor, Kind, Role
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.errors import Misbehaved, Mistake, Transient
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.server import Sandbox
from engage_sync.testing import pull
from tests.connectors.sandboxed import Clock, hardened, hubspot, sandbox
from tests.connectors.scripted import Asked, Said, connector, scripted

KIND = Kind("contacts", Role.CONTACT, ("email", "jobtitle"))
LONG_AGO = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crm(clock: Clock) -> Iterator[Sandbox]:
    with sandbox(clock=clock) as running:
        yield running


def planted(crm: Sandbox, clock: Clock, count: int) -> list[str]:
    """Create contacts that were all last changed within one millisecond, a day ago."""
    clock.held = datetime.now(UTC) - LONG_AGO
    ids = crm.store.create_many("contacts", [{"email": f"p{n}@example.com"} for n in range(count)])
    clock.held = None
    return ids


def calls_of(crm: Sandbox) -> int:
    count = crm.calls.count()
    crm.calls.clear()
    return count


def test_first_load_takes_one_call_a_page_and_one_for_the_bin(crm: Sandbox, clock: Clock) -> None:
    planted(crm, clock, 450)
    assert len(pull(hubspot(crm), KIND, None).records) == 450
    assert calls_of(crm) == 6


@pytest.mark.parametrize(("changed", "most"), [(357, 4), (1_900, 12)])
def test_increment_among_many_old_records_takes_no_more_calls_than_pages(
    crm: Sandbox, clock: Clock, changed: int, most: int
) -> None:
    """3,000 older records share the newest old stamp: they come again only if they fit in a page or so."""
    ids = planted(crm, clock, 3_000)
    start = pull(hubspot(crm), KIND, None)
    calls_of(crm)
    clock.held = datetime.now(UTC)
    for record in ids[-changed:]:
        crm.store.update("contacts", record, {"jobtitle": "new"})
    found = pull(hubspot(crm), KIND, start.cursor)
    assert {record for record, values in found.records.items() if values["jobtitle"] == "new"} == set(ids[-changed:])
    assert calls_of(crm) <= most


def test_nothing_changed_takes_two_calls(crm: Sandbox, clock: Clock) -> None:
    planted(crm, clock, 150)
    start = pull(hubspot(crm), KIND, None)
    calls_of(crm)
    pull(hubspot(crm), KIND, start.cursor)
    assert calls_of(crm) == 2


@pytest.mark.lesson(12)
def test_more_than_ten_thousand_changes_at_one_instant(crm: Sandbox, clock: Clock) -> None:
    ids = planted(crm, clock, 10_500)
    start = pull(hubspot(crm), KIND, None)
    clock.held = datetime.now(UTC)
    for record in ids:
        crm.store.update("contacts", record, {"jobtitle": "new"})
    calls_of(crm)
    found = pull(hubspot(crm), KIND, start.cursor)
    assert {values["jobtitle"] for values in found.records.values()} == {"new"}
    assert len(found.records) == 10_500
    assert calls_of(crm) <= 55


@pytest.mark.parametrize("apart", [timedelta(days=-90), timedelta(hours=-1), timedelta(hours=1), timedelta(days=90)])
def test_stamps_need_not_follow_our_clock(crm: Sandbox, clock: Clock, apart: timedelta) -> None:
    """The CRM's stamps are days off our clock; changes are found all the same."""
    clock.ahead = apart
    ids = crm.store.create_many("contacts", [{"email": f"p{n}@example.com"} for n in range(5)])
    cursor = pull(hubspot(crm), KIND, None).cursor
    for turn in range(3):
        crm.store.update("contacts", ids[turn], {"jobtitle": f"turn {turn}"})
        found = pull(hubspot(crm), KIND, cursor)
        assert found.records[ids[turn]]["jobtitle"] == f"turn {turn}"
        cursor = found.cursor


@pytest.mark.lesson(13)
def test_record_that_turns_up_late_is_found(crm: Sandbox, clock: Clock) -> None:
    """The search index trails: a change made before a pull becomes visible after it."""
    crm.store.lag = 300
    (record,) = planted(crm, clock, 1)
    cursor = pull(hubspot(crm), KIND, None).cursor
    crm.store.update("contacts", record, {"jobtitle": "late"})
    early = pull(hubspot(crm), KIND, cursor)
    assert record not in early.records or early.records[record]["jobtitle"] is None
    clock.ahead = timedelta(seconds=400)
    assert pull(hubspot(crm), KIND, early.cursor).records[record]["jobtitle"] == "late"


@pytest.mark.lesson(10)
def test_all_archived_records_vanish_at_the_end_of_every_pull(crm: Sandbox, clock: Clock) -> None:
    ids = planted(crm, clock, 250)
    start = pull(hubspot(crm), KIND, None)
    for record in ids[:120]:
        crm.store.archive("contacts", record)
    assert pull(hubspot(crm), KIND, start.cursor).vanished == set(ids[:120])


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"v":0,"phase":"search"}',
        '{"v":1,"phase":"x"}',
        '{"v":1,"phase":"search","since":"x"}',
    ],
)
def test_cursor_that_cannot_be_read_starts_again(crm: Sandbox, clock: Clock, cursor: str) -> None:
    ids = planted(crm, clock, 3)
    assert set(pull(hubspot(crm), KIND, Cursor(cursor)).records) == set(ids)


def test_paging_token_that_is_not_taken_any_more_starts_the_list_again_once(crm: Sandbox, clock: Clock) -> None:
    ids = planted(crm, clock, 150)
    stale = Cursor('{"v":1,"phase":"list","after":"stale"}')
    assert set(pull(hubspot(crm), KIND, stale).records) == set(ids)
    with scripted(lambda asked: Said(400, {"message": "Cannot deserialize"})) as server:
        with pytest.raises(Misbehaved):
            connector(server).pull(KIND, stale)
        assert len(server.asked) == 2


@pytest.mark.lesson(24)
def test_wide_questions_are_asked_in_the_body(crm: Sandbox, clock: Clock) -> None:
    """600 fields fit neither in an address nor in a search."""
    ids = planted(crm, clock, 130)
    wide = Kind(
        "contacts", Role.CONTACT, ("email", "jobtitle", *(f"property_with_a_long_name_{n}" for n in range(600)))
    )
    start = pull(hubspot(crm), wide, None)
    assert set(start.records) == set(ids)
    assert start.records[ids[0]]["email"] == "p0@example.com"
    crm.store.update("contacts", ids[3], {"jobtitle": "new"})
    crm.store.archive("contacts", ids[4])
    found = pull(hubspot(crm), wide, start.cursor)
    assert found.records[ids[3]]["jobtitle"] == "new"
    assert found.vanished == {ids[4]}


@pytest.mark.parametrize(
    "name", ["accepted_202", "empty_results", "html_200", "truncated_200", "cut_body", "not_utf8", "drop_before"]
)
@pytest.mark.parametrize("skip", [0, 1, 2])
def test_bad_answer_never_ends_a_load_early(crm: Sandbox, clock: Clock, name: str, skip: int) -> None:
    ids = planted(crm, clock, 250)
    crm.faults.add(Fault(name, kind="read", skip=skip))
    assert set(pull(hardened(crm), KIND, None).records) == set(ids)


@pytest.mark.parametrize("name", ["accepted_202", "empty_results", "html_200", "truncated_200", "too_many_secondly"])
def test_bad_answer_never_ends_an_increment_early(crm: Sandbox, clock: Clock, name: str) -> None:
    ids = planted(crm, clock, 450)
    start = pull(hubspot(crm), KIND, None)
    for record in ids:
        crm.store.update("contacts", record, {"jobtitle": "new"})
    crm.faults.add(Fault(name, kind="search", skip=1))
    assert set(pull(hardened(crm), KIND, start.cursor).records) == set(ids)


def test_search_that_promises_records_and_gives_none_is_told() -> None:
    def empty(asked: object) -> Said:
        return Said(200, {"total": 7, "results": []})

    cursor = Cursor('{"v":1,"phase":"search","since":1767323045678}')
    with scripted(empty) as server, pytest.raises(Transient, match="7") as caught:
        connector(server).pull(KIND, cursor)
    assert isinstance(caught.value.__cause__, Misbehaved)


@pytest.mark.lesson(12)
def test_search_that_leaves_a_record_out_is_told() -> None:
    """By its total alone: there is no error, and no page that the record could stand on (lessons 12)."""

    def short(asked: object) -> Said:
        row = {"id": "9", "properties": {}, "updatedAt": "2026-01-02T03:04:05.678Z"}
        return Said(200, {"total": 2, "results": [row]})

    cursor = Cursor('{"v":1,"phase":"search","since":1767323045678}')
    with scripted(short) as server, pytest.raises(Transient, match="tells of 2 records but gives 1") as caught:
        connector(server).pull(KIND, cursor)
    assert isinstance(caught.value.__cause__, Misbehaved)


def test_search_asks_by_keyset_and_never_from_the_epoch() -> None:
    def page(asked: Asked) -> Said:
        last = int(asked.json()["filterGroups"][0]["filters"][1]["value"])
        stamp = "2026-01-02T03:04:05.678Z"
        rows = [{"id": str(last + step), "properties": {}, "updatedAt": stamp} for step in (9, 10)]
        return Said(200, {"total": 5 - last // 5, "results": rows, "paging": {"next": {"after": "2"}}})

    with scripted(page) as server:
        crm = connector(server)
        cursor = crm.pull(KIND, Cursor('{"v":1,"phase":"search","since":1767323045678}')).cursor
        crm.pull(KIND, cursor)
        crm.close()
    first, second = (asked.json() for asked in server.asked)
    assert first["filterGroups"] == [
        {
            "filters": [
                {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "1767323045678"},
                {"propertyName": "hs_object_id", "operator": "GT", "value": "0"},
            ]
        }
    ]
    assert second["filterGroups"][0]["filters"][1]["value"] == "10"
    assert first["sorts"] == [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
    assert "after" not in json.dumps(second)


def test_companies_have_their_own_modified_property(crm: Sandbox) -> None:
    kind = Kind("companies", Role.ACCOUNT, ("name", "domain"))
    (firm,) = crm.store.create_many("companies", [{"name": "Acme", "domain": "acme.example"}])
    start = pull(hubspot(crm), kind, None)
    assert start.records == {firm: {"name": "Acme", "domain": "acme.example"}}
    crm.store.update("companies", firm, {"name": "Acme Ltd"})
    assert pull(hubspot(crm), kind, start.cursor).records[firm]["name"] == "Acme Ltd"


def test_further_addresses_are_always_pulled(crm: Sandbox, clock: Clock) -> None:
    ids = planted(crm, clock, 2)
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    record = pull(hubspot(crm), Kind("contacts", Role.CONTACT, ("email",)), None).records[survivor]
    assert record == {"email": "p0@example.com", "hs_additional_emails": "p1@example.com"}
    assert HubSpot.limits.further_emails == {"contacts": "hs_additional_emails"}


def test_other_objects_are_a_mistake(crm: Sandbox) -> None:
    with pytest.raises(Mistake, match="contacts and companies"):
        hubspot(crm).pull(Kind("deals", Role.TASK), None)


def test_read_of_merged_archived_and_unknown_ids(crm: Sandbox, clock: Clock) -> None:
    ids = planted(crm, clock, 4)
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    crm.store.archive("contacts", ids[2])
    page = hubspot(crm).read(KIND, [*ids, "987654321", "no id"])
    assert {record.id for record in page.records} == {survivor, ids[3]}
    assert page.merged == {ids[0]: survivor, ids[1]: survivor}
    assert set(page.vanished) == {ids[2], "987654321", "no id"}


def test_what_was_merged_into_an_archived_record_vanishes_with_it(crm: Sandbox, clock: Clock) -> None:
    """Both happened between two pulls, so that no search shows the survivor."""
    ids = planted(crm, clock, 3)
    start = pull(hubspot(crm), KIND, None)
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    crm.store.archive("contacts", survivor)
    found = pull(hubspot(crm), KIND, start.cursor)
    assert {ids[0], ids[1], survivor} <= found.vanished
