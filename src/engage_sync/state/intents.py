"""What a run is about to write, noted before it is sent: a process that dies between the CRM's answer and recording it,
or an answer that never comes, leaves values in the CRM that would else pass for somebody else's for ever.

Per record a JSON object of field → text, or texts, the newest first, where several runs died one after the other. Never
says that anything was written; whether the CRM holds a value is found by looking.
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

_INTENTS: Schema = {"record": pl.String, "field": pl.String, "value": pl.String}
AT_ONCE = 5_000
"""Records whose values go to the database as one text, which it takes apart: faster than a statement for each."""
Intent = str | Sequence[str] | None
Intents = Mapping[str, Intent]
KEPT = 5
"""Values of one field that are kept when run after run ends without an answer."""


def intend(
    database: Database, connector: str, object_name: str, values: Mapping[str, Mapping[str, str | None]], run: int
) -> None:
    """Note the values (record → field → text) that are about to be written. Outlives a power cut."""
    if not values:
        return
    together: dict[str, Intents] = dict(values)
    each = "json_each(?)" if database.backend.dialect == "sqlite" else "jsonb_each(CAST(? AS jsonb))"
    with database.writing(durable=True) as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        for record, before in _held(transaction, object_id):
            if (now := together.get(record)) is not None:
                together[record] = _both(now, before)
        records = iter(together.items())
        while some := dict(islice(records, AT_ONCE)):
            transaction.run(
                "INSERT INTO engage_intent (object_id, record, run, properties)"
                f" SELECT ?, key, ?, value FROM {each} WHERE TRUE"
                " ON CONFLICT (object_id, record) DO UPDATE SET properties = excluded.properties, run = excluded.run",
                object_id,
                run,
                to_json(some).decode(),
            )


def _held(transaction: Transaction, object_id: int) -> list[tuple[str, Intents]]:
    """Give what earlier runs meant to write and had no answer for; nothing nearly always."""
    rows = transaction.all("SELECT record, CAST(properties AS TEXT) FROM engage_intent WHERE object_id = ?", object_id)
    return [(str(record), json.loads(str(text))) for record, text in rows]


def _both(now: Intents, before: Intents) -> Intents:
    """Put what is meant now in front of what was meant before."""
    together = {name: [*_texts(now.get(name)), *_texts(before.get(name))] for name in [*now, *before]}
    return {name: list(dict.fromkeys(texts))[:KEPT] for name, texts in together.items()}


def _texts(kept: Intent) -> Sequence[str]:
    """Give the texts of one field. An emptied field is none: an empty field is nobody's."""
    return () if kept is None else (kept,) if isinstance(kept, str) else kept


def settle_intents(
    database: Database, connector: str, object_name: str, run: int, *, unanswered: Sequence[str], before: datetime
) -> None:
    """Drop what a run meant to write, except to the records that the CRM gave no answer for, and what runs meant that
    began before an instant: a pull has shown since then what became of it."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return
    with database.writing() as transaction:
        mine = "DELETE FROM engage_intent WHERE object_id = ? AND run = ?"
        kept = set(unanswered)
        if kept:
            rows = transaction.all("SELECT record FROM engage_intent WHERE object_id = ? AND run = ?", object_id, run)
            answered = [(object_id, run, str(row[0])) for row in rows if row[0] not in kept]
            transaction.many(f"{mine} AND record = ?", answered)
        else:
            transaction.run(mine, object_id, run)
        transaction.run(
            "DELETE FROM engage_intent WHERE object_id = ? AND run IN (SELECT id FROM engage_run WHERE started_at < ?)",
            object_id,
            instants.to_text(before),
        )


def intents(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give record, field, value of what runs without an answer meant to write: a row per value."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_INTENTS)
    with database.reading() as transaction:
        held = _held(transaction, object_id)
    rows = [(record, name, text) for record, fields in held for name, kept in fields.items() for text in _texts(kept)]
    return pl.DataFrame(rows, schema=_INTENTS, orient="row")
