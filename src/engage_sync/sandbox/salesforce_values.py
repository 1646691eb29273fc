"""One value of a Salesforce field: read from JSON, from a CSV cell or from Python, checked by its field, and written
again as JSON, as CSV or as the canonical text of the connector seam (crm-apis §B5, B8, B12). Pure; None is an empty
field.

Stored are: text as str, numbers as float (`int` fields as int), checkboxes as bool, dates as `YYYY-MM-DD`, instants as
whole epoch seconds, several options as `a;b` in the order of the definition.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache, partial

from engage_sync.sandbox.salesforce_fields import NUMBERS, TEXTS, FieldDef
from engage_sync.sandbox.salesforce_ids import normal

Reader = Callable[[object], object]
_EMAIL = re.compile(r"[^@\s;,<>\"()]+@[^@\s;,<>\"()]+\.[^@\s;,<>\"().]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRUE, _FALSE = frozenset(("true", "1")), frozenset(("false", "0"))
MULTI_LENGTH, MULTI_COUNT = 4_099, 100


class BadValue(ValueError):
    """A value that its field does not take. `code` is Salesforce's status code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def seconds(moment: datetime) -> int:
    """Give the whole epoch seconds of an aware instant."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def moment(epoch: int) -> datetime:
    """Give the instant of epoch seconds."""
    return _EPOCH + timedelta(seconds=epoch)


@lru_cache(maxsize=20_000)
def instant(epoch: int) -> str:
    """Write epoch seconds as REST answers do: `2026-01-02T03:04:05.000+0000`."""
    return moment(epoch).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


@lru_cache(maxsize=20_000)
def instant_z(epoch: int) -> str:
    """Write epoch seconds as Bulk results do: `2026-01-02T03:04:05.000Z`."""
    return moment(epoch).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def json_reader(field: FieldDef) -> Reader:
    """Give the function that reads this field's value from parsed JSON. It raises BadValue."""
    return partial(_from_json, field, _kind(field), text_reader(field))


def cell_reader(field: FieldDef) -> Callable[[str], object]:
    """Give the function that reads this field's value from a CSV cell or other text. It raises BadValue."""
    read = text_reader(field)
    kind = _kind(field)
    if kind in ("double", "int"):
        return lambda cell: read(_figure(field, cell))
    if kind == "boolean":
        return lambda cell: _truth(field, cell)
    if kind == "date":
        return lambda cell: _day(field, cell, "INVALID_TYPE_ON_FIELD_IN_RECORD")
    if kind == "datetime":
        return lambda cell: _moment(field, cell, "INVALID_TYPE_ON_FIELD_IN_RECORD")
    return read


def python_reader(field: FieldDef) -> Reader:
    """Give the function that reads a Python value of this field: text as a person would type it, numbers, booleans,
    dates, aware datetimes. It raises BadValue."""
    typed, other = cell_reader(field), json_reader(field)
    empty = False if field.type == "boolean" else None

    def read(value: object) -> object:
        if value is None or value == "":
            return empty
        if isinstance(value, str):
            return typed(value)
        if isinstance(value, datetime):
            return seconds(value)
        return value.isoformat() if isinstance(value, date) else other(value)

    return read


def text_reader(field: FieldDef) -> Callable[..., object]:
    """Give the function that checks and normalises a value of the right type."""
    kind = _kind(field)
    if kind == "multipicklist":
        return partial(_several, field, {one.value: place for place, one in enumerate(field.choices) if one.active})
    if kind == "picklist":
        return partial(_one_of, field, frozenset(one.value for one in field.choices if one.active))
    if kind in ("double", "int"):
        quantum = Decimal(1).scaleb(-field.scale)
        largest = 10 ** (field.precision - field.scale) if field.precision else 10**18
        return partial(_whole, field) if kind == "int" else partial(_number, field, quantum, largest)
    if kind == "reference":
        return partial(_reference, field)
    return partial(_email if kind == "email" else _string, field)


def canonical(field: FieldDef, value: object) -> str | None:
    """Write a stored value as the connector seam has it: digits, true/false, ISO dates, instants with `Z`, `a;b`."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.type == "datetime" and isinstance(value, int):
        return moment(value).strftime("%Y-%m-%dT%H:%M:%SZ")
    return figure(value) if isinstance(value, int | float) else str(value)


def python_value(field: FieldDef, value: object) -> object:
    """Give a stored value as Python has it: aware datetimes, dates, None for empty."""
    if field.type == "datetime" and isinstance(value, int):
        return moment(value)
    return date.fromisoformat(value) if field.type == "date" and isinstance(value, str) else value


def figure(value: float) -> str:
    """Write a number with as many digits as it needs."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def cell(field: FieldDef, value: object) -> str:
    """Write a stored value as a Bulk query result has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.type == "datetime" and isinstance(value, int):
        return instant_z(value)
    return _java(value) if isinstance(value, float) else str(value)


def _java(value: float) -> str:
    """Write a double as Java does: at least one decimal, an exponent from ten millions on and below a thousandth."""
    size = abs(value)
    if size and (size >= 1e7 or size < 1e-3):
        digits, exponent = format(Decimal(repr(value)).normalize(), "E").split("E")
        return f"{digits if '.' in digits else digits + '.0'}E{int(exponent)}"
    return repr(value)


def _kind(field: FieldDef) -> str:
    if field.type in NUMBERS:
        return "double"
    return "string" if field.type in TEXTS - {"email", "picklist", "multipicklist", "reference"} else field.type


def _from_json(field: FieldDef, kind: str, read: Callable[..., object], value: object) -> object:
    if value is None:
        if kind == "boolean":
            raise _wrong_type(field, "")
        return None
    if kind in ("double", "int"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unreadable(kind, value)
        return read(value)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _unreadable("boolean", value)
        return value
    if not isinstance(value, str):
        raise _unreadable(kind if kind in ("date", "datetime") else "string", value)
    if kind in ("date", "datetime"):
        if not value:
            return None
        return (_day if kind == "date" else _moment)(field, value, "JSON_PARSER_ERROR")
    return read(value)


def _unreadable(wanted: str, value: object) -> BadValue:
    token = {bool: f"VALUE_{str(value).upper()}", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT"}.get(
        type(value), "VALUE_STRING"
    )
    if isinstance(value, dict | list):
        token = "START_OBJECT" if isinstance(value, dict) else "START_ARRAY"
    shown = (
        "" if isinstance(value, dict | list) else f" value {str(value).lower() if isinstance(value, bool) else value}"
    )
    return BadValue(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {wanted} from {token}{shown} or request may be missing a required field",
    )


def _wrong_type(field: FieldDef, shown: str) -> BadValue:
    return BadValue("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{field.label}: value not of required type: {shown}")


def _string(field: FieldDef, value: str) -> object:
    value = value.strip()
    if len(value) > field.length:
        shown = value if len(value) <= 1000 else value[:1000]
        raise BadValue("STRING_TOO_LONG", f"{field.label}: data value too large: {shown} (max length={field.length})")
    return value or None


def _email(field: FieldDef, value: str) -> object:
    value = value.strip()
    if value and not _EMAIL.fullmatch(value):
        raise BadValue("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {value}")
    return _string(field, value)


def _one_of(field: FieldDef, known: frozenset[str], value: str) -> object:
    if not value:
        return None
    if field.restricted and value not in known:
        raise _no_choice(field, value)
    return _string(field, value)


def _several(field: FieldDef, order: dict[str, int], value: str) -> object:
    chosen = list(dict.fromkeys(part.strip() for part in value.split(";") if part.strip()))
    if not chosen:
        return None
    for one in chosen:
        if one not in order and field.restricted:
            raise _no_choice(field, one)
    chosen.sort(key=lambda one: order.get(one, len(order)))
    joined = ";".join(chosen)
    if len(joined) > MULTI_LENGTH or len(chosen) > MULTI_COUNT:
        raise BadValue("STRING_TOO_LONG", f"{field.label}: data value too large: {joined[:200]} (max length=4099)")
    return joined


def _no_choice(field: FieldDef, value: str) -> BadValue:
    return BadValue(
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"{field.label}: bad value for restricted picklist field: {value}"
    )


def _number(field: FieldDef, quantum: Decimal, largest: int, value: float) -> object:
    if not math.isfinite(value) or abs(value) >= largest:
        raise BadValue(
            "NUMBER_OUTSIDE_VALID_RANGE", f"{field.label}: value outside of valid range on numeric field: {value}"
        )
    if value == int(value):
        return float(value)
    return float(Decimal(repr(value)).quantize(quantum, rounding=ROUND_HALF_UP))


def _whole(field: FieldDef, value: float) -> object:
    if value != int(value):
        raise _unreadable("int", value)
    if abs(value) >= 2**31 or (field.precision and abs(value) >= 10**field.precision):
        raise BadValue(
            "NUMBER_OUTSIDE_VALID_RANGE", f"{field.label}: value outside of valid range on numeric field: {value}"
        )
    return int(value)


def _figure(field: FieldDef, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong_type(field, text) from None


def _truth(field: FieldDef, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise _wrong_type(field, text)
    return word in _TRUE


def _day(field: FieldDef, text: str, code: str) -> str:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise _unreadable("date", text) if code == "JSON_PARSER_ERROR" else _wrong_type(field, text)


def _moment(field: FieldDef, text: str, code: str) -> int:
    try:
        if _INSTANT.fullmatch(text):
            read = datetime.fromisoformat(text)
            return seconds(read if read.tzinfo else read.replace(tzinfo=UTC))
        if _DATE.fullmatch(text):
            return seconds(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        pass
    raise _unreadable("datetime", text) if code == "JSON_PARSER_ERROR" else _wrong_type(field, text)


def _reference(field: FieldDef, value: str) -> object:
    if not value:
        return None
    known = normal(value)
    if known is None:
        raise BadValue("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}")
    return known
