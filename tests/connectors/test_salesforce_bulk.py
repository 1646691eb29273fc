"""Writing many Salesforce records by Bulk jobs: one true outcome for each, no job twice, none left open."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import fnmatch
from hashlib import sha256

import pytest

from engage_sync.connectors.base import CallKind, Change, Outcome, Status
from engage_sync.connectors.salesforce_bulk import settle
from engage_sync.connectors.salesforce_fields import full_id
from engage_sync.connectors.salesforce_jobs import PATIENCE
from engage_sync.connectors.salesforce_push import Sizes
from engage_sync.errors import Transient
from engage_sync.sandbox.salesforce_fields import FieldDef
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.connectors.salesforce_writing import (
    FEW,
    JOB,
    JOBS,
    Process,
    Values,
    called,
    changes,
    fault,
    jobs,
    org,
    people,
    scripted_push,
    scripted_transport,
    statuses,
)
from tests.connectors.sandboxed import Memory
from tests.connectors.scripted import Asked, Said, scripted


@pytest.fixture
def crm() -> Iterator[SalesforceSandbox]:
    with org() as running:
        yield running


def collections(crm: SalesforceSandbox) -> int:
    return called(crm, "PATCH", "/composite/sobjects")


def made(crm: SalesforceSandbox) -> int:
    return called(crm, "POST", "/jobs/ingest")


def titles(crm: SalesforceSandbox, ids: list[str]) -> set[str | None]:
    return {crm.store.text("Contact", record)["Title"] for record in ids}


def no_job_is_open(crm: SalesforceSandbox) -> bool:
    return set(jobs(crm)) <= {"JobComplete", "Failed", "Aborted"}


# -- a job that goes well


def test_many_are_one_job(crm: SalesforceSandbox) -> None:
    ids = people(crm, 3_000)
    process = Process(crm, sizes=Sizes())
    ends = process.push({record: {"Title": f"job {record}", "Score__c": "5"} for record in ids})
    assert statuses(ends) == {Status.WRITTEN: 3_000}
    looks = [
        call
        for call in crm.calls.all()
        if fnmatch(f"{call.method} {call.path}", "GET */jobs/ingest/750???????????????")
    ]
    assert crm.calls.count("write") == 3
    assert crm.calls.count() - len(looks) == 4
    assert crm.store.text("Contact", ids[2_222])["Title"] == f"job {ids[2_222]}"
    assert process.memory == {}
    assert jobs(crm) == ["JobComplete"]


def test_rows_that_change_other_fields_share_a_job(crm: SalesforceSandbox) -> None:
    """What a row does not name stays, what it empties is emptied, and every kind of text arrives as it is."""
    ids = people(crm, 12)
    for record in ids:
        crm.store.edit("Contact", record, {"Department": "kept", "Champion__c": True, "Score__c": 7})
    nasty = ["a\nb", 'say "x", y', "a,b;c", "  edges  ", "😀 é", "\r\n", "=1+1", "-", "true", "0", "'", "#N/A x"]
    asked: dict[str, Values] = {}
    for number, record in enumerate(ids):
        asked[record] = {"Note__c": nasty[number]}
        if number % 3 == 1:
            asked[record] = {"Note__c": nasty[number], "Champion__c": None, "Score__c": ""}
        if number % 3 == 2:
            asked[record] = {"Note__c": nasty[number], "Types__c": "active;power", "Seen__c": "2026-08-22T10:11:12Z"}
    assert statuses(Process(crm).push(asked)) == {Status.WRITTEN: 12}
    assert (made(crm), collections(crm)) == (1, 0)
    by_hand = Process(crm, sizes=Sizes(whole_above=100))
    twins = people(crm, 12)
    by_hand.push({twin: {"Note__c": text} for twin, text in zip(twins, nasty, strict=True)})
    for number, record in enumerate(ids):
        held = crm.store.text("Contact", record)
        assert held["Note__c"] == crm.store.text("Contact", twins[number])["Note__c"]
        assert held["Department"] == "kept"
        assert held["Champion__c"] == ("false" if number % 3 == 1 else "true")
        assert held["Score__c"] == (None if number % 3 == 1 else "7")
        assert held["Types__c"] == ("active;power" if number % 3 == 2 else None)
        assert held["Seen__c"] == ("2026-08-22T10:11:12Z" if number % 3 == 2 else None)


def test_value_that_csv_cannot_say_goes_by_collections(crm: SalesforceSandbox) -> None:
    ids = people(crm, 12)
    asked: dict[str, Values] = {**changes(ids, Title="x"), ids[4]: {"Title": "#N/A"}}
    assert statuses(Process(crm).push(asked)) == {Status.WRITTEN: 12}
    assert crm.store.text("Contact", ids[4])["Title"] == "#N/A"
    assert (made(crm), collections(crm)) == (1, 1)


def test_short_ids_and_records_that_come_twice(crm: SalesforceSandbox) -> None:
    ids = people(crm, 12)
    asked = [Change(record[:15], {"Title": "first"}) for record in ids] + [Change(ids[0], {"Title": "last"})]
    ends = Process(crm).push(asked)
    assert statuses(ends) == {Status.WRITTEN: 13}
    assert crm.store.text("Contact", ids[0])["Title"] == "last"
    assert crm.store.text("Contact", ids[1])["Title"] == "first"


def test_too_much_for_one_file_is_several_jobs(crm: SalesforceSandbox) -> None:
    ids = people(crm, 60)
    ends = Process(crm, sizes=Sizes(whole_above=5, file=1_000)).push({r: {"Title": f"t {r}"} for r in ids})
    assert statuses(ends) == {Status.WRITTEN: 60}
    assert made(crm) >= 3
    assert titles(crm, ids) == {f"t {record}" for record in ids}


def test_contacts_and_accounts_have_jobs_of_their_own(crm: SalesforceSandbox) -> None:
    """What is left behind of one object is no business of the other's."""
    contacts, accounts = people(crm, 9), people(crm, 9, "Account")
    crm.faults.add(fault("drop_before", method="PUT", path=f"{JOB}/batches"))
    process = Process(crm)
    with pytest.raises(Transient):
        process.push(changes(contacts, Title="x"))
    after = process.another()
    assert statuses(after.push(changes(accounts, Phone="1"), "Account")) == {Status.WRITTEN: 9}
    assert jobs(crm) == ["JobComplete", "Open"]
    after.settle("Contact")
    assert jobs(crm) == ["Aborted", "JobComplete"]


# -- rows that do not


def test_each_row_of_a_job_has_its_own_end(crm: SalesforceSandbox) -> None:
    ids = people(crm, 30)
    crm.store.validation_rule("Contact", lambda values: values.get("Department") == "forbidden", 'not, "this"\none')
    crm.store.create("Contact", {"LastName": "other", "External__c": "taken"})
    crm.store.lock_rows(ids[:2])
    crm.store.delete("Contact", ids[2])
    crm.store.purge("Contact", ids[3])
    crm.store.merge("Contact", ids[29], ids[4])
    (survivor,) = people(crm, 1)
    crm.store.merge("Contact", survivor, ids[5])
    asked: dict[str, Values] = {record: {"Title": f"t {record}"} for record in ids}
    asked[ids[6]] = {"Title": "x" * 129}
    asked[ids[7]] = {"Types__c": "bogus"}
    asked[ids[8]] = {"Department": "forbidden"}
    asked[ids[9]] = {"External__c": "taken"}
    asked[ids[10]] = {"Score__c": "not a number"}
    asked[ids[11]] = {"LastName": None}
    ends = Process(crm).push(asked)
    expected = {
        **dict.fromkeys(ids[:2], Status.FAILED),
        **dict.fromkeys(ids[2:5], Status.GONE),
        ids[5]: Status.WRITTEN,
        **dict.fromkeys(ids[6:12], Status.REFUSED),
    }
    assert {record: end.status for record, end in ends.items()} == {**dict.fromkeys(ids, Status.WRITTEN), **expected}
    assert (ends[ids[4]].moved_to, ends[ids[5]].moved_to) == (ids[29], survivor)
    assert crm.store.text("Contact", survivor)["Title"] == f"t {ids[5]}"
    assert crm.store.text("Contact", ids[29])["Title"] == f"t {ids[29]}"
    codes = {ends[record].code for record in ids[6:10]}
    assert codes == {
        "STRING_TOO_LONG",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "DUPLICATE_VALUE",
    }
    assert ends[ids[0]].code == "UNABLE_TO_LOCK_ROW"
    assert "this" in (ends[ids[8]].message or "")


def test_converted_leads_in_a_job(crm: SalesforceSandbox) -> None:
    leads = people(crm, 8, "Lead")
    contact, _ = crm.store.convert(leads[3])
    ends = Process(crm).push(changes(leads, Title="x"), "Lead")
    assert statuses(ends) == {Status.WRITTEN: 7, Status.GONE: 1}
    assert contact in (ends[leads[3]].message or "")


def test_hidden_field_refuses_the_rows_that_name_it(crm: SalesforceSandbox) -> None:
    """Salesforce fails the whole job for it; the others are written by another one."""
    for name in ("Hidden__c", "Secret__c"):
        crm.store.add_field("Contact", FieldDef(name, name, "string", 20, custom=True), visible=False)
    ids = people(crm, 20)
    asked: dict[str, Values] = changes(ids, Title="x")
    asked |= {ids[1]: {"Title": "x", "Hidden__c": "1"}, ids[2]: {"Secret__c": "1"}}
    ends = Process(crm).push(asked)
    assert {record for record, end in ends.items() if end.status is Status.REFUSED} == set(ids[1:3])
    assert statuses(ends) == {Status.WRITTEN: 18, Status.REFUSED: 2}
    assert "Hidden__c → Set Field-Level Security" in (ends[ids[1]].message or "")
    assert no_job_is_open(crm)


@pytest.mark.lesson(8)
def test_rows_held_up_by_a_duplicate_rule_pass_by_collections() -> None:
    with org(duplicate_rules=True) as crm:
        ids = people(crm, 9)
        crm.store.create("Contact", {"LastName": "other", "Email": "same@example.com"})
        asked: dict[str, Values] = {**changes(ids, Title="x"), ids[2]: {"Email": "same@example.com"}}
        assert statuses(Process(crm).push(asked)) == {Status.WRITTEN: 9}
        assert crm.store.text("Contact", ids[2])["Email"] == "same@example.com"


@pytest.mark.parametrize("name", ["job_fails", "job_aborted", "job_nothing"])
def test_job_that_ends_early_leaves_its_rest_failed(crm: SalesforceSandbox, name: str) -> None:
    ids = people(crm, 20)
    crm.faults.add(fault(name))
    process = Process(crm)
    ends = process.push(changes(ids, Title="x"))
    failed = {record for record, end in ends.items() if end.status is Status.FAILED}
    assert len(failed) == (20 if name == "job_nothing" else 10)
    assert {ends[record].code for record in failed} <= {"UNPROCESSED", "NO_ANSWER"}
    assert {end.status for record, end in ends.items() if record not in failed} <= {Status.WRITTEN}
    assert all((crm.store.text("Contact", record)["Title"] == "x") == (record not in failed) for record in ids)
    assert process.memory == {}
    assert statuses(process.push(changes(list(failed), Title="x"))) == {Status.WRITTEN: len(failed)}


def test_half_of_the_rows_locked(crm: SalesforceSandbox) -> None:
    ids = people(crm, 20)
    crm.faults.add(fault("lock_rows"))
    ends = Process(crm).push(changes(ids, Title="x"))
    assert statuses(ends) == {Status.WRITTEN: 10, Status.FAILED: 10}


# -- calls that go wrong


@pytest.mark.parametrize("name", ["poll_503", "html_200", "drop_before", "hang", "truncated_200", "server_error"])
def test_looks_that_fail_are_harmless(name: str) -> None:
    with org(bulk_delay_polls=2) as crm:
        ids = people(crm, 9)
        crm.faults.add(fault(name, method="GET", path=JOB, times=1 if name == "hang" else 2, seconds=60))
        process = Process(crm, timeout=(5.0, 2.0)) if name == "hang" else Process(crm)
        assert statuses(process.push(changes(ids, Title="x"))) == {Status.WRITTEN: 9}
        assert made(crm) == 1
        assert jobs(crm) == ["JobComplete"]


def test_pauses_grow_to_half_a_minute() -> None:
    with org(bulk_delay_polls=20) as crm:
        process = Process(crm)
        process.push(changes(people(crm, 9), Title="x"))
        assert process.pauses[0] == 0.5
        assert process.pauses == sorted(process.pauses)
        assert max(process.pauses) == 30


def test_job_that_does_not_end_is_waited_for_by_the_next_run() -> None:
    with org(bulk_delay_polls=10**6) as crm:
        ids = people(crm, 9)
        process = Process(crm)
        with pytest.raises(Transient, match="2 hours") as met:
            process.push(changes(ids, Title="x"))
        assert met.value.suspend
        assert PATIENCE <= process.now <= PATIENCE + 60
        assert jobs(crm) == ["InProgress"]
        with pytest.raises(Transient):
            process.another().settle()
        assert process.memory


def test_org_that_stays_silent_ends_the_wait(crm: SalesforceSandbox) -> None:
    crm.faults.add(fault("unavailable", method="GET", path=JOB, times=None))
    process = Process(crm)
    with pytest.raises(Transient):
        process.push(changes(people(crm, 9), Title="x"))
    assert process.now < PATIENCE
    crm.faults.clear()
    process.another().settle()
    assert jobs(crm) == ["JobComplete"]


@pytest.mark.parametrize("name", ["results_cut", "html_200", "drop_after", "unavailable"])
@pytest.mark.parametrize("which", ["successfulResults", "failedResults"])
def test_results_that_do_not_come_are_asked_for_again(crm: SalesforceSandbox, name: str, which: str) -> None:
    """The job did its work: its results are read by the next attempt, and nothing is sent twice."""
    ids = people(crm, 9)
    asked: dict[str, Values] = {**changes(ids, Title="x"), ids[0]: {"Title": "x" * 129}}
    crm.faults.add(fault(name, method="GET", path=f"{JOB}/{which}"))
    process = Process(crm)
    with pytest.raises(Transient):
        process.push(asked)
    assert statuses(process.push(asked)) == {Status.WRITTEN: 8, Status.REFUSED: 1}
    assert made(crm) == 0
    assert jobs(crm) == ["JobComplete"]


@pytest.mark.lesson(4)
def test_org_without_bulk_is_written_by_collections(crm: SalesforceSandbox) -> None:
    ids = people(crm, 9)
    crm.faults.add(fault("api_disabled", path=JOBS, times=None))
    process = Process(crm)
    assert statuses(process.push(changes(ids, Title="x"))) == {Status.WRITTEN: 9}
    assert collections(crm) == 1
    assert process.memory == {}


@pytest.mark.parametrize(("method", "path"), [("PUT", f"{JOB}/batches"), ("PATCH", JOB)])
def test_job_that_is_refused_half_way_is_aborted(crm: SalesforceSandbox, method: str, path: str) -> None:
    ids = people(crm, 9)
    crm.faults.add(fault("api_disabled", method=method, path=path))
    assert statuses(Process(crm).push(changes(ids, Title="x"))) == {Status.WRITTEN: 9}
    assert collections(crm) == 1
    assert jobs(crm) == ["Aborted"]


def test_used_up_day_leaves_the_job_remembered() -> None:
    with org(bulk_delay_polls=3) as crm:
        ids = people(crm, 9)
        crm.faults.add(fault("total_requests", method="GET", path=JOB))
        process = Process(crm)
        with pytest.raises(Transient) as met:
            process.push(changes(ids, Title="x"))
        assert met.value.suspend
        assert statuses(process.another().push(changes(ids, Title="x"))) == {Status.WRITTEN: 9}
        assert jobs(crm) == ["JobComplete"]


# -- processes that die

STEPS = [("POST", JOBS), ("PUT", f"{JOB}/batches"), ("PATCH", JOB), ("GET", JOB), ("GET", f"{JOB}/successfulResults")]


class Killed(BaseException):
    """kill -9: nothing of ours catches it."""


class MortalMemory(Memory):
    """A memory whose process dies at its n-th use, before or after it is kept."""

    def __init__(self, turn: int, *, after: bool) -> None:
        super().__init__()
        self.turn, self.after = turn, after

    def put(self, key: str, value: str | None) -> None:
        self.turn -= 1
        if self.turn < 0 and not self.after:
            raise Killed
        super().put(key, value)
        if self.turn < 0:
            raise Killed


def survives(crm: SalesforceSandbox, memory: Memory, ids: list[str], *, settled: bool) -> None:
    """The next process writes everything, sends no more than it must, and leaves nothing behind."""
    after = Process(crm, Memory(memory))
    if settled:
        after.settle()
        assert after.memory == {}
        assert no_job_is_open(crm)
    assert statuses(after.push(changes(ids, Title="x"))) == {Status.WRITTEN: len(ids)}
    assert titles(crm, ids) == {"x"}
    assert no_job_is_open(crm)
    assert after.memory == {}


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("name", ["drop_before", "drop_after", "html_200_after"])
@pytest.mark.parametrize(("method", "path"), STEPS)
def test_process_that_dies_at_a_call(method: str, path: str, name: str, *, settled: bool) -> None:
    """The call is the last thing that the process did, and it never saw the answer."""
    with org(bulk_delay_polls=1) as crm:
        ids = people(crm, 9)
        process = Process(crm)
        crm.faults.add(fault(name, method=method, path=path, times=None))
        with suppress(Transient):  # the answer to an upload has no body that a page could spoil
            process.push(changes(ids, Title="x"))
        assert crm.faults.struck
        crm.faults.clear()
        survives(crm, process.memory, ids, settled=settled)


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("turn", range(3))
def test_process_that_dies_between_calls(turn: int, *, after: bool, settled: bool) -> None:
    with org() as crm:
        ids = people(crm, 9)
        memory = MortalMemory(turn, after=after)
        with pytest.raises(Killed):
            Process(crm, memory).push(changes(ids, Title="x"))
        survives(crm, memory, ids, settled=settled)


def test_job_of_a_dead_process_is_taken_up(crm: SalesforceSandbox) -> None:
    """The same changes again: its outcomes come without another job."""
    ids = people(crm, 9)
    process = Process(crm)
    crm.faults.add(fault("total_requests", method="GET", path=JOB))
    with pytest.raises(Transient):
        process.push(changes(ids, Title="x"))
    after = process.another()
    assert statuses(after.push(changes(ids, Title="x"))) == {Status.WRITTEN: 9}
    assert (made(crm), crm.calls.count("write")) == (0, 0)
    assert after.memory == {}


@pytest.mark.parametrize("count", [9, 2])
def test_other_changes_wait_for_the_job_of_a_dead_process(count: int) -> None:
    """What is written later must not be overtaken, by jobs or by collections."""
    with org(bulk_delay_polls=4) as crm:
        ids = people(crm, 9)
        process = Process(crm)
        crm.faults.add(fault("total_requests", method="GET", path=JOB))
        with pytest.raises(Transient):
            process.push(changes(ids, Title="early"))
        assert statuses(process.another().push(changes(ids[:count], Title="late"))) == {Status.WRITTEN: count}
        assert titles(crm, ids[:count]) == {"late"}
        assert titles(crm, ids[count:]) <= {"early"}
        assert no_job_is_open(crm)


def test_job_that_was_aborted_is_not_taken_up(crm: SalesforceSandbox) -> None:
    """Here by ourselves, in a process that died before it saw the answer to that."""
    ids = people(crm, 9)
    process = Process(crm)
    crm.faults.add(fault("drop_before", method="PUT", path=f"{JOB}/batches"))
    crm.faults.add(fault("drop_after", method="PATCH", path=JOB, contains="Aborted"))
    for _ in range(2):
        with pytest.raises(Transient):
            process.push(changes(ids, Title="x"))
    assert jobs(crm) == ["Aborted"]
    survives(crm, process.memory, ids, settled=False)
    assert jobs(crm) == ["Aborted", "JobComplete"]


def test_settling_without_a_job_sends_nothing(crm: SalesforceSandbox) -> None:
    process = Process(crm)
    process.settle()
    assert crm.calls.count() == 0


def test_job_that_is_no_more_is_forgotten(crm: SalesforceSandbox) -> None:
    ids = people(crm, 9)
    process = Process(crm)
    crm.faults.add(fault("total_requests", method="GET", path=JOB))
    with pytest.raises(Transient):
        process.push(changes(ids, Title="x"))
    answer = process.http.get("jobs/ingest")
    assert isinstance(answer, dict)
    job = answer["records"][0]["id"]
    process.http.get(f"jobs/ingest/{job}")
    process.http.get(f"jobs/ingest/{job}")
    process.http.send("DELETE", f"jobs/ingest/{job}", None, kind=CallKind.WRITE)
    survives(crm, process.memory, ids, settled=True)


def test_lost_job_is_told_from_those_of_others(crm: SalesforceSandbox) -> None:
    """Only an open update of the same object is ours; of another object or kind it is somebody else's."""
    ids = people(crm, 9)
    process = Process(crm)
    for object_, operation in (("Account", "update"), ("Contact", "insert")):
        body = {"object": object_, "operation": operation, "contentType": "CSV", "lineEnding": "LF"}
        process.http.send("POST", "jobs/ingest", body, kind=CallKind.WRITE)
    crm.faults.add(fault("drop_after", method="POST", path=JOBS))
    with pytest.raises(Transient):
        process.push(changes(ids, Title="x"))
    assert jobs(crm) == ["Open", "Open", "Open"]
    process.another().settle()
    assert jobs(crm) == ["Aborted", "Open", "Open"]


def test_lost_job_is_looked_for_on_every_page_of_the_list() -> None:
    """Ours is the one made by our user when we made one."""
    user, made = "0055g0000000001AAA", int(time.time() * 1000)
    at = datetime.fromtimestamp(made / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    mine = {"object": "Contact", "operation": "update", "state": "Open", "createdById": user[:15], "createdDate": at}
    others = [
        {**mine, "id": "750A", "createdById": "0055g0000000002AAA"},
        {**mine, "id": "750B", "createdDate": "2026-01-01T00:00:00.000+0000"},
        {**mine, "id": "750C", "state": "InProgress"},
    ]
    aborted: list[str] = []

    def answering(asked: Asked) -> Said:
        if asked.method == "PATCH":
            assert asked.json() == {"state": "Aborted"}
            aborted.append(asked.path.rsplit("/", 1)[1])
            return Said(body={"state": "Aborted"})
        if asked.path.endswith("userinfo"):
            return Said(body={"user_id": user, "organization_id": "00D5g0000000001EAA"})
        if "queryLocator" in asked.path:
            return Said(body={"done": True, "records": [{**mine, "id": "750D"}]})
        if asked.path.partition("?")[0].endswith("ingest"):
            more = "/services/data/v62.0/jobs/ingest?queryLocator=750Z"
            return Said(body={"done": False, "records": others, "nextRecordsUrl": more})
        return Said(body={"id": "750D", "state": "Open"})

    with scripted(answering) as server:
        memory = Memory({"bulk job Contact": f'{{"job": null, "since": {made}, "mark": "x"}}'})
        settle(scripted_transport(server), memory, "Contact")
    assert aborted == ["750D"]
    assert memory == {}


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "LIMIT_EXCEEDED"), (400, "INVALIDENTITY"), (403, "FEATURENOTENABLED"), (404, "NOT_FOUND"), (405, "X")],
)
def test_refusal_to_make_a_job_is_no_crash(status: int, code: str) -> None:
    """Whatever the reason, collections are asked, which have their own answer to it."""
    ids = [full_id(f"003A000000000{number:02}") for number in range(9)]

    def answering(asked: Asked) -> Said:
        if asked.path.endswith("/jobs/ingest"):
            return Said(status, [{"errorCode": code, "message": "no"}])
        return Said(body=[{"id": row["id"], "success": True, "errors": []} for row in asked.json()["records"]])

    with scripted(answering) as server:
        ends = scripted_push(server, changes(ids, Title="x"), sizes=FEW)
    assert {end.status for end in ends} == {Status.WRITTEN}
    assert [asked.path.rsplit("/", 1)[1] for asked in server.asked] == ["ingest", "sobjects"]


@pytest.mark.lesson(4)
@pytest.mark.parametrize("message", ["InvalidBatch : The 'Id' column", "ExceededQuota : ApiBatchItems Limit exceeded."])
def test_job_that_fails_for_its_file_or_quota_is_written_by_collections(message: str) -> None:
    ids = [full_id(f"003A000000000{number:02}") for number in range(9)]

    def answering(asked: Asked) -> Said:
        if asked.path.endswith("/sobjects"):
            return Said(body=[{"id": row["id"], "success": True, "errors": []} for row in asked.json()["records"]])
        if asked.path.endswith("Results"):
            return Said(body=b"", headers={"Content-Type": "text/csv"})
        return Said(body={"id": "750A", "state": "Failed", "errorMessage": message})

    memory = Memory({"bulk job Contact": json.dumps({"job": "750A", "since": 0, "mark": mark_of(ids)})})
    with scripted(answering) as server:
        ends = scripted_push(server, changes(ids, Title="x"), sizes=FEW, memory=memory)
    assert {end.status for end in ends} == {Status.WRITTEN}
    assert len(ends) == 9
    assert memory == {}


def mark_of(ids: list[str]) -> str:
    """Give the mark of the file that a job for one title holds."""
    return sha256(("Id,Title\n" + "".join(f"{record},x\n" for record in ids)).encode()).hexdigest()


def test_memory_that_cannot_be_read_is_no_obstacle(crm: SalesforceSandbox) -> None:
    ids = people(crm, 9)
    first = Process(crm)
    crm.faults.add(fault("total_requests", method="GET", path=JOB))
    with pytest.raises(Transient):
        first.push(changes(ids, Title="x"))
    for garbage in ("not json", "[]", "{}", '{"job": 5}'):
        assert statuses(Process(crm, Memory(dict.fromkeys(first.memory, garbage))).push(changes(ids, Title="x")))


def test_outcomes_of_earlier_files_stand_when_a_later_one_fails(crm: SalesforceSandbox) -> None:
    ids = people(crm, 60)
    asked = [Change(record, {"Title": f"t {record}"}) for record in ids]
    process = Process(crm, sizes=Sizes(whole_above=5, file=1_000))
    crm.faults.add(fault("drop_after", method="PATCH", path=JOB, skip=1))
    ends: list[Outcome] = []
    with pytest.raises(Transient):
        process.push_into(ends, asked)
    done = {end.record for end in ends}
    assert 0 < len(done) < 60
    rest = [change for change in asked if change.record not in done]
    assert statuses(process.push(rest)) == {Status.WRITTEN: len(rest)}
    assert titles(crm, ids) == {f"t {record}" for record in ids}
    assert no_job_is_open(crm)
