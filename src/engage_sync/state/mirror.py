"""The copy of the CRM's records: one page and its cursor in one transaction, and live or gone records as frames.

A load from the beginning has a number. Every record carries the number of the newest load that saw it, so that the end
of a load knows which records it did not see, however often the process died in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from engage_sync.state import objects
from engage_sync.state.bulk import Schema, quoted
from engage_sync.state.database import Database, Transaction
from engage_sync.state.objects import Standing

ESCAPE = "\\u"
UNHOLDABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes that may stand for what no database text holds: U+0000 and halves of surrogate pairs."""
GONE_SCHEMA: Schema = {"record": pl.String, "moved_to": pl.String, "since_run": pl.Int64}
MERGE_STEPS = 64
VERSIONED = ("properties", "updated_at")


@dataclass(frozen=True, slots=True)
class MirrorPage:
    """One page of a pull. `records`: record, values (JSON object of field → text or null), updated_at."""

    records: pl.DataFrame
    vanished: Sequence[str]
    merged: Mapping[str, str]
    cursor: str
    fields: Sequence[str]
    done: bool


def cursor(database: Database, connector: str, object_name: str, fields: Sequence[str]) -> str | None:
    """Give where the next page starts; None when it must start from the beginning, also because of other fields."""
    with database.reading() as transaction:
        row = transaction.first(
            "SELECT cursor FROM engage_object WHERE connector = ? AND object = ? AND fields = ?",
            connector,
            object_name,
            objects.fields_key(fields),
        )
    return None if row is None or row[0] is None else str(row[0])


def drop_cursor(database: Database, connector: str, object_name: str) -> None:
    """Make the next pull a load from the beginning. The records stay until that load has ended without them."""
    with database.writing() as transaction:
        transaction.run(
            "UPDATE engage_object SET cursor = NULL WHERE connector = ? AND object = ?", connector, object_name
        )


def save_page(database: Database, connector: str, object_name: str, page: MirrorPage, run: int) -> None:
    """Keep a page and its cursor, or nothing of it."""
    rows = _rows(page.records)
    with database.writing() as transaction:
        at = objects.standing(transaction, connector, object_name)
        fields = objects.fields_key(page.fields)
        if at.cursor is None or at.fields != fields:
            at = replace(at, load=at.load + 1, loading=True)
        _keep_records(transaction, database, at, rows, run)
        _lose_records(transaction, at.id, page.vanished, page.merged, run)
        if page.done and at.loading:
            transaction.run(
                "UPDATE engage_record SET gone = TRUE, since_run = ? WHERE object_id = ? AND load < ? AND NOT gone",
                run,
                at.id,
                at.load,
            )
        transaction.run(
            "UPDATE engage_object SET cursor = ?, fields = ?, load = ?, loading = ? WHERE id = ?",
            page.cursor,
            fields,
            at.load,
            at.loading and not page.done,
            at.id,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What the CRM holds of some records, wherever a pull stands. `records` as of a page."""

    records: pl.DataFrame
    vanished: Sequence[str]
    merged: Mapping[str, str]


def mend(database: Database, connector: str, object_name: str, found: Found, run: int) -> None:
    """Put right what a reconciliation found, all of it or nothing: the records replace what is there, whatever their
    stamps. Neither the cursor nor the number of the newest load moves."""
    rows = _rows(found.records)
    with database.writing(durable=True) as transaction:
        at = objects.standing(transaction, connector, object_name)
        _keep_records(transaction, database, replace(at, loading=True), rows, run)
        _lose_records(transaction, at.id, found.vanished, found.merged, run)


def _rows(records: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Give the rows of a page, values cleaned of what no database text holds. Of a repeated record the last counts."""
    if records.is_empty():
        return []
    columns = (records.get_column(name).to_list() for name in ("record", "values", "updated_at"))
    rows = list(zip(*columns, strict=True))
    if any(ESCAPE in text and UNHOLDABLE.search(text) for _, text, _ in rows):
        rows = [(record, holdable(text), updated_at) for record, text, updated_at in rows]
    return rows


def holdable(document: str) -> str:
    """Rewrite a JSON object: U+0000 is dropped, half a surrogate pair becomes U+FFFD; proper pairs stay."""
    return json.dumps({clean(name): clean(value) for name, value in json.loads(document).items()}, ensure_ascii=False)


def clean(value: str | None) -> str | None:
    """Give a text as a database can hold it; see `holdable`."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _keep_records(
    transaction: Transaction, database: Database, at: Standing, rows: Sequence[tuple[str, str, str]], run: int
) -> None:
    """Keep the pulled records. An increment comes from an index that may trail our own writes (crm-apis §A6): a version
    older than the one at hand is an echo of the past and is left out. A load from the beginning is taken as it is."""
    if not rows:
        return
    document = database.backend.as_document
    if not at.loading:
        # Without the `Z` texts with and without a fraction of the second compare as instants do.
        past = "rtrim(excluded.updated_at, 'Z') < rtrim(engage_record.updated_at, 'Z') AND excluded.updated_at <> ''"
        kept = {name: f"CASE WHEN {past} THEN engage_record.{name} ELSE excluded.{name} END" for name in VERSIONED}
    else:
        kept = {name: f"excluded.{name}" for name in VERSIONED}
    transaction.many(
        "INSERT INTO engage_record (object_id, record, properties, updated_at, load, gone, since_run)"
        f" VALUES (?, ?, ?{document}, ?, ?, FALSE, ?)"
        f" ON CONFLICT (object_id, record) DO UPDATE SET properties = {kept['properties']},"
        f" updated_at = {kept['updated_at']}, load = excluded.load, gone = FALSE,"
        " since_run = CASE WHEN engage_record.gone THEN excluded.since_run ELSE engage_record.since_run END",
        [(at.id, record, values, updated_at, at.load, run) for record, values, updated_at in rows],
    )


def _lose_records(
    transaction: Transaction, object_id: int, vanished: Sequence[str], merged: Mapping[str, str], run: int
) -> None:
    for record, survivor in merged.items():
        merge(transaction, object_id, record, survivor, run)
    for record in vanished:
        vanish(transaction, object_id, record, run)


def vanish(transaction: Transaction, object_id: int, record: str, run: int) -> None:
    """Mark a mirrored record as gone; one never mirrored stays unknown."""
    transaction.run(
        "UPDATE engage_record SET gone = TRUE, since_run = ? WHERE object_id = ? AND record = ? AND NOT gone",
        run,
        object_id,
        record,
    )


def merge(transaction: Transaction, object_id: int, record: str, survivor: str, run: int) -> None:
    """Mark a record as gone into another one. The pair is kept for a record never mirrored too: chains lead over it."""
    if record == survivor:
        return
    vanish(transaction, object_id, record, run)
    transaction.run(
        "INSERT INTO engage_merge (object_id, record, survivor, run) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (object_id, record) DO UPDATE SET survivor = excluded.survivor, run = excluded.run",
        object_id,
        record,
        survivor,
        run,
    )


def records(database: Database, connector: str, object_name: str, fields: Sequence[str]) -> pl.DataFrame:
    """Give live records: record, updated_at, and a String column `crm.FIELD` for each field, null when unset."""
    wanted = {f"crm.{name}": name for name in dict.fromkeys(fields)}
    schema: Schema = {"record": pl.String, "updated_at": pl.String, **dict.fromkeys(wanted, pl.String)}
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=schema)
    columns = "".join(
        f", {database.backend.field('properties', name)} AS {quoted(column)}" for column, name in wanted.items()
    )
    with database.arrow() as arrow:
        return arrow.read(
            f"SELECT record, updated_at{columns} FROM engage_record WHERE object_id = {object_id} AND NOT gone", schema
        )


def gone(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give records that vanished or were merged away: record, moved_to (the end of the chain of merges), since_run."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=GONE_SCHEMA)
    with database.arrow() as arrow:
        lost = arrow.read(
            "SELECT r.record, m.survivor AS moved_to, r.since_run FROM engage_record r"
            " LEFT JOIN engage_merge m ON m.object_id = r.object_id AND m.record = r.record"
            f" WHERE r.object_id = {object_id} AND r.gone",
            GONE_SCHEMA,
        )
        if lost["moved_to"].null_count() == lost.height:
            return lost
        merges = arrow.read(
            f"SELECT record AS moved_to, survivor FROM engage_merge WHERE object_id = {object_id}",
            {"moved_to": pl.String, "survivor": pl.String},
        )
    return _followed(lost, merges)


def merges(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give every merge that was told of, also of records that never were in the mirror: record, moved_to."""
    schema = {"record": pl.String, "moved_to": pl.String}
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=schema)
    with database.arrow() as arrow:
        told = arrow.read(
            f"SELECT record, survivor AS moved_to FROM engage_merge WHERE object_id = {object_id}", schema
        )
    return _followed(told, told.rename({"record": "moved_to", "moved_to": "survivor"}))


def _followed(lost: pl.DataFrame, merges: pl.DataFrame) -> pl.DataFrame:
    """Follow chains of merges to their end; a chain that never ends (records merged in a circle) leads nowhere."""
    for _ in range(MERGE_STEPS):
        step = lost.join(merges, on="moved_to", how="left")
        if step.get_column("survivor").null_count() == step.height:
            return lost
        lost = step.with_columns(moved_to=pl.coalesce("survivor", "moved_to")).drop("survivor")
    return lost.with_columns(
        moved_to=pl.when(pl.col("moved_to").is_in(merges.get_column("moved_to").implode()))
        .then(None)
        .otherwise("moved_to")
    )
