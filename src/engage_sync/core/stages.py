"""Stages: the last step whose rule matches, and for monotonic stages never one before the last run's (semantics §7)."""

from __future__ import annotations

from functools import reduce

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.verdict_rules import Stages


def with_stage(frame: pl.DataFrame, stages: Stages, asking: Asking) -> pl.DataFrame:
    """Add `stage`, null where no step matches. A monotonic stage reads the column `before.stage`."""
    if not stages.steps:
        return frame.with_columns(stage=pl.lit(None, dtype=pl.String()))
    matched = asking.each(frame, [step.when for step in stages.steps])
    reached = pl.coalesce(
        [pl.when(answer).then(pl.lit(place, dtype=pl.Int32())) for place, answer in reversed(list(enumerate(matched)))]
    )
    names = [step.name for step in stages.steps]
    if stages.monotonic:
        before = pl.col("before.stage").replace_strict(names, range(len(names)), default=None, return_dtype=pl.Int32())
        reached = pl.max_horizontal(reached, before)
    named = reduce(
        lambda otherwise, place: pl.when(pl.col(".reached") == place).then(pl.lit(names[place])).otherwise(otherwise),
        range(len(names)),
        pl.lit(None, dtype=pl.String()),
    )
    return frame.with_columns(reached.alias(".reached")).with_columns(named.alias("stage")).drop(".reached")
