"""What somebody else set: kept from the first run that saw it until it is gone, another value being another drift."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from engage_sync.core.ownership import KNOWN
from engage_sync.state.store import State

from .conftest import NOW

HERE = ("crm", "contacts")
THERE = ("crm", "companies")


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    given = [{"value": "z", "seen_at": NOW, **row} for row in rows]
    return pl.DataFrame([{name: row.get(name) for name in KNOWN} for row in given], schema=KNOWN, orient="row")


NOTHING = frame()
ANN = {"author": "Ann Lee", "changed_at": NOW - timedelta(days=1, microseconds=1), "human": True}


def held(state: State, where: tuple[str, str] = HERE) -> list[dict[str, Any]]:
    return state.drifts(*where).sort("record", "field").to_dicts()


def test_kept_as_given_replaced_and_dropped(state: State, run: int) -> None:
    assert held(state) == []
    first = frame({"record": "1", "field": "a", **ANN}, {"record": "1", "field": "b", "author": "", "human": False})
    state.change_drifts(*HERE, first, NOTHING, run)
    state.change_drifts(*THERE, frame({"record": "1", "field": "a"}), NOTHING, run)
    assert held(state) == first.to_dicts()
    other = frame({"record": "1", "field": "a", "value": "q", "seen_at": NOW + timedelta(days=2)})
    state.change_drifts(*HERE, other, first.filter(pl.col("field") == "b"), run)
    assert held(state) == other.to_dicts()
    state.change_drifts(*HERE, NOTHING, first, run)
    assert (held(state), len(held(state, THERE))) == ([], 1)


def test_list_of_a_run(state: State, run: int) -> None:
    assert state.run_drift(run) is None
    rows = frame({"record": "1", "field": "a", **ANN})
    for one in (NOTHING, rows, rows.head(1)):
        state.keep_run_drift(run, one)
    kept = state.run_drift(run)
    assert kept is not None
    assert kept.equals(rows)
    assert state.run_drift(run + 1) is None
