"""The users, accounts and memberships that the newest run knew. Nobody is ever removed here."""

from __future__ import annotations

import polars as pl

from engage_sync.state import instants
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database

USERS: Schema = {"external_id": pl.String, "email": pl.String, "name": pl.String, "deactivated": pl.Boolean}
ACCOUNTS: Schema = {"external_id": pl.String, "name": pl.String, "domain": pl.String}
_TABLES = {"user": "engage_user", "account": "engage_account"}
_MEMBERSHIPS: Schema = {"user_id": pl.String, "account_id": pl.String, "entered_at": pl.String}


def save_population(
    database: Database, run: int, users: pl.DataFrame, accounts: pl.DataFrame, memberships: pl.DataFrame
) -> None:
    """Add or replace users, accounts and memberships (user, account, entered_at: an instant or null).

    The note `population.run` tells which run knew them.
    """
    with database.arrow() as arrow:
        arrow.run(
            f"INSERT INTO engage_note (key, value) VALUES ('population.run', '{run}')"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        arrow.upsert("engage_user", ["external_id"], _exactly(users, USERS))
        arrow.upsert("engage_account", ["external_id"], _exactly(accounts, ACCOUNTS))
        arrow.upsert("engage_membership", ["user_id", "account_id"], _memberships_in(memberships))


def users(database: Database) -> pl.DataFrame:
    """Give external_id, email, name, deactivated."""
    with database.arrow() as arrow:
        return arrow.read("SELECT external_id, email, name, deactivated FROM engage_user", USERS)


def accounts(database: Database) -> pl.DataFrame:
    """Give external_id, name, domain."""
    with database.arrow() as arrow:
        return arrow.read("SELECT external_id, name, domain FROM engage_account", ACCOUNTS)


def memberships(database: Database) -> pl.DataFrame:
    """Give user, account, entered_at (an instant, null when unknown)."""
    with database.arrow() as arrow:
        frame = arrow.read("SELECT user_id, account_id, entered_at FROM engage_membership", _MEMBERSHIPS)
    return frame.select(
        pl.col("user_id").alias("user"), pl.col("account_id").alias("account"), instants.column_from_text("entered_at")
    )


def known_ids(database: Database, entity: str) -> pl.Series:
    """Give the external ids of every user or account that was ever known; no document is read."""
    with database.arrow() as arrow:
        return arrow.read(f"SELECT external_id FROM {_TABLES[entity]}", {"external_id": pl.String}).to_series()


def user_by_email(database: Database, email: str) -> list[str]:
    """Give the ids of the users with an e-mail, which is normalised as theirs are (semantics §2), in order."""
    with database.reading() as transaction:
        rows = transaction.all("SELECT external_id FROM engage_user WHERE email = ?", email.strip().lower())
    return sorted(str(row[0]) for row in rows)


def _exactly(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _memberships_in(frame: pl.DataFrame) -> pl.DataFrame:
    frame = frame.rename({"user": "user_id", "account": "account_id"})
    if isinstance(frame.schema["entered_at"], pl.Datetime):
        frame = frame.with_columns(instants.column_to_text("entered_at", frame.schema["entered_at"]))
    return _exactly(frame, _MEMBERSHIPS)
