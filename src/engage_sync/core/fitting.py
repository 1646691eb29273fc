"""Whether a wanted value fits the CRM's field: type, option, length, writability (semantics §9). A value that does not
fit is refused with a sentence before any call, never cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from engage_sync.core.definitions import ManagedField, ValueType
from engage_sync.core.parsing import NUMBER
from engage_sync.core.values import SEPARATOR

_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$"
_SHAPES = {
    ValueType.NUMBER: (NUMBER, "a number"),
    ValueType.BOOLEAN: ("^(true|false)$", "true or false"),
    ValueType.DATE: (_DAY, "a date"),
    ValueType.DATETIME: (_INSTANT, "an instant"),
}
_TEXTUAL = frozenset({ValueType.TEXT, ValueType.LONG_TEXT})
FITS: Mapping[ValueType, frozenset[ValueType]] = {
    ValueType.TEXT: _TEXTUAL,
    ValueType.LONG_TEXT: _TEXTUAL,
    ValueType.URL: _TEXTUAL | {ValueType.URL},
    ValueType.SELECT: _TEXTUAL | {ValueType.SELECT},
    ValueType.MULTISELECT: _TEXTUAL | {ValueType.MULTISELECT},
    ValueType.NUMBER: _TEXTUAL | {ValueType.NUMBER},
    ValueType.BOOLEAN: _TEXTUAL | {ValueType.BOOLEAN},
    ValueType.DATE: _TEXTUAL | {ValueType.DATE},
    ValueType.DATETIME: _TEXTUAL | {ValueType.DATETIME},
}
"""Value type → the CRM field types that can hold it."""
_SHOWN_OPTIONS = 20


@dataclass(frozen=True, slots=True)
class FieldLimit:
    """What the CRM says of a field: options (None: free), greatest length in characters, whether we may write, its
    type where that is one of ours, the digits it keeps before and after the point (None: all), the text that stands for
    empty in a field that is never empty (None: it can be), and whether white space at both ends is cut."""

    options: tuple[str, ...] | None
    length: int | None
    writable: bool
    type: ValueType | None = None
    decimals: int | None = None
    blank: str | None = None
    whole: int | None = None
    trimmed: bool = False


def misfit(after: pl.Expr, field: ManagedField, limit: FieldLimit | None, object_name: str) -> pl.Expr:
    """Give the sentence why the value cannot be written, null where it fits. `limit` None: there is no such field."""
    place = f"{object_name}.{field.field}"
    if limit is None:
        return pl.lit(f"{object_name} has no field {field.field}; `engage-sync provision --apply` creates it")
    if not limit.writable:
        return pl.lit(f"{place} is read-only for these credentials")
    if limit.type is not None and limit.type not in FITS[field.type]:
        clash = f"{place} is a {limit.type.value} field and cannot hold {field.source}, a {field.type.value}"
        return pl.when(after.is_not_null()).then(pl.lit(clash))
    reasons = [_shape(after, field, place)]
    if limit.options is not None:
        reasons.append(_option(after, field, limit.options, place))
    if limit.decimals is not None and field.type is ValueType.NUMBER:
        kept = after.str.extract(r"\.([0-9]+)$").str.len_chars().fill_null(0)
        too_fine = pl.format(f"{_braced(place)} keeps {limit.decimals} digits after the point: {{}}", after)
        reasons.append(pl.when(kept > limit.decimals).then(too_fine))
    if limit.whole is not None and field.type is ValueType.NUMBER:
        digits = after.str.extract(r"^-?0*([1-9][0-9]*)").str.len_chars().fill_null(0)
        too_large = pl.format(f"{_braced(place)} takes {limit.whole} digits before the point: {{}}", after)
        reasons.append(pl.when(digits > limit.whole).then(too_large))
    if limit.length is not None:
        too_long = pl.format(f"{_braced(place)} takes {limit.length} characters, not {{}}", after.str.len_chars())
        reasons.append(pl.when(after.str.len_chars() > limit.length).then(too_long))
    return pl.coalesce(reasons)


def _shape(after: pl.Expr, field: ManagedField, place: str) -> pl.Expr:
    if field.type not in _SHAPES:
        return pl.lit(None, dtype=pl.String())
    pattern, words = _SHAPES[field.type]
    sentence = pl.format(f"{_braced(place)} takes {words}, not {{}}", after)
    return pl.when(~after.str.contains(pattern)).then(sentence)


def _option(after: pl.Expr, field: ManagedField, options: Sequence[str], place: str) -> pl.Expr:
    shown = ", ".join(options[:_SHOWN_OPTIONS]) + (", …" if len(options) > _SHOWN_OPTIONS else "")
    several = field.type is ValueType.MULTISELECT
    chosen = after.str.split(SEPARATOR) if several else after.reshape((-1, 1)).arr.to_list()
    unknown = chosen.list.eval(pl.element().filter(~pl.element().is_in(list(options)))).list.first()
    sentence = pl.format(f"{_braced(place)} has no option {{}}, only {_braced(shown)}", unknown)
    return pl.when(unknown.is_not_null()).then(sentence)


def _braced(text: str) -> str:
    """Keep braces in names from reading as places of the format."""
    return text.replace("{", "(").replace("}", ")")
