"""The records that the CRM refused or did not answer for: what was wanted of them, how often it was tried, and until
when a refused one is left alone. Kept with the outcomes that say so, dropped when nothing is to be done any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import polars as pl
from pydantic_core import to_json

from engage_sync.core.waiting import next_pause
from engage_sync.state import instants, objects
from engage_sync.state.bulk import Schema, literal
from engage_sync.state.database import Database, Transaction
from engage_sync.state.outcome import REFUSED, OutcomeRow

_SCHEMA: Schema = {
    "connector": pl.String,
    "object": pl.String,
    "record": pl.String,
    "external_id": pl.String,
    "status": pl.String,
    "code": pl.String,
    "message": pl.String,
    "request": pl.String,
    "run": pl.Int64,
    "attempts": pl.Int64,
    "first_at": pl.String,
    "last_at": pl.String,
    "wanted": pl.String,
    "next_at": pl.String,
}
_WAITING: Schema = {
    "record": pl.String,
    "field": pl.String,
    "value": pl.String,
    "message": pl.String,
    "described": pl.String,
}
_ASKED_AT_ONCE = 500


def note(transaction: Transaction, run: int, object_id: int, outcomes: Sequence[OutcomeRow]) -> None:
    """Keep refused and failed outcomes: another attempt of what failed before, else the first."""
    if not outcomes:
        return
    refused = [outcome.record for outcome in outcomes if outcome.status == REFUSED and outcome.sent]
    paused, first = dict(_pauses(transaction, run, object_id, refused)), next_pause(None)
    transaction.many(
        "INSERT INTO engage_failure (object_id, record, status, code, message, request, run, attempts, first_at,"
        " last_at, wanted, described, next_at) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?)"
        " ON CONFLICT (object_id, record) DO UPDATE SET"
        " status = excluded.status, code = excluded.code, message = excluded.message, request = excluded.request,"
        " run = excluded.run, attempts = engage_failure.attempts"
        " + CASE WHEN engage_failure.run = excluded.run THEN 0 ELSE 1 END, last_at = excluded.last_at,"
        " wanted = excluded.wanted, described = excluded.described, next_at = excluded.next_at",
        [
            (
                object_id,
                outcome.record,
                str(outcome.status),
                outcome.code,
                outcome.message,
                outcome.request,
                run,
                instants.to_text(outcome.at),
                instants.to_text(outcome.at),
                to_json(outcome.after).decode(),
                outcome.described,
                _next_at(outcome, paused.get(outcome.record, first)),
            )
            for outcome in outcomes
        ],
    )


def _next_at(outcome: OutcomeRow, pause: timedelta) -> str | None:
    """Give before when a refused record is left alone; None for what the next run tries, or no pause mends."""
    if outcome.status != REFUSED or not outcome.sent:
        return None
    return instants.to_text(outcome.at + pause)


def _pauses(
    transaction: Transaction, run: int, object_id: int, records: Sequence[str]
) -> Iterator[tuple[str, timedelta]]:
    """Give how long records are left alone now, of those that were before. An id is freed and given in one run by two
    attempts at one record (`sync/push.py`): they are one refusal."""
    for start in range(0, len(records), _ASKED_AT_ONCE):
        some = records[start : start + _ASKED_AT_ONCE]
        rows = transaction.all(
            "SELECT record, run, last_at, next_at FROM engage_failure WHERE object_id = ? AND next_at IS NOT NULL"
            f" AND record IN ({', '.join('?' * len(some))})",
            object_id,
            *some,
        )
        for record, of, last_at, next_at in rows:
            pause = instants.from_text(str(next_at)) - instants.from_text(str(last_at))
            yield str(record), pause if of == run else next_pause(pause)


def settle(transaction: Transaction, object_id: int, records: Sequence[str]) -> None:
    """Drop the failures of records that were written, are gone, or need no change any more."""
    if records and transaction.first("SELECT 1 FROM engage_failure WHERE object_id = ? LIMIT 1", object_id):
        transaction.many(
            "DELETE FROM engage_failure WHERE object_id = ? AND record = ?", [(object_id, record) for record in records]
        )


def settled(database: Database, connector: str, object_name: str, records: Sequence[str]) -> None:
    """Drop the failures of records in a transaction of its own."""
    if not records:
        return
    with database.writing() as transaction:
        settle(transaction, objects.standing(transaction, connector, object_name).id, records)


def failures(database: Database, connector: str | None = None, object_name: str | None = None) -> pl.DataFrame:
    """Give the records that are still refused or failing, of one connector or all, of one object or all, the newest
    first. `wanted` is a JSON object, or null."""
    places = (("o.connector", connector), ("o.object", object_name))
    wanted = [f"{column} = {literal(value)}" for column, value in places if value is not None]
    names = ", ".join(f"f.{name}" for name in _SCHEMA if name not in {"connector", "object", "external_id"})
    with database.arrow() as arrow:
        frame = arrow.read(
            f"SELECT o.connector, o.object, {names.replace('f.record', 'f.record, l.external_id')}"
            " FROM engage_failure f JOIN engage_object o ON o.id = f.object_id"
            " LEFT JOIN engage_link l ON l.object_id = f.object_id AND l.record = f.record"
            f"{' WHERE ' * bool(wanted)}{' AND '.join(wanted)}",
            _SCHEMA,
        )
    at = (instants.column_from_text(name) for name in ("first_at", "last_at", "next_at"))
    return frame.with_columns(*at).sort(
        "last_at", "connector", "object", "record", descending=[True, False, False, False]
    )


def waiting(database: Database, connector: str, object_name: str, now: datetime) -> pl.DataFrame:
    """Give, field by field, the last attempts at the records that the CRM refused and that are left alone at `now`:
    record, field, value, message, described. An attempt that is still to come was told by a clock that was put back."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_WAITING)
    at = literal(instants.to_text(now))
    with database.arrow() as arrow:
        return arrow.read(
            "SELECT f.record, e.key AS field, CAST(e.value AS TEXT) AS value,"
            " coalesce(f.message, f.code, 'refused by the CRM') AS message, f.described"
            f" FROM engage_failure f JOIN {database.backend.each('f.wanted')} ON TRUE"
            f" WHERE f.object_id = {object_id} AND f.next_at > {at} AND f.last_at <= {at}",
            _WAITING,
        )
