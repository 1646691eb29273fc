"""The outbox: what the firing or the end of a signal asks for, one row per action and target, until it is settled.

A run tells its deliveries before it is recorded, and they count from the instant it is. A run that replaces it takes
over what both tell, and withdraws what only the first told and nobody tried. A row that was tried is never dropped: its
receiver may know it. Calls nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.state import instants
from engage_sync.state.bulk import Arrow, Schema, literal
from engage_sync.state.database import Database, Transaction

SCHEMA: Schema = {
    "key": pl.String,
    "run": pl.Int64,
    "at": pl.String,
    "signal": pl.String,
    "entity": pl.String,
    "external_id": pl.String,
    "episode": pl.String,
    "phase": pl.String,
    "number": pl.Int64,
    "action": pl.String,
    "connector": pl.String,
    "payload": pl.String,
    "status": pl.String,
    "attempts": pl.Int64,
    "message": pl.String,
    "result": pl.String,
    "last_at": pl.String,
}
SETTLED: Schema = {"key": pl.String, "status": pl.String, "message": pl.String, "result": pl.String}
PENDING = "pending"
_COLUMNS = ", ".join(f"d.{name}" for name in SCHEMA)
_COUNTED = "FROM engage_delivery d WHERE EXISTS (SELECT 1 FROM engage_run r WHERE r.id = d.run AND r.recorded)"
_UNTRIED = f"status = '{PENDING}' AND attempts = 0"


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to give; None: any. `limit` is a number of rows."""

    run: int | None = None
    entity: str | None = None
    external_id: str | None = None
    limit: int | None = None


def replace(arrow: Arrow, run: int, since: int, as_of: str, deliveries: pl.DataFrame) -> None:
    """Tell the deliveries of a run. Those of runs after `since` that were never recorded are forgotten; a key that a
    recorded one told stays with it until this run is recorded (`stands`)."""
    later = f"run > {since}"
    arrow.run(f"UPDATE engage_delivery SET confirmed = NULL WHERE {later} AND confirmed IS NOT NULL")
    arrow.run(
        f"DELETE FROM engage_delivery WHERE {later} AND {_UNTRIED}"
        f" AND run IN (SELECT id FROM engage_run WHERE id = {run} OR NOT recorded)"
    )
    if deliveries.is_empty():
        return
    arrow.stage("told", _rows(deliveries, run, as_of))
    columns = ", ".join(SCHEMA)
    arrow.run(
        f"INSERT INTO engage_delivery ({columns}) SELECT {columns} FROM told WHERE TRUE"
        " ON CONFLICT (key) DO UPDATE SET confirmed = excluded.run"
        f" WHERE engage_delivery.run > {since} AND engage_delivery.run <> excluded.run"
    )
    arrow.grown("engage_delivery", deliveries.height)


def _rows(deliveries: pl.DataFrame, run: int, as_of: str) -> pl.DataFrame:
    """Complete the rows: what no column gives is as it is before the first attempt."""
    start = {
        "at": pl.lit(as_of),
        "status": pl.lit(PENDING),
        "attempts": pl.lit(0),
        **dict.fromkeys(("message", "result", "last_at"), pl.lit(None)),
    }
    rows = deliveries.with_columns(
        pl.lit(run).alias("run"),
        *(value.alias(name) for name, value in start.items() if name not in deliveries.columns),
    )
    rows = rows.with_columns(instants.written(rows[name]) for name in ("at", "episode", "last_at"))
    rows = rows.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    return rows.unique("key", keep="first", maintain_order=True).sort("key")


def stands(transaction: Transaction, run: int, as_of: str) -> None:
    """Follow that a run is recorded: it takes over what it confirmed of the runs it replaces; the rest of theirs that
    nobody tried is withdrawn."""
    transaction.run(
        "UPDATE engage_delivery SET run = ?, confirmed = NULL WHERE confirmed = ?"
        " AND run IN (SELECT id FROM engage_run WHERE as_of >= ? AND recorded AND id <> ?)",
        run,
        run,
        as_of,
        run,
    )
    transaction.run(
        f"DELETE FROM engage_delivery WHERE {_UNTRIED}"
        " AND run IN (SELECT id FROM engage_run WHERE as_of >= ? AND replaced_by IS NOT NULL)",
        as_of,
    )


def pending_deliveries(database: Database) -> pl.DataFrame:
    """Give what is still to be delivered, in the order to deliver it: the oldest first, `on` before `off`."""
    with database.arrow() as arrow:
        frame = arrow.read(f"SELECT {_COLUMNS} {_COUNTED} AND d.status = '{PENDING}'", SCHEMA)
    return frame.sort("at", "phase", "number", "key", descending=[False, True, False, False])


def deliveries(database: Database, wanted: DeliveryFilter) -> pl.DataFrame:
    """Give the deliveries of recorded runs, newest first; a limit cuts within a run by key, which an index serves."""
    texts = {"entity": wanted.entity, "external_id": wanted.external_id}
    conditions = [f" AND d.{name} = {literal(value)}" for name, value in texts.items() if value is not None]
    if wanted.run is not None:
        conditions.append(f" AND d.run = {wanted.run}")
    limit = "" if wanted.limit is None else f" LIMIT {wanted.limit}"
    with database.arrow() as arrow:
        frame = arrow.read(
            f"SELECT {_COLUMNS} {_COUNTED}{''.join(conditions)} ORDER BY d.run DESC, d.key{limit}", SCHEMA
        )
    return frame.sort(
        "run", "signal", "entity", "external_id", "phase", "number", "key", descending=[True] + [False] * 6
    )


def delivery_counts(database: Database) -> dict[str, int]:
    """Give the number of deliveries of recorded runs by status."""
    with database.reading() as transaction:
        rows = transaction.all(f"SELECT d.status, count(*) {_COUNTED} GROUP BY d.status ORDER BY d.status")
    return {str(status): int(count or 0) for status, count in rows}


def note_attempts(database: Database, keys: Iterable[str], at: datetime) -> None:
    """Note that an attempt is about to be made; it outlives a power cut, so that no attempt is ever unknown."""
    rows = [(instants.to_text(at), key) for key in keys]
    if not rows:
        return
    with database.writing(durable=True) as transaction:
        transaction.many("UPDATE engage_delivery SET attempts = attempts + 1, last_at = ? WHERE key = ?", rows)


def settle_deliveries(database: Database, rows: pl.DataFrame) -> None:
    """Note how attempts ended (key, status, message, result); status `pending` leaves a row for another attempt."""
    if rows.is_empty():
        return
    ended = rows.select(pl.col(name).cast(dtype) for name, dtype in SETTLED.items())
    with database.writing() as transaction:
        transaction.many(
            "UPDATE engage_delivery SET status = ?, message = ?, result = ? WHERE key = ?",
            ended.select("status", "message", "result", "key").rows(),
        )


def open_deliveries(database: Database, limit: int) -> pl.DataFrame:
    """Give so many deliveries that wait, failed or expired, of recorded runs, newest first."""
    query = (
        f"SELECT {_COLUMNS} {_COUNTED} AND d.status IN ('{PENDING}', 'failed', 'expired') ORDER BY d.run DESC, d.key"
    )
    with database.arrow() as arrow:
        return arrow.read(f"{query} LIMIT {limit}", SCHEMA)


def owed_episodes(database: Database) -> pl.DataFrame:
    """Give, of recorded runs, all deliveries of the firings of which a CRM is still owed one: also what is settled."""
    same = " AND ".join(f"p.{name} = d.{name}" for name in ("entity", "external_id", "signal", "episode"))
    owed = f"SELECT 1 FROM engage_delivery p WHERE {same} AND p.status = '{PENDING}' AND p.connector IS NOT NULL"
    with database.arrow() as arrow:
        return arrow.read(f"SELECT {_COLUMNS} {_COUNTED} AND EXISTS ({owed})", SCHEMA)


def attempted_firings(database: Database, as_of: datetime) -> pl.DataFrame:
    """Give signal, entity, external_id of what fired at an instant and was tried, also in runs replaced since; and of
    what fired later than that, in runs that stand: the one at this instant is about to be recorded instead of them."""
    at = literal(instants.to_text(as_of))
    stands = f"recorded AND (as_of = {at} OR as_of > {at} AND replaced_by IS NULL)"
    with database.arrow() as arrow:
        return arrow.read(
            "SELECT DISTINCT signal, entity, external_id FROM engage_delivery WHERE phase = 'on' AND attempts > 0"
            f" AND run IN (SELECT id FROM engage_run WHERE {stands})",
            {"signal": pl.String, "entity": pl.String, "external_id": pl.String},
        )
