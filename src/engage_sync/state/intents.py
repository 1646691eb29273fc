"""What a run is about to write, and what stands there, noted before it is sent: a process that dies between the CRM's
answer and recording it, or an answer that never comes, leaves values in the CRM that would else pass for somebody
else's for ever, and that no rollback would find.

One row per record and run. Never says that anything was written; whether the CRM holds a value is found by looking.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import islice

import polars as pl
from pydantic_core import to_json

from engage_sync.state import instants, objects
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database, Transaction
from engage_sync.state.outcome import marks, was_ours

_INTENTS: Schema = {
    "record": pl.String,
    "field": pl.String,
    "value": pl.String,
    "before": pl.String,
    "run": pl.Int64,
    "until": pl.String,
    "was_ours": pl.Boolean,
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
    theirs: Mapping[str, Collection[str]],
    at: datetime,
) -> None:
    """Note the values (record → field → text) that are about to be written. Outlives a power cut. `theirs` are the
    fields in which `before` is somebody else's; `at` is when nothing of it can be on its way any more, or now."""
    if not values:
        return
    each = database.backend.each_record("?")
    together = {
        record: {"n": after, "o": before.get(record, {}), "t": dict.fromkeys(theirs.get(record, ()), 1)}
        for record, after in values.items()
    }
    with database.writing(durable=True) as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        records = iter(together.items())
        while some := dict(islice(records, AT_ONCE)):
            transaction.run(
                "INSERT INTO engage_intent (object_id, record, run, properties, before, theirs, at)"
                f" SELECT ?, key, ?, value -> 'n', value -> 'o', value -> 't', ? FROM {each} WHERE TRUE"
                " ON CONFLICT (object_id, record, run) DO UPDATE SET properties = excluded.properties,"
                " before = excluded.before, theirs = excluded.theirs, at = excluded.at",
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
    database: Database, connector: str, object_name: str, run: int, *, answered: Iterable[str], before: datetime
) -> None:
    """Drop what a run meant to write to the records that the CRM answered it for, and what runs meant that began before
    an instant. What else it meant stays, also that of an earlier part of its push; and what earlier runs meant, which
    may have been about other fields, or still be on its way."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return
    with database.writing() as transaction:
        records = iter(answered)
        while some := list(islice(records, AT_ONCE)):
            transaction.run(
                "DELETE FROM engage_intent WHERE object_id = ? AND run = ?"
                f" AND record IN (SELECT key FROM {database.backend.each_record('?')})",
                object_id,
                run,
                marks(some),
            )
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


def drop_strangers(database: Database, declared: Collection[tuple[str, str]], before: datetime) -> None:
    """Drop what was meant for objects (connector, object) that nobody declares any more, and cannot have been on its
    way since an instant: no push will ever look what became of it."""
    waiting = "EXISTS (SELECT 1 FROM engage_intent i WHERE i.object_id = engage_object.id)"
    with database.reading() as transaction:
        rows = transaction.all(f"SELECT id, connector, object FROM engage_object WHERE {waiting}")
    if strangers := [number for number, *place in rows if tuple(place) not in declared]:
        with database.writing() as transaction:
            transaction.many(
                "DELETE FROM engage_intent WHERE object_id = ? AND at < ?",
                [(number, instants.to_text(before)) for number in strangers],
            )


def intents(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give record, field, value, before, run, `until` (an instant) and was_ours (whether `before` was) of what runs
    without an answer meant to write, the newest first. By `until` nothing of it could be on its way any more: the run
    was over, or, of one whose process died, it gave the last sign of life, or so long a time was noted with it."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_INTENTS).with_columns(instants.column_from_text("until"))
    each, before = database.backend.each("i.properties"), database.backend.text_of("i.before")
    ours = was_ours("i.theirs", database.backend.text_of("i.theirs"))
    with database.arrow() as arrow:
        meant = arrow.read(
            f"SELECT i.record, e.key AS field, CAST(e.value AS TEXT) AS value, {before} AS before, i.run,"
            f" i.at AS until, {ours} AS was_ours FROM engage_intent i JOIN {each} ON TRUE"
            f" WHERE i.object_id = {object_id}",
            _INTENTS,
        ).with_columns(instants.column_from_text("until"))
        if meant.is_empty():
            return meant
        over = arrow.read(
            "SELECT r.id AS run, coalesce(r.finished_at, (SELECT max(at) FROM engage_journal WHERE run = r.id)) AS over"
            f" FROM engage_run r WHERE r.id IN (SELECT run FROM engage_intent WHERE object_id = {object_id})",
            {"run": pl.Int64, "over": pl.String},
        ).with_columns(instants.column_from_text("over"))
    known = meant.join(over, on="run", how="left").with_columns(until=pl.max_horizontal("until", "over"))
    return known.select(*_INTENTS).sort(-pl.col("run"), "record", maintain_order=True)
