"""What each entity's managed fields should hold: verdicts as canonical text, one column per field (semantics §9)."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import polars as pl

from engage_sync.core.assess import Verdicts
from engage_sync.core.columns import value_of
from engage_sync.core.definitions import Entity, ManagedField, Model, ObjectMap
from engage_sync.core.parsing import by_python, by_shape
from engage_sync.core.population import Population
from engage_sync.core.values import to_text

LINK = "link"
DEACTIVATED = ".deactivated"
"""A boolean column beside the fields. The point keeps it apart from any CRM field."""
_PLACE = "{external_id}"
_UNRESERVED = r"^[A-Za-z0-9._~-]*$"


def wanted(
    verdicts: Verdicts,
    population: Population,
    object_map: ObjectMap,
    *,
    model: Model,
    timezone: str,
    as_of: datetime,
) -> pl.DataFrame:
    """Give `external_id`, one text column per computed field of the object (null means empty), and DEACTIVATED. A
    deactivated user wants everything empty."""
    user = object_map.entity is Entity.USER
    frame = verdicts.users if user else verdicts.accounts
    fields = [field for field in object_map.write if field.computed]
    texts = {field.field: _text(frame, field, object_map.entity, model, timezone, as_of) for field in fields}
    rows = frame.select("external_id", **texts).with_columns(pl.lit(value=False).alias(DEACTIVATED))
    if not user:
        return rows
    idle = population.users.filter("deactivated").select("external_id", pl.lit(value=True).alias(DEACTIVATED))
    return pl.concat([rows, idle], how="diagonal")


def _text(
    frame: pl.DataFrame, field: ManagedField, entity: Entity, model: Model, timezone: str, as_of: datetime
) -> pl.Expr:
    if field.source == LINK:
        return _link(model.links.get(entity))
    value = value_of(field.source, model, entity, as_of=as_of, timezone=timezone)
    dtype = frame.lazy().select(value).collect_schema().dtypes()[0]
    return to_text(value, dtype, field.type, timezone=timezone)


def _link(template: str | None) -> pl.Expr:
    """Fill the template with percent-encoded ids."""
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
