from __future__ import annotations

import os
import signal
import sqlite3

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage_sync.state.store import State
from tests.forks import fork

from .conftest import Place
from .frames import live, lost, page, save

AWKWARD = {
    "a": 'it\'s "quoted", 😀 é \\ \n\t%s ? $1 :name',
    "b": "",
}


def test_a_page_and_its_cursor_are_there(state: State, run: int) -> None:
    assert state.cursor("crm", "contacts", ("a", "b")) is None
    save(state, run, {"1": {"a": "x", "b": None}, "2": AWKWARD}, cursor="after 2")
    assert state.cursor("crm", "contacts", ("b", "a")) == "after 2"
    assert live(state, "a", "b") == {"1": ("x", None), "2": (AWKWARD["a"], "")}


def test_records_has_the_declared_columns_even_without_any_record(state: State, run: int) -> None:
    expected = {"record": pl.String, "updated_at": pl.String, "crm.a": pl.String}
    assert dict(state.records("crm", "contacts", ["a"]).schema) == expected
    save(state, run, {})
    assert dict(state.records("crm", "contacts", ["a"]).schema) == expected
    assert dict(state.records("crm", "contacts", []).schema) == {"record": pl.String, "updated_at": pl.String}


def test_a_field_that_no_record_has_is_null(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}, "2": {}})
    assert live(state, "b", "a", 'c\'s "odd" $.name') == {"1": (None, "x", None), "2": (None, None, None)}


@pytest.mark.parametrize("name", ["with space", "dots.in.it", "quote'd", "$dollar", "0", "ünï😀", "a?b%c"])
def test_any_field_name_reads_back(state: State, run: int, name: str) -> None:
    save(state, run, {"1": {name: "value", "other": "no"}})
    assert live(state, name) == {"1": ("value",)}


def test_values_that_are_no_text_come_as_text(state: State, run: int) -> None:
    records = pl.DataFrame(
        {"record": ["1", "2"], "values": ['{"a": 5, "b": "x"}', '{"a": "y"}'], "updated_at": ["", ""]}
    )
    state.save_page("crm", "contacts", records=records, vanished=[], merged={}, cursor="c", run=run, done=True)
    assert live(state, "a", "b") == {"1": ("5", "x"), "2": ("y", None)}


def test_the_first_thousands_may_be_null(state: State, run: int) -> None:
    """ADBC takes a column's type from its first rows; SQLite's default batch is 1,024."""
    records = {f"{number:05}": {"a": None, "b": str(number)} for number in range(20_000)}
    records["99999"] = {"a": "text at last", "b": None}
    save(state, run, records)
    found = live(state, "a", "b")
    assert len(found) == 20_001
    assert found["99999"] == ("text at last", None)
    assert found["00000"] == (None, "0")


def test_the_same_record_again_replaces(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "old", "b": "gone"}})
    save(state, run, {"1": {"a": "new"}}, cursor="d")
    assert live(state, "a", "b") == {"1": ("new", None)}


def test_a_record_twice_in_one_page_counts_as_its_last(state: State, run: int) -> None:
    twice = pl.concat([page({"1": {"a": "first"}}), page({"1": {"a": "second"}})])
    state.save_page("crm", "contacts", records=twice, vanished=[], merged={}, cursor="c", run=run, done=True)
    assert live(state, "a") == {"1": ("second",)}


def test_what_no_database_text_holds_is_cleaned(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x\0y", "b": "\ud800 half, \U0001f600 whole"}})
    assert live(state, "a", "b") == {"1": ("xy", "\ufffd half, \U0001f600 whole")}


def test_vanished_and_returned(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}, "2": {"a": "y"}})
    save(state, run, {}, vanished=["1", "never seen"], cursor="d")
    assert live(state, "a") == {"2": ("y",)}
    assert lost(state) == {"1": None}
    assert state.gone("crm", "contacts").get_column("since_run").to_list() == [run]
    save(state, run, {"1": {"a": "back"}}, cursor="e")
    assert live(state, "a") == {"1": ("back",), "2": ("y",)}
    assert lost(state) == {}


@pytest.mark.lesson(9)
def test_chains_of_merges_are_followed_over_records_never_seen(state: State, run: int) -> None:
    save(state, run, {"1": {}, "4": {}, "5": {}})
    save(state, run, {}, merged={"1": "2"}, cursor="d")
    save(state, run, {}, merged={"2": "3", "3": "4"}, cursor="e")
    assert lost(state) == {"1": "4"}
    assert sorted(live(state)) == ["4", "5"]


def test_merges_in_a_circle_lead_nowhere(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}})
    save(state, run, {}, merged={"1": "2", "2": "1"}, cursor="d")
    assert lost(state) == {"1": None, "2": None}


def test_a_record_merged_into_itself_stays(state: State, run: int) -> None:
    save(state, run, {"1": {}}, merged={"1": "1"})
    assert sorted(live(state)) == ["1"]


def test_a_load_from_the_beginning_marks_what_it_did_not_see(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}, "3": {}})
    state.drop_cursor("crm", "contacts")
    assert state.cursor("crm", "contacts", ("a", "b")) is None
    save(state, run, {"1": {}}, cursor="page 2", done=False)
    assert sorted(live(state)) == ["1", "2", "3"]
    save(state, run, {"3": {}}, cursor="end")
    assert sorted(live(state)) == ["1", "3"]
    assert lost(state) == {"2": None}


def test_an_increment_marks_nothing(state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}})
    save(state, run, {"2": {}}, cursor="d")
    assert sorted(live(state)) == ["1", "2"]


def test_a_load_that_was_cut_off_and_resumed_ends_right(place: Place, state: State, run: int) -> None:
    save(state, run, {"1": {}, "2": {}, "3": {}})
    state.drop_cursor("crm", "contacts")
    save(state, run, {"1": {}}, cursor="page 2", done=False)
    with place.open() as later:
        assert later.cursor("crm", "contacts", ("a", "b")) == "page 2"
        save(later, run, {"2": {}}, cursor="end")
        assert sorted(live(later)) == ["1", "2"]


def test_other_fields_mean_a_load_from_the_beginning(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}, "2": {"a": "y"}}, fields=("a",))
    assert state.cursor("crm", "contacts", ("a", "b")) is None
    assert state.cursor("crm", "contacts") is None
    save(state, run, {"1": {"a": "x", "b": "z"}}, fields=("a", "b"), cursor="d")
    assert live(state, "b") == {"1": ("z",)}
    assert lost(state) == {"2": None}


def test_objects_and_connectors_are_apart(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "x"}})
    for connector, name in (("crm", "companies"), ("other", "contacts")):
        state.save_page(
            connector, name, records=page({"1": {"a": name}}), vanished=[], merged={}, cursor="k", run=run, done=True
        )
    save(state, run, {}, vanished=["1"], cursor="d")
    assert state.records("crm", "companies", ["a"]).get_column("crm.a").to_list() == ["companies"]
    assert state.records("other", "contacts", ["a"]).get_column("crm.a").to_list() == ["contacts"]
    assert state.cursor("other", "contacts") == "k"


def test_a_page_that_fails_leaves_nothing_of_itself(state: State, run: int, place: Place) -> None:
    save(state, run, {"1": {"a": "x"}}, cursor="kept")
    broken = page({"2": {"a": "y"}}).vstack(page({"3": {}}).with_columns(updated_at=pl.lit(None, pl.String)))
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        state.save_page("crm", "contacts", records=broken, vanished=["1"], merged={}, cursor="lost", run=run, done=True)
    with place.open() as again:
        assert again.cursor("crm", "contacts", ("a", "b")) == "kept"
        assert sorted(live(again)) == ["1"]


PULLER = """
import json, sys
from pathlib import Path
import polars as pl
from engage_sync.state.store import State
state = State.open(sys.argv[1], key_file=Path(sys.argv[2]))
for number in range(100_000):
    ids = [f"{number}-{row}" for row in range(20)]
    frame = pl.DataFrame({"record": ids, "values": ['{"a": "x"}'] * 20, "updated_at": [""] * 20})
    state.save_page("crm", "contacts", records=frame, vanished=[], merged={}, cursor=str(number), run=1, done=False)
    print(number, flush=True)
"""


def test_killed_at_any_moment_pages_and_cursor_agree(place: Place) -> None:
    puller = fork(PULLER, place.url, str(place.key_file))
    for _ in range(25):
        assert puller.stdout.readline()
    os.kill(puller.pid, signal.SIGKILL)
    puller.communicate()
    with place.open() as state:
        cursor = state.cursor("crm", "contacts")
        assert cursor is not None
        assert int(cursor) >= 24
        assert live(state).keys() == {f"{number}-{row}" for number in range(int(cursor) + 1) for row in range(20)}


READER = """
import sys
from pathlib import Path
from engage_sync.state.store import State
with State.open(sys.argv[1], key_file=Path(sys.argv[2])) as state:
    seen = 0
    while seen < 30 * 50:
        count = state.records("crm", "contacts", ["a"]).height
        assert count % 50 == 0 and count >= seen, (seen, count)
        seen = count
print("saw whole pages only")
"""


def test_another_process_reads_while_this_one_writes(place: Place, state: State, run: int) -> None:
    reader = fork(READER, place.url, str(place.key_file))
    for number in range(30):
        save(state, run, {f"{number}-{row}": {"a": "x"} for row in range(50)}, cursor=str(number))
    output, _ = reader.communicate(timeout=60)
    assert output == "saw whole pages only\n"
    assert reader.returncode == 0


NAMES = st.sampled_from(["a", "b", "c.d", "e'f"])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
RECORDS = st.dictionaries(st.sampled_from("12345678"), st.dictionaries(NAMES, st.none() | TEXT, max_size=4), max_size=5)
PAGES = st.lists(
    st.tuples(RECORDS, st.lists(st.sampled_from("12345678"), max_size=2), st.booleans(), st.booleans()), max_size=6
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(PAGES)
def test_pages_make_the_mirror_a_plain_dictionary_would_hold(
    state: State, run: int, pages: list[tuple[dict[str, dict[str, str | None]], list[str], bool, bool]]
) -> None:
    connector = f"crm-{os.urandom(8).hex()}"
    expected: dict[str, dict[str, str | None]] = {}
    seen: set[str] = set()
    started, loading = False, True
    for records, vanished, done, reload in pages:
        if reload and started:
            state.drop_cursor(connector, "contacts")
            loading, seen = True, set()
        started = True
        state.save_page(
            connector, "contacts", records=page(records), vanished=vanished, merged={}, cursor="c", run=run, done=done
        )
        expected |= records
        seen |= records.keys()
        for record in vanished:
            expected.pop(record, None)
        if done and loading:
            expected = {record: values for record, values in expected.items() if record in seen}
            loading = False
    names = ["a", "b", "c.d", "e'f"]
    found = {row[0]: row[2:] for row in state.records(connector, "contacts", names).iter_rows()}
    assert found == {record: tuple(values.get(name) for name in names) for record, values in expected.items()}


def test_mending_leaves_the_cursor_and_takes_what_it_is_given(state: State, run: int) -> None:
    """The same stamp or an older one is no echo of the past here; what is not named stays as it is."""
    save(state, run, {name: {"a": "x"} for name in ("1", "2", "3", "4")}, cursor="here")
    old = page({"1": {"a": "older"}, "5": {"a": "lost"}}, "2020-01-01T00:00:00Z")
    state.mend("crm", "contacts", records=old, run=run + 1, vanished=["2"], merged={"3": "5"})
    assert live(state, "a") == {"1": ("older",), "4": ("x",), "5": ("lost",)}
    assert lost(state) == {"2": None, "3": "5"}
    assert state.cursor("crm", "contacts", ("a", "b")) == "here"
    state.mend("crm", "contacts", records=page({"2": {"a": "y"}}), run=run + 1)
    assert (live(state, "a")["2"], lost(state)) == (("y",), {"3": "5"})
    save(state, run, {"1": {"a": "pulled"}}, cursor="there")
    assert set(live(state, "a")) == {"1", "2", "4", "5"}, "no load from the beginning"


def test_json_made_by_polars_fits(state: State, run: int) -> None:
    """Other rooms build the JSON with polars."""
    values = pl.DataFrame({"a": ["ü\"'", None], "b": ["1", "2"]}).select(pl.struct(pl.all()).struct.json_encode())
    frame = pl.DataFrame({"record": ["1", "2"], "values": values.to_series(), "updated_at": ["", ""]})
    state.save_page("crm", "contacts", records=frame, vanished=[], merged={}, cursor="c", run=run, done=True)
    assert live(state, "a", "b") == {"1": ("ü\"'", "1"), "2": (None, "2")}
