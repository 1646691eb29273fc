"""Creating tasks in HubSpot: one task for each key, whatever happens to the calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role, Status
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Mistake, Transient
from engage_sync.sandbox.faults import FAULTS, Fault
from engage_sync.sandbox.server import Sandbox
from tests.connectors.sandboxed import hardened, hubspot, sandbox
from tests.connectors.scripted import Asked, Said, connector, scripted

KIND = Kind("tasks", Role.TASK)
DUE = "2026-09-01T09:00:00Z"
LYING = ("empty_results", "missing_result", "rows_not_found")
"""Faults whose answers can be read, and are not true."""
LOST = ("drop_after", "reset_after", "server_error_after", "truncated_200", "accepted_202_after", "html_200_after")


@pytest.fixture
def crm() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


def people(crm: Sandbox, count: int, **values: str) -> list[str]:
    rows = [{"email": f"p{number}@example.com", **values} for number in range(count)]
    return crm.store.create_many("contacts", rows)


def about(record: str, key: str | None = None, subject: str = "Usage halved", **values: str) -> Change:
    told = {"subject": subject, "body": "Why:\n12 → 5 events", "object": "contacts", "about": record, "due": DUE}
    return Change(key or f"key-{record}", {**told, **values})


def push(crm: Connector, changes: Sequence[Change]) -> dict[str, Outcome]:
    """Push; there must be one outcome for each change."""
    ends = list(crm.push(KIND, changes))
    assert Counter(end.record for end in ends) == Counter(change.record for change in changes)
    return {end.record: end for end in ends}


def subjects(crm: Sandbox, record: str, object_: str = "contacts") -> list[str]:
    return [task.values["hs_task_subject"] for task in crm.store.tasks(object_, record)]


def counts(crm: Sandbox, records: Sequence[str]) -> set[int]:
    """Give the numbers of tasks that the records have."""
    return {len(crm.store.tasks("contacts", record)) for record in records}


def calls(crm: Sandbox) -> Counter[str]:
    return Counter(f"{one.kind} {'/'.join(one.path.split('/')[-3:])}" for one in crm.calls.all())


def test_task_holds_what_it_was_given_and_goes_to_the_owner(crm: Sandbox) -> None:
    (record,) = people(crm, 1, hubspot_owner_id="77")
    end = push(hubspot(crm), [about(record, "k" * 64)])["k" * 64]
    (task,) = crm.store.tasks("contacts", record)
    assert (end.status, end.values["id"], end.moved_to) == (Status.WRITTEN, task.id, None)
    kept = {name: value for name, value in task.values.items() if name.startswith(("hs_task", "hs_time", "hubspot"))}
    assert kept == {
        "hs_task_subject": "Usage halved",
        "hs_task_body": f"Why:\n12 → 5 events\n\nengage-sync {'k' * 64}",
        "hs_task_status": "NOT_STARTED",
        "hs_task_type": "TODO",
        "hs_timestamp": "2026-09-01T09:00:00.000Z",
        "hubspot_owner_id": "77",
    }


def test_task_about_a_company_without_an_owner_is_unassigned(crm: Sandbox) -> None:
    firm = crm.store.create("companies", {"name": "Acme"})
    person = people(crm, 1)[0]
    push(hubspot(crm), [about(firm, "a", object="companies"), about(person, "b", due="2026-09-01T11:00:00.1234+02:00")])
    (task,), (other,) = crm.store.tasks("companies", firm), crm.store.tasks("contacts", person)
    assert "hubspot_owner_id" not in task.values
    assert other.values["hs_timestamp"] == "2026-09-01T09:00:00.123Z"


def test_250_first_tries_cost_one_read_and_one_write_for_each_batch(crm: Sandbox) -> None:
    ids = people(crm, 250)
    ends = push(hardened(crm), [about(record) for record in ids])
    assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: 250}
    assert counts(crm, ids) == {1}
    assert calls(crm) == {"read contacts/batch/read": 3, "write tasks/batch/create": 3}
    assert len({end.values["id"] for end in ends.values()}) == 250


NOT_HERE = ("hang", "expired", "pretended")
"""Tasks are not read back: one that is only pretended to be there is believed."""
PASSING = sorted(name for name, kind in FAULTS.items() if kind.passing and not name.startswith(NOT_HERE))


@pytest.mark.parametrize("name", PASSING)
def test_passing_fault_is_survived_and_each_task_is_there_once(crm: Sandbox, name: str) -> None:
    ids = people(crm, 8)
    crm.faults.add(Fault(name, kind="write", times=2))
    ends = push(hardened(crm), [about(record) for record in ids])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert counts(crm, ids) == {1}
    assert {ends[f"key-{one}"].values["id"] for one in ids} == {crm.store.tasks("contacts", one)[0].id for one in ids}


@pytest.mark.parametrize("name", PASSING)
def test_look_up_that_meets_a_fault_makes_no_second_task(crm: Sandbox, name: str) -> None:
    """Neither at the associations nor at the tasks themselves."""
    ids = people(crm, 3)
    push(hubspot(crm), [about(record) for record in ids])
    for path in ("/crm/v4/*", "*/objects/tasks/batch/read"):
        crm.faults.add(Fault(name, path=path))
    ends = push(hardened(crm), [about(record, tried="true") for record in ids])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert counts(crm, ids) == {1}


@pytest.mark.lesson(5)
@pytest.mark.parametrize("name", LOST)
def test_process_that_died_after_the_create_leaves_one_task(crm: Sandbox, name: str) -> None:
    """Although the index does not show it for minutes."""
    crm.store.lag = 300
    ids = people(crm, 5)
    crm.faults.add(Fault(name, kind="write"))
    changes = [about(record) for record in ids]
    try:
        ends = push(hubspot(crm), changes)
        assert {end.status for end in ends.values()} == {Status.FAILED}
    except Transient:
        pass
    assert counts(crm, ids) == {1}
    assert list(crm.store.shelf("tasks").indexed(crm.store.now())) == [], "the index trails"
    ends = push(hubspot(crm), [Change(one.record, {**one.values, "tried": "true"}) for one in changes])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert counts(crm, ids) == {1}


def test_tried_keys_cost_three_reads_for_a_batch_and_no_write(crm: Sandbox) -> None:
    ids = people(crm, 100)
    push(hubspot(crm), [about(record) for record in ids])
    crm.calls.clear()
    push(hubspot(crm), [about(record, tried="true") for record in ids])
    reads = ("contacts/batch/read", "tasks/batch/read", "tasks/batch/read")
    assert calls(crm) == Counter(f"read {one}" for one in reads)
    assert counts(crm, ids) == {1}


def test_known_task_is_answered_without_a_call(crm: Sandbox) -> None:
    (record,) = people(crm, 1)
    sync = hubspot(crm)
    first = push(sync, [about(record)])
    crm.calls.clear()
    assert push(sync, [about(record)]) == first
    assert crm.calls.count() == 0


def test_same_key_twice_in_a_push_is_one_task(crm: Sandbox) -> None:
    (record,) = people(crm, 1)
    push(hubspot(crm), [about(record), about(record)])
    assert subjects(crm, record) == ["Usage halved"]


def test_key_is_found_among_more_tasks_than_a_page(crm: Sandbox) -> None:
    """The oldest of 520 tasks: associations come in pages, bodies in hundreds."""
    (record,) = people(crm, 1)
    push(hubspot(crm), [about(record)])
    others = [{"hs_task_subject": "by hand", "hs_timestamp": DUE, "hs_task_body": "engage-sync key"}] * 520
    for task in crm.store.create_many("tasks", others):
        crm.store.associate(task, "contacts", record)
    crm.calls.clear()
    assert push(hubspot(crm), [about(record, tried="true")])[f"key-{record}"].status is Status.WRITTEN
    assert len(crm.store.tasks("contacts", record)) == 521
    assert calls(crm)["read tasks/batch/read"] == 2 + 6


def test_record_that_is_gone_gets_none_and_the_survivor_of_a_merge_gets_it(crm: Sandbox) -> None:
    ids = people(crm, 4)
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    crm.store.archive("contacts", ids[2])
    ends = push(hubspot(crm), [about(record) for record in [*ids, "99999"]])
    assert [ends[f"key-{one}"].status for one in [ids[2], "99999"]] == [Status.GONE, Status.GONE]
    assert [(ends[f"key-{one}"].status, ends[f"key-{one}"].moved_to) for one in (ids[0], ids[1], ids[3])] == [
        (Status.WRITTEN, survivor),
        (Status.WRITTEN, survivor),
        (Status.WRITTEN, None),
    ]
    assert (len(subjects(crm, survivor)), len(subjects(crm, ids[3]))) == (2, 1)


def test_record_merged_between_two_tries_keeps_its_one_task(crm: Sandbox) -> None:
    ids = people(crm, 2)
    crm.faults.add(Fault("drop_after", kind="write"))
    with pytest.raises(Transient):
        push(hubspot(crm), [about(ids[1])])
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    end = push(hubspot(crm), [about(ids[1], tried="true")])[f"key-{ids[1]}"]
    assert (end.status, end.moved_to) == (Status.WRITTEN, survivor)
    assert len(subjects(crm, survivor)) == 1


def test_owner_who_left_costs_few_calls_and_leaves_the_task_unassigned(crm: Sandbox) -> None:
    ids = people(crm, 100, hubspot_owner_id="5")
    for record in ids[:60]:
        crm.store.update("contacts", record, {"hubspot_owner_id": "6"})
    crm.store.former_owners.add("6")
    ends = push(hubspot(crm), [about(record) for record in ids])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    owners = Counter(crm.store.tasks("contacts", one)[0].values.get("hubspot_owner_id") for one in ids)
    assert owners == {None: 60, "5": 40}
    assert crm.calls.count("write") == 2


def test_row_that_is_refused_is_told_and_the_others_are_written(crm: Sandbox) -> None:
    ids = people(crm, 100)
    changes = [about(one, body="x" * 70_000) if n in (7, 8, 60) else about(one) for n, one in enumerate(ids)]
    ends = push(hardened(crm), changes)
    refused = [ends[f"key-{ids[n]}"] for n in (7, 8, 60)]
    assert {(end.status, end.code) for end in refused} == {(Status.REFUSED, "VALIDATION_ERROR")}
    assert all("too long" in str(end.message) for end in refused)
    assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: 97, Status.REFUSED: 3}
    assert Counter(len(crm.store.tasks("contacts", one)) for one in ids) == {1: 97, 0: 3}
    assert crm.calls.count("write") == 1


def test_what_cannot_be_a_task_is_refused_without_a_call(crm: Sandbox) -> None:
    ends = push(hubspot(crm), [about("1", "a", object="deals"), Change("b", {"subject": "x"})])
    assert [end.status for end in ends.values()] == [Status.REFUSED, Status.REFUSED]
    assert "contacts and companies, not about deals 1" in str(ends["a"].message)
    assert crm.calls.count() == 0


def test_missing_scope_is_named(crm: Sandbox) -> None:
    crm.access.allow("few", {"crm.objects.companies.read", "crm.objects.companies.write"})
    firm = crm.store.create("companies", {"name": "Acme"})
    sync = hubspot(crm, access_token="few")
    with pytest.raises(LoginFailed, match=r"crm\.objects\.contacts\.write"):
        push(sync, [about(firm, object="companies")])
    (first, *_) = sync.probe(["companies", "tasks"])
    assert (first.object, "crm.objects.contacts.write" in first.problem) == ("tasks", True)
    assert hubspot(crm).probe(["contacts", "tasks"]) == []


def test_tasks_are_no_object_to_sync(crm: Sandbox) -> None:
    sync = hubspot(crm)
    assert "tasks" not in sync.check().objects
    with pytest.raises(Mistake):
        sync.pull(KIND, None)


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from([*PASSING, "batch_refused"]), max_size=6),
    skips=st.lists(st.integers(0, 6), min_size=6, max_size=6),
    restarts=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_whatever_strikes_there_is_one_task_for_each_key(
    names: list[str], skips: list[int], restarts: list[bool]
) -> None:
    """Faults at any call, processes that end at any time: once all is told as written, each task is there once."""
    with sandbox() as running:
        ids = people(running, 5)
        for name, skip in zip(names, skips, strict=False):
            running.faults.add(Fault(name, skip=skip, kind="write" if name in LYING else "*"))
        left = {change.record: change for change in map(about, ids)}
        sync = hubspot(running)
        for restart in [*restarts, *[True] * 12]:
            try:
                for end in sync.push(KIND, list(left.values())):
                    if end.status is Status.WRITTEN:
                        left.pop(end.record, None)
            except EngageError:
                pass
            if restart:
                sync.close()
                sync = hubspot(running)
                left = {key: Change(key, {**one.values, "tried": "true"}) for key, one in left.items()}
        sync.close()
        assert left == {}
        assert counts(running, ids) == {1}


def person(one: str) -> dict[str, object]:
    return {"id": one, "properties": {"hubspot_owner_id": "5", "hs_merged_object_ids": None}}


def traces(asked: Asked) -> list[str]:
    return [row["objectWriteTraceId"] for row in asked.json()["inputs"]]


class Portal:
    """A HubSpot that is told how to answer creates; it keeps what was created, and finds it again."""

    def __init__(self, *, echoes: bool = True) -> None:
        self.tasks: dict[str, dict[str, object]] = {}
        self.echoes = echoes

    def __call__(self, asked: Asked) -> Said:
        ids = [str(row.get("id")) for row in asked.json()["inputs"]]
        match asked.path.split("/")[-3:]:
            case ["contacts", "batch", "read"]:
                return Said(200, {"results": [person(one) for one in ids]})
            case [_, "batch", "create"]:
                return self.create(asked)
            case _ if "/v4/" in asked.path:
                ties = [self.ties(one) for one in ids]
                return Said(200, {"status": "COMPLETE", "results": [tie for tie in ties if tie["to"]]})
        return Said(200, {"results": [self.shown(one, {"hs_task_body"}) for one in ids]})

    def create(self, asked: Asked) -> Said:
        return Said(201, {"status": "COMPLETE", "results": [self.made(row) for row in asked.json()["inputs"]]})

    def made(self, row: dict[str, object]) -> dict[str, object]:
        number = str(len(self.tasks) + 1)
        self.tasks[number] = row
        return self.shown(number, {"hs_task_body"} if self.echoes else set())

    def shown(self, number: str, names: set[str]) -> dict[str, object]:
        held = self.tasks[number]["properties"]
        return {"id": number, "properties": {name: held[name] for name in names}}

    def ties(self, record: str) -> dict[str, object]:
        found = [n for n, row in self.tasks.items() if row["associations"][0]["to"]["id"] == record]
        return {"from": {"id": record}, "to": [{"toObjectId": int(number)} for number in found]}


@pytest.mark.parametrize("echoes", [True, False])
def test_answer_without_traces_is_matched_by_the_key_line(echoes: bool) -> None:
    portal = Portal(echoes=echoes)
    with scripted(portal) as server:
        ends = push(connector(server), [about(str(number)) for number in range(1, 6)])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    for key, end in ends.items():
        assert portal.tasks[str(end.values["id"])]["objectWriteTraceId"] == key


def test_error_that_names_no_row_is_traced_to_its_row() -> None:
    """Though all others were created by the call that said so."""

    class Mute(Portal):
        def create(self, asked: Asked) -> Said:
            good = [row for row in asked.json()["inputs"] if row["objectWriteTraceId"] != "key-5"]
            done = [self.made(row) for row in good]
            errors = [{"category": "VALIDATION_ERROR", "message": "no"}] if "key-5" in traces(asked) else []
            return Said(207, {"results": done[:2], "errors": errors, "numErrors": len(errors)})

    portal = Mute()
    with scripted(portal) as server:
        ends = push(connector(server), [about(str(number)) for number in range(1, 9)])
    assert {key: end.status for key, end in ends.items() if end.status is not Status.WRITTEN} == {
        "key-5": Status.REFUSED
    }
    assert (ends["key-5"].code, ends["key-5"].message) == ("VALIDATION_ERROR", "no")
    assert Counter(str(row["objectWriteTraceId"]) for row in portal.tasks.values()) == Counter(
        f"key-{number}" for number in (1, 2, 3, 4, 6, 7, 8)
    )


def test_refusal_of_the_whole_batch_that_names_nothing_is_bisected() -> None:
    class Strict(Portal):
        def create(self, asked: Asked) -> Said:
            if "key-17" in traces(asked):
                return Said(400, {"category": "VALIDATION_ERROR", "message": "bad"})
            return super().create(asked)

    portal = Strict()
    with scripted(portal) as server:
        ends = push(connector(server), [about(str(number)) for number in range(100)])
        assert sum(asked.path.endswith("create") for asked in server.asked) <= 15
    assert [key for key, end in ends.items() if end.status is not Status.WRITTEN] == ["key-17"]
    assert len(portal.tasks) == 99


def test_record_that_went_while_the_task_was_made_is_gone() -> None:
    class Late(Portal):
        def create(self, asked: Asked) -> Said:
            self.late = True
            return Said(400, {"category": "VALIDATION_ERROR", "message": "CONTACT=1 is not valid"})

        def __call__(self, asked: Asked) -> Said:
            if asked.method == "GET" or (self.tasks == {} and getattr(self, "late", False)):
                return Said(404, {"category": "OBJECT_NOT_FOUND", "message": "no"})
            return super().__call__(asked)

    with scripted(Late()) as server:
        assert push(connector(server), [about("1")])["key-1"].status is Status.GONE


def test_associations_that_cannot_be_told_create_nothing() -> None:
    class Blind(Portal):
        def __call__(self, asked: Asked) -> Said:
            if "/v4/" in asked.path:
                error = {"category": "INTERNAL_ERROR", "message": "later", "context": {"fromObjectId": ["1"]}}
                return Said(207, {"results": [], "errors": [error], "numErrors": 1})
            return super().__call__(asked)

    portal = Blind()
    with scripted(portal) as server, pytest.raises(Transient, match="later"):
        push(connector(server), [about("1", tried="true")])
    assert portal.tasks == {}


def test_wrong_path_is_no_refusal_of_tasks() -> None:
    class Lost(Portal):
        def create(self, asked: Asked) -> Said:
            return Said(404, b"<html>nothing here")

    with scripted(Lost()) as server, pytest.raises(Misbehaved):
        push(connector(server), [about("1")])
