"""What a run is about to write, and what stands there, noted before it is sent: a process that dies between the CRM's
answer and recording it, or an answer that never comes, leaves values in the CRM that would else pass for somebody
else's for ever, and that no rollback would find.

One row per record and run. Never says that anything was written; whether the CRM holds a value is found by looking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

import polars as pl
from pydantic_core import to_json

from engage_sync.state import instants, objects
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database, Transaction

_INTENTS: Schema = {
    "record": pl.String,
    "field": pl.String,
    "value": pl.String,
    "before": pl.String,
    "run": pl.Int64,
    "until": pl.String,
}
AT_ONCE = 5_000
"""Records whose values go to the database as one text, which it takes apart: faster than a statement for each."""
Values = Mapping[str, str | None]
KEPT = 5
"""Runs whose values are kept of one record when run after run ends without an answer."""


def intend(
    database: Database,
    connector: str,
    object_name: str,
    values: Mapping[str, Values],
    run: int,
    *,
    before: Mapping[str, Values],
    at: datetime,
) -> None:
    """Note the values (record → field → text) that are about to be written. Outlives a power cut."""
    if not values:
        return
    backend = database.backend
    each = "json_each(?)" if backend.dialect == "sqlite" else "jsonb_each(CAST(? AS jsonb))"
    new, old = ("value -> 'n'", "value -> 'o'")
    together = {record: {"n": after, "o": before.get(record, {})} for record, after in values.items()}
    with database.writing(durable=True) as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        records = iter(together.items())
        while some := dict(islice(records, AT_ONCE)):
            transaction.run(
                "INSERT INTO engage_intent (object_id, record, run, properties, before, at)"
                f" SELECT ?, key, ?, {new}, {old}, ? FROM {each} WHERE TRUE"
                " ON CONFLICT (object_id, record, run) DO UPDATE SET properties = excluded.properties,"
                " before = excluded.before, at = excluded.at",
                object_id,
                run,
                instants.to_text(at),
                to_json(some).decode(),
            )
        _thin(transaction, object_id, run)


def _thin(transaction: Transaction, object_id: int, run: int) -> None:
    """Keep of a record what its newest runs meant, and the same values once: a CRM that stays away for days does not
    fill the table. Nothing is there of earlier runs nearly always."""
    if (
        transaction.first("SELECT 1 FROM engage_intent WHERE object_id = ? AND run <> ? LIMIT 1", object_id, run)
        is None
    ):
        return
    same = "n.object_id = engage_intent.object_id AND n.record = engage_intent.record AND n.run > engage_intent.run"
    transaction.run(
        "DELETE FROM engage_intent WHERE object_id = ? AND EXISTS (SELECT 1 FROM engage_intent n"
        f" WHERE {same} AND n.run = ? AND n.properties = engage_intent.properties"
        " AND n.before = engage_intent.before)",
        object_id,
        run,
    )
    transaction.run(
        "DELETE FROM engage_intent WHERE object_id = ?"
        f" AND (SELECT count(*) FROM engage_intent n WHERE {same}) >= {KEPT}",
        object_id,
    )


def settle_intents(
    database: Database, connector: str, object_name: str, run: int, *, unanswered: Sequence[str], before: datetime
) -> None:
    """Drop what a run meant to write, and what runs before it meant for the same records, except for the records that
    the CRM gave no answer for; and what runs meant that began before an instant."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return
    with database.writing() as transaction:
        mine = transaction.all("SELECT record FROM engage_intent WHERE object_id = ? AND run = ?", object_id, run)
        kept = set(unanswered)
        others = transaction.first(
            "SELECT 1 FROM engage_intent WHERE object_id = ? AND run <> ? LIMIT 1", object_id, run
        )
        if kept or others is not None:
            answered = [(object_id, str(row[0])) for row in mine if row[0] not in kept]
            transaction.many("DELETE FROM engage_intent WHERE object_id = ? AND record = ?", answered)
        else:
            transaction.run("DELETE FROM engage_intent WHERE object_id = ? AND run = ?", object_id, run)
        transaction.run(
            "DELETE FROM engage_intent WHERE object_id = ? AND run IN (SELECT id FROM engage_run WHERE started_at < ?)",
            object_id,
            instants.to_text(before),
        )


def drop_intents(database: Database, connector: str, object_name: str, rows: pl.DataFrame) -> None:
    """Drop what runs meant to write to records (record, run)."""
    if rows.is_empty():
        return
    with database.writing() as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        places = [(object_id, record, run) for record, run in rows.select("record", "run").unique().iter_rows()]
        transaction.many("DELETE FROM engage_intent WHERE object_id = ? AND record = ? AND run = ?", places)


def intents(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give record, field, value, before, run and `until` (an instant) of what runs without an answer meant to write,
    the newest first. By `until` nothing of it could be on its way any more: the run was over, or, of one whose process
    died, it gave the last sign of life."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_INTENTS).with_columns(instants.column_from_text("until"))
    with database.reading() as transaction:
        held = transaction.all(
            "SELECT record, run, CAST(properties AS TEXT), CAST(before AS TEXT), at FROM engage_intent"
            " WHERE object_id = ? ORDER BY run DESC, record",
            object_id,
        )
        over = {int(row[1] or 0): "" for row in held}
        for run in over:
            ended = transaction.first("SELECT finished_at FROM engage_run WHERE id = ?", run)
            sign = transaction.first("SELECT max(at) FROM engage_journal WHERE run = ?", run)
            over[run] = str((ended and ended[0]) or (sign and sign[0]) or "")
    rows = [
        (str(record), name, text, stood.get(name), int(run or 0), max(over[int(run or 0)], str(at)))
        for record, run, properties, before, at in held
        for stood in (json.loads(str(before)),)
        for name, text in json.loads(str(properties)).items()
    ]
    return pl.DataFrame(rows, schema=_INTENTS, orient="row").with_columns(instants.column_from_text("until"))
