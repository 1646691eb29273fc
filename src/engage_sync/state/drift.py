"""Which managed fields somebody else set, who and when, and what a finished run kept or overwrote of them.

A drift is one value in one field of one record: another value is another drift. It stands here from the first run that
saw it until it is gone.
"""

from __future__ import annotations

from io import BytesIO

import polars as pl

from engage_sync.state import instants, objects
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database

_SCHEMA: Schema = {
    "record": pl.String,
    "field": pl.String,
    "value": pl.String,
    "seen_at": pl.String,
    "author": pl.String,
    "changed_at": pl.String,
    "human": pl.Boolean,
    "asked_at": pl.String,
}
_NAMES = ", ".join(_SCHEMA)
_INSTANTS = ("seen_at", "changed_at", "asked_at")


def drifts(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give record, field, value, seen_at, author, changed_at, human, asked_at of an object; instants as instants."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        frame = pl.DataFrame(schema=_SCHEMA)
    else:
        with database.arrow() as arrow:
            frame = arrow.read(f"SELECT {_NAMES} FROM engage_drift WHERE object_id = {object_id}", _SCHEMA)
    return frame.with_columns(instants.column_from_text(name) for name in _INSTANTS)


def change_drifts(
    database: Database, connector: str, object_name: str, kept: pl.DataFrame, dropped: pl.DataFrame, run: int
) -> None:
    """Keep some drifts (as `drifts` gives them), and drop others (record, field). `run` stays the first that saw it."""
    if kept.is_empty() and dropped.is_empty():
        return
    object_id = objects.number(database, connector, object_name)
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        if not dropped.is_empty():
            arrow.stage("ended", dropped.select("record", "field"))
            arrow.run(
                f"DELETE FROM engage_drift WHERE object_id = {object_id} AND EXISTS (SELECT 1 FROM ended e"
                " WHERE e.record = engage_drift.record AND e.field = engage_drift.field)"
            )
        if not kept.is_empty():
            texts = [instants.column_to_text(name, kept.schema[name]) for name in _INSTANTS]
            arrow.stage("begun", kept.select(*_SCHEMA).with_columns(texts).sort("record", "field"))
            arrow.run(
                f"INSERT INTO engage_drift (object_id, run, {_NAMES}) SELECT {object_id}, {run}, {_NAMES} FROM begun"
                " WHERE TRUE ON CONFLICT (object_id, record, field) DO UPDATE SET run = CASE WHEN"
                " engage_drift.value = excluded.value THEN engage_drift.run ELSE excluded.run END,"
                + ", ".join(f" {name} = excluded.{name}" for name in list(_SCHEMA)[2:])
            )
            arrow.grown("engage_drift", kept.height)


def keep_list(database: Database, run: int, rows: pl.DataFrame) -> None:
    """Keep what a run met, as a frame, replacing what it had; nothing met is not kept."""
    with database.writing() as transaction:
        transaction.run("DELETE FROM engage_run_drift WHERE run = ?", run)
        if rows.height:
            packed = BytesIO()
            rows.write_ipc(packed, compression="zstd")
            transaction.run("INSERT INTO engage_run_drift (run, drift) VALUES (?, ?)", run, packed.getvalue())


def listed(database: Database, run: int) -> pl.DataFrame | None:
    """Give what a run met, as it was kept; None when it kept nothing."""
    with database.reading() as transaction:
        row = transaction.first("SELECT drift FROM engage_run_drift WHERE run = ?", run)
    return None if row is None or not isinstance(row[0], bytes) else pl.read_ipc(BytesIO(row[0]))
