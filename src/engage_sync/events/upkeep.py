"""Looking after the event store: many small files become few, and named events older than the retention go. It keeps
every `arrival`, and identify, group and alias messages of any age, since users, traits, memberships and merged ids
follow from them; erasing one person is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from engage_sync.errors import Mistake
from engage_sync.events.message import NAMED_KINDS
from engage_sync.events.store import EventStore, translated

if TYPE_CHECKING:
    from deltalake import DeltaTable

_READERS_MAY_TAKE: Final = 24
"""Hours for which files that are no longer part of the table stay for readers that began before."""


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did. `removed_files` counts files that left the table, or were never taken in by a
    killed import, a day ago or longer."""

    files_before: int
    files_after: int
    deleted_messages: int
    removed_files: int


def compact(store: EventStore, *, keep: timedelta | None, now: datetime) -> CompactReport:
    """Merge small files; with `keep`, delete tracks, pages and screens older than `now - keep` first.

    Raises Mistake where there is no store or `keep` is not above zero, Locked beside an import.
    """
    if keep is not None and keep <= timedelta(0):
        raise Mistake("--keep: the retention must be longer than zero")
    with store.writing():
        table = store.table()
        before = len(table.file_uris())
        deleted = 0
        with translated(store.location):
            if keep is not None:
                deleted = _delete_before(table, now, keep)
            table.optimize.compact()
            removed = table.vacuum(
                retention_hours=_READERS_MAY_TAKE, enforce_retention_duration=False, dry_run=False, full=True
            )
            return CompactReport(before, len(table.file_uris()), deleted, len(removed))


def _delete_before(table: DeltaTable, now: datetime, keep: timedelta) -> int:
    """Delete the named events older than the retention and count them; one that reaches beyond year 1 keeps all."""
    try:
        oldest = (now - keep).astimezone(UTC)
    except OverflowError:
        return 0
    kinds = ", ".join(f"'{kind}'" for kind in sorted(NAMED_KINDS))
    answer = table.delete(f"kind IN ({kinds}) AND timestamp < '{oldest:%Y-%m-%dT%H:%M:%S.%f}Z'")
    return int(answer.get("num_deleted_rows") or 0)
