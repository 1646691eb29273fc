"""Instants as the tables hold them: UTC ISO text of fixed width, so that the order of text is the order of time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import polars as pl

DTYPE = pl.Datetime("us", "UTC")
_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"


@lru_cache(maxsize=256)
def to_text(instant: datetime) -> str:
    """Write an instant; one without a zone is UTC."""
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC).replace(tzinfo=None)
    return instant.isoformat(timespec="microseconds") + "Z"


def from_text(text: str) -> datetime:
    """Read an instant."""
    return datetime.fromisoformat(text)


def column_to_text(column: str, dtype: pl.DataType) -> pl.Expr:
    """Write a column of instants; without a zone they are UTC."""
    expression = pl.col(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        expression = expression.dt.convert_time_zone("UTC")
    return expression.cast(pl.Datetime("us")).dt.strftime(_FORMAT).alias(column)


def column_from_text(column: str) -> pl.Expr:
    """Read a column of instants."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us").dt.replace_time_zone("UTC")


def written(column: pl.Series) -> pl.Series:
    """Give a column of instants, or of ISO texts of any width, as the tables hold them."""
    if isinstance(column.dtype, pl.Datetime):
        return column.to_frame().select(column_to_text(column.name, column.dtype)).to_series()
    texts = column.drop_nulls().unique().to_list()
    return column.cast(pl.String).replace_strict(texts, [to_text(from_text(text)) for text in texts], default=None)
