"""From a store to the population at one instant, deactivated users out of every count of active users. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engage_sync.core.definitions import Model
from engage_sync.core.facts import Facts
from engage_sync.core.population import Population, deactivated_users, populate
from engage_sync.events.store import EventStore


def measured(
    store: EventStore,
    model: Model,
    *,
    as_of: datetime,
    timezone: str,
    engine: str = "duckdb",
    options: Mapping[str, object] | None = None,
) -> tuple[Facts, Population]:
    """Scan the store once and give what it says, and who there is. Properties from a CRM are still null."""
    from engage_sync.events.engine import Engine  # noqa: PLC0415  start-up: only computing needs the engine
    from engage_sync.events.measure import scan  # noqa: PLC0415  start-up: only computing needs the engine

    found = scan(store, model, as_of=as_of, timezone=timezone, engine=Engine(engine, options or {}))
    facts = found.facts()
    excluded = deactivated_users(facts.users, facts.user_traits, model, as_of=as_of, timezone=timezone)["external_id"]
    if excluded.len():
        facts = found.facts(excluded)
    return facts, populate(facts, model, as_of=as_of, timezone=timezone)
