"""What each entity's managed fields should hold: verdicts as canonical text, one column per field (semantics §9)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.assess import Verdicts
from engage_sync.core.columns import value_of
from engage_sync.core.definitions import Entity, ManagedField, ObjectMap, ValueType
from engage_sync.core.health import UNKNOWN
from engage_sync.core.parsing import by_python, by_shape
from engage_sync.core.population import Population
from engage_sync.core.reasons import fitted, top
from engage_sync.core.values import to_text

LINK = "link"
REASONS = "reasons"
HEALTH = "health"
DEACTIVATED = ".deactivated"
"""A boolean column beside the fields. The point keeps it apart from any CRM field."""
TEXT_ROOM = 255
"""Characters that a text field takes where the CRM has not said how many."""
_PLACE = "{external_id}"
_UNRESERVED = r"^[A-Za-z0-9._~-]*$"
_CHOICES = frozenset({ValueType.SELECT, ValueType.MULTISELECT})
_NAMES = frozenset({"user_types", "primary_user_type", "stage", "health", "segments", "signals"})
_NAME_ENDS = ("_band", "_heat")


def wanted(
    verdicts: Verdicts,
    population: Population,
    object_map: ObjectMap,
    asking: Asking,
    *,
    room: Mapping[str, int] | None = None,
) -> pl.DataFrame:
    """Give `external_id`, one text column per managed field of the object (null means empty), and DEACTIVATED. A
    deactivated user wants everything empty. `room` tells how many characters fields take, where the CRM has said so."""
    user = object_map.entity is Entity.USER
    frame = verdicts.users if user else verdicts.accounts
    if any(REASONS in (field.source, *field.parts[1::2]) for field in object_map.write):
        frame = frame.with_columns(top(frame, asking).alias(REASONS))
    texts = {field.field: _text(frame, field, asking, (room or {}).get(field.field)) for field in object_map.write}
    rows = frame.select("external_id", **texts).with_columns(pl.lit(value=False).alias(DEACTIVATED))
    if not user:
        return rows
    idle = population.users.filter("deactivated").select("external_id", pl.lit(value=True).alias(DEACTIVATED))
    return pl.concat([rows, idle], how="diagonal")


def _text(frame: pl.DataFrame, field: ManagedField, asking: Asking, room: int | None) -> pl.Expr:
    if field.parts:
        return _filled(frame, field, asking)
    if field.source == REASONS:
        return fitted(pl.col(REASONS), room or (None if field.type is ValueType.LONG_TEXT else TEXT_ROOM))
    return _value(frame, field.source, field.type, asking)


def _value(frame: pl.DataFrame, source: str, kind: ValueType, asking: Asking) -> pl.Expr:
    """Give one value as the canonical text of a field of that type."""
    if source == LINK:
        return console_link(asking.model.links.get(asking.entity))
    if source == REASONS:
        return fitted(pl.col(REASONS), None)
    value = value_of(source, asking.model, asking.entity, as_of=asking.as_of, timezone=asking.timezone)
    if source == HEALTH:
        value = pl.when(value != UNKNOWN).then(value)
    dtype = frame.lazy().select(value).collect_schema().dtypes()[0]
    if kind in _CHOICES and (source in _NAMES or (source.startswith("scores.") and source.endswith(_NAME_ENDS))):
        lower = pl.element().str.to_lowercase()  # options are the model's names in lower case (architecture §6)
        value = value.list.eval(lower) if isinstance(dtype, pl.List) else value.str.to_lowercase()
    return to_text(value, dtype, kind, timezone=asking.timezone)


def _filled(frame: pl.DataFrame, field: ManagedField, asking: Asking) -> pl.Expr:
    """Fill a template: what is unknown leaves its place empty, and a template without any known value is empty."""
    names = field.parts[1::2]
    if not names:
        return pl.lit(field.parts[0] or None, dtype=pl.String())
    values = [_value(frame, name, ValueType.TEXT, asking) for name in names]
    pieces: list[pl.Expr] = []
    for place, part in enumerate(field.parts):
        pieces.append(values[place // 2].fill_null("") if place % 2 else pl.lit(part))
    return pl.when(pl.any_horizontal(value.is_not_null() for value in values)).then(pl.concat_str(pieces))


def console_link(template: str | None) -> pl.Expr:
    """Fill a template with the percent-encoded `external_id` of each row; null without a template."""
    if template is None:
        return pl.lit(None, dtype=pl.String())
    encoded = by_shape(
        pl.col("external_id"), pl.String(), (_UNRESERVED, _same), (None, by_python(_encoded, pl.String()))
    )
    parts: list[pl.Expr] = []
    for number, part in enumerate(template.split(_PLACE)):
        parts += [encoded] * (number > 0) + [pl.lit(part)]
    return pl.concat_str(parts)


def _same(ids: pl.Series) -> pl.Series:
    return ids


def _encoded(text: str) -> str:
    return quote(text, safe="")
