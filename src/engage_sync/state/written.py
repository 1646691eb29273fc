"""What we last wrote to each record: the third side of the plan (architecture §5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from engage_sync.state import objects
from engage_sync.state.bulk import Schema, quoted
from engage_sync.state.database import Database


def written(database: Database, connector: str, object_name: str, fields: Sequence[str]) -> pl.DataFrame:
    """Give record, a String column `last.FIELD` for each field (null: never written, or empty), and `ever`, true."""
    wanted = {f"last.{name}": name for name in dict.fromkeys(fields)}
    schema: Schema = {"record": pl.String, **dict.fromkeys(wanted, pl.String)}
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema={**schema, "ever": pl.Boolean})
    columns = "".join(
        f", {database.backend.field('properties', name)} AS {quoted(column)}" for column, name in wanted.items()
    )
    with database.arrow() as arrow:
        frame = arrow.read(f"SELECT record{columns} FROM engage_written WHERE object_id = {object_id}", schema)
    return frame.with_columns(ever=pl.lit(value=True))


def remember(database: Database, connector: str, object_name: str, values: pl.DataFrame, run: int) -> None:
    """Lay values (record, values: JSON object of field → text or null) over what we last wrote."""
    if values.is_empty():
        return
    object_id = objects.number(database, connector, object_name)
    backend = database.backend
    staged = values.select("record", pl.col("values").alias("properties")).unique("record", keep="last").sort("record")
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        arrow.stage("remembered", staged)
        arrow.run(
            "INSERT INTO engage_written (object_id, record, properties, run)"
            f" SELECT {object_id}, record, properties{backend.as_document}, {run} FROM remembered WHERE TRUE"
            " ON CONFLICT (object_id, record) DO UPDATE SET"
            f" properties = {backend.merged('engage_written.properties', 'excluded.properties')}, run = excluded.run"
        )
        arrow.grown("engage_written", staged.height)


def forget(database: Database, connector: str, object_name: str, records: Iterable[str] | None) -> None:
    """Drop what we wrote to some records. None, like no record at all, drops nothing."""
    frame = pl.DataFrame({"record": list(() if records is None else records)}, schema={"record": pl.String})
    object_id = None if frame.is_empty() else objects.find(database, connector, object_name)
    if object_id is None:
        return
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        arrow.stage("forgotten", frame)
        arrow.run(
            f"DELETE FROM engage_written WHERE object_id = {object_id} AND record IN (SELECT record FROM forgotten)"
        )
