from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from engage_sync.state.store import State

CHANGES = pl.DataFrame(
    {"record": ["1", "it's"], "before": [None, "😀"], "after": ["x", None], "calls": [1, 2], "list": [["a"], []]},
    schema_overrides={"before": pl.String, "list": pl.List(pl.String)},
)


def test_a_plan_is_kept_with_its_run(state: State, run: int) -> None:
    assert state.plan(run) is None
    state.save_plan(run, CHANGES)
    kept = state.plan(run)
    assert kept is not None
    assert_frame_equal(kept, CHANGES)


def test_a_second_plan_replaces_the_first(state: State, run: int) -> None:
    state.save_plan(run, CHANGES)
    state.save_plan(run, CHANGES.clear())
    kept = state.plan(run)
    assert kept is not None
    assert_frame_equal(kept, CHANGES.clear())


def test_a_large_plan_comes_back_in_order(state: State, run: int) -> None:
    large = pl.DataFrame({"record": pl.int_range(600_000, eager=True).cast(pl.String)})
    state.save_plan(run, large)
    kept = state.plan(run)
    assert kept is not None
    assert_frame_equal(kept, large)
