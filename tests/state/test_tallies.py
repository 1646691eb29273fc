from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from engage_sync.state.store import State


def test_totals_grow_by_their_labels(state: State) -> None:
    state.count([("calls", {"kind": "read", "outcome": "ok"}, 3), ("calls", {"kind": "write", "outcome": "ok"}, 1)])
    state.count([("calls", {"outcome": "ok", "kind": "read"}, 4), ("runs", {}, 1)])
    assert state.tallies("calls") == [({"kind": "read", "outcome": "ok"}, 7), ({"kind": "write", "outcome": "ok"}, 1)]
    assert state.tallies("runs") == [({}, 1)]
    assert state.tallies("others") == []


def test_what_adds_nothing_is_not_kept(state: State) -> None:
    state.count([])
    state.count([("calls", {"kind": "read"}, 0)])
    assert state.tallies("calls") == []


def test_labels_may_be_any_text_and_totals_large(state: State) -> None:
    labels = {"connector": 'hs "eu"\\ — 日本 %s ?', "": "x"}
    state.count([("calls", labels, 2**40)] * 2)
    assert state.tallies("calls") == [(labels, 2**41)]


def test_nothing_is_lost_between_threads(state: State) -> None:
    def add(number: int) -> None:
        state.count([("calls", {"kind": kind}, number) for kind in ("read", "write")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(1, 21)))
    assert {labels["kind"]: n for labels, n in state.tallies("calls")} == {"read": 210, "write": 210}
