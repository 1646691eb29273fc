"""Health: good, normal, bad or unknown by the profile of the entity's stage, with grace and confirmation (semantics
§7)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.columns import at
from engage_sync.core.verdict_rules import Health, Profile

UNKNOWN = "unknown"


def with_health(frame: pl.DataFrame, health: Health | None, asking: Asking) -> pl.DataFrame:
    """Add `health` (null without a profile), and `health_raw` and `health_runs`: the value of this run alone and for
    how many runs in a row it has been so, up to `confirm`; null where nothing needs to be confirmed.

    Reads `born_at`; with `confirm` also `before.health`, `before.health_raw` and `before.health_runs`.
    """
    if health is None or (health.default is None and not health.stages):
        return frame.with_columns(_nothing("health"), _nothing("health_raw"), health_runs=pl.lit(None, pl.Int64()))
    value = pl.lit(None, pl.String()) if health.default is None else _profiled(frame, health.default, health, asking)
    found = frame.select("stage", value.alias("value"))
    for stage, profile in health.stages.items():
        here = pl.col("stage") == stage
        found = found.with_columns(
            pl.when(here).then(_profiled(frame, profile, health, asking)).otherwise("value").alias("value")
        )
    frame = frame.with_columns(found["value"].alias("health_raw"))
    if health.grace:
        young = (at(asking.as_of) - pl.col("born_at") < health.grace) & pl.col("health_raw").is_not_null()
        frame = frame.with_columns(pl.when(young).then(pl.lit(UNKNOWN)).otherwise("health_raw").alias("health_raw"))
    return _confirmed(frame, health.confirm)


def _nothing(name: str) -> pl.Expr:
    return pl.lit(None, dtype=pl.String()).alias(name)


def _profiled(frame: pl.DataFrame, profile: Profile, health: Health, asking: Asking) -> pl.Expr:
    rules = [rule.when for rule in (*profile.good, *profile.bad)]
    matched = asking.each(frame, rules)
    good, bad = _any(matched[: len(profile.good)]), _any(matched[len(profile.good) :])
    first, second = ((bad, "bad"), (good, "good")) if health.bad_first else ((good, "good"), (bad, "bad"))
    return pl.when(first[0]).then(pl.lit(first[1])).when(second[0]).then(pl.lit(second[1])).otherwise(pl.lit("normal"))


def _any(matched: Sequence[pl.Series]) -> pl.Expr:
    return pl.any_horizontal(one.fill_null(value=False) for one in matched) if matched else pl.lit(value=False)


def _confirmed(frame: pl.DataFrame, confirm: int) -> pl.DataFrame:
    """Move to a new value when so many runs in a row agree; the first value, and none at all, stand at once."""
    if confirm == 1:
        return frame.with_columns(pl.col("health_raw").alias("health")).with_columns(
            _nothing("health_raw"), health_runs=pl.lit(None, pl.Int64())
        )
    raw, shown = pl.col("health_raw"), pl.col("before.health")
    again = raw.eq_missing(pl.col("before.health_raw"))
    runs = pl.when(again).then(pl.min_horizontal(pl.col("before.health_runs") + 1, pl.lit(confirm, pl.Int64())))
    frame = frame.with_columns(runs.fill_null(1).alias("health_runs"))
    moves = shown.is_null() | raw.is_null() | (raw == shown) | (pl.col("health_runs") >= confirm)
    return frame.with_columns(pl.when(moves).then(raw).otherwise(shown).alias("health"))
