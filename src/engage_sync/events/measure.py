"""Measuring: the messages up to `as_of` → `Facts` (semantics §1, §2, §6). One scan adds everything up per (user,
account) as the messages name them; aliases, attribution and the two roll-ups work on that small frame. It decides
nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from engage_sync.core.definitions import Model
from engage_sync.core.facts import Facts
from engage_sync.events.engine import Engine, connect, messages
from engage_sync.events.scan import Measured, scanned
from engage_sync.events.store import EventStore

__all__ = ["Engine", "Measured", "measure", "scan"]


def measure(
    store: EventStore,
    model: Model,
    *,
    as_of: datetime,
    timezone: str,
    engine: Engine,
    excluded_users: Sequence[str] | pl.Series = (),
) -> Facts:
    """Give the facts at `as_of`; an absent or empty store gives empty frames.

    `excluded_users`: see `Measured.facts`. To learn first who they are, use `scan` and ask it twice.
    """
    return scan(store, model, as_of=as_of, timezone=timezone, engine=engine).facts(excluded_users)


def scan(store: EventStore, model: Model, *, as_of: datetime, timezone: str, engine: Engine) -> Measured:
    """Read the store once, for everything that `model` measures. Raises Mistake for an engine it cannot use."""
    connection = connect(engine)
    try:
        return scanned(messages(connection, store, as_of), connection, model, as_of, timezone)
    finally:
        connection.disconnect()
