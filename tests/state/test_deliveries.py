from __future__ import annotations

from datetime import timedelta

import polars as pl

from engage_sync.state.store import State

from .conftest import NOW, Place
from .outbox import changes, told


def tell(state: State, *frames: pl.DataFrame, days: int = 0) -> int:
    before = state.previous(NOW + timedelta(days=days))
    run = state.start_run("sync", NOW + timedelta(days=days), NOW)
    since = None if before is None else before.id
    state.save_history(run, since=since, transitions=changes(), deliveries=pl.concat(frames))
    state.mark_recorded(run)
    return run


def ended(key: str, status: str, message: str | None = None, result: str | None = None) -> pl.DataFrame:
    schema = dict.fromkeys(("key", "status", "message", "result"), pl.String)
    return pl.DataFrame([(key, status, message, result)], schema=schema, orient="row")


def test_nothing_to_deliver(state: State) -> None:
    assert state.pending_deliveries().columns == state.deliveries().columns
    assert state.pending_deliveries().is_empty()
    assert state.delivery_counts() == {}
    state.note_attempts([], NOW)
    state.settle_deliveries(ended("unknown", "delivered"))
    assert state.deliveries().is_empty()


def test_a_delivery_starts_as_pending(state: State) -> None:
    run = tell(state, told("k'1", connector=None, number=2))
    assert state.pending_deliveries().to_dicts() == [
        {
            "key": "k'1",
            "run": run,
            "at": "2026-06-01T12:30:00.000000Z",
            "signal": "quiet",
            "entity": "user",
            "external_id": "u1",
            "episode": "2026-06-01T12:30:00.000000Z",
            "phase": "on",
            "number": 2,
            "action": "task",
            "connector": None,
            "payload": '{"subject": "ä"}',
            "status": "pending",
            "attempts": 0,
            "message": None,
            "result": None,
            "last_at": None,
        }
    ]


def test_a_delivery_may_be_told_as_settled(state: State) -> None:
    tell(state, told("k").with_columns(status=pl.lit("skipped"), message=pl.lit("the CRM has no tasks")))
    assert state.pending_deliveries().is_empty()
    assert state.deliveries()["message"].to_list() == ["the CRM has no tasks"]


def test_the_oldest_go_first_and_on_before_off(state: State) -> None:
    tell(state, told("e", number=1), told("d", number=0), told("c", number=0), told("x", phase="off"))
    tell(state, told("a"), days=1)
    assert state.pending_deliveries()["key"].to_list() == ["c", "d", "e", "x", "a"]


def test_attempts_are_seen_by_others_before_the_call(place: Place, state: State) -> None:
    tell(state, told("a", "b"))
    state.note_attempts(["a"], NOW + timedelta(minutes=1))
    state.note_attempts(iter(["a", "b"]), NOW + timedelta(minutes=2))
    with place.open() as other:
        rows = other.pending_deliveries().select("key", "attempts", "last_at").rows()
    assert rows == [("a", 2, "2026-06-01T12:32:00.000000Z"), ("b", 1, "2026-06-01T12:32:00.000000Z")]


def test_settling(state: State) -> None:
    tell(state, told("a", "b", "c", "d"))
    state.settle_deliveries(pl.concat([ended("a", "delivered", None, "task 7"), ended("b", "failed", "no such owner")]))
    state.settle_deliveries(ended("c", "pending", "the CRM was busy"))
    assert state.deliveries().sort("key").select("key", "status", "message", "result").rows() == [
        ("a", "delivered", None, "task 7"),
        ("b", "failed", "no such owner", None),
        ("c", "pending", "the CRM was busy", None),
        ("d", "pending", None, None),
    ]
    assert state.pending_deliveries()["key"].to_list() == ["c", "d"]
    assert state.delivery_counts() == {"delivered": 1, "failed": 1, "pending": 2}


def test_views_choose(state: State) -> None:
    first = tell(state, told("a"), told("b", external_id="u2'"))
    second = tell(state, told("c"), days=1)

    def keys(**wanted: str | int) -> list[str]:
        return state.deliveries(**wanted)["key"].to_list()  # type: ignore[arg-type]  # one of each kind below

    assert keys() == ["c", "a", "b"]
    assert keys(limit=2) == ["c", "a"]
    assert keys(run=first) == ["a", "b"]
    assert keys(run=second, external_id="u2'") == []
    assert keys(entity="user", external_id="u2'") == ["b"]
    assert keys(entity="account") == []


def test_all_of_a_firing_of_which_a_crm_is_owed_something(state: State) -> None:
    """The settled ones and the webhooks of that firing, too; nothing of another firing, or of another user."""
    other = "2026-06-02T12:30:00.000000Z"
    tell(state, told("on"), told("off", phase="off"), told("hook", connector=None))
    tell(state, told("later", episode=other), told("only", external_id="u2", connector=None), days=1)
    state.settle_deliveries(pl.concat([ended("on", "delivered"), ended("later", "delivered")]))
    assert sorted(state.owed_episodes()["key"]) == ["hook", "off", "on"]


def test_what_a_forgotten_run_told_is_withdrawn_unless_it_was_tried(state: State) -> None:
    past = tell(state, told("a"), days=-1)
    tell(state, told("b", "both", "tried"), days=2)
    state.note_attempts(["tried"], NOW)
    now = state.start_run("approve", NOW, NOW)
    state.save_history(now, since=past, transitions=changes(), deliveries=told("both", "c"))
    assert state.pending_deliveries()["key"].to_list() == ["a", "b", "both", "tried"]
    state.mark_recorded(now, forgetting=True)
    assert sorted(state.pending_deliveries()["key"]) == ["a", "both", "c", "tried"]
    assert state.deliveries(run=now)["key"].to_list() == ["both", "c"]


def test_what_fired_and_was_tried_at_an_instant(state: State) -> None:
    """Also in a run that was replaced; an end is no firing."""
    tell(state, told("a", "untried"), told("b", external_id="u2", phase="off"), told("c", external_id="u3"))
    state.note_attempts(["a", "b"], NOW)
    tell(state, told("d", external_id="u4"))
    assert state.attempted_firings(NOW).rows() == [("quiet", "user", "u1")]
    assert state.attempted_firings(NOW + timedelta(days=1)).is_empty()
