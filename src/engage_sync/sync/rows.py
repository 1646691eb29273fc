"""The rows of `show users` and `show accounts`: the decoded verdict frame laid out as the outside contract says,
as JSON text per row and as flat columns. Writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime

import polars as pl

from engage_sync.core.accounts import money
from engage_sync.core.columns import column_of
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.types import TYPES

BUILT_INS = ("events", "active_days", "first_active_at", "last_active_at", "days_since_active", "age_days")
ROLL_UPS = ("active", "users", "active_users", "active_share", "seat_use", *(f"users_{name}" for name in TYPES))
_LISTS = ("user_types", "accounts", "segments", "signals")
BOOKKEEPING = ("signal_marks", "health_raw", "health_runs", "rested_stage")
"""What only the next run needs to know."""


def iso(column: pl.Expr) -> pl.Expr:
    """Write instants as ISO 8601 in UTC with `Z`, with no more digits than needed: none, milli- or microseconds."""
    whole, micros = column.dt.strftime("%Y-%m-%dT%H:%M:%S"), column.dt.microsecond()
    return (
        pl.when(micros == 0)
        .then(whole + "Z")
        .when(micros % 1000 == 0)
        .then(column.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
        .otherwise(column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    )


def iso_text(instant: datetime) -> str:
    """Write one instant as `iso` does."""
    instant = instant.astimezone(UTC)
    digits = (
        "auto" if instant.microsecond == 0 else "milliseconds" if instant.microsecond % 1000 == 0 else "microseconds"
    )
    return instant.isoformat(timespec=digits).replace("+00:00", "Z")


def rows(
    frame: pl.DataFrame, model: Model, entity: Entity, *, timezone: str, urls: Mapping[tuple[str, str], str]
) -> pl.Series:
    """Give one JSON text per row of a decoded frame that has its ages (`with_ages`), in the frame's order.

    `urls` maps (connector, object) to a template of the record's address in the CRM with `{record}` in it.
    """
    built_ins = BUILT_INS if entity is Entity.USER else (*BUILT_INS, *ROLL_UPS)
    declared = {metric.name: column_of(metric.name) for metric in model.metrics_of(entity)}
    properties = {item.name: column_of(item.name) for item in model.properties_of(entity)}
    parts = [
        pl.struct(_plain(frame, name) for name in _own(entity)).struct.json_encode().str.strip_suffix("}"),
        *_scores(frame, model, entity),
        *(pl.lit(f',"{kind}":') + _names(kind) for kind in ("segments", "signals")),
        _nested("metrics", frame, {**declared, **{name: name for name in built_ins}}),
        _nested("properties", frame, properties),
        pl.lit(',"links":{') + _links(urls) + pl.lit("}}"),
    ]
    if entity is Entity.ACCOUNT:
        types = pl.struct(pl.col(f"users_{name}").alias(name) for name in TYPES).struct.json_encode()
        parts.insert(1, pl.lit(',"users_by_type":') + types)
        parts.insert(1, _account_money(frame, model, timezone))
    return frame.select(pl.concat_str(parts).alias("row"))["row"]


def _own(entity: Entity) -> tuple[str, ...]:
    if entity is Entity.USER:
        return (
            *("external_id", "email", "name", "user_types", "primary_user_type", "lapsed_influencer", "last_active_at"),
            *("health", "stage", "mrr", "renewal_date", "accounts"),
        )
    return (
        *("external_id", "name", "domain", "active", "users", "active_users", "active_share", "seat_use"),
        *("health", "stage"),
    )


def _account_money(frame: pl.DataFrame, model: Model, timezone: str) -> pl.Expr:
    """Give an account's `mrr` and `renewal_date`, null where no property of that name is declared (semantics §8)."""
    found = frame.select(**money(model, timezone))
    columns = [_plain(found, name) for name in found.columns]
    text = found.select(pl.struct(columns).struct.json_encode().alias("money"))["money"]
    return pl.lit(",") + pl.lit(text).str.strip_prefix("{").str.strip_suffix("}")


def _plain(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if isinstance(dtype, pl.Datetime):
        return iso(pl.col(name)).alias(name)
    if dtype == pl.Date:
        return pl.col(name).dt.strftime("%Y-%m-%d").alias(name)
    if isinstance(dtype, pl.List):
        return pl.col(name).fill_null([])
    return pl.col(name)


def _nested(key: str, frame: pl.DataFrame, names: Mapping[str, str]) -> pl.Expr:
    columns = [
        (_plain(frame, column) if column in frame.columns else pl.lit(None, pl.String())).alias(name)
        for name, column in names.items()
    ]
    return pl.lit(f',"{key}":') + (pl.struct(columns).struct.json_encode() if columns else pl.lit("{}"))


def _scores(frame: pl.DataFrame, model: Model, entity: Entity) -> list[pl.Expr]:
    """Give the nested scores, their trends and bands, and the sums of accounts; null where a score has none."""
    forms = {"scores": "", "score_trends": "_trend", "score_bands": "_band"}
    if entity is Entity.ACCOUNT:
        forms["score_sums"] = "_sum"
    names = [score.name for score in model.scores_of(entity)]
    return [_nested(key, frame, {name: f"scores.{name}{form}" for name in names}) for key, form in forms.items()]


def _names(kind: str) -> pl.Expr:
    """Give a list of names as JSON; names need no escaping."""
    names = pl.lit('["') + pl.col(kind).list.join('","') + pl.lit('"]')
    return pl.when(pl.col(kind).list.len() > 0).then(names).otherwise(pl.lit("[]"))


def _links(urls: Mapping[tuple[str, str], str]) -> pl.Expr:
    one = pl.element().struct
    text = pl.lit("null")
    for (connector, object_), template in urls.items():
        before, _, after = template.partition("{record}")
        address = pl.lit(json.dumps(before)[:-1]) + one.field("record") + pl.lit(json.dumps(after)[1:])
        here = (one.field("connector") == connector) & (one.field("object") == object_)
        text = pl.when(here).then(address).otherwise(text)
    place = pl.struct(one.field("object"), one.field("record").alias("id")).struct.json_encode()
    name = (
        pl.struct(one.field("connector").alias("c"))
        .struct.json_encode()
        .str.strip_prefix('{"c":')
        .str.strip_suffix("}")
    )
    link = name + ":" + place.str.strip_suffix("}") + pl.lit(',"url":') + text + "}"
    return pl.col("links").list.eval(link).list.join(",")


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the frame with lists and links as text, for CSV and tables."""
    lists = [pl.col(name).list.join(";") for name in _LISTS if name in frame.columns]
    return frame.drop("links", "ambiguous").with_columns(lists)


def csv_text(frame: pl.DataFrame) -> str:
    """Write a frame as CSV, instants as in JSON."""
    flattened = flat(frame)
    instants = [iso(pl.col(name)) for name, dtype in flattened.schema.items() if isinstance(dtype, pl.Datetime)]
    return flattened.with_columns(instants).write_csv()


def json_value(value: object) -> object:
    """Turn a frame's cell into what JSON can say."""
    if isinstance(value, datetime):
        return iso_text(value)
    return value.isoformat() if isinstance(value, date) else value
