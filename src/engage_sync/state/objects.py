"""Which number each object of each connector has in the tables, and where its pull stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from engage_sync.state.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the pull of one object stands. `cursor` None: nothing pulled, or told to start again."""

    id: int
    cursor: str | None
    fields: str
    load: int
    loading: bool


def fields_key(fields: Sequence[str]) -> str:
    """Give one text for a set of fields, whatever their order."""
    return json.dumps(sorted(set(fields)), ensure_ascii=False)


def find(database: Database, connector: str, object_name: str) -> int | None:
    """Give the number of an object, None when nothing was ever kept for it."""
    if (connector, object_name) in database.numbers:
        return database.numbers[connector, object_name]
    with database.reading() as transaction:
        row = transaction.first(
            "SELECT id FROM engage_object WHERE connector = ? AND object = ?", connector, object_name
        )
    if row is None:
        return None
    return database.numbers.setdefault((connector, object_name), int(row[0] or 0))


def loaded(database: Database, connector: str, object_name: str) -> bool:
    """Tell whether the newest load from the beginning has come to its end."""
    with database.reading() as transaction:
        row = transaction.first(
            "SELECT load, loading FROM engage_object WHERE connector = ? AND object = ?", connector, object_name
        )
    return row is not None and bool(row[0]) and not row[1]


def standing(transaction: Transaction, connector: str, object_name: str) -> Standing:
    """Give where an object stands, giving it a number when it has none. Needs a writing transaction."""
    query = "SELECT id, cursor, fields, load, loading FROM engage_object WHERE connector = ? AND object = ?"
    row = transaction.first(query, connector, object_name)
    if row is None:
        transaction.run(
            "INSERT INTO engage_object (connector, object, fields, load, loading) VALUES (?, ?, '[]', 0, ?)"
            " ON CONFLICT (connector, object) DO NOTHING",
            connector,
            object_name,
            False,
        )
        row = transaction.first(query, connector, object_name)
    assert row is not None
    number, cursor, fields, load, loading = row
    return Standing(
        int(number or 0), None if cursor is None else str(cursor), str(fields), int(load or 0), bool(loading)
    )


def number(database: Database, connector: str, object_name: str) -> int:
    """Give the number of an object, giving it one when it has none."""
    found = find(database, connector, object_name)
    if found is not None:
        return found
    with database.writing() as transaction:
        return standing(transaction, connector, object_name).id
