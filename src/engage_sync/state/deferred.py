"""Since which run a record waits that there was no quota for: none is to wait for ever behind those that matter more.
Says nothing of what is to be written: that is planned anew by every run.
"""

from __future__ import annotations

import polars as pl

from engage_sync.state import objects
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database

_SCHEMA: Schema = {"record": pl.String, "since_run": pl.Int64}


def deferred(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give record and since_run of the records of an object that wait for quota."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_SCHEMA)
    with database.arrow() as arrow:
        return arrow.read(f"SELECT record, since_run FROM engage_deferred WHERE object_id = {object_id}", _SCHEMA)


def change_deferred(
    database: Database, connector: str, object_name: str, begun: pl.Series, ended: pl.Series, run: int
) -> None:
    """Note that some records wait since `run`, unless they did before, and that others do no more."""
    if begun.is_empty() and ended.is_empty():
        return
    object_id = objects.number(database, connector, object_name)
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        if not ended.is_empty():
            arrow.stage("ended", ended.to_frame("record"))
            arrow.run(
                f"DELETE FROM engage_deferred WHERE object_id = {object_id} AND record IN (SELECT record FROM ended)"
            )
        if not begun.is_empty():
            arrow.stage("begun", begun.sort().to_frame("record"))
            arrow.run(
                "INSERT INTO engage_deferred (object_id, record, since_run)"
                f" SELECT {object_id}, record, {run} FROM begun WHERE TRUE ON CONFLICT (object_id, record) DO NOTHING"
            )
            arrow.grown("engage_deferred", begun.len())
