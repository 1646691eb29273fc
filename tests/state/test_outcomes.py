from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import timedelta

import polars as pl

from engage_sync.state.store import State
from tests.forks import fork

from .conftest import Place
from .frames import AT, last, links_frame, live, lost, outcome, save, values_frame


def record(state: State, run: int, *rows: object) -> None:
    state.record_outcomes(run, "crm", "contacts", rows)  # type: ignore[arg-type]


def test_written_lies_over_last_written_and_mirror(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "old", "b": "theirs", "c": "full"}})
    record(state, run, outcome("1", "written", {"a": "old", "c": "full"}, {"a": "it's 😀", "c": None}))
    assert live(state, "a", "b", "c") == {"1": ("it's 😀", "theirs", None)}
    assert last(state, "a", "b", "c") == {"1": ("it's 😀", None, None)}
    record(state, run, outcome("1", "written", {"c": None}, {"c": "again"}))
    assert live(state, "a", "b", "c") == {"1": ("it's 😀", "theirs", "again")}
    assert last(state, "a", "c") == {"1": ("it's 😀", "again")}


def test_written_and_cleared_is_still_ever_written(state: State, run: int) -> None:
    record(state, run, outcome("1", "written", {"a": None}, {"a": "x"}))
    record(state, run, outcome("1", "written", {"a": "x"}, {"a": None}))
    assert last(state, "a") == {"1": (None,)}


def test_a_first_write_that_did_not_take_effect_was_never_made(state: State, run: int) -> None:
    """Of a record that held more of ours, only what did not take effect is taken back."""
    save(state, run, {"1": {}, "2": {"b": "ours"}})
    record(state, run, outcome("2", "written", {"b": None}, {"b": "ours"}))
    for name in ("1", "2"):
        record(state, run, outcome(name, "written", {"a": None}, {"a": "x"}))
        failed = outcome(name, "failed", {"a": None}, {"a": "x"})
        record(state, run, replace(failed, last={"a": None}))
    assert last(state, "a", "b") == {"2": (None, "ours")}
    assert live(state, "a") == {"1": (None,), "2": (None,)}


def test_the_journal_tells_field_by_field(state: State, run: int) -> None:
    record(state, run, outcome("1", "written", {"a": None, "b c": "was"}, {"a": "x", "b c": None}))
    record(state, run, outcome("2", "refused", {"a": "o"}, {"a": "n"}, at=AT + timedelta(seconds=1)))
    journal = state.journal()
    assert journal.select("record", "field", "before", "after", "status", "code", "message", "request").rows() == [
        ("2", "a", "o", "n", "refused", "CODE", "the CRM's words", "request-1"),
        ("1", "a", None, "x", "written", None, None, "request-1"),
        ("1", "b c", "was", None, "written", None, None, "request-1"),
    ]
    assert journal.select("run", "connector", "object", "at").rows()[-1] == (run, "crm", "contacts", AT)


def test_the_journal_tells_whose_values_were_replaced(state: State, run: int) -> None:
    row = outcome("1", "written", {"a.b": "x", "it's": "y"}, {"a.b": "1", "it's": None})
    record(state, run, row, replace(row, record="2", theirs=()), replace(row, record="3", theirs=["it's"]))
    found = state.journal_around(run).sort("record", "field").select("record", "field", "was_ours").rows()
    ours = {"1": (None, None), "2": (True, True), "3": (True, False)}
    assert found == [(name, field, ours[name][at]) for name in ours for at, field in enumerate(("a.b", "it's"))]


def test_the_journal_is_asked_by_run_object_record_and_number(state: State, run: int) -> None:
    other = run + 1
    record(state, run, outcome("1", "written", {}, {"a": "x", "b": "y"}), outcome("it's", "written", {}, {"a": "x"}))
    state.record_outcomes(other, "crm", "companies", [outcome("1", "written", {}, {"a": "z"})])
    state.record_outcomes(other, "erp", "contacts", [outcome("1", "written", {}, {"a": "w"})])
    assert state.journal(run=run).height == 3
    assert state.journal(connector="erp").get_column("after").to_list() == ["w"]
    assert state.journal(connector="crm", object="companies").get_column("after").to_list() == ["z"]
    assert state.journal(record="it's").height == 1
    assert state.journal(run=run, record="1").get_column("field").to_list() == ["a", "b"]
    assert state.journal(limit=2).get_column("after").to_list() == ["w", "z"]
    assert state.journal(limit=0).is_empty()
    assert state.journal(run=99).is_empty()


def test_an_outcome_without_fields_is_one_row(state: State, run: int) -> None:
    record(state, run, outcome("1", "gone"))
    assert state.journal().select("record", "field", "before", "after", "status").rows() == [
        ("1", None, None, None, "gone")
    ]


def test_failures_count_attempts_until_it_is_written(state: State, run: int) -> None:
    record(state, run, outcome("1", "failed", {"a": "o"}, {"a": "n"}), outcome("2", "refused", {}, {"a": "n"}))
    record(state, run + 1, outcome("1", "refused", {"a": "o"}, {"a": "n"}, at=AT + timedelta(hours=1)))
    columns = ["connector", "object", "record", "status", "code", "run", "attempts", "first_at", "last_at"]
    assert state.failures().select(columns).rows() == [
        ("crm", "contacts", "1", "refused", "CODE", run + 1, 2, AT, AT + timedelta(hours=1)),
        ("crm", "contacts", "2", "refused", "CODE", run, 1, AT, AT),
    ]
    assert last(state, "a") == {}
    record(state, run, outcome("1", "written", {"a": "o"}, {"a": "n"}))
    assert state.failures().get_column("record").to_list() == ["2"]
    state.settle("crm", "contacts", ["2", "3"])
    assert state.failures().is_empty()


def test_a_refusal_changes_no_memory(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "seen"}})
    record(state, run, outcome("1", "refused", {"a": "seen"}, {"a": "n"}))
    assert live(state, "a") == {"1": ("seen",)}
    assert last(state, "a") == {}


def test_gone_drops_what_was_written_and_the_link(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}, "2": {"a": "y"}})
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email"), ("2", "v", "email")), run)
    state.remember("crm", "contacts", values_frame({"1": {"a": "x"}, "2": {"a": "y"}}), run)
    record(state, run, outcome("1", "failed", {}, {"a": "n"}))
    record(state, run, outcome("1", "gone", {"a": "x"}, {"a": "n"}))
    assert live(state, "a") == {"2": ("y",)}
    assert lost(state) == {"1": None}
    assert last(state, "a") == {"2": ("y",)}
    assert state.links("crm", "contacts").get_column("record").to_list() == ["2"]
    assert state.failures().is_empty()


def test_a_change_that_reached_the_survivor_is_remembered_there(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}, "2": {"a": "y", "b": "z"}})
    state.remember("crm", "contacts", values_frame({"1": {"a": "x"}}), run)
    record(state, run, outcome("1", "written", {"a": "x"}, {"a": "n"}, moved_to="2"))
    assert live(state, "a", "b") == {"2": ("n", "z")}
    assert lost(state) == {"1": "2"}
    assert last(state, "a") == {"2": ("n",)}
    assert state.journal().get_column("moved_to").to_list() == ["2"]


def test_no_outcomes_is_nothing(state: State, run: int) -> None:
    record(state, run)
    assert state.journal().is_empty()


def test_a_hundred_at_once_of_every_kind(state: State, run: int) -> None:
    save(state, run, {str(number): {"a": "old"} for number in range(100)})
    kinds = ["written", "refused", "failed", "gone"]
    record(state, run, *(outcome(str(n), kinds[n % 4], {"a": "old"}, {"a": f"new {n}"}) for n in range(100)))
    by_status = dict(state.journal().group_by("status").agg(pl.len()).iter_rows())
    assert by_status == dict.fromkeys(kinds, 25)
    assert last(state, "a") == {str(n): (f"new {n}",) for n in range(0, 100, 4)}
    assert state.failures().height == 50
    assert lost(state) == {str(n): None for n in range(3, 100, 4)}


def failing(state: State) -> dict[str, tuple[object, ...]]:
    """Give attempts, minutes from the last attempt to the next and what was wanted, by record."""
    names = ("record", "attempts", "last_at", "next_at", "wanted")
    return {
        record: (attempts, None if later is None else (later - at) / timedelta(minutes=1), json.loads(wanted))
        for record, attempts, at, later, wanted in state.failures().select(names).iter_rows()
    }


def test_pauses_after_refusals_grow_and_failures_have_none(state: State, run: int) -> None:
    """15 min, 1 h, 4 h, 24 h; what no answer came for is tried by the next run, and a refusal after it is a first."""
    wanted = {"a": "n", "b": None}
    seen = []
    for number in range(5):
        at = AT + timedelta(days=number)
        record(
            state, run + number, outcome("1", "refused", {}, wanted, at=at), outcome("2", "failed", {}, wanted, at=at)
        )
        seen.append(failing(state)["1"])
        assert failing(state)["2"] == (number + 1, None, wanted)
    assert seen == [(n + 1, minutes, wanted) for n, minutes in enumerate((15, 60, 240, 1_440, 1_440))]
    record(state, run + 9, outcome("2", "refused", {}, {"a": "m"}, at=AT))
    assert failing(state)["2"] == (6, 15, {"a": "m"})


def test_two_attempts_of_one_run_are_one(state: State, run: int) -> None:
    """An id is freed and given by two calls at one record."""
    for number, minutes in enumerate((15, 60)):
        record(state, run + number, outcome("1", "refused", {}, {"id": None}))
        record(state, run + number, outcome("1", "refused", {}, {"id": "new", "a": "x"}))
        assert failing(state) == {"1": (number + 1, minutes, {"id": "new", "a": "x"})}


def test_what_waits_is_told_field_by_field(state: State, run: int) -> None:
    told = {"a": "ä 'q' \\ \u2028", "b": None, "c": ""}
    record(state, run, replace(outcome("1", "refused", {}, told), described="d1"))
    record(
        state, run, replace(outcome("2", "refused", {}, {"a": "x"}), sent=False), outcome("3", "failed", {}, {"a": "x"})
    )
    record(state, run, replace(outcome("4", "refused", {}, {"a": "x"}), message=None))
    waiting = state.waiting("crm", "contacts", AT + timedelta(minutes=14))
    assert sorted(waiting.rows(), key=str) == [
        *(("1", name, value, "the CRM's words", "d1") for name, value in told.items()),
        ("4", "a", "x", "CODE", None),
    ]
    assert state.waiting("crm", "contacts", AT + timedelta(minutes=15)).is_empty()
    assert state.waiting("crm", "contacts", AT - timedelta(days=1)).is_empty(), "the clock was put back since"
    assert state.waiting("crm", "companies", AT).is_empty()
    assert failing(state)["2"][1] is None


def test_failures_are_asked_by_connector_and_object(state: State, run: int) -> None:
    places = [("crm", "contacts"), ("crm", "it's"), ("erp", "contacts")]
    for number, place in enumerate(places):
        state.record_outcomes(run, *place, [outcome(str(number), "refused", {}, {"a": "n"})])

    def found(*wanted: str) -> list[tuple[str, str, str]]:
        return sorted(state.failures(*wanted).select("connector", "object", "record").rows())

    every = [(*place, str(number)) for number, place in enumerate(places)]
    assert (found(), found("crm"), found("erp", "contacts")) == (every, every[:2], every[2:])
    assert (found("crm", "it's"), found("crm", "leads")) == (every[1:2], [])
    state.settle("crm", "it's", [])
    assert found() == every
    state.settle("crm", "it's", ["0", "1"])
    assert found() == [every[0], every[2]]


def test_a_failure_names_whom_the_record_is_linked_to(state: State, run: int) -> None:
    state.replace_links("crm", "contacts", links_frame(("1", "u", "email")), run)
    record(state, run, outcome("1", "refused", {}, {"a": "n"}), outcome("2", "refused", {}, {"a": "n"}))
    assert dict(state.failures().select("record", "external_id").rows()) == {"1": "u", "2": None}


PUSHER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from engage_sync.state.store import OutcomeRow, State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
for number in range(100_000):
    state.record_outcomes(1, "crm", "contacts", [
        OutcomeRow(f"{number}-{row}", "written", None, None, None, {"a": None}, {"a": "x"}, datetime.now(UTC), None)
        for row in range(20)
    ])
    print(number, flush=True)
"""


def test_killed_at_any_moment_journal_and_last_written_agree(place: Place) -> None:
    pusher = fork(PUSHER, place.url, str(place.key_file))
    for _ in range(20):
        assert pusher.stdout.readline()
    os.kill(pusher.pid, signal.SIGKILL)
    pusher.communicate()
    with place.open() as state:
        told = set(state.journal().get_column("record"))
        assert told == last(state, "a").keys()
        assert len(told) >= 400
        assert len(told) % 20 == 0
