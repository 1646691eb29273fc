"""Tasks in Salesforce: one for each key, whatever happens to the call that creates it and to the record it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role, Status
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.errors import LoginFailed, Misbehaved, Mistake, Transient
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_ids import mint
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.connectors import org
from tests.connectors.salesforce_writing import called, people
from tests.connectors.sandboxed import Memory

TASK = Kind("Task", Role.TASK)
CREATE = "/composite/sobjects"
PASSING = (
    "drop_before",
    "drop_after",
    "reset_after",
    "unavailable",
    "unavailable_after",
    "server_error",
    "server_error_after",
    "html_200",
    "html_200_after",
    "truncated_200",
    "cut_body",
    "missing_result",
    "empty_results",
    "lock_rows",
    "session_expired",
    "concurrent_requests",
)


@pytest.fixture
def crm() -> Iterator[SalesforceSandbox]:
    with org.sandbox() as running:
        yield running


@pytest.fixture
def connector(crm: SalesforceSandbox) -> Iterator[Salesforce]:
    made = org.salesforce(crm)
    yield made
    made.close()


def wanted(key: str, about: str, object_: str = "Contact", **more: str | None) -> Change:
    """Give a change for a task, with other values than the usual ones where they are given."""
    usual = {"subject": "Usage halved", "body": "120 events, then 48", "object": object_, "about": about}
    return Change(key, {**usual, "due": "2026-06-08T09:00:00Z", "tried": None, **more})


def push(connector: Connector, asked: Sequence[Change]) -> dict[str, Outcome]:
    """Push tasks and give the outcome of each, which must be exactly one."""
    ends = list(connector.push(TASK, asked))
    assert Counter(end.record for end in ends) == Counter(change.record for change in asked)
    return {end.record: end for end in ends}


def keys(crm: SalesforceSandbox, record: str, object_: str = "Contact") -> list[str]:
    """Give the keys of a record's tasks, each the last line of a description."""
    return sorted((task["Description"] or "").splitlines()[-1] for task in crm.store.tasks(object_, record))


def fail(crm: SalesforceSandbox, name: str, **more: object) -> None:
    """Let calls that create tasks meet a fault."""
    crm.faults.add(Fault(name, method="POST", path=f"*{CREATE}", **more))  # type: ignore[arg-type]  # Fault's own names


# -- one task


def test_task_is_for_the_owner_of_the_record_and_says_what_why_and_when(
    crm: SalesforceSandbox, connector: Salesforce
) -> None:
    dana = crm.store.user("Dana Weber")
    [person] = people(crm, 1)
    end = push(connector, [wanted("k1", person, due="2026-06-08T23:30:00-02:00")])["k1"]
    [task] = crm.store.tasks("Contact", person)
    assert end == Outcome("k1", Status.WRITTEN, values={"id": str(task["Id"])})
    shown = ("Subject", "Description", "Status", "Priority", "ActivityDate", "WhoId", "WhatId", "OwnerId", "IsClosed")
    assert {name: task[name] for name in shown} == {
        "Subject": "Usage halved",
        "Description": "120 events, then 48\nengage-sync k1",
        "Status": "Not Started",
        "Priority": "Normal",
        "ActivityDate": "2026-06-09",
        "WhoId": person,
        "WhatId": None,
        "OwnerId": dana,
        "IsClosed": "false",
    }


def test_account_is_named_as_what_the_task_is_about(crm: SalesforceSandbox, connector: Salesforce) -> None:
    [firm] = people(crm, 1, "Account")
    [lead] = people(crm, 1, "Lead")
    asked = [wanted("k1", firm[:15], "Account", body=None, due=None), wanted("k2", lead, "Lead")]
    assert {end.status for end in push(connector, asked).values()} == {Status.WRITTEN}
    [of_firm], [of_lead] = crm.store.tasks("Account", firm), crm.store.tasks("Lead", lead)
    assert (of_firm["WhatId"], of_firm["WhoId"], of_firm["Description"]) == (firm, None, "engage-sync k1")
    assert (of_lead["WhatId"], of_lead["WhoId"], of_firm["ActivityDate"]) == (None, lead, None)


def test_other_owner_than_a_user_is_left_to_the_org(crm: SalesforceSandbox, connector: Salesforce) -> None:
    queue = crm.store.create("Group", {"Name": "Inbound", "Type": "Queue"})
    lead = crm.store.create("Lead", {"LastName": "P", "Company": "Acme", "OwnerId": queue})
    assert queue == mint("00G", 1)
    assert push(connector, [wanted("k1", lead, "Lead")])["k1"].status is Status.WRITTEN
    assert crm.store.tasks("Lead", lead)[0]["OwnerId"] == crm.user_id
    assert called(crm, "POST", CREATE) == 1


def test_inactive_owner_does_not_keep_the_others_from_theirs(crm: SalesforceSandbox, connector: Salesforce) -> None:
    gone, there = crm.store.user("Gone"), crm.store.user("There")
    one, other = people(crm, 2)
    crm.store.edit("Contact", one, {"OwnerId": gone})
    crm.store.edit("Contact", other, {"OwnerId": there})
    crm.store.edit("User", gone, {"IsActive": False})
    ends = push(connector, [wanted("k1", one), wanted("k2", other)])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert crm.store.tasks("Contact", one)[0]["OwnerId"] == crm.user_id
    assert crm.store.tasks("Contact", other)[0]["OwnerId"] == there
    assert (keys(crm, one), keys(crm, other)) == (["engage-sync k1"], ["engage-sync k2"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"subject": "x" * 256}, "the subject has 256 characters and Salesforce keeps 255"),
        ({"subject": "  "}, "the task has no subject"),
        ({"body": "x" * 31_985}, "the text has 32001 characters and Salesforce keeps 32000"),
        ({"body": "x" + "\n" * 15_999 + "x"}, "the text has 32016 characters"),
        ({"object": "Opportunity"}, "a task is about a record of Contact, Lead, Account, not of Opportunity"),
        ({"object": None}, "not of no object"),
        ({"about": "a'b"}, '"a\'b" is no Salesforce id'),
        ({"about": None}, "'' is no Salesforce id"),
        ({"due": "next week"}, "'next week' is none"),
    ],
)
def test_task_that_cannot_be_made_is_refused_before_any_call(
    crm: SalesforceSandbox, connector: Salesforce, more: dict[str, str | None], told: str
) -> None:
    usual = wanted("k1", mint("003", 1))
    end = push(connector, [Change("k1", {**usual.values, **more})])["k1"]
    assert end.status is Status.REFUSED
    assert told in (end.message or "")
    assert crm.calls.all() == []


def test_longest_subject_and_text_fit(crm: SalesforceSandbox, connector: Salesforce) -> None:
    [person] = people(crm, 1)
    body = "\n".join(["😀" * 100] * 310)  # 31,000 characters, 309 line breaks, and 16 with the key's line
    assert push(connector, [wanted("k1", person, subject="😀" * 255, body=body)])["k1"].status is Status.WRITTEN
    assert crm.store.tasks("Contact", person)[0]["Description"] == f"{body}\nengage-sync k1"


def test_key_must_be_one_line(connector: Salesforce) -> None:
    for key in ("", "a\nb", " a"):
        assert push(connector, [wanted(key, mint("003", 1))])[key].status is Status.REFUSED


def test_tasks_are_not_pulled(connector: Salesforce) -> None:
    with pytest.raises(Mistake, match="'Task' cannot be synced"):
        connector.pull(TASK, None)


# -- many tasks, and how many calls they take


def test_450_tasks_take_three_calls_and_no_look_up(crm: SalesforceSandbox, connector: Salesforce) -> None:
    ids = people(crm, 150)
    asked = [wanted(f"k{n}-{record}", record) for n in range(3) for record in ids]
    ends = push(org.hardened(connector), asked)
    assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: 450}
    assert len({end.values["id"] for end in ends.values()}) == 450
    assert called(crm, "POST", CREATE) == 3
    assert crm.calls.count("search") == 3  # for the owners of the contacts, and none for tasks
    assert all(keys(crm, record) == [f"engage-sync k{n}-{record}" for n in range(3)] for record in ids)


def test_key_that_comes_twice_makes_one_task_and_two_outcomes(crm: SalesforceSandbox, connector: Salesforce) -> None:
    [person] = people(crm, 1)
    assert push(connector, [wanted("k1", person), wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert keys(crm, person) == ["engage-sync k1"]


def test_nothing_to_create_takes_no_call(crm: SalesforceSandbox, connector: Salesforce) -> None:
    assert push(connector, []) == {}
    assert crm.calls.all() == []


# -- once, whatever happens


@pytest.mark.parametrize("name", PASSING)
def test_fault_leaves_one_task_for_each_key(crm: SalesforceSandbox, connector: Salesforce, name: str) -> None:
    ids = people(crm, 5)
    fail(crm, name)
    ends = push(org.hardened(connector), [wanted(f"k{n}", record) for n, record in enumerate(ids)])
    assert [ends[f"k{n}"].status for n in range(5)] == [Status.WRITTEN] * 5
    for n, record in enumerate(ids):
        [task] = crm.store.tasks("Contact", record)
        assert ends[f"k{n}"].values == {"id": task["Id"]}
    assert crm.faults.active() == []


@pytest.mark.lesson(5)
@pytest.mark.parametrize("name", PASSING)
def test_next_process_finds_what_the_last_one_created(crm: SalesforceSandbox, name: str) -> None:
    """The same as above, but with the process that sent it gone: the caller remembers that it was tried."""
    ids = people(crm, 5)
    fail(crm, name)
    asked = [wanted(f"k{n}", record) for n, record in enumerate(ids)]
    first = org.salesforce(crm)
    try:
        push(first, asked)
    except Transient:
        assert name != "lock_rows"
    first.close()
    again = [Change(change.record, {**change.values, "tried": "true"}) for change in asked]
    ends = push(org.salesforce(crm), again)
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert [keys(crm, record) for record in ids] == [[f"engage-sync k{n}"] for n in range(5)]


def test_answer_that_comes_too_late_is_looked_for(crm: SalesforceSandbox) -> None:
    [person] = people(crm, 1)
    settings = Salesforce.Settings.model_validate({"auth": org.credentials(crm)})
    connector = Salesforce(settings, Memory(), timeout=(5.0, 1.0))
    fail(crm, "hang_after", seconds=60.0)
    assert push(org.hardened(connector), [wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert keys(crm, person) == ["engage-sync k1"]


def test_look_up_that_fails_is_made_again_before_anything_is_created(
    crm: SalesforceSandbox, connector: Salesforce
) -> None:
    [person] = people(crm, 1)
    fail(crm, "drop_after")
    crm.faults.add(Fault("unavailable", path="*/queryAll", times=3, skip=1))
    crm.faults.add(Fault("query_timeout", path="*/queryAll", times=1, skip=2))
    assert push(org.hardened(connector), [wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert keys(crm, person) == ["engage-sync k1"]
    assert crm.faults.active() == []


def test_tried_task_is_found_by_its_key_alone(crm: SalesforceSandbox, connector: Salesforce) -> None:
    """Another of our tasks has the same subject, somebody wrote below the key, and one task was deleted."""
    one, other = people(crm, 2)
    push(connector, [wanted("k1", one), wanted("k2", one), wanted("k3", other)])
    first, second = crm.store.tasks("Contact", one)
    crm.store.edit("Task", str(first["Id"]), {"Description": "done!\r\nengage-sync k1\r\n\r\ncalled them"})
    crm.store.delete("Task", str(second["Id"]))
    ends = push(connector, [wanted(key, one, tried="true") for key in ("k1", "k2", "k4")])
    assert ends["k1"].values == {"id": first["Id"]}
    assert ends["k2"].values == {"id": second["Id"]}
    assert keys(crm, one) == ["called them", "engage-sync k4"]
    assert keys(crm, other) == ["engage-sync k3"]


def test_two_records_with_the_same_subject_are_told_apart(crm: SalesforceSandbox, connector: Salesforce) -> None:
    """`k1` would also be found in the text `k10`, were it not compared as a line."""
    one, other = people(crm, 2)
    push(connector, [wanted("k10", one), wanted("k2", other)])
    ends = push(connector, [wanted("k1", one, tried="true"), wanted("k2", other, tried="true")])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert keys(crm, one) == ["engage-sync k1", "engage-sync k10"]
    assert keys(crm, other) == ["engage-sync k2"]


def test_look_up_of_many_tasks_keeps_to_the_length_of_a_query(crm: SalesforceSandbox, connector: Salesforce) -> None:
    ids = people(crm, 200)
    subjects = [f"Signal {n} \\ 'quoted' {'ü' * 200}" for n in range(200)]
    asked = [wanted(f"k{n}", one, subject=subject) for n, (one, subject) in enumerate(zip(ids, subjects, strict=True))]
    push(connector, asked)
    crm.calls.clear()
    ends = push(connector, [Change(one.record, {**one.values, "tried": "true"}) for one in asked])
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert called(crm, "POST", CREATE) == 0
    assert crm.calls.count("search") < 40
    assert crm.calls.statuses() == {200: len(crm.calls.all())}


def test_look_up_reads_all_pages() -> None:
    with org.sandbox(page=2) as crm:
        [person] = people(crm, 1)
        crm.store.create_many("Task", [{"Subject": "Usage halved", "WhoId": person} for _ in range(7)])
        connector = org.salesforce(crm)
        first = push(connector, [wanted("k1", person)])["k1"]
        assert push(connector, [wanted("k1", person, tried="true")])["k1"] == first
        assert len(crm.store.tasks("Contact", person)) == 8


def test_every_task_once_under_many_faults(crm: SalesforceSandbox, connector: Salesforce) -> None:
    ids = people(crm, 60)
    for place, name in enumerate(("drop_after", "lock_rows", "missing_result", "unavailable_after", "truncated_200")):
        fail(crm, name, times=3, probability=0.5, seed=place)
    crm.store.lock_rows(ids[::7], 2)
    asked = [wanted(f"k{n}-{record}", record) for n in range(7) for record in ids]
    ends = push(org.hardened(connector), asked)
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert all(keys(crm, record) == [f"engage-sync k{n}-{record}" for n in range(7)] for record in ids)


# -- what becomes of the record


def test_record_that_is_gone_is_told_and_one_that_was_merged_is_followed(
    crm: SalesforceSandbox, connector: Salesforce
) -> None:
    gone, purged, lost, survivor, there = people(crm, 5)
    crm.store.delete("Contact", gone)
    crm.store.purge("Contact", purged)
    crm.store.edit("Contact", survivor, {"OwnerId": crm.store.user("Survivor's owner")})
    crm.store.merge("Contact", survivor, lost)
    ends = push(connector, [wanted(f"k-{one}", one) for one in (gone, purged, lost, there)])
    assert [ends[f"k-{one}"].status for one in (gone, purged)] == [Status.GONE, Status.GONE]
    assert ends[f"k-{there}"].moved_to is None
    assert (ends[f"k-{lost}"].status, ends[f"k-{lost}"].moved_to) == (Status.WRITTEN, survivor)
    [task] = crm.store.tasks("Contact", survivor)
    assert task["OwnerId"] == crm.store.user("Survivor's owner")


def test_task_created_before_a_merge_is_found_on_the_survivor(crm: SalesforceSandbox, connector: Salesforce) -> None:
    lost, survivor = people(crm, 2, "Account")
    first = push(connector, [wanted("k1", lost, "Account")])["k1"]
    crm.store.merge("Account", survivor, lost)
    end = push(connector, [wanted("k1", lost, "Account", tried="true")])["k1"]
    assert (end.values, end.moved_to) == (first.values, survivor)
    assert keys(crm, survivor, "Account") == ["engage-sync k1"]


def test_task_about_a_converted_lead_goes_to_the_contact(crm: SalesforceSandbox, connector: Salesforce) -> None:
    one, other = people(crm, 2, "Lead")
    first = push(connector, [wanted("k1", one, "Lead")])["k1"]
    contact, _ = crm.store.convert(one)
    gone, _ = crm.store.convert(other)
    crm.store.delete("Contact", gone)
    tried = wanted("k1", one, "Lead", tried="true")
    ends = push(connector, [tried, wanted("k2", one, "Lead"), wanted("k3", other, "Lead")])
    assert ends["k1"].values == first.values
    assert (ends["k2"].status, ends["k2"].moved_to) == (Status.WRITTEN, contact)
    assert ends["k3"].status is Status.GONE
    assert keys(crm, contact) == ["engage-sync k1", "engage-sync k2"]


def test_record_that_goes_away_between_look_up_and_creation(crm: SalesforceSandbox, connector: Salesforce) -> None:
    """An admin's rule stands for the moment between the two calls: it acts when the rows arrive, and refuses none."""
    gone, lost, survivor, there = people(crm, 4)
    waiting = [lambda: crm.store.delete("Contact", gone), lambda: crm.store.merge("Contact", survivor, lost)]

    def meanwhile(values: object) -> bool:
        while waiting:
            waiting.pop()()
        return False

    crm.store.validation_rule("Task", meanwhile, "never said")
    ends = push(connector, [wanted(f"k-{one}", one) for one in (there, gone, lost)])
    assert waiting == []
    assert ends[f"k-{gone}"].status is Status.GONE
    assert (ends[f"k-{lost}"].status, ends[f"k-{lost}"].moved_to) == (Status.WRITTEN, survivor)
    assert keys(crm, survivor) == [f"engage-sync k-{lost}"]
    assert keys(crm, there) == [f"engage-sync k-{there}"]


# -- refusals


def test_rule_of_the_org_refuses_its_rows_only(crm: SalesforceSandbox, connector: Salesforce) -> None:
    ids = people(crm, 6)
    crm.store.validation_rule("Task", lambda values: "bad" in str(values["Subject"]), "no such subjects here")
    asked = [wanted(f"k{n}", one, subject="bad" if n % 2 else "good") for n, one in enumerate(ids)]
    ends = push(org.hardened(connector), asked)
    for n, record in enumerate(ids):
        end = ends[f"k{n}"]
        told = ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no such subjects here") if n % 2 else (None, None)
        assert end.status is (Status.REFUSED if n % 2 else Status.WRITTEN)
        assert (end.code, end.message) == told
        assert keys(crm, record) == ([] if n % 2 else [f"engage-sync k{n}"])
    assert called(crm, "POST", CREATE) == 1


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("tried", ["false", "true"])
def test_missing_right_is_named_and_once_given_the_tasks_are_created(
    crm: SalesforceSandbox, connector: Salesforce, read: bool, tried: str
) -> None:
    ids = people(crm, 3)
    asked = [wanted(f"k{n}", one, tried=tried) for n, one in enumerate(ids)]
    crm.store.allow("Task", read=read, edit=False)
    ends: list[Outcome] = []
    with pytest.raises(LoginFailed, match="tick Access Activities and Edit Tasks under Setup → Permission Sets"):
        ends.extend(org.hardened(connector).push(TASK, asked))
    assert [end.status for end in ends] == [Status.FAILED] * 3
    assert all("Edit Tasks" in (end.message or "") for end in ends)
    assert called(crm, "POST", CREATE) == int(read or tried == "false")
    crm.store.allow("Task")
    assert {end.status for end in push(connector, asked).values()} == {Status.WRITTEN}
    assert [keys(crm, record) for record in ids] == [[f"engage-sync k{n}"] for n in range(3)]


def test_hidden_field_is_named_with_where_to_click(crm: SalesforceSandbox, connector: Salesforce) -> None:
    [person] = people(crm, 1)
    crm.store.hide("Task", "Description")
    for tried in ("false", "true"):
        with pytest.raises(LoginFailed, match="Object Manager → Task → Fields & Relationships") as told:
            push(connector, [wanted("k1", person, tried=tried)])
        assert "provision" not in str(told.value)
    crm.store.grant("Task", "Description")
    assert push(connector, [wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert keys(crm, person) == ["engage-sync k1"]


def test_tasks_that_need_no_missing_right_are_created(crm: SalesforceSandbox, connector: Salesforce) -> None:
    [person], [firm] = people(crm, 1), people(crm, 1, "Account")
    crm.store.grant("Task", "WhatId", edit=False)
    ends: list[Outcome] = []
    with pytest.raises(LoginFailed, match="WhatId"):
        ends.extend(connector.push(TASK, [wanted("k1", firm, "Account"), wanted("k2", person)]))
    assert keys(crm, person) == ["engage-sync k2"]
    assert keys(crm, firm, "Account") == []


def test_field_that_the_org_fills_in_itself_is_left_to_it(crm: SalesforceSandbox, connector: Salesforce) -> None:
    """The owner is read-only for us, or a picklist has other values there."""
    [person] = people(crm, 1)
    crm.store.grant("Task", "OwnerId", edit=False)
    assert push(connector, [wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert crm.store.tasks("Contact", person)[0]["OwnerId"] == crm.user_id


@pytest.mark.parametrize(
    ("name", "error"), [("api_disabled", LoginFailed), ("version_retired", Misbehaved), ("total_requests", Transient)]
)
def test_what_is_not_about_tasks_ends_the_push(
    crm: SalesforceSandbox, connector: Salesforce, name: str, error: type[Exception]
) -> None:
    [person] = people(crm, 1)
    fail(crm, name)
    with pytest.raises(error):
        push(connector, [wanted("k1", person)])
    crm.calls.clear()
    assert push(connector, [wanted("k1", person)])["k1"].status is Status.WRITTEN
    assert crm.calls.count("search") == (2 if error is Transient else 1)  # a refused call leaves nothing to look for
    assert keys(crm, person) == ["engage-sync k1"]


# -- what `check` finds out


def test_probe_is_silent_where_nothing_is_lacking(crm: SalesforceSandbox, connector: Salesforce) -> None:
    assert list(connector.probe(["Contact", "Task"])) == []
    crm.calls.clear()
    assert list(connector.probe(["Contact", "Account"])) == []
    assert crm.calls.all() == []


def test_probe_tells_what_is_missing_for_tasks(crm: SalesforceSandbox, connector: Salesforce) -> None:
    crm.store.hide("Task", "Description")
    crm.store.grant("Task", "WhoId", edit=False)
    lacks = connector.probe(["Task"])
    assert [lack.problem for lack in lacks] == [
        "the field Task.Description is hidden from the integration user",
        "the integration user may not edit the field Task.WhoId",
    ]
    assert all("Setup → Object Manager → Task → Fields & Relationships" in lack.todo for lack in lacks)
    crm.store.allow("Task", edit=False)
    assert connector.probe(["Task"])[0].problem == "the integration user may not create and read tasks"
    crm.store.allow("Task", read=False, edit=False)
    [lack] = connector.probe(["Task"])
    assert (lack.problem, lack.object) == ("the integration user sees no tasks", "Task")
    assert "Edit Tasks" in lack.todo
