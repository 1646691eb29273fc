from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage_sync.errors import Mistake
from engage_sync.state.store import State

from .conftest import NOW

Documents = dict[str, str]


def frame(documents: Documents) -> pl.DataFrame:
    return pl.DataFrame(list(documents.items()), schema={"external_id": pl.String, "document": pl.String}, orient="row")


def record(state: State, documents: Documents, *, days: int = 0, entity: str = "user") -> int:
    run = state.start_run("compute", NOW + timedelta(days=days), NOW)
    state.save_verdicts(run, entity, frame(documents))
    state.mark_recorded(run)
    return run


def stored(state: State, run: int | None = None, entity: str = "user") -> Documents:
    return dict(state.verdicts(entity, run=run).iter_rows())


def test_nothing_recorded(state: State) -> None:
    assert dict(state.verdicts("user").schema) == {"external_id": pl.String, "document": pl.String}
    assert stored(state) == {}


def test_every_recorded_run_can_be_read_again(state: State) -> None:
    contents = [{"a": "1", "b'😀": "{}"}, {"a": "2", "c": "3"}, {}, {"a": "2", "b'😀": "{}"}]
    runs = [record(state, documents, days=day) for day, documents in enumerate(contents)]
    assert stored(state) == contents[-1]
    assert [stored(state, run) for run in runs] == contents


def test_only_what_changed_is_written(state: State) -> None:
    first = record(state, {"same": "1", "changes": "1", "ends": "1"})
    second = record(state, {"same": "1", "changes": "2", "begins": "1"}, days=1)
    assert state.history("user", "same").rows() == [(first, None, "1")]
    assert state.history("user", "changes").rows() == [(first, second, "1"), (second, None, "2")]
    assert state.history("user", "ends").rows() == [(first, second, "1")]
    assert state.history("user", "begins").rows() == [(second, None, "1")]


def test_some_ids(state: State) -> None:
    record(state, {"a": "1", "b": "2", "it's": "3"})
    assert dict(state.verdicts("user", ids=["it's", "a", "unknown"]).iter_rows()) == {"a": "1", "it's": "3"}
    assert state.verdicts("user", ids=[]).is_empty()


def test_entities_are_apart(state: State) -> None:
    run = state.start_run("compute", NOW, NOW)
    state.save_verdicts(run, "user", frame({"x": "user"}))
    state.save_verdicts(run, "account", frame({"x": "account"}))
    state.mark_recorded(run)
    assert stored(state) == {"x": "user"}
    assert stored(state, entity="account") == {"x": "account"}


def test_a_second_run_at_one_instant_replaces_the_first(state: State) -> None:
    first = record(state, {"a": "1", "b": "1"})
    second = record(state, {"a": "2"})
    assert stored(state) == {"a": "2"}
    found = state.recorded_at(NOW)
    assert found is not None
    assert found.id == second
    assert stored(state, first) == {"a": "1", "b": "1"}


def test_saving_again_within_a_run_replaces(state: State) -> None:
    before = record(state, {"a": "1", "b": "1"})
    run = state.start_run("compute", NOW + timedelta(days=1), NOW)
    for documents in ({"a": "2", "c": "1"}, {"b": "1"}, {"a": "3", "b": "1", "c": "2"}):
        state.save_verdicts(run, "user", frame(documents))
    state.mark_recorded(run)
    assert stored(state) == {"a": "3", "b": "1", "c": "2"}
    assert stored(state, before) == {"a": "1", "b": "1"}
    assert state.history("user", "b").rows() == [(before, None, "1")]


def test_a_run_that_died_before_it_was_recorded_is_not_seen(state: State) -> None:
    first = record(state, {"a": "1", "b": "1"})
    died = state.start_run("compute", NOW + timedelta(days=1), NOW)
    state.save_verdicts(died, "user", frame({"a": "2"}))
    assert stored(state) == {"a": "1", "b": "1"}
    record(state, {"a": "2", "b": "1"}, days=2)
    assert stored(state) == {"a": "2", "b": "1"}
    assert stored(state, first) == {"a": "1", "b": "1"}


def test_an_older_run_cannot_save_behind_a_newer_one(state: State) -> None:
    old = state.start_run("compute", NOW, NOW)
    record(state, {"a": "1"})
    with pytest.raises(Mistake, match="saved later"):
        state.save_verdicts(old, "user", frame({"a": "0"}))
    assert stored(state) == {"a": "1"}


CONTENTS = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), max_size=4), min_size=1, max_size=5
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CONTENTS)
def test_any_sequence_of_runs_is_reconstructed(state: State, contents: list[Documents]) -> None:
    runs = [record(state, documents, days=day) for day, documents in _later(state, contents)]
    assert [stored(state, run) for run in runs] == contents


def _later(state: State, contents: list[Documents]) -> list[tuple[int, Documents]]:
    newest = state.newest_recorded()
    start = 0 if newest is None else (newest.as_of - NOW).days + 1
    return [(start + day, documents) for day, documents in enumerate(contents)]
