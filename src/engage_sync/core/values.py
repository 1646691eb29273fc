"""The one canonical text of a value: how verdicts are written to a CRM, and how text of a CRM is made comparable.

Equal values have equal canonical text: `5.0` and `5`, epoch milliseconds and ISO, `b;a` and `a;b` (semantics §9). Text
that is not of the field's type is left as it is, so that it differs from anything wanted. Never decides what to write.
"""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from engage_sync.core.definitions import ValueType
from engage_sync.core.facts import INSTANT
from engage_sync.core.parsing import NUMBER, by_python, by_shape, day_of, instant, number

SEPARATOR = ";"
DECIMALS = 4

_EPOCH = r"^(?:[0-9]{9,14}|-[0-9]{1,14}|0)$"
"""Not eight digits or fewer: those are an ISO date."""
_WHOLE = r"^[+-]?[0-9]{1,18}$"
_EXACT = 1e15
"""Below this a double's whole part survives a cast and its text has no exponent."""
_LATEST = 253_402_300_799_999
_EARLIEST = -62_135_596_800_000
"""The years 1 to 9999 in epoch milliseconds."""


def canonical(text: pl.Expr, kind: ValueType, *, datetime_digits: int = 3) -> pl.Expr:
    """Bring any text a CRM may hold for that type to its canonical text; empty is null. Free text is not trimmed."""
    if kind is ValueType.NUMBER:
        value = by_shape(text.str.strip_chars(), pl.String(), (_WHOLE, _whole_numbers), (NUMBER, _other_numbers))
    elif kind is ValueType.BOOLEAN:
        value = by_shape(text.str.strip_chars().str.to_lowercase(), pl.String(), ("^(?:true|false)$", _same))
    elif kind is ValueType.DATE:
        value = _instants(text.str.strip_chars()).dt.strftime("%Y-%m-%d")
    elif kind is ValueType.DATETIME:
        value = instant_text(_instants(text.str.strip_chars()), datetime_digits)
    elif kind is ValueType.MULTISELECT:
        value = by_shape(text, pl.String(), (None, by_python(_ordered, pl.String())))
    else:
        return text.replace("", None)
    return pl.coalesce(value, text).replace("", None)


def to_text(
    column: pl.Expr, dtype: pl.DataType, kind: ValueType, *, timezone: str, datetime_digits: int = 3
) -> pl.Expr:
    """Write a column of that dtype as canonical text for a field of that type (semantics §9): instants in a date field
    are the zone's day, lists are sorted and joined."""
    if isinstance(dtype, pl.List):
        return canonical(column.list.join(SEPARATOR), ValueType.MULTISELECT)
    if dtype.is_float():
        return number_text(column.round(DECIMALS, mode="half_away_from_zero"))
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        return _moment_text(column, dtype, kind, timezone, datetime_digits)
    return canonical(column.cast(pl.String), kind, datetime_digits=datetime_digits)


def number_text(column: pl.Expr) -> pl.Expr:
    """Write doubles without noise: whole ones as integers, never an exponent, no infinity."""
    return column.map_batches(_number_texts, return_dtype=pl.String())


def instant_text(column: pl.Expr, digits: int) -> pl.Expr:
    """Write instants as ISO 8601 in UTC with `Z` and so many digits below the second, cut, not rounded."""
    utc = column.dt.convert_time_zone("UTC")
    if digits <= 0:
        return utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if digits == 3:
        return utc.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    return utc.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").str.slice(0, 20 + min(digits, 6)) + "Z"


def _moment_text(column: pl.Expr, dtype: pl.DataType, kind: ValueType, timezone: str, digits: int) -> pl.Expr:
    """Write an instant in a date field as the zone's day, and a day in a datetime field as its midnight UTC."""
    if isinstance(dtype, pl.Datetime):
        if kind is ValueType.DATE:
            return day_of(column, timezone).dt.strftime("%Y-%m-%d")
        return instant_text(column, digits)
    if kind is ValueType.DATETIME:
        return instant_text(column.cast(INSTANT), digits)
    return column.dt.strftime("%Y-%m-%d")


def _instants(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 or epoch milliseconds (crm-apis §A8: HubSpot reads and writes both)."""
    return pl.coalesce(by_shape(text, INSTANT, (_EPOCH, _from_epoch)), instant(by_shape(text, pl.String(), *_NO_EPOCH)))


def _from_epoch(values: pl.Series) -> pl.Series:
    millis = values.cast(pl.Int64, strict=False)
    known = millis.is_between(_EARLIEST, _LATEST)
    return millis.zip_with(known, pl.Series([None], dtype=pl.Int64)).cast(pl.Datetime("ms", "UTC")).cast(INSTANT)


def _same(values: pl.Series) -> pl.Series:
    return values


def _nothing(values: pl.Series) -> pl.Series:
    return pl.repeat(None, len(values), dtype=pl.String(), eager=True)


_NO_EPOCH = ((_EPOCH, _nothing), (None, _same))


def _whole_numbers(values: pl.Series) -> pl.Series:
    return values.cast(pl.Int64, strict=False).cast(pl.String)


def _other_numbers(values: pl.Series) -> pl.Series:
    return values.to_frame("text").select(number_text(number(pl.col("text")))).to_series()


def _number_texts(values: pl.Series) -> pl.Series:
    small = values.abs() < _EXACT
    whole = small & (values == values.round(0))
    shortest = values.cast(pl.String)
    odd = ~whole & values.is_finite() & (~small | shortest.str.contains("e", literal=True))
    spelled = by_python(_spelled_out, pl.String())(shortest.set(~odd, None)) if odd.any() else shortest
    frame = pl.DataFrame({"value": values, "whole": whole, "odd": odd, "shortest": shortest, "spelled": spelled})
    integer = pl.when("whole").then("value").cast(pl.Int64).cast(pl.String)
    decimal = pl.when("odd").then("spelled").when(pl.col("value").is_finite()).then("shortest")
    return frame.select(pl.when("whole").then(integer).otherwise(decimal)).to_series().alias(values.name)


def _ordered(text: str) -> str:
    return SEPARATOR.join(sorted({part.strip() for part in text.split(SEPARATOR)} - {""}))


def _spelled_out(shortest: str) -> str:
    value = Decimal(shortest)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
