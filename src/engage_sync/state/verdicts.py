"""Verdicts through time: one row per user or account and stretch of runs in which its document stayed the same.

A document that did not change costs nothing in a run, and any recorded run can be read again. A second run at one
`as_of` replaces the first in every answer that asks for an instant (`runs.replaced_by`); asked for by its own id, the
first still gives what it recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.errors import Mistake
from engage_sync.state import runs
from engage_sync.state.bulk import Arrow, Schema, literal
from engage_sync.state.database import Database

SCHEMA: Schema = {"external_id": pl.String, "document": pl.String}
CHANGED_SCHEMA: Schema = {"external_id": pl.String, "before": pl.String, "after": pl.String}
HISTORY_SCHEMA: Schema = {"valid_from": pl.Int64, "valid_to": pl.Int64, "document": pl.String}


def save_verdicts(database: Database, run: int, entity: str, verdicts: pl.DataFrame) -> None:
    """Make `verdicts` (external_id, document) the whole of what stands from this run on. Repeating it replaces it."""
    wanted = verdicts.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    of_entity = f"entity = {literal(entity)}"
    with database.arrow() as arrow:
        arrow.run("UPDATE engage_verdict_set SET total = total WHERE FALSE")
        _check_order(arrow, run, of_entity)
        held = arrow.read(
            f"SELECT external_id, document FROM engage_verdict WHERE {of_entity} AND valid_to IS NULL", SCHEMA
        )
        closed, opened = _difference(held, wanted)
        if not closed.is_empty():
            arrow.stage("closed", closed)
            arrow.run(
                f"UPDATE engage_verdict SET valid_to = {run} WHERE {of_entity} AND valid_to IS NULL"
                " AND external_id IN (SELECT external_id FROM closed)"
            )
        if not opened.is_empty():
            arrow.stage("opened", opened.sort("external_id"))
            arrow.run(
                "INSERT INTO engage_verdict (entity, external_id, valid_from, valid_to, document)"
                f" SELECT {literal(entity)}, external_id, {run}, NULL, document FROM opened"
            )
        arrow.run(
            "INSERT INTO engage_verdict_set (run, entity, total, changed)"
            f" VALUES ({run}, {literal(entity)}, {wanted.height}, {opened.height})"
            " ON CONFLICT (run, entity) DO UPDATE SET total = excluded.total, changed = excluded.changed"
        )
        arrow.grown("engage_verdict", opened.height)


def _difference(held: pl.DataFrame, wanted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the ids whose document ends, and the rows that begin. Documents are long: compared, never hashed."""
    both = wanted.join(held.rename({"document": "held"}), on="external_id", how="left")
    opened = both.filter(pl.col("document").ne_missing(pl.col("held")))
    missing = held.select("external_id").join(wanted, on="external_id", how="anti")
    ended = opened.filter(pl.col("held").is_not_null()).select("external_id")
    return pl.concat([missing, ended]), opened.select("external_id", "document")


def _check_order(arrow: Arrow, run: int, of_entity: str) -> None:
    """Take back what this run saved before; refuse to save behind a later run, which would bend its intervals."""
    newest = arrow.read(
        f"SELECT coalesce(max(run), 0) AS run FROM engage_verdict_set WHERE {of_entity}", {"run": pl.Int64}
    ).item()
    if newest > run:
        raise Mistake(f"run {run} cannot save verdicts: run {newest} saved later ones")
    if newest == run:
        arrow.run(f"DELETE FROM engage_verdict WHERE {of_entity} AND valid_from = {run}")
        arrow.run(f"UPDATE engage_verdict SET valid_to = NULL WHERE {of_entity} AND valid_to = {run}")


def verdicts(
    database: Database, entity: str, *, run: int | None = None, ids: Sequence[str] | None = None
) -> pl.DataFrame:
    """Give external_id and document as they stood with a run (None: the newest recorded), of some ids or of all."""
    if run is None:
        newest = runs.newest_recorded(database)
        if newest is None:
            return pl.DataFrame(schema=SCHEMA)
        run = newest.id
    query = (
        f"SELECT external_id, document FROM engage_verdict WHERE entity = {literal(entity)}"
        f" AND valid_from <= {run} AND (valid_to IS NULL OR valid_to > {run})"
    )
    with database.arrow() as arrow:
        if ids is not None:
            arrow.stage("wanted", pl.DataFrame({"external_id": list(ids)}, schema={"external_id": pl.String}))
            query += " AND external_id IN (SELECT external_id FROM wanted)"
        return arrow.read(query, SCHEMA)


def changed_verdicts(database: Database, entity: str, *, since: int, run: int) -> pl.DataFrame:
    """Give external_id, before and after (documents; null: none) where they differ between run `since` and run `run`.

    Whatever stands in only one of the two began or ended between them; a document that came back is no change. Raises
    Mistake when `since` is later than `run`.
    """
    if since > run:
        raise Mistake(f"run {since} is later than run {run}: nothing changed from one to the other")
    of_entity = f"FROM engage_verdict WHERE entity = {literal(entity)}"
    with database.arrow() as arrow:
        before = arrow.read(
            f"SELECT external_id, document {of_entity} AND valid_from <= {since}"
            f" AND valid_to > {since} AND valid_to <= {run}",
            SCHEMA,
        )
        after = arrow.read(
            f"SELECT external_id, document {of_entity} AND valid_from > {since} AND valid_from <= {run}"
            f" AND (valid_to IS NULL OR valid_to > {run})",
            SCHEMA,
        )
    both = before.rename({"document": "before"}).join(
        after.rename({"document": "after"}), on="external_id", how="full", coalesce=True
    )
    return both.filter(pl.col("before").ne_missing(pl.col("after"))).select(CHANGED_SCHEMA.keys())


def verdict_count(database: Database, entity: str, run: int) -> int:
    """Give the number of verdicts that stood with a run, without reading them."""
    with database.reading() as transaction:
        row = transaction.first(
            "SELECT total FROM engage_verdict_set WHERE entity = ? AND run <= ? ORDER BY run DESC LIMIT 1", entity, run
        )
    return 0 if row is None else int(row[0] or 0)


def history(database: Database, entity: str, external_id: str) -> pl.DataFrame:
    """Give every document of one user or account, oldest first: valid_from, valid_to (runs; null: still), document."""
    with database.arrow() as arrow:
        return arrow.read(
            "SELECT valid_from, valid_to, document FROM engage_verdict"
            f" WHERE entity = {literal(entity)} AND external_id = {literal(external_id)}",
            HISTORY_SCHEMA,
        ).sort("valid_from")
