from __future__ import annotations

import polars as pl

from engage_sync.state.store import State

from .frames import last, live, save, values_frame


def test_nothing_written_yet(state: State) -> None:
    frame = state.written("crm", "contacts", ["a"])
    assert dict(frame.schema) == {"record": pl.String, "last.a": pl.String, "ever": pl.Boolean}
    assert frame.is_empty()


def test_remembered_values_lie_over_older_ones(state: State, run: int) -> None:
    state.remember("crm", "contacts", values_frame({"1": {"a": "x", "b": "y"}, "2": {"a": "it's 😀"}}), run)
    state.remember("crm", "contacts", values_frame({"1": {"b": None, "c": "z"}, "3": {"a": None}}), run)
    assert last(state, "a", "b", "c") == {"1": ("x", None, "z"), "2": ("it's 😀", None, None), "3": (None, None, None)}


def test_the_first_thousands_may_be_null(state: State, run: int) -> None:
    records: dict[str, dict[str, str | None]] = {f"{number:05}": {"a": None} for number in range(20_000)}
    records["99999"] = {"a": "x"}
    state.remember("crm", "contacts", values_frame(records), run)
    assert last(state, "a")["99999"] == ("x",)


def test_remembering_touches_no_mirror(state: State, run: int) -> None:
    save(state, run, {"1": {"a": "seen"}})
    state.remember("crm", "contacts", values_frame({"1": {"a": "ours"}}), run)
    assert live(state, "a") == {"1": ("seen",)}


def test_forgetting(state: State, run: int) -> None:
    state.remember("crm", "contacts", values_frame({"1": {"a": "x"}, "2'": {"a": "y"}, "3": {"a": "z"}}), run)
    state.remember("crm", "companies", values_frame({"1": {"a": "x"}}), run)
    state.forget("crm", "contacts", ["1", "2'", "unknown"])
    assert last(state, "a") == {"3": ("z",)}
    state.forget("crm", "contacts", None)
    state.forget("crm", "contacts", [])
    state.forget("nobody", "contacts", ["3"])
    assert last(state, "a") == {"3": ("z",)}
    assert state.written("crm", "companies", ["a"]).height == 1


def test_forgetting_takes_a_column(state: State, run: int) -> None:
    frame = values_frame({"1": {"a": "x"}, "2": {"a": "y"}})
    state.remember("crm", "contacts", frame, run)
    state.forget("crm", "contacts", frame.get_column("record").head(1))
    assert last(state, "a") == {"2": ("y",)}


def test_remembering_nothing_is_nothing(state: State, run: int) -> None:
    state.remember("crm", "contacts", values_frame({}), run)
    assert last(state, "a") == {}
