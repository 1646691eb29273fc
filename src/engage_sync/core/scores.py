"""Scores from 0 to 100: weighted ones of users with their benchmark, bands and trend, their means and sums per account,
and scores from rules (semantics §7). Sums, benchmarks and rounding are exact, in whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.verdict_rules import Band, RuleScore, WeightedScore

HOT, COLD = 10, -10
_EXACT = 2**50
"""Raw sums up to this stay within 64 bits when they are compared with the benchmark; nobody has that many events."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The 90th percentile of the raw sums of those who have any: now, and in the window before. None: nobody has."""

    now: Fraction | None
    before: Fraction | None


def benchmark(raw: pl.Series, scale: int = 1) -> Fraction | None:
    """Give the 90th percentile of what is positive, linearly interpolated; None where nothing is."""
    ordered = raw.filter(raw > 0).sort()
    if not len(ordered):
        return None
    place = Fraction(9 * (len(ordered) - 1), 10)
    low = int(place)
    below, above = int(ordered[low]), int(ordered[min(low + 1, len(ordered) - 1)])
    return (below + (place - low) * (above - below)) / scale


def with_weighted_score(
    users: pl.DataFrame, score: WeightedScore, bands: Sequence[Band]
) -> tuple[pl.DataFrame, Benchmark]:
    """Add `scores.NAME`, `…_trend`, `…_band`, `…_heat` and `before.scores.NAME` (the score of the window before; null
    where nobody has one) to the users that have `raw.NAME` and `raw_before.NAME`."""
    name = f"scores.{score.name}"
    marks = Benchmark(
        benchmark(users[f"raw.{score.name}"], score.scale), benchmark(users[f"raw_before.{score.name}"], score.scale)
    )
    users = users.with_columns(
        _scored(users[f"raw.{score.name}"], marks.now, score.scale).fill_null(0).alias(name),
        _scored(users[f"raw_before.{score.name}"], marks.before, score.scale).alias(f"before.{name}"),
    )
    trend = (pl.col(name) - pl.col(f"before.{name}")).alias(f"{name}_trend")
    return _told(users.with_columns(trend), name, bands), marks


def with_account_score(
    accounts: pl.DataFrame, users: pl.DataFrame, active: pl.DataFrame, score: WeightedScore, bands: Sequence[Band]
) -> pl.DataFrame:
    """Add the mean of the active users as `scores.NAME`, its `_sum`, `_trend`, `_band` and `_heat` to accounts.

    `active` as `accounts.with_activity` gives it: the `row` of a user and the `account` it counts as active in.
    """
    name = f"scores.{score.name}"
    held = active.select("account").hstack(users.select(now=name, then=f"before.{name}")[active["row"]])
    now, then, count = pl.col("now").sum(), pl.col("then").sum(), pl.len().cast(pl.Int64)
    known = pl.col("then").is_not_null().any()
    per_account = held.group_by("account").agg(
        now.alias(f"{name}_sum"),
        _rounded(now, count).alias(name),
        pl.when(known).then(_rounded(now, count) - _rounded(then, count)).alias(f"{name}_trend"),
    )
    joined = accounts.join(
        per_account, left_on="external_id", right_on="account", how="left", maintain_order="left"
    ).with_columns(pl.col(f"{name}_sum").fill_null(0))
    return _told(joined, name, bands)


def with_rule_score(frame: pl.DataFrame, score: RuleScore, asking: Asking, bands: Sequence[Band]) -> pl.DataFrame:
    """Add `scores.NAME` and its band; null where less than half of the weight is known. Rule scores have no trend."""
    name = f"scores.{score.name}"
    rules = [one.rule.when for one in score.rules]
    weights = _whole([one.weight for one in score.rules])
    read = asking.read(frame, rules)
    matched = asking.each(frame, rules)
    known = [
        read.select(pl.any_horizontal(pl.col(sorted(rule.names)).is_not_null()).alias("known"))["known"]
        if rule.names
        else pl.repeat(value=True, n=frame.height, eager=True)
        for rule in rules
    ]
    sums = pl.DataFrame(
        {
            "matched": _added(
                weights, [one & answer.fill_null(value=False) for one, answer in zip(known, matched, strict=True)]
            ),
            "known": _added(weights, known),
        }
    )
    enough = (2 * pl.col("known") >= sum(weights)) & (pl.col("known") > 0)
    value = sums.select(pl.when(enough).then(_rounded(100 * pl.col("matched"), pl.col("known"))).alias(name))[name]
    frame = frame.with_columns(value, pl.lit(None, pl.Int64()).alias(f"{name}_trend"))
    return _told(frame, name, bands)


def _whole(weights: Sequence[Decimal]) -> list[int]:
    """Give weights in the smallest decimal unit, so that sums are exact."""
    scale = max((_digits(weight) for weight in weights), default=0)
    return [int(weight.scaleb(scale)) for weight in weights]


def _digits(weight: Decimal) -> int:
    exponent = weight.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _added(weights: Sequence[int], held: Sequence[pl.Series]) -> pl.Series:
    parts = {
        str(place): one.cast(pl.Int64) * weight for place, (one, weight) in enumerate(zip(held, weights, strict=True))
    }
    return pl.DataFrame(parts).sum_horizontal()


def _scored(raw: pl.Series, mark: Fraction | None, scale: int) -> pl.Series:
    """Give `clamp(round(100 × raw ÷ p90), 1, 100)`, 0 where raw is 0; null for all where there is no benchmark."""
    if mark is None:
        return pl.repeat(None, len(raw), dtype=pl.Int64(), eager=True)
    share = 100 / (mark * scale)
    held = raw.clip(0, min(ceil(mark * scale), _EXACT))
    points = (held * (2 * share.numerator) + share.denominator) // (2 * share.denominator)
    return points.clip(1, 100) * (raw > 0).cast(pl.Int64)


def _rounded(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Divide whole numbers and round half up."""
    return (2 * dividend + divisor) // (2 * divisor)


def _told(frame: pl.DataFrame, name: str, bands: Sequence[Band]) -> pl.DataFrame:
    """Add the band of the score and the heat of its trend."""
    score, trend = pl.col(name), pl.col(f"{name}_trend")
    band = pl.lit(None, dtype=pl.String())
    for one in sorted(bands, key=lambda one: one.start):
        band = pl.when(score >= one.start).then(pl.lit(one.name)).otherwise(band)
    heat = (
        pl.when(trend >= HOT)
        .then(pl.lit("hot"))
        .when(trend <= COLD)
        .then(pl.lit("cold"))
        .when(trend.is_not_null())
        .then(pl.lit("steady"))
    )
    return frame.with_columns(band.alias(f"{name}_band"), heat.alias(f"{name}_heat"))


def benchmark_numbers(marks: Mapping[str, Benchmark]) -> dict[str, float | None]:
    """Give each score's benchmark as a number, for the report of a run."""
    return {name: None if one.now is None else float(one.now) for name, one in marks.items()}
