"""When the newest message happened: from what the table's log says of each file, so that nothing is read where that is
enough. It measures nothing of the model, and imports no engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from engage_sync.events.schema import INSTANT
from engage_sync.events.store import EventStore, translated

_NEWEST: Final = "max.timestamp"


def newest_message_at(store: EventStore, now: datetime) -> datetime | None:
    """Give the instant of the newest message that is not ahead of `now`; None where there is none. Raises Unreachable
    where the store cannot be read."""
    if not store.exists():
        return None
    with translated(store.location):
        table = store.table()
        told = pa.table(table.get_add_actions(flatten=True))
        newest = told.column(_NEWEST).cast(INSTANT).to_pylist() if _NEWEST in told.schema.names else []
        known = [at for at in newest if at is not None and at <= now]
        best = max(known, default=datetime.min.replace(tzinfo=UTC))
        if len(known) < told.num_rows:
            # A file with a message from the future, or one that somebody else wrote without saying, is looked into; of
            # the others the log says that they hold nothing newer.
            field = ds.field("timestamp")
            open_ = (field > pa.scalar(best, INSTANT)) & (field <= pa.scalar(now, INSTANT))
            found = table.to_pyarrow_dataset().scanner(columns=["timestamp"], filter=open_).to_batches()
            known += [at for batch in found if (at := pc.max(batch.column(0)).as_py()) is not None]
    return max(known, default=None)
