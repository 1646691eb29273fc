"""Alerts: what fails, since when, and what is still to be told to whom. Sends nothing, and knows no address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from engage_sync.core.alerting import Alert, Change
from engage_sync.state import instants
from engage_sync.state.database import Database, Transaction

_SELECT = "SELECT name, since, sentence, ended_at, pending FROM engage_alert"
_KEEP = (
    "INSERT INTO engage_alert (name, since, sentence, ended_at, pending) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET since = excluded.since, sentence = excluded.sentence,"
    " ended_at = excluded.ended_at, pending = excluded.pending"
)


class AlertMemory:
    """The methods of `State` about alerts."""

    _database: Database

    def alerts(self) -> list[Alert]:
        """Give what fails, and what failed, by name."""
        with self._database.reading() as transaction:
            return _read(transaction)

    def change_alerts(self, change: Callable[[Sequence[Alert]], Iterable[Alert]]) -> list[Alert]:
        """Read the alerts, and keep what `change` makes of them, in one transaction; give them. None is dropped: one
        that `change` leaves out stays as it is. Without a difference nothing is written."""
        with self._database.writing() as transaction:
            before = {alert.name: alert for alert in _read(transaction)}
            after = list(change(list(before.values())))
            rows = [_row(alert) for alert in after if before.get(alert.name) != alert]
            if rows:
                transaction.many(_KEEP, rows)
        kept = before | {alert.name: alert for alert in after}
        return [kept[name] for name in sorted(kept)]


def _read(transaction: Transaction) -> list[Alert]:
    # Not in the order of the database: what counts as one differs between them.
    found = [
        Alert(
            str(name),
            instants.from_text(str(since)),
            str(sentence),
            None if ended_at is None else instants.from_text(str(ended_at)),
            () if pending is None else _changes(str(pending)),
        )
        for name, since, sentence, ended_at, pending in transaction.all(_SELECT)
    ]
    return sorted(found, key=lambda alert: alert.name)


def _row(alert: Alert) -> tuple[str, str, str, str | None, str | None]:
    ended_at = None if alert.ended_at is None else instants.to_text(alert.ended_at)
    return alert.name, instants.to_text(alert.since), alert.sentence, ended_at, _pending(alert.untold)


def _pending(untold: Sequence[Change]) -> str | None:
    rows = [
        {
            "key": change.key,
            "at": instants.to_text(change.at),
            "sentence": change.sentence,
            "since": instants.to_text(change.since),
            "ended_at": None if change.ended_at is None else instants.to_text(change.ended_at),
            "left": list(change.left),
        }
        for change in untold
    ]
    return json.dumps(rows, ensure_ascii=False) if rows else None


def _changes(text: str) -> tuple[Change, ...]:
    return tuple(
        Change(
            row["key"],
            instants.from_text(row["at"]),
            row["sentence"],
            instants.from_text(row["since"]),
            None if row["ended_at"] is None else instants.from_text(row["ended_at"]),
            tuple(row["left"]),
        )
        for row in json.loads(text)
    )
