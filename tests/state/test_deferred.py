"""Since which run records wait for quota, on both databases."""

from __future__ import annotations

import polars as pl

from engage_sync.state.store import State


def change(state: State, run: int, begun: str = "", ended: str = "") -> None:
    more, less = (pl.Series(text.split(), dtype=pl.String) for text in (begun, ended))
    state.change_deferred("crm", "contacts", more, less, run)


def waiting(state: State) -> dict[str, int]:
    return dict(state.deferred("crm", "contacts").rows())


def test_records_wait_since_the_first_run_that_deferred_them(state: State, run: int) -> None:
    assert waiting(state) == {}
    change(state, run, begun="1 it's")
    change(state, run + 1, begun="1 2")
    assert waiting(state) == {"1": run, "it's": run, "2": run + 1}
    change(state, run + 2, begun="3", ended="1 it's 9")
    assert waiting(state) == {"2": run + 1, "3": run + 2}
    change(state, run + 3)
    assert state.deferred("crm", "companies").is_empty()
