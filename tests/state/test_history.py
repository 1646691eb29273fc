"""Transitions and deliveries through runs that are recorded, replaced, repeated, or die before they are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engage_sync.errors import Mistake
from engage_sync.state.store import State

from .conftest import NOW, Place
from .outbox import changes, told

DAY = timedelta(days=1)


def begin(state: State, days: int = 0) -> int:
    return state.start_run("sync", NOW + days * DAY, NOW)


def stages(state: State, external_id: str = "u1") -> list[tuple[str | None, str | None]]:
    return state.transitions("user", external_id).select("before", "after").rows()


def pending(state: State) -> list[str]:
    return state.pending_deliveries()["key"].to_list()


def save(
    state: State,
    run: int,
    since: int | None = None,
    *,
    keys: Sequence[str] = (),
    stage: tuple[str, str] | None = None,
) -> None:
    moved = changes() if stage is None else changes(("u1", "stage", "", *stage))
    state.save_history(run, since=since, transitions=moved, deliveries=told(*keys))


def test_nothing_happened_yet(state: State) -> None:
    assert state.transitions("user", "u1").columns == ["run", "at", "kind", "name", "before", "after", "reasons"]
    assert state.transition_counts(1).columns == ["entity", "kind", "name", "before", "after", "count"]
    assert state.transitions("user", "u1").is_empty()
    assert state.transition_counts(1).is_empty()


def test_a_timeline_is_in_order_and_of_one_entity(state: State) -> None:
    first, second = begin(state), begin(state, 1)
    state.mark_recorded(first)
    rows = changes(
        ("u'1", "type", "power", None, "entered"),
        ("u'1", "stage", "", "trial", "adoption 😀"),
        ("u'1", "segment", "at risk", "in", None),
        ("other", "stage", "", None, "trial"),
        reasons='["mrr > 5"]',
    )
    company = changes(("u'1", "stage", "", None, "renewal"), entity="account")
    state.save_history(second, since=first, transitions=pl.concat([rows, company]), deliveries=told())
    state.mark_recorded(second)
    third = begin(state, 2)
    state.save_history(third, since=second, transitions=changes(("u'1", "health", "", "bad", None)), deliveries=told())
    state.mark_recorded(third)
    at, later = "2026-06-02T12:30:00.000000Z", "2026-06-03T12:30:00.000000Z"
    assert state.transitions("user", "u'1").rows() == [
        (second, at, "segment", "at risk", "in", None, '["mrr > 5"]'),
        (second, at, "stage", "", "trial", "adoption 😀", '["mrr > 5"]'),
        (second, at, "type", "power", None, "entered", '["mrr > 5"]'),
        (third, later, "health", "", "bad", None, "[]"),
    ]
    assert state.transitions("account", "u'1")["after"].to_list() == ["renewal"]


def test_what_moved_is_counted(state: State, run: int) -> None:
    rows = changes(
        ("u1", "stage", "", "trial", "adoption"),
        ("u2", "stage", "", "trial", "adoption"),
        ("u3", "stage", "", None, "trial"),
        ("u1", "signal", "quiet", "off", "on"),
    )
    state.save_history(run, since=None, transitions=rows, deliveries=told())
    assert state.transition_counts(run).rows() == [
        ("user", "signal", "quiet", "off", "on", 1),
        ("user", "stage", "", None, "trial", 1),
        ("user", "stage", "", "trial", "adoption", 2),
    ]


def test_instants_may_be_given_in_any_width(state: State, run: int) -> None:
    short = changes(("u1", "stage", "", None, "a"), ("u2", "stage", "", None, "a")).with_columns(
        at=pl.Series(["2026-06-01T10:00:00Z", "2026-06-01T12:30:00.5+02:00"])
    )
    exact = told("k").with_columns(at=pl.lit(NOW), episode=pl.lit("2026-06-01T10:00:00Z"))
    state.save_history(run, since=None, transitions=short, deliveries=exact)
    state.mark_recorded(run)
    assert state.transitions("user", "u1")["at"].to_list() == ["2026-06-01T10:00:00.000000Z"]
    assert state.transitions("user", "u2")["at"].to_list() == ["2026-06-01T10:30:00.500000Z"]
    row = state.pending_deliveries().row(0, named=True)
    assert (row["at"], row["episode"]) == ("2026-06-01T12:30:00.000000Z", "2026-06-01T10:00:00.000000Z")


def test_repeating_gives_the_same(state: State) -> None:
    run = begin(state)
    for recorded in (False, True):
        if recorded:
            state.mark_recorded(run)
        for _ in range(2):
            save(state, run, keys=["a", "b"], stage=("x", "y"))
        assert state.transition_counts(run)["count"].to_list() == [1]
    assert stages(state) == [("x", "y")]
    assert pending(state) == ["a", "b"]


def test_repeating_with_less_leaves_less(state: State) -> None:
    run = begin(state)
    save(state, run, keys=["a", "b"], stage=("x", "y"))
    save(state, run, keys=["b"])
    state.mark_recorded(run)
    assert (stages(state), pending(state)) == ([], ["b"])


def test_what_was_tried_stays_however_often_it_is_told(state: State) -> None:
    run = begin(state)
    save(state, run, keys=["a", "b", "c"])
    state.mark_recorded(run)
    state.note_attempts(["a", "b"], NOW)
    state.settle_deliveries(pl.DataFrame({"key": ["a"], "status": ["delivered"], "message": [None], "result": ["77"]}))
    save(state, run, keys=["a", "c"])
    rows = state.deliveries().sort("key").select("key", "status", "attempts", "result").rows()
    assert rows == [("a", "delivered", 1, "77"), ("b", "pending", 1, None), ("c", "pending", 0, None)]


def test_a_run_that_died_leaves_nothing_behind(state: State) -> None:
    first = begin(state)
    state.mark_recorded(first)
    died = begin(state, 1)
    save(state, died, first, keys=["a", "b"], stage=("x", "y"))
    assert (stages(state), pending(state), state.delivery_counts()) == ([], [], {})
    again = begin(state, 1)
    save(state, again, first, keys=["b"], stage=("x", "z"))
    state.mark_recorded(again)
    assert (stages(state), pending(state)) == ([("x", "z")], ["b"])
    assert state.transition_counts(died).is_empty()


def test_a_replaced_run_yields_only_when_the_other_is_recorded(state: State) -> None:
    first = begin(state)
    save(state, first, keys=["a", "b", "tried"], stage=("x", "y"))
    state.mark_recorded(first)
    state.note_attempts(["tried"], NOW)
    second = begin(state)
    save(state, second, keys=["b", "c"], stage=("x", "z"))
    assert (stages(state), pending(state)) == ([("x", "y")], ["a", "b", "tried"])
    state.mark_recorded(second)
    assert (stages(state), pending(state)) == ([("x", "z")], ["b", "c", "tried"])
    assert state.deliveries(run=second)["key"].to_list() == ["b", "c"]
    assert state.transition_counts(first)["after"].to_list() == ["y"]


def test_a_replacement_that_died_takes_nothing_away(state: State) -> None:
    first = begin(state)
    save(state, first, keys=["a", "b"], stage=("x", "y"))
    state.mark_recorded(first)
    save(state, begin(state), keys=["b"], stage=("x", "z"))
    later = begin(state, 1)
    save(state, later, first, keys=["c"])
    state.mark_recorded(later)
    assert (stages(state), pending(state)) == ([("x", "y")], ["a", "b", "c"])


def test_a_replacement_may_think_again(state: State) -> None:
    first = begin(state)
    save(state, first, keys=["a", "b"])
    state.mark_recorded(first)
    second = begin(state)
    save(state, second, keys=["a", "b"])
    save(state, second, keys=["b"])
    state.mark_recorded(second)
    assert state.deliveries().select("key", "run").rows() == [("b", second)]


def test_a_key_told_by_an_earlier_run_is_left_alone(state: State) -> None:
    first = begin(state)
    save(state, first, keys=["a"])
    state.mark_recorded(first)
    second = begin(state, 1)
    save(state, second, first, keys=["a"])
    state.mark_recorded(second)
    assert state.deliveries().select("key", "run").rows() == [("a", first)]


def test_one_key_twice_is_one_delivery(state: State, run: int) -> None:
    save(state, run, keys=["a", "a"])
    state.mark_recorded(run)
    assert pending(state) == ["a"]


def test_history_is_all_or_nothing(state: State, run: int) -> None:
    with pytest.raises(Exception, match=r"(?i)null"):
        state.save_history(
            run,
            since=None,
            transitions=changes(("u1", "stage", "", "x", "y")),
            deliveries=told("a").with_columns(payload=pl.lit(None)),
        )
    assert state.transition_counts(run).is_empty()


def test_runs_that_cannot_save(state: State) -> None:
    with pytest.raises(Mistake, match="no run 7"):
        save(state, 7)
    early = begin(state)
    late = begin(state, 1)
    save(state, late, keys=["a"])
    state.mark_recorded(late)
    with pytest.raises(Mistake, match=f"run {late} was recorded later"):
        save(state, early)
    assert pending(state) == ["a"]


def test_it_is_there_after_opening_again(place: Place, state: State, run: int) -> None:
    save(state, run, keys=["a"], stage=("x", "y"))
    state.mark_recorded(run)
    with place.open() as again:
        assert (stages(again), pending(again)) == ([("x", "y")], ["a"])


STEP = st.tuples(
    st.booleans(),  # at a new instant, else at that of the run before
    st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=2),  # what is saved, the last time counts
    st.booleans(),  # the run is recorded, else it dies
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["pending", "delivered", "failed"])),  # attempts
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(STEP, min_size=1, max_size=5))
def test_only_recorded_runs_are_ever_seen(
    state: State, steps: list[tuple[bool, list[set[str]], bool, dict[str, str]]]
) -> None:
    newest = state.newest_recorded()
    at = NOW if newest is None else newest.as_of + DAY
    who = f"u{at.isoformat()}"
    model = Model()
    for fresh, saved, recorded, attempts in steps:
        at += DAY if fresh else timedelta()
        run = state.start_run("sync", at, NOW)
        before = state.previous(at)
        for letters in saved:
            state.save_history(
                run,
                since=None if before is None else before.id,
                transitions=changes(*((who, "segment", letter, None, "in") for letter in letters)),
                deliveries=told(*(f"{at} {letter}" for letter in letters), external_id=who),
            )
        if recorded:
            state.mark_recorded(run)
            model.record(at, saved[-1])
        ended = {f"{at} {letter}": status for letter, status in attempts.items()}
        ended = {key: status for key, status in ended.items() if model.rows.get(key, ("", 0))[0] == "pending"}
        state.note_attempts(ended, NOW)
        state.settle_deliveries(
            pl.DataFrame({"key": list(ended), "status": list(ended.values())}).with_columns(message=None, result=None)
        )
        model.attempt(ended)
        seen = state.deliveries(entity="user", external_id=who).select("key", "status", "attempts").rows()
        assert {key: (status, count) for key, status, count in seen} == model.rows
        assert set(state.pending_deliveries().filter(external_id=who)["key"]) == model.pending()
        moved = state.transitions("user", who)
        assert {(row["at"][:19], row["name"]) for row in moved.iter_rows(named=True)} == model.moved()


class Model:
    """What is seen, said slowly: a run that is not recorded does nothing; one that replaces withdraws the untried."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, int]] = {}
        self.told: dict[datetime, set[str]] = {}

    def record(self, at: datetime, letters: set[str]) -> None:
        keys = {f"{at} {letter}" for letter in letters}
        for key, (_, attempts) in list(self.rows.items()):
            if key.startswith(f"{at} ") and attempts == 0 and key not in keys:
                del self.rows[key]
        for key in keys:
            self.rows.setdefault(key, ("pending", 0))
        self.told[at] = letters

    def attempt(self, ended: dict[str, str]) -> None:
        for key, status in ended.items():
            self.rows[key] = (status, self.rows[key][1] + 1)

    def pending(self) -> set[str]:
        return {key for key, (status, _) in self.rows.items() if status == "pending"}

    def moved(self) -> set[tuple[str, str]]:
        return {(at.isoformat()[:19], letter) for at, letters in self.told.items() for letter in letters}
