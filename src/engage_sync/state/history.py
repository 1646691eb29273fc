"""Keep what a run found changed, transitions and deliveries together: all of it or nothing. Reads nothing back."""

from __future__ import annotations

import polars as pl

from engage_sync.errors import Mistake
from engage_sync.state import deliveries, transitions
from engage_sync.state.bulk import Arrow
from engage_sync.state.database import Database


def save_history(database: Database, run: int, *, since: int | None, changes: pl.DataFrame, told: pl.DataFrame) -> None:
    """Make `changes` and `told` the history of a run that follows run `since` (None: it is the first).

    Raises Mistake for an unknown run, and behind a run that was recorded later. Repeating it replaces it.
    """
    after = 0 if since is None else since
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_run SET id = id WHERE id = {run}")
        as_of = _as_of(arrow, run)
        transitions.replace(arrow, run, after, as_of, changes)
        deliveries.replace(arrow, run, after, as_of, told)


def _as_of(arrow: Arrow, run: int) -> str:
    found = arrow.read(f"SELECT as_of FROM engage_run WHERE id = {run}", {"as_of": pl.String})
    if found.is_empty():
        raise Mistake(f"there is no run {run}")
    later = arrow.read(f"SELECT id FROM engage_run WHERE recorded AND id > {run} LIMIT 1", {"id": pl.Int64})
    if not later.is_empty():
        raise Mistake(f"run {run} cannot save its history: run {later.item()} was recorded later")
    return str(found.item())
