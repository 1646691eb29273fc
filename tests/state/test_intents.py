from __future__ import annotations

from datetime import timedelta

from engage_sync.state.store import State

from .conftest import NOW

HERE = ("crm", "contacts")


def held(state: State) -> set[tuple[str, str, str]]:
    return set(state.intents(*HERE).rows())


def test_what_was_answered_is_dropped_and_the_rest_stays(state: State, run: int) -> None:
    assert held(state) == set()
    state.intend(*HERE, {"1": {"a": "x", "b": None}, "2": {"a": "q\"'ü;y"}, "3": {"a": None}}, run)
    assert held(state) == {("1", "a", "x"), ("2", "a", "q\"'ü;y")}
    state.settle_intents(*HERE, run, unanswered=["2"], before=NOW)
    assert held(state) == {("2", "a", "q\"'ü;y")}
    state.settle_intents(*HERE, run, unanswered=[], before=NOW)
    assert held(state) == set()


def test_what_several_runs_meant_is_kept_together(state: State, run: int) -> None:
    later = state.start_run("sync", NOW + timedelta(hours=1), NOW + timedelta(hours=1))
    state.intend(*HERE, {"1": {"a": "x", "b": "k"}, "2": {"a": "x"}}, run)
    state.intend(*HERE, {"1": {"a": "y"}}, later)
    assert held(state) == {("1", "a", "x"), ("1", "a", "y"), ("1", "b", "k"), ("2", "a", "x")}
    state.settle_intents(*HERE, later, unanswered=[], before=NOW)
    assert held(state) == {("2", "a", "x")}, "another record's answer says nothing of this one"
    state.settle_intents(*HERE, later, unanswered=[], before=NOW + timedelta(days=1))
    assert held(state) == set()


def test_a_value_that_is_meant_again_and_again_is_kept_once_and_old_ones_go(state: State, run: int) -> None:
    for number in [*range(7), 6]:
        state.intend(*HERE, {"1": {"a": str(number)}}, run)
    assert held(state) == {("1", "a", str(number)) for number in (6, 5, 4, 3, 2)}


def test_objects_do_not_share_theirs(state: State, run: int) -> None:
    state.intend("crm", "companies", {"1": {"a": "x"}}, run)
    assert held(state) == set()
    state.settle_intents(*HERE, run, unanswered=[], before=NOW + timedelta(days=9))
    assert state.intents("crm", "companies").rows() == [("1", "a", "x")]
