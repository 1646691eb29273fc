"""Writing a few Salesforce records: one true outcome for each, whatever the call as a whole does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.connectors.base import Change, Kind, Outcome, Role, Status
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.connectors.salesforce_fields import full_id
from engage_sync.connectors.salesforce_push import USUAL
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import harden
from engage_sync.errors import LoginFailed, Misbehaved, Transient
from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.connectors.salesforce_writing import Process, Values, changes, fault, org, people, scripted_push, statuses
from tests.connectors.sandboxed import Memory
from tests.connectors.scripted import Asked, Said, scripted

KIND = Kind("Contact", Role.CONTACT)
EVERY_KIND: Values = {
    "Title": 'Head of "Growth"; ümläut 😀 <b>',
    "Note__c": "a\nb, c\r\nd" + "x" * 5_000,
    "Score__c": "-12.5",
    "Champion__c": "true",
    "Types__c": "active;power",
    "Seen__c": "2026-08-22T10:11:12Z",
    "Renewal__c": "2027-01-31",
    "External__c": "u-17",
}


@pytest.fixture
def crm() -> Iterator[SalesforceSandbox]:
    with org() as running:
        yield running


@pytest.fixture
def process(crm: SalesforceSandbox) -> Process:
    """A process that writes by collections only."""
    return Process(crm, sizes=USUAL)


def writes(crm: SalesforceSandbox) -> int:
    return crm.calls.count("write")


@pytest.mark.lesson(4)
def test_thousand_are_five_calls(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 1_000)
    ends = process.push({record: {"Title": f"job {record}"} for record in ids})
    assert statuses(ends) == {Status.WRITTEN: 1_000}
    assert crm.calls.count() == writes(crm) == 5
    assert crm.store.text("Contact", ids[777])["Title"] == f"job {ids[777]}"


def test_every_kind_of_value_is_written_and_cleared(crm: SalesforceSandbox, process: Process) -> None:
    (record,) = people(crm, 1)
    assert process.push({record: EVERY_KIND})[record] == Outcome(record, Status.WRITTEN)
    held = crm.store.text("Contact", record)
    assert {name: held[name] for name in EVERY_KIND} == EVERY_KIND
    process.push({record: dict.fromkeys(EVERY_KIND)})
    cleared = crm.store.text("Contact", record)
    assert {name for name in EVERY_KIND if cleared.get(name) is not None} == {"Champion__c"}
    assert cleared["Champion__c"] == "false"


def test_fields_that_are_not_named_stay(crm: SalesforceSandbox, process: Process) -> None:
    (record,) = people(crm, 1)
    crm.store.edit("Contact", record, {"Department": "Sales"})
    process.push({record: {"Title": "new"}})
    assert crm.store.text("Contact", record)["Department"] == "Sales"
    assert crm.store.text("Contact", record)["LastName"] == "p0"


def test_text_that_csv_could_not_say_is_written_as_it_is(crm: SalesforceSandbox, process: Process) -> None:
    (record,) = people(crm, 1)
    process.push({record: {"Title": "#N/A"}})
    assert crm.store.text("Contact", record)["Title"] == "#N/A"


def test_record_that_comes_twice_is_sent_once_and_later_values_win(crm: SalesforceSandbox, process: Process) -> None:
    one, other = people(crm, 2)
    asked = [
        Change(one, {"Title": "first", "Department": "kept"}),
        Change(other[:15], {"Title": "short"}),
        Change(one[:15], {"Title": "last"}),
    ]
    ends = process.push(asked)
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert set(ends) == {one, one[:15], other[:15]}
    held = crm.store.text("Contact", one)
    assert (held["Title"], held["Department"]) == ("last", "kept")
    assert len([edit for edit in crm.store.edits("Contact", one) if edit.field == "Title"]) == 1


@pytest.mark.lesson(19)
@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        ({"Title": "x" * 129}, "STRING_TOO_LONG", "too large"),
        ({"Types__c": "active;bogus"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bogus"),
        ({"Department": "forbidden"}, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "not this one"),
        ({"External__c": "taken"}, "DUPLICATE_VALUE", ""),
        ({"Hidden__c": "x"}, "INVALID_FIELD", "Fields & Relationships → Hidden__c → Set Field-Level Security"),
        ({"Formula__c": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Formula__c"),
        ({"LastName": None}, "REQUIRED_FIELD_MISSING", "LastName"),
        ({"Score__c": "1" * 25}, "NUMBER_OUTSIDE_VALID_RANGE", ""),
        ({"Email": "no address"}, "INVALID_EMAIL_ADDRESS", ""),
        ({"Score__c": "not a number"}, None, ""),
        ({"Renewal__c": "soon"}, None, ""),
    ],
)
def test_bad_row_refuses_itself_only(
    crm: SalesforceSandbox, process: Process, bad: Values, code: str | None, words: str
) -> None:
    crm.store.validation_rule("Contact", lambda values: values.get("Department") == "forbidden", "not this one")
    crm.store.add_field("Contact", FieldDef("Hidden__c", "Hidden", "string", 20, custom=True), visible=False)
    crm.store.create("Contact", {"LastName": "other", "External__c": "taken"})
    ids = people(crm, 20)
    asked: dict[str, Values] = {record: {"Title": "good"} for record in ids}
    asked[ids[7]] = bad
    ends = process.push(asked)
    assert statuses(ends) == {Status.WRITTEN: 19, Status.REFUSED: 1}
    assert ends[ids[7]].status is Status.REFUSED
    assert code is None or ends[ids[7]].code == code
    assert words in (ends[ids[7]].message or "")
    assert writes(crm) <= 3


def test_id_that_is_none_is_refused_alone(crm: SalesforceSandbox, process: Process) -> None:
    (record,) = people(crm, 1)
    ends = process.push({record: {"Title": "x"}, "nonsense": {"Title": "x"}, "003'x": {"Title": "x"}})
    assert ends[record].status is Status.WRITTEN
    assert {ends[one].status for one in ("nonsense", "003'x")} <= {Status.REFUSED, Status.GONE}


def test_locked_rows_fail_and_pass_later(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 6)
    crm.store.lock_rows(ids[2:4])
    ends = process.push(changes(ids, Title="x"))
    assert {record for record, end in ends.items() if end.status is Status.FAILED} == set(ids[2:4])
    assert ends[ids[2]].code == "UNABLE_TO_LOCK_ROW"
    assert statuses(process.push(changes(ids[2:4], Title="x"))) == {Status.WRITTEN: 2}


def test_what_became_of_a_record_is_found_out(crm: SalesforceSandbox, process: Process) -> None:
    deleted, purged, loser, winner, second, both, live = people(crm, 7)
    crm.store.delete("Contact", deleted)
    crm.store.purge("Contact", purged)
    crm.store.merge("Contact", second, loser)
    crm.store.merge("Contact", winner, second)  # a chain
    crm.store.merge("Contact", winner, both)
    ends = process.push(changes([deleted, purged, loser, both, live], Title="new"))
    assert {ends[one].status for one in (deleted, purged)} == {Status.GONE}
    assert ends[live].status is Status.WRITTEN
    assert (ends[loser].status, ends[loser].moved_to) == (Status.WRITTEN, winner)
    assert (ends[both].status, ends[both].moved_to) == (Status.GONE, winner)
    assert crm.store.text("Contact", winner)["Title"] == "new"


def test_survivor_that_is_written_itself_is_not_overwritten(crm: SalesforceSandbox, process: Process) -> None:
    loser, winner = people(crm, 2)
    crm.store.merge("Contact", winner, loser)
    ends = process.push({loser: {"Title": "of the loser"}, winner: {"Title": "its own"}})
    assert (ends[loser].status, ends[loser].moved_to) == (Status.GONE, winner)
    assert crm.store.text("Contact", winner)["Title"] == "its own"


def test_converted_lead_is_gone_and_its_contact_named(crm: SalesforceSandbox, process: Process) -> None:
    lead, other = people(crm, 2, "Lead")
    contact, _ = crm.store.convert(lead)
    ends = process.push(changes([lead, other], Title="x"), "Lead")
    assert ends[lead].status is Status.GONE
    assert contact in (ends[lead].message or "")
    assert ends[lead].moved_to is None
    assert ends[other].status is Status.WRITTEN


def test_result_left_out_is_a_failure_of_that_row(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 8)
    crm.faults.add(fault("missing_result"))
    ends = process.push(changes(ids, Title="x"))
    assert statuses(ends) == {Status.WRITTEN: 7, Status.FAILED: 1}
    assert {end.code for end in ends.values() if end.status is Status.FAILED} == {"NO_ANSWER"}


def test_empty_answer_is_a_failure_of_all_rows(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 3)
    crm.faults.add(fault("empty_results"))
    assert statuses(process.push(changes(ids, Title="x"))) == {Status.FAILED: 3}


@pytest.mark.lesson(8)
def test_duplicate_rule_of_the_org_does_not_stop_an_update() -> None:
    with org(duplicate_rules=True) as crm:
        one, other = people(crm, 2)
        crm.store.edit("Contact", one, {"Email": "same@example.com"})
        ends = Process(crm, sizes=USUAL).push({other: {"Email": "same@example.com"}})
        assert ends[other].status is Status.WRITTEN


@pytest.mark.parametrize(
    "name", ["html_200", "truncated_200", "drop_before", "drop_after", "unavailable", "hang_after"]
)
def test_call_without_a_sensible_answer_is_worth_another_try(
    crm: SalesforceSandbox, process: Process, name: str
) -> None:
    ids = people(crm, 3)
    crm.faults.add(fault(name, kind="write", seconds=60))
    first = Process(crm, sizes=USUAL, timeout=(5.0, 2.0)) if name == "hang_after" else process
    with pytest.raises(Transient):
        first.push(changes(ids, Title="x"))
    assert statuses(process.push(changes(ids, Title="x"))) == {Status.WRITTEN: 3}


def test_answers_before_an_error_stand(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 401)
    crm.faults.add(fault("unavailable", kind="write", skip=2))
    ends: list[Outcome] = []
    with pytest.raises(Transient):
        process.push_into(ends, [Change(one, {"Title": "x"}) for one in ids])
    assert [end.record for end in ends] == ids[:400]


def test_ended_session_is_renewed_once(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 3)
    process.push(changes(ids, Title="x"))
    before = crm.logins
    crm.end_sessions()
    assert statuses(process.push(changes(ids, Title="y"))) == {Status.WRITTEN: 3}
    assert crm.logins == before + 1


@pytest.mark.parametrize(("name", "error"), [("version_retired", Misbehaved), ("api_disabled", LoginFailed)])
def test_refusal_that_is_about_no_row_is_not_split(
    crm: SalesforceSandbox, process: Process, name: str, error: type[Exception]
) -> None:
    ids = people(crm, 50)
    process.push(changes(ids, Title="x"))
    crm.faults.add(fault(name, kind="write", times=None))
    with pytest.raises(error):
        process.push(changes(ids, Title="y"))
    assert writes(crm) == 1


def test_day_that_is_used_up_suspends(crm: SalesforceSandbox, process: Process) -> None:
    ids = people(crm, 3)
    crm.faults.add(fault("total_requests", kind="write"))
    with pytest.raises(Transient) as met:
        process.push(changes(ids, Title="y"))
    assert met.value.suspend


def test_whole_refusal_for_one_row_is_taken_apart() -> None:
    """Salesforce answers 400 to a call whose JSON one row spoils, and does not say which."""
    ids = [full_id(f"003A00000000{number:03}") for number in range(200)]

    def answering(asked: Asked) -> Said:
        rows = asked.json()["records"]
        if any(row["Title"] == "spoils" for row in rows) or any(isinstance(row["Score__c"], str) for row in rows):
            return Said(400, [{"errorCode": "JSON_PARSER_ERROR", "message": "cannot deserialize"}])
        return Said(body=[{"id": row["id"], "success": True, "errors": []} for row in rows])

    asked: dict[str, Values] = {record: {"Title": "fine", "Score__c": "1"} for record in ids}
    asked[ids[41]] = {"Title": "spoils", "Score__c": "1"}
    asked |= {ids[number]: {"Title": "fine", "Score__c": text} for number, text in ((3, "nan"), (150, "many"))}
    with scripted(answering) as server:
        ends = {end.record: end for end in scripted_push(server, asked)}
    refused = {record for record, end in ends.items() if end.status is Status.REFUSED}
    assert refused == {ids[3], ids[41], ids[150]}
    assert statuses(ends) == {Status.WRITTEN: 197, Status.REFUSED: 3}
    assert ends[ids[41]].code == "JSON_PARSER_ERROR"
    assert len(server.asked) <= 25


def test_too_large_call_is_taken_apart() -> None:
    ids = [full_id(f"003A00000000{number:03}") for number in range(20)]

    def answering(asked: Asked) -> Said:
        rows = asked.json()["records"]
        if len(rows) > 6:
            return Said(413, b"too large")
        return Said(body=[{"id": row["id"], "success": True, "errors": []} for row in rows])

    with scripted(answering) as server:
        ends = scripted_push(server, changes(ids, Title="x"))
    assert {end.status for end in ends} == {Status.WRITTEN}


@pytest.mark.parametrize("body", [{"success": True}, "fine", 5])
def test_answer_that_is_no_list_is_worth_another_try(body: object) -> None:
    with scripted(lambda _asked: Said(body=body)) as server, pytest.raises(Transient):
        scripted_push(server, {full_id("003A0000000000a"): {"Title": "x"}})


@pytest.mark.lesson(24)
def test_locks_are_tried_again_alone_by_the_wrapper(crm: SalesforceSandbox) -> None:
    ids = people(crm, 500)
    crm.store.lock_rows(ids[100:130], 2)
    pauses: list[float] = []
    auth = {"login_url": crm.base_url, "client_id": crm.client_id, "client_secret": crm.client_secret}
    connector = Salesforce(Salesforce.Settings.model_validate({"auth": auth}), Memory())
    hardened = harden(connector, gate=Gate({}), sleep=pauses.append)
    ends = {end.record: end for end in hardened.push(KIND, [Change(record, {"Title": "x"}) for record in ids])}
    assert statuses(ends) == {Status.WRITTEN: 500}
    assert writes(crm) == 5
    assert len(pauses) == 2
    assert len([edit for edit in crm.store.edits("Contact", ids[0]) if edit.field == "Title"]) == 1
    hardened.close()


@settings(max_examples=15, deadline=None)
@given(
    bad=st.sets(st.integers(0, 29)),
    wrong=st.sets(st.integers(0, 29), max_size=4),
    lost=st.sets(st.integers(0, 29), max_size=8),
    locked=st.sets(st.integers(0, 29), max_size=8),
)
def test_any_mixture_of_rows(bad: set[int], wrong: set[int], lost: set[int], locked: set[int]) -> None:
    """Refused, gone, failed and written are exactly those they should be."""
    with org() as crm:
        ids = people(crm, 30)
        for number in lost:
            crm.store.delete("Contact", ids[number])
        crm.store.lock_rows([ids[number] for number in locked - lost], None)
        asked: dict[str, Values] = {
            record: {
                "Title": f"t{n}" if n not in bad else "x" * 129,
                **({"Score__c": "wrong"} if n in wrong else {}),
            }
            for n, record in enumerate(ids)
        }
        ends = Process(crm, sizes=USUAL).push(asked)
        for n, record in enumerate(ids):
            possible = [
                status
                for status, whose in (
                    (Status.REFUSED, bad | wrong),
                    (Status.GONE, lost),
                    (Status.FAILED, locked - lost),
                )
                if n in whose
            ]
            assert ends[record].status in (possible or [Status.WRITTEN])
            if not possible:
                assert crm.store.text("Contact", record)["Title"] == f"t{n}"
