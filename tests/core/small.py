"""Small populations for the tests of `core`, given as plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from engage_sync.core.assess import Verdicts, assess
from engage_sync.core.definitions import Entity, Model, Property, ValueType
from engage_sync.core.facts import ACCOUNTS, ALIASES, ATTRIBUTED, MEMBERSHIPS, TRAITS, USERS, Facts
from engage_sync.core.population import populate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)

Traits = Mapping[str, Mapping[str, str]]


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def user(name: str, events: int = 0, **more: Any) -> dict[str, Any]:
    """A user with so many activity events in the window; `last_active_at=…` alone makes it inactive."""
    last = more.pop("last_active_at", ago(days=1) if events else None)
    row = {"external_id": name, "first_message_at": ago(days=100), "events": events, "active_days": min(events, 30)}
    return {**row, "first_active_at": last, "last_active_at": last, **more}


def account(name: str, **more: Any) -> dict[str, Any]:
    row = {"external_id": name, "first_message_at": ago(days=100), "events": 0, "active_days": 0}
    return {**row, "first_active_at": None, "last_active_at": None, **more}


def _frame(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any], metrics: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={**schema, **metrics}, orient="row")


def _traits(traits: Traits) -> pl.DataFrame:
    rows = [(name, path, value) for name, values in traits.items() for path, value in values.items()]
    return pl.DataFrame(rows, schema=TRAITS, orient="row")


def facts(
    users: Sequence[Mapping[str, Any]] = (),
    accounts: Sequence[Mapping[str, Any]] = (),
    members: Sequence[tuple[str, str]] = (),
    attributed: Sequence[tuple[str, str]] = (),
    user_traits: Traits | None = None,
    account_traits: Traits | None = None,
    user_metrics: Mapping[str, Any] | None = None,
) -> Facts:
    return Facts(
        users=_frame(users, USERS, user_metrics or {}),
        accounts=_frame(accounts, ACCOUNTS, {}),
        memberships=pl.DataFrame([(*pair, NOW) for pair in members], schema=MEMBERSHIPS, orient="row"),
        attributed=pl.DataFrame(list(attributed), schema=ATTRIBUTED, orient="row"),
        aliases=pl.DataFrame(schema=ALIASES),
        user_traits=_traits(user_traits or {}),
        account_traits=_traits(account_traits or {}),
    )


def verdicts(
    known: Facts, model: Model | None = None, linked: Sequence[tuple[str, str]] = (), timezone: str = "UTC"
) -> Verdicts:
    model = model or Model()
    population = populate(known, model, as_of=NOW, timezone=timezone)
    links = pl.DataFrame(list(linked), schema={"external_id": pl.String, "connector": pl.String}, orient="row")
    return assess(population, model, as_of=NOW, timezone=timezone, linked=links)


def by_id(frame: pl.DataFrame, *columns: str) -> dict[str, Any]:
    """One column: id → value; several: id → tuple."""
    rows = frame.select("external_id", *columns).iter_rows()
    return {row[0]: row[1] if len(columns) == 1 else row[1:] for row in rows}


def user_property(name: str, kind: ValueType = ValueType.TEXT, connector: str | None = None) -> Property:
    return Property(name, Entity.USER, name, connector, kind)


def account_property(name: str, kind: ValueType = ValueType.TEXT, connector: str | None = None) -> Property:
    return Property(name, Entity.ACCOUNT, name, connector, kind)
