"""Running totals: how often something happened since the project began, by labels. They only grow, so that a monitor
can tell how fast; what happened in detail stands elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from engage_sync.state.database import Database

Tally = tuple[str, Mapping[str, str], int]
"""A name, its labels, and how many more."""


def count(database: Database, tallies: Iterable[Tally]) -> None:
    """Add to totals, all in one transaction. What adds nothing is left out."""
    rows = [(name, json.dumps(dict(labels), sort_keys=True, ensure_ascii=False), n) for name, labels, n in tallies if n]
    if not rows:
        return
    with database.writing() as transaction:
        transaction.many(
            "INSERT INTO engage_tally (name, labels, count) VALUES (?, ?, ?)"
            " ON CONFLICT (name, labels) DO UPDATE SET count = engage_tally.count + excluded.count",
            sorted(rows),
        )


def tallies(database: Database, name: str) -> list[tuple[dict[str, str], int]]:
    """Give the totals under a name with their labels, in order of the labels."""
    with database.reading() as transaction:
        rows = transaction.all("SELECT labels, count FROM engage_tally WHERE name = ? ORDER BY labels", name)
    return [(json.loads(str(labels)), int(n or 0)) for labels, n in rows]
