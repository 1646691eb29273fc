"""Which record shows which user or account."""

from __future__ import annotations

import polars as pl

from engage_sync.state import objects
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database

SCHEMA: Schema = {"record": pl.String, "external_id": pl.String, "level": pl.String, "since_run": pl.Int64}


def links(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give the links of an object: record, external_id, level, since_run."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=SCHEMA)
    with database.arrow() as arrow:
        return arrow.read(_query(object_id), SCHEMA)


def replace_links(database: Database, connector: str, object_name: str, wanted: pl.DataFrame, run: int) -> None:
    """Make the links exactly `wanted` (record, external_id, level). A pair that was there keeps its since_run."""
    object_id = objects.number(database, connector, object_name)
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        held = arrow.read(_query(object_id), SCHEMA)
        wanted = wanted.select("record", "external_id", "level")
        changed = wanted.join(held, on=["record", "external_id", "level"], how="anti").join(
            held.select("record", "external_id", "since_run"), on=["record", "external_id"], how="left"
        )
        dropped = held.join(wanted, on="record", how="anti").select("record")
        if not dropped.is_empty():
            arrow.stage("dropped", dropped)
            arrow.run(
                f"DELETE FROM engage_link WHERE object_id = {object_id} AND record IN (SELECT record FROM dropped)"
            )
        if not changed.is_empty():
            arrow.stage("changed", changed.with_columns(pl.col("since_run").fill_null(run)).sort("record"))
            arrow.run(
                "INSERT INTO engage_link (object_id, record, external_id, level, since_run)"
                f" SELECT {object_id}, record, external_id, level, since_run FROM changed WHERE TRUE"
                " ON CONFLICT (object_id, record) DO UPDATE SET external_id = excluded.external_id,"
                " level = excluded.level, since_run = excluded.since_run"
            )
            arrow.grown("engage_link", changed.height)


def _query(object_id: int) -> str:
    return f"SELECT record, external_id, level, since_run FROM engage_link WHERE object_id = {object_id}"
