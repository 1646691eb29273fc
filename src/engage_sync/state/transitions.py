"""What changed for a user or account with each run: one row per verdict that moved, with its reasons.

A run that was replaced, or died before it was recorded, has no part in a timeline; asked for by its own id, a replaced
run still tells what changed with it. Decides nothing about what a change is.
"""

from __future__ import annotations

import polars as pl

from engage_sync.state import instants
from engage_sync.state.bulk import Arrow, Schema, literal
from engage_sync.state.database import Database

SCHEMA: Schema = {
    "run": pl.Int64,
    "at": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "before": pl.String,
    "after": pl.String,
    "reasons": pl.String,
}
COUNTS: Schema = {
    "entity": pl.String,
    "kind": pl.String,
    "name": pl.String,
    "before": pl.String,
    "after": pl.String,
    "count": pl.Int64,
}
_GIVEN = ("entity", "external_id", "kind", "name", "before", "after", "reasons")


def replace(arrow: Arrow, run: int, since: int, as_of: str, transitions: pl.DataFrame) -> None:
    """Make `transitions` those of a run, and drop those of runs after `since` that were never recorded.

    A recorded run keeps its own: should this one die before it is recorded, that one still stands.
    """
    arrow.run(
        "DELETE FROM engage_transition WHERE run IN"
        f" (SELECT id FROM engage_run WHERE id = {run} OR (id > {since} AND NOT recorded))"
    )
    if transitions.is_empty():
        return
    at = instants.written(transitions["at"]) if "at" in transitions.columns else pl.lit(as_of).alias("at")
    rows = transitions.select(pl.col(_GIVEN).cast(pl.String), at)
    arrow.stage("changes", rows.sort("entity", "external_id", "kind", "name"))
    columns = ", ".join(rows.columns)
    arrow.run(f"INSERT INTO engage_transition (run, {columns}) SELECT {run}, {columns} FROM changes")
    arrow.grown("engage_transition", rows.height)


def transitions(database: Database, entity: str, external_id: str) -> pl.DataFrame:
    """Give the transitions of one user or account: run, at, kind, name, before, after, reasons; oldest first."""
    columns = ", ".join(f"t.{name}" for name in SCHEMA)
    with database.arrow() as arrow:
        return arrow.read(
            f"SELECT {columns} FROM engage_transition t JOIN engage_run r ON r.id = t.run"
            f" WHERE t.entity = {literal(entity)} AND t.external_id = {literal(external_id)}"
            " AND r.recorded AND r.replaced_by IS NULL",
            SCHEMA,
        ).sort("at", "kind", "name")


def transition_counts(database: Database, run: int) -> pl.DataFrame:
    """Give how many moved with a run, by entity, kind, name, before and after."""
    by = "entity, kind, name, before, after"
    with database.arrow() as arrow:
        return arrow.read(
            f"SELECT {by}, count(*) AS count FROM engage_transition WHERE run = {run} GROUP BY {by}", COUNTS
        ).sort("entity", "kind", "name", "before", "after")
