"""Which events have fallen silent although others go on: one grouped question over the newest spans of the store. What
follows from a silence is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from engage_sync.core.brakes import Silence
from engage_sync.core.facts import INSTANT
from engage_sync.events.days import epoch
from engage_sync.events.engine import Engine, answer, connect, messages
from engage_sync.events.functions import microseconds
from engage_sync.events.schema import PARTITION
from engage_sync.events.store import EventStore

SPANS: Final = 14
"""An event is regular that had messages in each of so many spans before the newest."""
ENOUGH: Final = 100
"""Messages that it must have had in them together: fewer may be missing by chance."""

Source = tuple[str, str]
"""The kind and the name of an event."""

_SCHEMA: Final = {
    "kind": pl.String(),
    "event": pl.String(),
    "span": pl.Int64(),
    "messages": pl.Int64(),
    "last": INSTANT,
}
_US: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the newest spans held. `silent` are the regular events that the newest span lacks, the most frequent first;
    `last` gives the last message of each event; `alive` tells whether the newest span holds any message at all."""

    silent: tuple[Silence, ...] = ()
    last: Mapping[Source, datetime] = field(default_factory=dict)
    alive: bool = False


def listen(store: EventStore, *, as_of: datetime, span: timedelta, engine: Engine | None = None) -> Heard:
    """Look at the newest span, (as_of - span, as_of], and at the SPANS spans before it. Where they would begin before
    the calendar does, nothing is heard."""
    try:
        start = as_of - (SPANS + 1) * span
    except OverflowError:
        return Heard()
    if span <= timedelta(0) or not store.exists():
        return Heard()
    return _heard(_counted(store, as_of, start, span, engine or Engine()))


def _counted(store: EventStore, as_of: datetime, start: datetime, span: timedelta, engine: Engine) -> pl.DataFrame:
    """Count messages by source and span (0: the newest). The month prunes files, the instant row groups."""
    connection = connect(engine)
    try:
        table = messages(connection, store, as_of)
        recent = table.filter(table[PARTITION] >= f"{start:%Y-%m}", microseconds(table["timestamp"]) > epoch(start))
        back = epoch(as_of) - microseconds(recent["timestamp"])
        grouped = recent.group_by("kind", "event", span=(back - back % (span // _US)) // (span // _US)).aggregate(
            messages=recent.count(), last=recent["timestamp"].max()
        )
        return answer(connection, grouped, _SCHEMA)
    finally:
        connection.disconnect()


def _heard(counted: pl.DataFrame) -> Heard:
    newest, before = pl.col("span") == 0, pl.col("span") > 0
    alive = not counted.filter(newest).is_empty()
    named = counted.drop_nulls("event")
    sources = named.group_by("kind", "event").agg(
        present=newest.any(),
        regular=(before.sum() == SPANS) & (pl.col("messages").filter(before).sum() >= ENOUGH),
        usual=pl.col("messages").filter(before).sum() / SPANS,
        last=pl.col("last").max(),
    )
    silent = sources.filter("regular", ~pl.col("present")).sort(-pl.col("usual"), "kind", "event")
    rows = silent.select("kind", "event", "usual", "last").iter_rows() if alive else ()
    return Heard(
        silent=tuple(Silence(*row) for row in rows),
        last={(kind, event): last for kind, event, last in sources.select("kind", "event", "last").iter_rows()},
        alive=alive,
    )
