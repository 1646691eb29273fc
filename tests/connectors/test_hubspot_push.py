"""Pushing to HubSpot: one true outcome for each record, whatever the batch as a whole does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role, Status
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.errors import LoginFailed, Misbehaved, Transient, Unreachable
from engage_sync.sandbox.faults import FAULTS, Fault
from engage_sync.sandbox.server import Sandbox
from tests.connectors.sandboxed import SPECS, Memory, hardened, hubspot, sandbox
from tests.connectors.sandboxed import settings as settings_of
from tests.connectors.scripted import Asked, Said, connector, scripted

KIND = Kind("contacts", Role.CONTACT, ("email", "jobtitle", "engage_type"))


@pytest.fixture
def crm() -> Iterator[Sandbox]:
    with sandbox() as running:
        hubspot(running).provision(SPECS)
        running.calls.clear()
        yield running


def people(crm: Sandbox, count: int) -> list[str]:
    return crm.store.create_many("contacts", [{"email": f"p{number}@example.com"} for number in range(count)])


def push(crm: Connector, changes: Mapping[str, Mapping[str, str | None]]) -> dict[str, Outcome]:
    return gathered(crm, [Change(record, values) for record, values in changes.items()])


def gathered(crm: Connector, changes: Sequence[Change]) -> dict[str, Outcome]:
    """Push; there must be one outcome for each change."""
    ends = list(crm.push(KIND, changes))
    assert Counter(end.record for end in ends) == Counter(change.record for change in changes)
    return {end.record: end for end in ends}


def collecting(outcomes: Iterator[Outcome], ends: list[Outcome]) -> Iterator[Outcome]:
    """Put outcomes into `ends` as they come, so that those before an error are kept."""
    for end in outcomes:
        ends.append(end)
    yield from ()


def writes(crm: Sandbox) -> int:
    return crm.calls.count("write")


def test_full_batch_is_one_call_and_values_come_back(crm: Sandbox) -> None:
    ids = people(crm, 100)
    ends = push(hubspot(crm), {record: {"jobtitle": f"job {record}", "engage_type": None} for record in ids})
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert all(end.values["jobtitle"] == f"job {record}" for record, end in ends.items())
    assert writes(crm) == 1


@pytest.mark.lesson(19)
def test_bad_value_is_found_in_few_calls_and_only_its_row_refused(crm: Sandbox) -> None:
    ids = people(crm, 100)
    changes: dict[str, dict[str, str | None]] = {record: {"engage_type": "power"} for record in ids}
    changes[ids[41]] = {"engage_type": "bogus", "jobtitle": "not this either"}
    ends = push(hubspot(crm), changes)
    assert (ends[ids[41]].status, ends[ids[41]].code) == (Status.REFUSED, "INVALID_OPTION")
    assert ends[ids[41]].request
    assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: 99, Status.REFUSED: 1}
    assert crm.store.values("contacts", ids[41]).get("jobtitle") is None
    assert writes(crm) <= 4


def test_value_refused_once_is_not_asked_again(crm: Sandbox) -> None:
    """60 rows with one bad option cost a few calls, not two for each."""
    ids = people(crm, 100)
    ends = push(hubspot(crm), {r: {"engage_type": "bogus" if n < 60 else "power"} for n, r in enumerate(ids)})
    assert Counter(end.status for end in ends.values()) == {Status.WRITTEN: 40, Status.REFUSED: 60}
    assert writes(crm) <= 12


def test_unknown_property_refuses_the_rows_that_name_it(crm: Sandbox) -> None:
    ids = people(crm, 10)
    changes: dict[str, dict[str, str | None]] = {record: {"jobtitle": "x"} for record in ids}
    changes[ids[2]] = {"jobtitle": "x", "engage_nothing": "1"}
    changes[ids[7]] = {"engage_nothing": "1", "engage_neither": "2"}
    ends = push(hubspot(crm), changes)
    refused = {record for record, end in ends.items() if end.status is Status.REFUSED}
    assert refused == {ids[2], ids[7]}
    assert ends[ids[2]].code == "PROPERTY_DOESNT_EXIST"
    assert {ends[record].status for record in ids if record not in refused} == {Status.WRITTEN}


@pytest.mark.lesson(19)
@settings(max_examples=12, deadline=None)
@given(bad=st.sets(st.integers(0, 29), max_size=30), lost=st.sets(st.integers(0, 29), max_size=8))
def test_any_mixture_of_bad_and_lost_rows(bad: set[int], lost: set[int]) -> None:
    """Refused, gone and written are exactly those they should be."""
    with sandbox() as running:
        crm = hubspot(running)
        crm.provision(SPECS)
        ids = people(running, 30)
        for number in lost:
            running.store.archive("contacts", ids[number])
        values = {r: {"engage_number": f"{n}{'x' if n in bad else ''}"} for n, r in enumerate(ids)}
        ends = push(crm, values)
        crm.close()
        for number, record in enumerate(ids):
            allowed = {Status.GONE, Status.REFUSED} if number in lost & bad else {_expected(number, bad, lost)}
            assert ends[record].status in allowed
            if allowed == {Status.WRITTEN}:
                assert running.store.values("contacts", record)["engage_number"] == str(number)


def _expected(number: int, bad: set[int], lost: set[int]) -> Status:
    if number in lost:
        return Status.GONE
    return Status.REFUSED if number in bad else Status.WRITTEN


def test_same_record_twice_is_sent_once_with_the_later_values(crm: Sandbox) -> None:
    (record,) = people(crm, 1)
    twice = [Change(record, {"jobtitle": "first", "engage_type": "power"}), Change(record, {"jobtitle": "second"})]
    assert gathered(hubspot(crm), twice)[record].status is Status.WRITTEN
    values = crm.store.values("contacts", record)
    assert (values["jobtitle"], values["engage_type"]) == ("second", "power")


def test_empty_clears(crm: Sandbox) -> None:
    ids = people(crm, 2)
    push(hubspot(crm), {record: {"jobtitle": "x"} for record in ids})
    push(hubspot(crm), {ids[0]: {"jobtitle": None}, ids[1]: {"jobtitle": ""}})
    assert ["jobtitle" in crm.store.values("contacts", record) for record in ids] == [False, False]


PASSING = sorted(name for name, kind in FAULTS.items() if kind.passing and not name.startswith(("hang", "pretended")))
"""A write that is only pretended shows when it is read back, which is not the connector's business."""


@pytest.mark.parametrize("name", PASSING)
def test_passing_fault_is_survived_and_writes_everything(crm: Sandbox, name: str) -> None:
    ids = people(crm, 8)
    wanted = {record: {"jobtitle": f"job {record}"} for record in ids}
    crm.faults.add(Fault(name, kind="write", times=2))
    if name == "expired_token":  # a fixed token has no other to try
        with pytest.raises(LoginFailed):
            push(hardened(crm), wanted)
        return
    ends = push(hardened(crm), wanted)
    assert {end.status for end in ends.values()} == {Status.WRITTEN}
    assert {r: crm.store.values("contacts", r).get("jobtitle") for r in ids} == {r: f"job {r}" for r in ids}


@pytest.mark.parametrize("name", ["hang", "hang_after"])
def test_call_without_an_end_is_given_up_and_repeated(crm: Sandbox, name: str) -> None:
    (record,) = people(crm, 1)
    crm.faults.add(Fault(name, kind="write", seconds=60))
    impatient = hardened(crm, connector=HubSpot(settings_of(crm), Memory(), timeout=(5.0, 1.0)))
    assert push(impatient, {record: {"jobtitle": "x"}})[record].status is Status.WRITTEN


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("too_many_daily", Unreachable),
        ("migration", Unreachable),
        ("invalid_token", LoginFailed),
        ("missing_scopes", LoginFailed),
        ("bad_gateway", Unreachable),
        ("html_200", Misbehaved),
    ],
)
def test_lasting_fault_fails_every_record_and_is_told(crm: Sandbox, name: str, error: type[Exception]) -> None:
    ids = people(crm, 250)
    crm.faults.add(Fault(name, kind="write", times=None))
    ends: list[Outcome] = []
    outcomes = hardened(crm).push(KIND, [Change(record, {"jobtitle": "x"}) for record in ids])
    with pytest.raises(error):
        ends.extend(collecting(outcomes, ends))
    assert Counter(end.record for end in ends) == Counter(ids)
    assert {end.status for end in ends} == {Status.FAILED}


@pytest.mark.lesson(20)
@pytest.mark.parametrize("name", ["accepted_202", "empty_results"])
def test_success_that_names_no_record_is_failure(crm: Sandbox, name: str) -> None:
    ids = people(crm, 3)
    crm.faults.add(Fault(name, kind="write", times=None))
    ends = push(hardened(crm), {record: {"jobtitle": "x"} for record in ids})
    assert {end.status for end in ends.values()} == {Status.FAILED}


def test_two_records_merged_into_one_are_both_told(crm: Sandbox) -> None:
    ids = people(crm, 3)
    survivor = crm.store.merge("contacts", ids[0], ids[1])
    ends = push(hubspot(crm), {record: {"jobtitle": record} for record in ids})
    assert {ends[record].moved_to for record in ids[:2]} == {survivor}
    assert crm.store.values("contacts", survivor)["jobtitle"] in ids[:2]
    assert (ends[ids[2]].status, ends[ids[2]].moved_to) == (Status.WRITTEN, None)


def rows(asked: Asked) -> list[str]:
    inputs = asked.json()["inputs"]
    return [row["id"] for row in inputs]


def done(ids: Sequence[str]) -> list[dict[str, object]]:
    return [{"id": one, "properties": {"jobtitle": "x"}} for one in ids]


def test_portal_that_does_not_resolve_merged_ids_in_batches() -> None:
    """The update says not found, a batch read leaves the id out, a single read answers with the survivor."""

    def portal(asked: Asked) -> Said:
        if asked.path.endswith("/batch/update"):
            ids = rows(asked)
            lost = [one for one in ids if one in {"1", "2"}]
            errors = [{"category": "OBJECT_NOT_FOUND", "message": "gone?", "context": {"ids": lost}}] if lost else []
            return Said(
                207, {"results": done([one for one in ids if one not in lost]), "errors": errors, "numErrors": 1}
            )
        if asked.path.endswith("/batch/read"):
            return Said(207, {"results": [], "errors": []})
        if "/contacts/1?" in asked.path:
            return Said(200, {"id": "9", "properties": {"hs_merged_object_ids": "1;4"}})
        return Said(404, {"category": "OBJECT_NOT_FOUND", "message": "no"})

    with scripted(portal) as server:
        ends = push(connector(server), {one: {"jobtitle": "x"} for one in ("1", "2", "3")})
        updates = [rows(asked) for asked in server.asked if asked.path.endswith("/batch/update")]
    assert (ends["1"].status, ends["1"].moved_to) == (Status.WRITTEN, "9")
    assert ends["2"].status is Status.GONE
    assert ends["3"].status is Status.WRITTEN
    assert updates == [["1", "2", "3"], ["9"]]


def test_survivor_that_has_its_own_change_is_not_overwritten() -> None:
    def portal(asked: Asked) -> Said:
        if asked.path.endswith("/batch/update"):
            errors = [{"category": "OBJECT_NOT_FOUND", "context": {"ids": ["1"]}}] if "1" in rows(asked) else []
            return Said(207, {"results": done([one for one in rows(asked) if one != "1"]), "errors": errors})
        return Said(200, {"results": [{"id": "9", "properties": {"hs_merged_object_ids": "1"}}]})

    with scripted(portal) as server:
        ends = push(connector(server), {"1": {"jobtitle": "loser"}, "9": {"jobtitle": "x"}})
        updates = [rows(asked) for asked in server.asked if asked.path.endswith("/batch/update")]
    assert (ends["1"].status, ends["1"].moved_to) == (Status.GONE, "9")
    assert ends["9"].status is Status.WRITTEN
    assert updates == [["1", "9"]]


def test_error_without_ids_is_traced_to_its_row() -> None:
    def portal(asked: Asked) -> Said:
        good = [one for one in rows(asked) if one != "5"]
        errors = [{"category": "VALIDATION_ERROR", "message": "no"}] if "5" in rows(asked) else []
        return Said(207, {"results": done(good), "errors": errors, "numErrors": len(errors)})

    with scripted(portal) as server:
        ends = push(connector(server), {str(number): {"jobtitle": "x"} for number in range(1, 9)})
    assert {record for record, end in ends.items() if end.status is Status.REFUSED} == {"5"}
    assert (ends["5"].code, ends["5"].message) == ("VALIDATION_ERROR", "no")


def test_row_errors_that_pass_are_failures_and_others_refusals() -> None:
    errors = [
        {"category": "RATE_LIMITS", "message": "later", "context": {"ids": ["1"]}},
        {"category": "CONFLICT", "message": "taken", "context": {"id": [2]}},
    ]
    with scripted(lambda asked: Said(200, {"results": done(["3"]), "errors": errors})) as server:
        ends = push(connector(server), {one: {"jobtitle": "x"} for one in ("1", "2", "3", "4")})
    assert {record: end.status for record, end in ends.items()} == {
        "1": Status.FAILED,
        "2": Status.REFUSED,
        "3": Status.WRITTEN,
        "4": Status.FAILED,
    }


def test_refusal_that_names_nothing_is_bisected() -> None:
    def portal(asked: Asked) -> Said:
        if "17" in rows(asked):
            return Said(400, {"category": "VALIDATION_ERROR", "message": "bad"})
        return Said(200, {"status": "COMPLETE", "results": done(rows(asked))})

    with scripted(portal) as server:
        ends = push(connector(server), {str(number): {"jobtitle": "x"} for number in range(100)})
        assert len(server.asked) <= 15
    assert [record for record, end in ends.items() if end.status is not Status.WRITTEN] == ["17"]


def test_property_that_exists_but_is_not_writable_yet_is_worth_another_try() -> None:
    """A property takes a moment after it was created (crm-apis §A9)."""
    seen: list[str] = []

    def portal(asked: Asked) -> Said:
        if asked.method == "GET":
            return Said(200, {"name": "engage_new"})
        seen.append(asked.path)
        if len(seen) == 1:
            context = {"propertyName": ["engage_new"]}
            error = {"code": "PROPERTY_DOESNT_EXIST", "message": "no such property", "context": context}
            return Said(400, {"category": "VALIDATION_ERROR", "message": "no", "errors": [error]})
        return Said(200, {"results": done(rows(asked))})

    with scripted(portal) as server:
        assert push(connector(server), {"1": {"engage_new": "x"}})["1"].status is Status.FAILED
        assert push(connector(server), {"1": {"engage_new": "x"}})["1"].status is Status.WRITTEN


def test_wrong_path_or_method_is_no_refusal_of_records() -> None:
    for said in (Said(404, b"<html>nothing here"), Said(405, {"message": "no"}), Said(415, b"")):
        with scripted(lambda _asked, said=said: said) as server, pytest.raises(Misbehaved):
            push(connector(server), {"1": {"jobtitle": "x"}})


def test_bare_connector_raises_what_the_wrappers_repeat(crm: Sandbox) -> None:
    crm.faults.add(Fault("drop_after", kind="write"))
    with pytest.raises(Transient):
        push(hubspot(crm), {people(crm, 1)[0]: {"jobtitle": "x"}})
