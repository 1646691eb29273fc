"""The plan kept with its run, as compressed Arrow, in parts that either database takes as one value."""

from __future__ import annotations

from io import BytesIO

import polars as pl

from engage_sync.state.database import Database

PART_ROWS = 250_000


def save_plan(database: Database, run: int, changes: pl.DataFrame) -> None:
    """Keep the plan of a run, replacing the one it had."""
    with database.writing() as transaction:
        transaction.run("DELETE FROM engage_plan WHERE run = ?", run)
        for part, start in enumerate(range(0, max(changes.height, 1), PART_ROWS)):
            packed = BytesIO()
            changes.slice(start, PART_ROWS).write_ipc(packed, compression="zstd")
            transaction.run(
                "INSERT INTO engage_plan (run, part, changes) VALUES (?, ?, ?)", run, part, packed.getvalue()
            )


def plan(database: Database, run: int) -> pl.DataFrame | None:
    """Give the plan of a run as it was saved, None when it kept none."""
    with database.reading() as transaction:
        rows = transaction.all("SELECT changes FROM engage_plan WHERE run = ? ORDER BY part", run)
    parts = [pl.read_ipc(BytesIO(value)) for (value,) in rows if isinstance(value, bytes)]
    return pl.concat(parts) if parts else None
