"""Reads text as numbers, booleans, instants, days, e-mail addresses and domains, as column expressions.

Text that cannot be read becomes null; who counts that is the caller. What Python's own functions define in the law
(`datetime.fromisoformat`, `strip().lower()`) is computed by polars where both agree, and by Python itself on the
distinct values of the rest. Never writes text: that is `values.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from engage_sync.core.definitions import ValueType
from engage_sync.core.facts import INSTANT

NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""Numeric text (semantics §2): sign, digits, point, exponent."""

Way = tuple[str | None, Callable[[pl.Series], pl.Series]]
"""A pattern (None: anything) and how text of that shape is read."""

_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_DAY = rf"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}$"
_INSTANT_Z = rf"^{_YEAR}-[0-9]{{2}}-[0-9]{{2}}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?Z$"
_SETTLED = r"^[!-@\[-`{-~]+$"
"""ASCII without white space and capitals: nothing to normalise."""
_PLAIN = r"^[\x09-\x0d\x20-\x7e]*$"
_SCHEME = r"^(?:[a-z][a-z0-9+.-]*:)?//"
_HOST = r"^(?:[^/?#@]*@)?([^/?#:@]+)"


def by_shape(text: pl.Expr, dtype: pl.DataType, *ways: Way) -> pl.Expr:
    """Read each value in the first way whose pattern it has; null where none has. Each way sees only its own values."""

    def nothing(values: pl.Series) -> pl.Series:
        return pl.Series(values.name, [None], dtype).new_from_index(0, len(values))

    def read(values: pl.Series) -> pl.Series:
        present = len(values) - values.null_count()
        if not present:
            return nothing(values)
        left = list(ways)
        while left:
            pattern, function = left[0]
            mine = present if pattern is None else values.str.contains(pattern).sum()
            if mine == present:
                return function(values)
            if mine:
                return apart(values, left)
            left.pop(0)
        return nothing(values)

    def apart(values: pl.Series, left: Sequence[Way]) -> pl.Series:
        rows = pl.DataFrame({"row": pl.int_range(len(values), dtype=pl.UInt32, eager=True), "text": values})
        done = [rows.filter(values.is_null()).select("row", answer=pl.lit(None, dtype))]
        rows = rows.drop_nulls("text") if done[0].height else rows
        for pattern, function in left:
            mine = rows if pattern is None else rows.filter(pl.col("text").str.contains(pattern))
            if mine.is_empty():
                continue
            done.append(mine.select("row", answer=function(mine["text"]).cast(dtype)))
            rows = rows.filter(pl.lit(value=False) if pattern is None else ~pl.col("text").str.contains(pattern))
        done.append(rows.select("row", answer=pl.lit(None, dtype)))
        return pl.concat(done).sort("row")["answer"].alias(values.name)

    return text.map_batches(read, return_dtype=dtype)


def by_python(function: Callable[[str], object], dtype: pl.DataType) -> Callable[[pl.Series], pl.Series]:
    """Apply a Python function to each distinct value. For the few values that polars cannot take."""

    def apply(values: pl.Series) -> pl.Series:
        distinct = values.drop_nulls().unique()
        answers = pl.Series([function(value) for value in distinct], dtype=dtype, strict=False)
        return values.replace_strict(distinct, answers, default=None, return_dtype=dtype)

    return apply


def number(text: pl.Expr) -> pl.Expr:
    """Read numeric text as a double; anything else, and what overflows one, is null."""
    return by_shape(text, pl.Float64(), (NUMBER, _numbers))


def boolean(text: pl.Expr) -> pl.Expr:
    """Read `true` and `false`."""
    return pl.when(text == "true").then(pl.lit(value=True)).when(text == "false").then(pl.lit(value=False))


def instant(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 as `datetime.fromisoformat` does: without a zone UTC, a date alone its midnight UTC (semantics
    §1)."""
    return by_shape(text, INSTANT, (_INSTANT_Z, _instants), (None, by_python(_instant, INSTANT)))


def day(text: pl.Expr, timezone: str) -> pl.Expr:
    """Read a date alone as that day, an instant as its day in the zone (semantics §8)."""
    zone = ZoneInfo(timezone)

    def zoned(values: pl.Series) -> pl.Series:
        return _instants(values).dt.convert_time_zone(timezone).dt.date()

    def slow(value: str) -> date | None:
        return _day(value, zone)

    recent = _INSTANT_Z.replace(_YEAR, "[12][0-9]{3}")
    return by_shape(text, pl.Date(), (_DAY, _days), (recent, zoned), (None, by_python(slow, pl.Date())))


def day_of(instants: pl.Expr, timezone: str) -> pl.Expr:
    """Give the calendar day of instants in the zone."""
    return instants.dt.convert_time_zone(timezone).dt.date()


def typed(text: pl.Expr, kind: ValueType, timezone: str) -> pl.Expr:
    """Read text as the declared type (semantics §8). Selections and links stay text."""
    if kind is ValueType.NUMBER:
        return number(text)
    if kind is ValueType.BOOLEAN:
        return boolean(text)
    if kind is ValueType.DATETIME:
        return instant(text)
    if kind is ValueType.DATE:
        return day(text, timezone)
    return text


def dtype_of(kind: ValueType) -> pl.DataType:
    """Give the column type that `typed` answers with."""
    known: dict[ValueType, pl.DataType] = {
        ValueType.NUMBER: pl.Float64(),
        ValueType.BOOLEAN: pl.Boolean(),
        ValueType.DATETIME: INSTANT,
        ValueType.DATE: pl.Date(),
    }
    return known.get(kind, pl.String())


def normal_email(text: pl.Expr) -> pl.Expr:
    """Normalise as Python's `strip().lower()`; empty is null. Rust and Python differ on U+001C..U+001F, and may on
    later Unicode, so only plain ASCII takes the fast ways."""
    slow = by_python(_lowered, pl.String())
    return by_shape(text, pl.String(), (_SETTLED, _same), (_PLAIN, _lowered_ascii), (None, slow))


def normal_domain(text: pl.Expr) -> pl.Expr:
    """Lower-case a domain and cut one leading `www.` (semantics §2)."""
    return normal_email(text).str.replace(r"^www\.", "").replace("", None)


def host(address: pl.Expr) -> pl.Expr:
    """Give the host of a web address, with or without a scheme, as a normalised domain."""
    return normal_domain(normal_email(address).str.replace(_SCHEME, "").str.extract(_HOST, 1))


def site(text: pl.Expr) -> pl.Expr:
    """Normalise what a CRM holds as a company's domain: a domain, or the address of its web site."""
    return pl.when(text.str.contains("/", literal=True)).then(host(text)).otherwise(normal_domain(text))


def _same(values: pl.Series) -> pl.Series:
    return values


def _lowered_ascii(values: pl.Series) -> pl.Series:
    return values.str.strip_chars().str.to_lowercase().replace("", None)


def _lowered(text: str) -> str | None:
    return text.strip().lower() or None


def _numbers(values: pl.Series) -> pl.Series:
    """Read numeric text; polars does not know `5.`, and reads what overflows as infinite."""
    read = values.str.replace(r"\.([eE]|$)", "${1}").cast(pl.Float64, strict=False)
    return read.replace([float("inf"), float("-inf")], [None, None])


def _instants(values: pl.Series) -> pl.Series:
    return values.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)


def _days(values: pl.Series) -> pl.Series:
    return values.str.to_date("%Y-%m-%d", strict=False)


def _instant(text: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _day(text: str, zone: ZoneInfo) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    value = _instant(text)
    try:
        return None if value is None else value.astimezone(zone).date()
    except OverflowError:
        return None
