from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from engage_sync.errors import Mistake
from engage_sync.state.store import Run, State

from .conftest import NOW, Place

DAY = timedelta(days=1)


def recorded(state: State, as_of: datetime) -> int:
    run = state.start_run("compute", as_of, NOW)
    state.mark_recorded(run)
    return run


def test_ids_count_from_one(state: State) -> None:
    assert [state.start_run("plan", NOW, NOW) for _ in range(3)] == [1, 2, 3]


def test_a_run_is_told_as_it_was_noted(state: State, place: Place) -> None:
    as_of = datetime(2026, 6, 1, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    run = state.start_run("sync", as_of, NOW)
    begun = Run(run, "sync", as_of.astimezone(UTC), NOW, None, "running", None, {}, (), False, None)
    assert state.run(run) == begun
    later = NOW + timedelta(minutes=1)
    summary = {"ä": "😀'", "list": [1, None, {"a": 2.5}]}
    state.finish_run(run, status="held", exit=3, finished_at=later, summary=summary, held=["too much", "too old"])
    with place.open() as again:
        assert again.run(run) == Run(
            run, "sync", as_of, NOW, later, "held", 3, summary, ("too much", "too old"), False, None
        )


def test_what_is_kept_with_a_run_adds_up(state: State) -> None:
    run, other = (state.start_run("sync", NOW, NOW) for _ in range(2))
    kept = []
    for more in ({"a": 1, "b": {"x": 1}}, {}, {"b": {"y": 2}}):
        state.add_to_summary(run, more)
        kept.append(state.runs(2)[1].summary)
    assert kept == [{"a": 1, "b": {"x": 1}}, {"a": 1, "b": {"x": 1}}, {"a": 1, "b": {"y": 2}}]
    state.finish_run(run, status="ok", exit=0, finished_at=NOW, summary={"a": None, "c": [3]})
    state.add_to_summary(run, {"approved_by": other})
    assert [one.summary for one in state.runs(2)] == [{}, {"a": None, "b": {"y": 2}, "c": [3], "approved_by": other}]


def test_the_newest_come_first(state: State) -> None:
    for command in ("a", "b", "c"):
        state.start_run(command, NOW, NOW)
    assert [run.command for run in state.runs(2)] == ["c", "b"]
    assert state.runs(0) == []
    assert [run.command for run in state.runs(2, "a", "b")] == ["b", "a"]
    assert state.runs(2, "none") == []


def test_unknown_runs(state: State) -> None:
    assert state.run(7) is None
    assert state.newest_recorded() is None
    assert state.recorded_at(NOW) is None
    with pytest.raises(Mistake, match="no run 7"):
        state.mark_recorded(7)
    with pytest.raises(Mistake, match="no run 7"):
        state.finish_run(7, status="done", exit=0, finished_at=NOW, summary={}, held=[])
    with pytest.raises(Mistake, match="no run 7"):
        state.add_to_summary(7, {"a": 1})


def test_only_recorded_runs_stand(state: State) -> None:
    first = recorded(state, NOW)
    state.start_run("plan", NOW + timedelta(days=1), NOW)
    newest = state.newest_recorded()
    assert newest is not None
    assert (newest.id, newest.recorded) == (first, True)
    assert state.recorded_at(NOW + timedelta(days=1)) is None


def test_a_second_run_at_one_instant_replaces_the_first(state: State) -> None:
    first, second, third = (recorded(state, NOW) for _ in range(3))
    at = state.recorded_at(NOW)
    assert at is not None
    assert at.id == third
    replaced = {run.id: run.replaced_by for run in state.runs(9)}
    assert replaced == {first: second, second: third, third: None}


def test_an_instant_is_the_same_in_any_zone(state: State) -> None:
    run = recorded(state, NOW)
    found = state.recorded_at(NOW.astimezone(timezone(timedelta(hours=-7))))
    assert found is not None
    assert found.id == run


def test_recorded_instants_never_go_back(state: State) -> None:
    recorded(state, NOW)
    back = state.start_run("compute", NOW - timedelta(microseconds=1), NOW)
    with pytest.raises(Mistake, match="look back"):
        state.mark_recorded(back)
    kept = state.run(back)
    assert kept is not None
    assert not kept.recorded


def test_a_run_may_forget_what_was_recorded_for_later(state: State) -> None:
    past, later, latest = (recorded(state, NOW + days * DAY) for days in (-1, 1, 2))
    now = state.start_run("approve", NOW, NOW)
    state.mark_recorded(now, forgetting=True)
    newest, before = state.newest_recorded(), state.previous(NOW)
    assert newest is not None
    assert before is not None
    assert (newest.id, before.id, state.recorded_at(NOW + DAY)) == (now, past, None)
    assert {run.id: run.replaced_by for run in state.runs(9)} == {past: None, later: now, latest: now, now: None}
    soon = recorded(state, NOW + DAY / 2)
    assert state.newest_recorded() == state.run(soon)


def test_marking_twice_is_marking_once(state: State) -> None:
    run = recorded(state, NOW)
    state.mark_recorded(run)
    newest = state.newest_recorded()
    assert newest is not None
    assert (newest.id, newest.replaced_by) == (run, None)


@pytest.mark.parametrize("year", [1, 99, 9999])
def test_far_instants(state: State, year: int) -> None:
    as_of = datetime(year, 1, 2, tzinfo=UTC)
    run = recorded(state, as_of)
    found = state.recorded_at(as_of)
    assert found is not None
    assert (found.id, found.as_of) == (run, as_of)


def test_the_run_before(state: State) -> None:
    assert state.previous(NOW) is None
    first = recorded(state, NOW)
    replaced, second = recorded(state, NOW + DAY), recorded(state, NOW + DAY)
    state.start_run("plan", NOW + 2 * DAY, NOW)

    def before(as_of: datetime) -> int | None:
        found = state.previous(as_of)
        return None if found is None else found.id

    assert before(NOW) is None
    assert [before(NOW + DAY), before(NOW + DAY + timedelta(microseconds=1))] == [first, second]
    assert before(NOW + 3 * DAY) == second != replaced


def test_runs_that_count(state: State) -> None:
    assert dict(state.counted_runs().schema) == {"run": pl.Int64, "as_of": pl.Datetime("us", "UTC")}
    recorded(state, NOW)
    replacing, later = recorded(state, NOW), recorded(state, NOW + DAY)
    state.start_run("plan", NOW + 2 * DAY, NOW)
    assert state.counted_runs().rows() == [(replacing, NOW), (later, NOW + DAY)]
