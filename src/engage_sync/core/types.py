"""User types: zombie, inactive, active, power, influencer, the primary label, and lapsed influencers (semantics §4).

Never reads account roll-ups.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import polars as pl

from engage_sync.core.columns import holds, value_of
from engage_sync.core.definitions import Entity, Model

TYPES = ("power", "influencer", "active", "inactive", "zombie")
"""All types, in the order in which the first that holds is the primary label."""


def with_user_types(
    users: pl.DataFrame, model: Model, linked: pl.DataFrame, *, as_of: datetime, timezone: str
) -> pl.DataFrame:
    """Add the types and the why of each: active, linked, influencer_where (null without a rule), power_rank (number of
    active users whose measure is at least theirs), power_limit, active_total, user_types (sorted), primary_user_type,
    lapsed_influencer. `users` are those not deactivated; `linked` is external_id, connector."""
    users = users.with_columns(
        active=pl.col("events").fill_null(0) > 0,
        linked=pl.col("external_id").is_in(_linked_ids(linked, model).implode()),
        influencer_where=_where(users, model, as_of, timezone),
    )
    total = int(users["active"].sum())
    measure = value_of(model.power.measure, model, Entity.USER, as_of=as_of, timezone=timezone)
    limit = power_limit(model.power.share, total)
    users = users.with_columns(
        power_rank=pl.when("active").then(measure).rank("max", descending=True).cast(pl.Int64),
        power_limit=pl.lit(limit, dtype=pl.Int64),
        active_total=pl.lit(total, dtype=pl.Int64),
    )
    return _labelled(users, model)


def power_limit(share: Decimal, active: int) -> int:
    """Give `ceil(share × active)`, computed exactly: 0.28 of 25 is 7 (semantics §4)."""
    return math.ceil(Fraction(share) * active)


def _linked_ids(linked: pl.DataFrame, model: Model) -> pl.Series:
    if model.influencer.connectors is not None:
        linked = linked.filter(pl.col("connector").is_in(model.influencer.connectors))
    return linked["external_id"]


def _where(users: pl.DataFrame, model: Model, as_of: datetime, timezone: str) -> pl.Series:
    if model.influencer.where is None:
        return pl.repeat(None, users.height, dtype=pl.Boolean(), eager=True)
    return holds(users, model.influencer.where, model, Entity.USER, as_of=as_of, timezone=timezone)


def _labelled(users: pl.DataFrame, model: Model) -> pl.DataFrame:
    """Add the sorted set, the primary label and the lapsed mark."""
    active, primary = pl.col("active"), pl.col("primary_user_type")
    power = active & (pl.col("power_rank") <= pl.col("power_limit")).fill_null(value=False)
    ruled = model.influencer.where is not None
    champion = pl.col("linked") & (pl.col("influencer_where").fill_null(value=False) if ruled else pl.lit(value=True))
    label = (
        pl.when(power)
        .then(pl.lit("power"))
        .when(active & champion)
        .then(pl.lit("influencer"))
        .when(active)
        .then(pl.lit("active"))
        .when(pl.col("last_active_at").is_not_null())
        .then(pl.lit("inactive"))
        .otherwise(pl.lit("zombie"))
    )
    users = users.with_columns(label.alias("primary_user_type"), (champion & ~active).alias("lapsed_influencer"))
    text = (
        pl.when((primary == "power") & champion)
        .then(pl.lit("active influencer power"))
        .when(primary == "power")
        .then(pl.lit("active power"))
        .when(primary == "influencer")
        .then(pl.lit("active influencer"))
        .otherwise(primary)
    )
    return users.with_columns(user_types=text.str.split(" "))
