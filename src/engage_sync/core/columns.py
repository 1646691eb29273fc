"""Which column of a users or accounts frame a name of the model stands for, in rules and in field maps.

Declared properties, metrics and built-ins are columns of their own name. A declared name that an identity column of the
frames already has (`email`, `name`, `domain`, …) gets the column `declared.NAME`, so that neither hides the other.
Never computes a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from engage_sync.core.definitions import Entity, Model, ValueType
from engage_sync.core.expression_polars import to_polars
from engage_sync.core.expressions import Expression
from engage_sync.core.facts import INSTANT
from engage_sync.core.parsing import day_of

RESERVED = frozenset(
    {
        *("external_id", "email", "name", "domain", "deactivated", "created_at", "first_message_at", "accounts"),
        *("active", "linked", "power_rank", "power_limit", "active_total", "influencer_where", "user_types"),
        *("links", "ambiguous", "born_at", "signal_marks", "health_raw", "health_runs", "rested_stage"),
    }
)
"""Columns of the frames that are neither declared names nor built-ins of semantics §6."""

_UNDECLARED = {"mrr": pl.Float64(), "renewal_date": pl.Date()}
"""Values that every account has; an account's are its declared properties (semantics §8), else unknown."""
DAYS_TO = "days_to_"
_TYPES = "types."


def column_of(name: str) -> str:
    """Give the column that holds the declared property or metric `name`."""
    return f"declared.{name}" if name in RESERVED else name


def declared_names(model: Model, entity: Entity) -> frozenset[str]:
    """Give the names of the properties and metrics declared for an entity."""
    return frozenset(
        [item.name for item in model.properties_of(entity)] + [item.name for item in model.metrics_of(entity)]
    )


def value_of(name: str, model: Model, entity: Entity, *, as_of: datetime, timezone: str) -> pl.Expr:
    """Give the value that a name stands for: `days_to_X`, `types.X`, or a column (semantics §7)."""
    declared = declared_names(model, entity)
    if name in declared and name != "external_id":
        return pl.col(column_of(name))
    if name.startswith(DAYS_TO) and name.removeprefix(DAYS_TO) in declared:
        return _days_to(name.removeprefix(DAYS_TO), model, entity, as_of, timezone)
    if name.startswith(_TYPES):
        return pl.col("user_types").list.contains(name.removeprefix(_TYPES))
    if name == "as_of":
        return at(as_of)
    if entity is Entity.ACCOUNT and name in _UNDECLARED:
        return pl.lit(None, dtype=_UNDECLARED[name])
    return pl.col(name)


def holds(
    frame: pl.DataFrame, rule: Expression, model: Model, entity: Entity, *, as_of: datetime, timezone: str
) -> pl.Series:
    """Evaluate a rule on each row: true, false, or null where it is unknown."""
    return answers(inputs(frame, [rule], model, entity, as_of=as_of, timezone=timezone), [rule])[0]


def inputs(
    frame: pl.DataFrame, rules: Sequence[Expression], model: Model, entity: Entity, *, as_of: datetime, timezone: str
) -> pl.DataFrame:
    """Give the values that rules read: one column per name, called exactly so, and a row number."""
    names = sorted({name for rule in rules for name in rule.names})
    values = {name: value_of(name, model, entity, as_of=as_of, timezone=timezone) for name in names}
    rows = frame.select("external_id").with_row_index(".row").select(".row")
    return rows.hstack(frame.select(**values)) if values else rows


def answers(read: pl.DataFrame, rules: Sequence[Expression]) -> list[pl.Series]:
    """Evaluate rules on what `inputs` gave for them: true, false, or null where unknown, a series for each."""
    found = read.lazy().with_columns(to_polars(rule).alias(f".{place}") for place, rule in enumerate(rules)).collect()
    return [found[f".{place}"] for place in range(len(rules))]


def at(instant: datetime) -> pl.Expr:
    """Give an instant as a literal of the frames' type."""
    return pl.lit(instant.astimezone(UTC)).cast(INSTANT)


def today(as_of: datetime, timezone: str) -> pl.Expr:
    """Give the day of `as_of` in the zone as a literal."""
    return day_of(at(as_of), timezone)


def _days_to(name: str, model: Model, entity: Entity, as_of: datetime, timezone: str) -> pl.Expr:
    kinds = {item.name: item.type for item in model.properties_of(entity)}
    day = pl.col(column_of(name))
    if kinds.get(name) is ValueType.DATETIME:
        day = day_of(day, timezone)
    return (day - today(as_of, timezone)).dt.total_days()
