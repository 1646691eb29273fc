from __future__ import annotations

from datetime import timedelta

from engage_sync.state.store import State

from .conftest import NOW
from .frames import outcome

HERE = ("crm", "contacts")


def held(state: State) -> set[tuple[str, str, str]]:
    return set(state.intents(*HERE).drop_nulls("value").select("record", "field", "value").rows())


def intend(state: State, values: dict[str, dict[str, str | None]], run: int, object_: str = "contacts") -> None:
    state.intend("crm", object_, values, run, before={}, theirs={}, at=NOW)


def test_what_was_answered_is_dropped_and_the_rest_stays(state: State, run: int) -> None:
    assert held(state) == set()
    intend(state, {"1": {"a": "x", "b": None}, "2": {"a": "q\"'ü;y"}, "3": {"a": None}}, run)
    assert held(state) == {("1", "a", "x"), ("2", "a", "q\"'ü;y")}
    state.settle_intents(*HERE, run, answered=["1", "3"], before=NOW)
    assert held(state) == {("2", "a", "q\"'ü;y")}
    intend(state, {"4": {"a": "x"}}, run)
    state.settle_intents(*HERE, run, answered=["4"], before=NOW)
    assert held(state) == {("2", "a", "q\"'ü;y")}, "another part of the push says nothing of this one"
    state.settle_intents(*HERE, run, answered=iter(["2"]), before=NOW)
    assert held(state) == set()


def test_what_several_runs_meant_is_kept_together(state: State, run: int) -> None:
    later = state.start_run("sync", NOW + timedelta(hours=1), NOW + timedelta(hours=1))
    intend(state, {"1": {"a": "x", "b": "k"}, "2": {"a": "x"}}, run)
    intend(state, {"1": {"a": "y"}}, later)
    assert held(state) == {("1", "a", "x"), ("1", "a", "y"), ("1", "b", "k"), ("2", "a", "x")}
    state.settle_intents(*HERE, later, answered=["1"], before=NOW)
    assert held(state) == {("1", "a", "x"), ("1", "b", "k"), ("2", "a", "x")}, "the answer was not about what it meant"
    state.settle_intents(*HERE, later, answered=[], before=NOW + timedelta(days=1))
    assert held(state) == set()


def test_a_value_that_is_meant_again_and_again_is_kept_once_and_old_ones_go(state: State) -> None:
    runs = [state.start_run("sync", NOW, NOW) for _ in range(8)]
    for run, number in zip(runs, [*range(7), 6], strict=True):
        intend(state, {"1": {"a": str(number)}}, run)
    assert held(state) == {("1", "a", str(number)) for number in (6, 5, 4, 3, 2)}
    assert state.intents(*HERE)["run"].to_list() == [runs[7], *runs[5:1:-1]], "the newest first"


def test_what_stood_there_and_when_the_run_was_over(state: State, run: int) -> None:
    """A run that died gave its last sign of life when it noted what it was about to write."""
    later = state.start_run("sync", NOW, NOW)
    intend_at = NOW + timedelta(minutes=3)
    before = {"1": {"a": None, "b": "y"}}
    state.intend(*HERE, {"1": {"a": "x", "b": None}}, run, before=before, theirs={"1": ["b"]}, at=intend_at)
    state.intend(*HERE, {"1": {"a": "z"}}, later, before={"1": {"a": "q"}}, theirs={}, at=intend_at)
    over = NOW + timedelta(minutes=9)
    state.finish_run(later, status="failed", exit=5, finished_at=over, summary={})
    assert state.intents(*HERE).rows() == [
        ("1", "a", "z", "q", later, over, True),
        ("1", "a", "x", None, run, intend_at, True),
        ("1", "b", None, "y", run, intend_at, False),
    ]
    state.drop_intents(*HERE, state.intents(*HERE).filter(run=run))
    assert held(state) == {("1", "a", "z")}


def test_the_last_answer_is_a_sign_of_life(state: State, run: int) -> None:
    """It came after the run had noted what it meant; the time of a run that is over is its end."""
    intend(state, {"1": {"it's": "x"}, "2": {"a.b": "y"}}, run)
    answered = NOW + timedelta(minutes=5)
    state.record_outcomes(run, *HERE, [outcome("2", "written", {}, {"a.b": "y"}, at=answered)])
    assert state.intents(*HERE).select("record", "field", "value", "until").rows() == [
        ("1", "it's", "x", answered),
        ("2", "a.b", "y", answered),
    ]


def test_objects_do_not_share_theirs(state: State, run: int) -> None:
    intend(state, {"1": {"a": "x"}}, run, "companies")
    assert held(state) == set()
    state.settle_intents(*HERE, run, answered=["1"], before=NOW + timedelta(days=9))
    assert state.intents("crm", "companies").select("record", "field", "value").rows() == [("1", "a", "x")]
