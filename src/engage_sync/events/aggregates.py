"""What one scan of the messages adds up per (user, account), and how those partial sums merge into a user's or an
account's facts. Each kind of metric is a pair: Ibis aggregates, and the polars expression that merges their columns.
Kinds that need the distinct values themselves say so by `values`, and are grouped once more by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add
from typing import Final

import ibis
import ibis.expr.types as ir
import polars as pl

from engage_sync.core.definitions import Metric, MetricKind
from engage_sync.core.facts import INSTANT
from engage_sync.events.days import WORD, day_count, day_index
from engage_sync.events.functions import exact_sum
from engage_sync.events.names import EventNames
from engage_sync.events.where import as_number, to_ibis, value_of
from engage_sync.events.windows import Span, span

_MAX_WORDS: Final = 16
_NUMERIC: Final = (MetricKind.SUM, MetricKind.MIN, MetricKind.MAX, MetricKind.AVG)


def holds(window: Span, instants: ir.TimestampValue) -> ir.BooleanValue:
    """Tell which instants, none later than the run's `as_of`, fall into the window."""
    end = ibis.literal(window.end, type="timestamp('UTC')")
    if window.start is None:
        return ibis.literal(True) if window.closed else instants < end
    since = instants >= ibis.literal(window.start, type="timestamp('UTC')")
    return since if window.closed else since & (instants < end)


@dataclass(frozen=True, slots=True)
class Measure:
    """One value to measure: aggregates by column name for the scan, and how the columns merge in a group of pairs."""

    partials: Mapping[str, ir.Scalar]
    merged: pl.Expr
    values: ir.Value | None = None  # distinct ones are counted apart, of the messages in `rows`
    rows: ir.BooleanValue | None = None
    ignored: str | None = None  # the column that counts values that are no numbers


@dataclass(frozen=True, slots=True)
class Scanned:
    """The messages, with what every measure of one run needs to know."""

    table: ir.Table
    names: EventNames
    as_of: datetime
    oldest: datetime
    timezone: str


def count(name: str, table: ir.Table, rows: ir.BooleanValue) -> Measure:
    """Count rows."""
    return Measure({name: table.count(where=rows)}, pl.col(name).sum().cast(pl.Int64))


def weighted(name: str, weight: ir.IntegerValue | None, rows: ir.BooleanValue) -> Measure:
    """Add up the weights of rows; None is no weight at all. Whole numbers, so the sum is exact."""
    if weight is None:
        return Measure({}, pl.lit(0, pl.Int64()))
    return Measure({name: weight.sum(where=rows)}, pl.col(name).sum().cast(pl.Int64))


def earliest(name: str, instants: ir.TimestampValue, rows: ir.BooleanValue) -> Measure:
    """Give the first instant of the rows."""
    return Measure({name: instants.min(where=rows)}, pl.col(name).min().cast(INSTANT))


def latest(name: str, instants: ir.TimestampValue, rows: ir.BooleanValue) -> Measure:
    """Give the last instant of the rows."""
    return Measure({name: instants.max(where=rows)}, pl.col(name).max().cast(INSTANT))


def active_days(name: str, scanned: Scanned, window: Span, rows: ir.BooleanValue) -> Measure:
    """Count calendar days with a row: a bit for each day of the window where it is not too long, else distinct days."""
    start = max(window.start or scanned.oldest, scanned.oldest)
    if start > window.end:
        return Measure({}, pl.lit(0, pl.Int64()))
    day = day_index(scanned.table["timestamp"], scanned.timezone, start, window.end)
    words = -(-day_count(scanned.timezone, start, window.end) // WORD)
    if words > _MAX_WORDS:
        return Measure({}, pl.lit(0, pl.Int64()), values=day, rows=rows)
    return bits(name, day, words, rows)


def bits(name: str, index: ir.IntegerValue, words: int, rows: ir.BooleanValue) -> Measure:
    """Count distinct small integers (0 up to words × 63): a bit for each, in words of 63."""
    partials, columns = {}, []
    for word in range(words):
        low = word * WORD
        inside = rows if words == 1 else rows & (index >= low) & (index < low + WORD)
        place = ibis.literal(1, type="int64") << ibis.ifelse(inside, index - low, 0)
        columns.append(f"{name}.{word}")
        partials[columns[-1]] = place.bit_or(where=inside)
    ones = [pl.col(column).fill_null(0).bitwise_or().bitwise_count_ones().cast(pl.Int64) for column in columns]
    return Measure(partials, reduce(add, ones))


def measure_of(metric: Metric, scanned: Scanned, name: str) -> Measure:
    """Give the measure of a declared metric; its columns begin with `name`."""
    table, window = scanned.table, span(scanned.as_of, metric.window, metric.offset)
    rows = scanned.names.match(table, [metric.events]) & holds(window, table["timestamp"])
    if metric.where is not None:
        rows = rows & to_ibis(metric.where, table).fill_null(False)
    if metric.kind in _NUMERIC:
        return _numeric(metric.kind, name, table, value_of(metric.value or "event", table), rows)
    return _measure(metric, scanned, name, window, rows)


def _measure(metric: Metric, scanned: Scanned, name: str, window: Span, rows: ir.BooleanValue) -> Measure:
    table = scanned.table
    match metric.kind:
        case MetricKind.FIRST:
            return earliest(name, table["timestamp"], rows)
        case MetricKind.LAST:
            return latest(name, table["timestamp"], rows)
        case MetricKind.ACTIVE_DAYS:
            return active_days(name, scanned, window, rows)
        case MetricKind.DISTINCT:
            values = value_of(metric.value or "event", table)
            return Measure({}, pl.lit(0, pl.Int64()), values=values, rows=rows)
        case MetricKind.ACTIVE_USERS:
            users = pl.col("user").filter((pl.col(name) > 0) & ~pl.col("excluded")).drop_nulls()
            return Measure({name: table.count(where=rows)}, users.n_unique().cast(pl.Int64))
        case _:
            return count(name, table, rows)


def _numeric(kind: MetricKind, name: str, table: ir.Table, text: ir.StringValue, rows: ir.BooleanValue) -> Measure:
    """Add up, or find the extremes of, the values that are numbers; the others are counted as ignored."""
    value, column, ignored, known = as_number(text), pl.col(name), f"{name}.ignored", f"{name}.known"
    partials = {ignored: table.count(where=rows & text.notnull() & value.isnull())}
    match kind:
        case MetricKind.MIN:
            partials[name], merged = value.min(where=rows), column.min()
        case MetricKind.MAX:
            partials[name], merged = value.max(where=rows), column.max()
        case MetricKind.SUM:
            partials[name], merged = exact_sum(value, where=rows), column.sum()
        case _:
            partials[name], partials[known] = exact_sum(value, where=rows), table.count(where=rows & value.notnull())
            merged = pl.when(pl.col(known).sum() > 0).then(column.sum() / pl.col(known).sum())
    return Measure(partials, merged.cast(pl.Float64), ignored=ignored)
