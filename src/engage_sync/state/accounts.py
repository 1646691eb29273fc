"""Forgetting what is known of a connector's CRM account when it reaches another one from now on. What happened stays to
be read, under a name that no connector has: the journal, former links, deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.state.database import Database
from engage_sync.state.deliveries import PENDING
from engage_sync.state.links import replace_links

FORGOTTEN = (
    "engage_record", "engage_merge", "engage_link", "engage_written", "engage_failure", "engage_drift", "engage_undone",
    "engage_intent", "engage_deferred",
)  # fmt: skip
"""The tables about records as they are; all have an `object_id`."""
NO_LINKS = {"record": pl.String, "external_id": pl.String, "level": pl.String}


def remembers(database: Database, connector: str) -> bool:
    """Tell whether anything of a connector's account is kept: records, links or written values."""
    kept = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {table}.object_id = engage_object.id)"
        for table in ("engage_record", "engage_link", "engage_written")
    )
    with database.reading() as transaction:
        return transaction.first(f"SELECT 1 FROM engage_object WHERE connector = ? AND ({kept})", connector) is not None


def set_aside(database: Database, connector: str, aside: str, notes: Sequence[str], run: int) -> dict[str, int]:
    """Forget mirror, links, written values, failures, drift and cursors of a connector with run `run`, and the `notes`
    about it (`KIND.CONNECTOR`, with or without an object). What happened is kept under the name `aside`; its deliveries
    that wait are skipped. All but the ending of links is one transaction. Gives how many rows of each table went."""
    forgotten = dict.fromkeys(FORGOTTEN, 0)
    with database.reading() as transaction:
        rows = transaction.all("SELECT id, object FROM engage_object WHERE connector = ?", connector)
    for _, name in rows:
        replace_links(database, connector, str(name), pl.DataFrame(schema=NO_LINKS), run)
    keys = [f"{kind}.{connector}" for kind in notes]
    with database.writing(durable=True) as transaction:
        for object_id, _ in rows:
            for table in FORGOTTEN:
                forgotten[table] += transaction.run(f"DELETE FROM {table} WHERE object_id = ?", object_id)
        transaction.run("UPDATE engage_object SET connector = ?, cursor = NULL WHERE connector = ?", aside, connector)
        transaction.run(
            "UPDATE engage_delivery SET status = 'skipped', message = ? WHERE connector = ? AND status = ?",
            *(f"{connector} reaches another account since", connector, PENDING),
        )
        transaction.run("UPDATE engage_delivery SET connector = ? WHERE connector = ?", aside, connector)
        for (key,) in transaction.all("SELECT key FROM engage_note"):
            if any(str(key) == one or str(key).startswith(f"{one}.") for one in keys):
                transaction.run("DELETE FROM engage_note WHERE key = ?", key)
    for known in [key for key in database.numbers if key[0] == connector]:
        del database.numbers[known]
    return forgotten
