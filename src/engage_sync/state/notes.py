"""Small facts about the project that are worth no table of their own."""

from __future__ import annotations

from engage_sync.state.database import Database


def note(database: Database, key: str) -> str | None:
    """Give what was noted under `key`."""
    with database.reading() as transaction:
        row = transaction.first("SELECT value FROM engage_note WHERE key = ?", key)
    return None if row is None else str(row[0])


def set_note(database: Database, key: str, value: str | None) -> None:
    """Note `value` under `key`; None drops it."""
    with database.writing() as transaction:
        if value is None:
            transaction.run("DELETE FROM engage_note WHERE key = ?", key)
        else:
            transaction.run(
                "INSERT INTO engage_note (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                key,
                value,
            )
