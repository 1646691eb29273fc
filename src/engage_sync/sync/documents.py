"""Verdicts as documents: one JSON text per user or account for the state, and back to the frame they came from.

Only what changes when the entity changes is kept: values that follow from the clock alone (`age_days`,
`days_since_active`) are derived again when a document is read, so that a quiet user's document stays the same from day
to day. Nothing here touches the state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import polars as pl

from engage_sync.core.assess import Verdicts
from engage_sync.core.columns import column_of
from engage_sync.core.definitions import Entity, Metric, MetricKind, Model
from engage_sync.core.facts import INSTANT
from engage_sync.core.groups import MARKS
from engage_sync.core.parsing import dtype_of
from engage_sync.core.population import Population
from engage_sync.core.types import TYPES
from engage_sync.core.verdict_rules import WeightedScore
from engage_sync.errors import Mistake

AMBIGUOUS = pl.List(
    pl.Struct({"connector": pl.String, "object": pl.String, "reason": pl.String, "candidates": pl.List(pl.String)})
)
LINKS = pl.List(pl.Struct({"connector": pl.String, "object": pl.String, "record": pl.String}))

_COMMON: Mapping[str, pl.DataType] = {
    "external_id": pl.String(),
    "name": pl.String(),
    "first_message_at": INSTANT,
    "created_at": INSTANT,
    "events": pl.Int64(),
    "active_days": pl.Int64(),
    "first_active_at": INSTANT,
    "last_active_at": INSTANT,
    "stage": pl.String(),
    "health": pl.String(),
    "health_raw": pl.String(),
    "health_runs": pl.Int64(),
    "segments": pl.List(pl.String()),
    "signals": pl.List(pl.String()),
    "signal_marks": MARKS,
    "links": LINKS,
    "ambiguous": AMBIGUOUS,
}
_USER: Mapping[str, pl.DataType] = {
    "email": pl.String(),
    "deactivated": pl.Boolean(),
    "rested_stage": pl.String(),
    "accounts": pl.List(pl.String()),
    "user_types": pl.List(pl.String()),
    "primary_user_type": pl.String(),
    "lapsed_influencer": pl.Boolean(),
    "mrr": pl.Float64(),
    "renewal_date": pl.Date(),
    "active": pl.Boolean(),
    "power_rank": pl.Int64(),
    "influencer_where": pl.Boolean(),
    "linked": pl.Boolean(),
}
_ACCOUNT: Mapping[str, pl.DataType] = {
    "domain": pl.String(),
    "active": pl.Boolean(),
    "users": pl.Int64(),
    "active_users": pl.Int64(),
    "active_share": pl.Float64(),
    "seat_use": pl.Float64(),
    **{f"users_{name}": pl.Int64() for name in TYPES},
}
_STORED_MARKS = pl.List(pl.Struct({"name": pl.String, "on": pl.Boolean, "fired": pl.Int64}))
_METRIC_TYPES: Mapping[MetricKind, pl.DataType] = {
    MetricKind.FIRST: INSTANT,
    MetricKind.LAST: INSTANT,
    MetricKind.SUM: pl.Float64(),
    MetricKind.MIN: pl.Float64(),
    MetricKind.MAX: pl.Float64(),
    MetricKind.AVG: pl.Float64(),
}


def metric_type(metric: Metric) -> pl.DataType:
    """Give the frame type of a declared metric."""
    return _METRIC_TYPES.get(metric.kind, pl.Int64())


def score_columns(model: Model, entity: Entity) -> dict[str, pl.DataType]:
    """Give the columns of an entity's scores; of users' weighted ones the raw sum too."""
    columns: dict[str, pl.DataType] = {}
    for score in model.scores_of(entity):
        name = f"scores.{score.name}"
        columns |= {name: pl.Int64(), f"{name}_band": pl.String()}
        if isinstance(score, WeightedScore):
            columns |= {f"{name}_trend": pl.Int64(), f"{name}_heat": pl.String()}
            columns[f"raw.{score.name}" if entity is Entity.USER else f"{name}_sum"] = pl.Int64()
    return columns


def schema_of(model: Model, entity: Entity) -> dict[str, pl.DataType]:
    """Give the columns of a decoded document frame: fixed ones, scores, then declared metrics, then properties."""
    return {
        **_COMMON,
        **(_USER if entity is Entity.USER else _ACCOUNT),
        **score_columns(model, entity),
        **{column_of(metric.name): metric_type(metric) for metric in model.metrics_of(entity)},
        **{column_of(item.name): dtype_of(item.type) for item in model.properties_of(entity)},
    }


def frame_of(
    verdicts: Verdicts, population: Population, links: pl.DataFrame, ambiguous: pl.DataFrame, entity: Entity
) -> pl.DataFrame:
    """Give one row per user or account as decoded documents have it; deactivated users come without verdicts.

    `links`: external_id, connector, object, record. `ambiguous`: external_id, connector, object, reason, candidates.
    """
    frame = verdicts.accounts
    if entity is Entity.USER:
        deactivated = population.users.filter(pl.col("deactivated"))
        deactivated = deactivated.join(verdicts.rested, on="external_id", how="left")
        frame = pl.concat([verdicts.users, deactivated], how="diagonal_relaxed")
    for name, dtype, rows in (("links", LINKS, links), ("ambiguous", AMBIGUOUS, ambiguous)):
        parts = [column for column in rows.columns if column != "external_id"]
        held = rows.group_by("external_id").agg(pl.struct(parts).sort_by("connector", "object").alias(name))
        frame = frame.join(held, on="external_id", how="left", maintain_order="left")
        frame = frame.with_columns(pl.col(name).fill_null([]).cast(dtype))
    return frame


def encode(frame: pl.DataFrame, model: Model, entity: Entity) -> pl.DataFrame:
    """Turn a frame of `frame_of` into `external_id`, `document`. Instants are kept as microseconds, dates as days."""
    schema = schema_of(model, entity)
    return frame.select(
        "external_id",
        pl.struct(_stored(name, dtype) for name, dtype in schema.items() if name in frame.columns)
        .struct.json_encode()
        .alias("document"),
    )


def decode(documents: pl.DataFrame, model: Model, entity: Entity) -> pl.DataFrame:
    """Turn `external_id`, `document` back into the frame. What a document lacks (a metric declared since) is null."""
    schema = schema_of(model, entity)
    stored = pl.Struct({name: _stored_type(dtype) for name, dtype in schema.items()})
    try:
        frame = documents.select(pl.col("document").str.json_decode(stored).struct.unnest())
    except pl.exceptions.ComputeError:
        raise Mistake("the model has changed since these verdicts were recorded: run `engage-sync compute`") from None
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def with_ages(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Add what follows from the clock: whole 24 h since the last activity, and since creation or first message (§6)."""
    now = pl.lit(as_of, INSTANT)
    born = pl.when(pl.col("created_at") <= now).then(pl.col("created_at")).otherwise(pl.col("first_message_at"))
    return frame.with_columns(
        (now - pl.col("last_active_at")).dt.total_days().alias("days_since_active"),
        (now - born).dt.total_days().alias("age_days"),
    )


def read_fields(documents: pl.DataFrame, fields: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Read some fields of `external_id`, `document` without parsing the whole documents, which takes 30 times longer:
    their JSON texts are cut out, and each distinct one is decoded. For names, lists of names and marks only.

    Texts within a document cannot be taken for its keys, because their quotes are escaped.
    """
    columns = [documents["external_id"]]
    for name, dtype in fields.items():
        text = documents["document"].str.extract(rf'"{re.escape(name)}":({_CUT[dtype.is_nested()]})')
        known = text.drop_nulls().unique()
        stored = _stored_type(dtype)
        found = pl.DataFrame({"text": known, name: _decoded(known, stored)})
        columns.append(
            text.to_frame("text").join(found, on="text", how="left", maintain_order="left")[name].cast(dtype)
        )
    return pl.DataFrame(columns)


_CUT = {False: r'null|-?[0-9]+|"(?:[^"\\]|\\.)*"', True: r"null|\[[^\]]*\]"}
"""The JSON text of a plain value, and of a list whose texts hold no bracket."""


def _decoded(texts: pl.Series, dtype: pl.DataType) -> pl.Series:
    wrapped = pl.select(pl.lit('{"v":') + pl.lit(texts) + pl.lit("}")).to_series()
    return wrapped.str.json_decode(pl.Struct({"v": dtype})).struct.field("v")


def _stored_type(dtype: pl.DataType) -> pl.DataType:
    if dtype == MARKS:
        return _STORED_MARKS
    return pl.Int64() if dtype.is_temporal() else dtype


def _stored(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name).cast(dtype)
    if dtype == MARKS:
        return column.cast(_STORED_MARKS)
    return column.to_physical().cast(pl.Int64).alias(name) if dtype.is_temporal() else column
