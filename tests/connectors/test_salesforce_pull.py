"""Pulling from Salesforce: few calls, nothing lost, whatever the stamps, the width of the question and people do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engage_sync.connectors import salesforce_pull
from engage_sync.connectors.base import Cursor, Kind, Role
from engage_sync.connectors.salesforce_fields import describe_object
from engage_sync.connectors.salesforce_http import LONGEST_URI
from engage_sync.errors import LoginFailed, Misbehaved, Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from engage_sync.testing import Pulled, pull, together
from tests.connectors.org import hardened, salesforce, sandbox
from tests.connectors.sandboxed import Clock

KIND = Kind("Contact", Role.CONTACT, ("AccountId", "Email", "Title"))
LEADS = Kind("Lead", Role.CONTACT, ("Email",))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> Iterator[SalesforceSandbox]:
    with sandbox(clock=clock, page=200) as running:
        yield running


def planted(org: SalesforceSandbox, clock: Clock, count: int) -> list[str]:
    """Create contacts that were all last changed within one second, a day ago."""
    clock.held = datetime.now(UTC) - timedelta(days=1)
    ids = org.store.create_many("Contact", [{"LastName": f"P{n}", "Email": f"p{n}@example.com"} for n in range(count)])
    clock.held = None
    return ids


def queries(org: SalesforceSandbox) -> int:
    """Count the queries since the last time."""
    count = org.calls.count("search")
    org.calls.clear()
    return count


@pytest.mark.parametrize(("records", "most"), [(0, 2), (1, 2), (200, 3), (1_000, 7), (1_001, 8)])
def test_first_load_takes_a_query_a_page_and_little_more(
    org: SalesforceSandbox, clock: Clock, records: int, most: int
) -> None:
    """Here the CRM gives 200 records a page, though 2,000 were asked for (crm-apis §B3)."""
    planted(org, clock, records)
    assert len(pull(salesforce(org), KIND, None).records) == records
    assert queries(org) <= most


def test_nothing_changed_takes_two_queries(org: SalesforceSandbox, clock: Clock) -> None:
    planted(org, clock, 150)
    start = pull(salesforce(org), KIND, None)
    queries(org)
    pull(salesforce(org), KIND, start.cursor)
    assert queries(org) == 2


def test_increment_does_not_read_a_quiet_past_again(org: SalesforceSandbox, clock: Clock) -> None:
    """What was last changed a day ago comes no more, once something newer has been seen."""
    ids = planted(org, clock, 900)
    start = pull(salesforce(org), KIND, None)
    org.store.edit("Contact", ids[0], {"Title": "new"})
    second = pull(salesforce(org), KIND, start.cursor)
    assert second.records[ids[0]]["Title"] == "new"
    third = pull(salesforce(org), KIND, second.cursor)
    assert set(third.records) == {ids[0]}


@pytest.mark.lesson(13)
def test_changes_of_the_last_minutes_come_again(org: SalesforceSandbox, clock: Clock) -> None:
    """Reads lag behind commits: a record that became visible late must not be lost (lessons: late rows)."""
    ids = planted(org, clock, 3)
    org.store.edit("Contact", ids[2], {"Title": "new"})
    start = pull(salesforce(org), KIND, None)
    clock.ahead = -timedelta(minutes=4)
    org.store.edit("Contact", ids[1], {"Title": "committed late"})
    clock.ahead = timedelta(0)
    assert pull(salesforce(org), KIND, start.cursor).records[ids[1]]["Title"] == "committed late"


@pytest.mark.lesson(14)
def test_ties_across_page_edges_are_not_lost(org: SalesforceSandbox, clock: Clock) -> None:
    """Half of the records change in one second, the page holds a third of these."""
    ids = planted(org, clock, 1_200)
    start = pull(salesforce(org), KIND, None)
    org.store.edit_at_once("Contact", ids[::2], {"Title": "tied"})
    found = pull(salesforce(org), KIND, start.cursor)
    assert {record for record, values in found.records.items() if values["Title"] == "tied"} == set(ids[::2])


@pytest.mark.lesson(10)
def test_deleted_merged_and_restored(org: SalesforceSandbox, clock: Clock) -> None:
    ids = planted(org, clock, 5)
    start = pull(salesforce(org), KIND, None)
    org.store.delete("Contact", ids[0])
    org.store.merge("Contact", ids[1], ids[2])
    found = pull(salesforce(org), KIND, start.cursor)
    assert (found.vanished, dict(found.merged)) == (frozenset({ids[0]}), {ids[2]: ids[1]})
    org.store.undelete("Contact", ids[0])
    back = pull(salesforce(org), KIND, found.cursor)
    assert ids[0] in back.records
    assert ids[0] not in back.vanished


def test_converted_lead_leads_to_its_contact(org: SalesforceSandbox) -> None:
    leads = org.store.create_many(
        "Lead", [{"LastName": f"L{n}", "Company": "Acme", "Email": f"l{n}@a.io"} for n in (0, 1)]
    )
    start = pull(salesforce(org), LEADS, None)
    assert set(start.records) == set(leads)
    contact, _ = org.store.convert(leads[0])
    found = pull(salesforce(org), LEADS, start.cursor)
    assert dict(found.merged) == {leads[0]: contact}
    assert leads[0] not in found.records
    read = salesforce(org).read(LEADS, leads)
    assert (dict(read.merged), [record.id for record in read.records]) == ({leads[0]: contact}, [leads[1]])


@pytest.mark.lesson(18)
def test_field_hidden_from_us_is_absent_and_never_empty(org: SalesforceSandbox, clock: Clock) -> None:
    """A value that looks empty because it is hidden would be written over (lessons: permissions)."""
    ids = planted(org, clock, 1)
    org.store.hide("Contact", "Title")
    values = pull(salesforce(org), KIND, None).records[ids[0]]
    assert set(values) == {"AccountId", "Email"}


def test_wide_questions_are_split(org: SalesforceSandbox, clock: Clock) -> None:
    """700 fields with long names do not fit into one address."""
    names = [f"Engage_A_Field_With_A_Long_Name_{n:03}__c" for n in range(700)]
    assert len(",".join(names)) > LONGEST_URI
    for name in names:
        org.store.add_field("Contact", FieldDef(name, name, "string", length=20, custom=True), visible=True)
    ids = planted(org, clock, 250)
    org.store.edit("Contact", ids[7], {names[0]: "first", names[-1]: "last"})
    wide = Kind("Contact", Role.CONTACT, ("Email", *names))
    for found in (pull(salesforce(org), wide, None).records, {}):
        records = found or {one.id: one.values for one in salesforce(org).read(wide, ids[:200]).records}
        assert (records[ids[7]][names[0]], records[ids[7]][names[-1]]) == ("first", "last")
        assert set(records[ids[8]]) == set(wide.fields)


def test_short_ids_are_read_as_their_long_selves(org: SalesforceSandbox, clock: Clock) -> None:
    ids = planted(org, clock, 2)
    assert [one.id for one in salesforce(org).read(KIND, [ids[0][:15]]).records] == [ids[0]]


def test_reading_merged_records_names_each_loser_and_gives_the_survivor_once(
    org: SalesforceSandbox, clock: Clock
) -> None:
    """Also through two merges, and beside a deleted one and one that never was."""
    ids = planted(org, clock, 5)
    org.store.merge("Contact", ids[1], ids[0])
    org.store.merge("Contact", ids[2], ids[1])
    org.store.delete("Contact", ids[3])
    org.store.purge("Contact", ids[4])
    page = salesforce(org).read(KIND, ids)
    assert [record.id for record in page.records] == [ids[2]]
    assert dict(page.merged) == {ids[0]: ids[2], ids[1]: ids[2]}
    assert list(page.vanished) == [ids[3], ids[4]]


@pytest.mark.parametrize("cursor", ["", "{", "[]", '{"v":0}', '{"v":1,"phase":"x"}', '{"v":1,"phase":"all","after":5}'])
def test_cursor_that_cannot_be_read_starts_a_full_load(org: SalesforceSandbox, clock: Clock, cursor: str) -> None:
    ids = planted(org, clock, 3)
    assert set(pull(salesforce(org), KIND, Cursor(cursor)).records) == set(ids)


def test_query_that_takes_too_long_is_tried_again(org: SalesforceSandbox, clock: Clock) -> None:
    ids = planted(org, clock, 3)
    org.faults.add(Fault("query_timeout"))
    assert set(pull(hardened(salesforce(org)), KIND, None).records) == set(ids)


def test_many_ties_of_a_quiet_past_are_not_read_again(org: SalesforceSandbox, clock: Clock) -> None:
    """A load of a day ago, all in one second, costs every later pull a page at most; what changes is found."""
    ids = planted(org, clock, 5_000)
    cursor = pull(salesforce(org), KIND, None).cursor
    for title in ("first", "second"):
        queries(org)
        found = pull(salesforce(org), KIND, cursor)
        assert len(found.records) <= 201
        assert queries(org) <= 3
        org.store.edit("Contact", ids[4_321], {"Title": title})
        found = pull(salesforce(org), KIND, cursor)
        assert found.records[ids[4_321]]["Title"] == title


def test_object_that_we_may_not_see_is_a_matter_of_permissions(org: SalesforceSandbox) -> None:
    org.store.allow("Contact", read=False, edit=False)
    with pytest.raises(LoginFailed, match="Setup → Permission Sets"):
        salesforce(org).pull(KIND, None)


def test_org_of_other_versions_says_what_to_do() -> None:
    with sandbox(versions=("66.0", "67.0")) as newer, pytest.raises(Misbehaved, match="upgrade engage-sync"):
        salesforce(newer).pull(KIND, None)


def test_object_that_cannot_be_synced_is_named(org: SalesforceSandbox) -> None:
    with pytest.raises(Mistake, match="the objects are Contact, Account, Lead"):
        salesforce(org).pull(Kind("Opportunity", Role.ACCOUNT), None)


ABOVE = 500


def loaded(org: SalesforceSandbox) -> Pulled:
    """Load everything, by a Bulk query above 500 records."""
    crm = salesforce(org)
    shape, http, pages = describe_object(crm._http, "Contact"), crm._http, []
    while not pages or not pages[-1].done:
        cursor = pages[-1].cursor if pages else None
        pages.append(salesforce_pull.pull(http, KIND, shape, cursor, sleep=lambda _: None, bulk_above=ABOVE))
    return together(pages)


def jobs(org: SalesforceSandbox) -> int:
    return sum(call.path.endswith("/jobs/query") for call in org.calls.all())


def test_large_first_load_comes_by_a_bulk_query(org: SalesforceSandbox, clock: Clock) -> None:
    """Values with line ends, commas and quotes too; and the increment after it goes on from there."""
    ids = planted(org, clock, ABOVE + 700)
    odd = 'a\nb, "c"'
    org.store.edit("Contact", ids[-1], {"Title": odd})
    found = loaded(org)
    assert set(found.records) == set(ids)
    assert set(found.times.values()) == {1}
    assert (found.records[ids[-1]]["Title"], found.records[ids[-2]]["Title"]) == (odd, None)
    assert jobs(org) == 1
    org.store.edit("Contact", ids[0], {"Title": "new"})
    assert pull(salesforce(org), KIND, found.cursor).records[ids[0]]["Title"] == "new"


def test_small_first_load_needs_no_job(org: SalesforceSandbox, clock: Clock) -> None:
    planted(org, clock, ABOVE)
    assert len(loaded(org).records) == ABOVE
    assert jobs(org) == 0


@pytest.mark.parametrize("fault", ["api_disabled", "job_query_refused"])
def test_org_without_bulk_is_loaded_in_pages(org: SalesforceSandbox, clock: Clock, fault: str) -> None:
    """Refused jobs are no reason to stop (lessons: bulk quota)."""
    ids = planted(org, clock, ABOVE + 700)
    name = "api_disabled" if fault == "api_disabled" else "version_retired"
    org.faults.add(Fault(name, path="*/jobs/query", times=None))
    assert set(loaded(org).records) == set(ids)


def test_job_that_is_gone_is_replaced_by_pages(org: SalesforceSandbox, clock: Clock) -> None:
    """Its results have expired between two runs."""
    ids = planted(org, clock, ABOVE + 700)
    crm = salesforce(org)
    shape, http = describe_object(crm._http, "Contact"), crm._http
    first = salesforce_pull.pull(http, KIND, shape, None, sleep=lambda _: None, bulk_above=ABOVE)
    lost = Cursor(first.cursor.replace('"job":"750', '"job":"751'))
    assert lost != first.cursor
    rest = pull(salesforce(org), KIND, lost)
    assert {record.id for record in first.records} | set(rest.records) == set(ids)


def test_results_that_end_in_the_middle_are_asked_for_again(org: SalesforceSandbox, clock: Clock) -> None:
    ids = planted(org, clock, ABOVE + 700)
    org.faults.add(Fault("results_cut", path="*/jobs/query/*"))
    crm = hardened(salesforce(org))
    inner = crm.inner.inner.inner
    shape = describe_object(inner._http, "Contact")
    first = salesforce_pull.pull(inner._http, KIND, shape, None, sleep=lambda _: None, bulk_above=ABOVE)
    rest = pull(crm, KIND, first.cursor)
    assert {record.id for record in first.records} | set(rest.records) == set(ids)


def test_purged_record_vanishes_too(org: SalesforceSandbox, clock: Clock) -> None:
    """Deleted, and gone from the recycle bin before anybody asked."""
    ids = planted(org, clock, 4)
    start = pull(salesforce(org), KIND, None)
    org.store.delete("Contact", ids[0])
    org.store.delete("Contact", ids[1])
    org.store.purge("Contact", ids[1])
    clock.ahead = timedelta(minutes=2)  # the list of deletions goes by whole minutes
    found = pull(salesforce(org), KIND, start.cursor)
    assert found.vanished == {ids[0], ids[1]}
    assert set(found.records) <= set(ids[2:])


def test_load_that_takes_too_long_to_count_comes_in_pages(org: SalesforceSandbox, clock: Clock) -> None:
    ids = planted(org, clock, 450)
    org.faults.add(Fault("query_timeout"))
    assert set(pull(salesforce(org), KIND, None).records) == set(ids)
