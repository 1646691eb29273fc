"""Salesforce's fields as `describe` tells of them, and values on their way in and out: JSON, CSV and canonical text
(crm-apis §B5, §B8, §B11, §B12). Asks for nothing but one description."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from math import isfinite

from engage_sync.connectors.base import Field
from engage_sync.connectors.replies import senseless, text
from engage_sync.connectors.salesforce_http import Transport
from engage_sync.core.definitions import ValueType

CLEAR = "#N/A"
"""What empties a field in a CSV file; an empty cell leaves it alone (crm-apis §B8)."""
MOMENT = "datetime"

TYPES: Mapping[str, ValueType] = {
    "id": ValueType.TEXT,
    "string": ValueType.TEXT,
    "email": ValueType.TEXT,
    "phone": ValueType.TEXT,
    "combobox": ValueType.TEXT,
    "encryptedstring": ValueType.TEXT,
    "textarea": ValueType.LONG_TEXT,
    "url": ValueType.URL,
    "picklist": ValueType.SELECT,
    "multipicklist": ValueType.MULTISELECT,
    "boolean": ValueType.BOOLEAN,
    "int": ValueType.NUMBER,
    "long": ValueType.NUMBER,
    "double": ValueType.NUMBER,
    "currency": ValueType.NUMBER,
    "percent": ValueType.NUMBER,
    "date": ValueType.DATE,
    MOMENT: ValueType.DATETIME,
}
"""Salesforce's type → ours; references, addresses and times have no counterpart."""

_WHOLE = frozenset({"int", "long"})
_MEASURED = frozenset({ValueType.TEXT, ValueType.LONG_TEXT, ValueType.URL})
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:Z|\+00:?00)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

Reading = Callable[[object], str | None]


@dataclass(frozen=True, slots=True)
class Shape:
    """One object as it is described to these credentials. Fields that they may not see are not among `fields`."""

    object: str
    fields: Mapping[str, Field]
    queryable: bool
    updateable: bool
    createable: bool = True

    def readable(self, names: tuple[str, ...]) -> list[str]:
        """Give those of the names that can be asked for, each once."""
        return [name for name in dict.fromkeys(names) if name in self.fields]


def describe_object(http: Transport, name: str) -> Shape:
    """Ask for one object. Raises CallRefused (404) where it is not there or not visible."""
    answer = http.get(f"sobjects/{name}/describe")
    told = answer.get("fields") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not isinstance(told, list):
        raise senseless(f"Salesforce described {name} without fields", str(answer)[:500])
    fields = [_field(row) for row in told if isinstance(row, dict) and isinstance(row.get("name"), str)]
    return Shape(
        object=name,
        fields={field.name: field for field in fields},
        queryable=answer.get("queryable") is not False,
        updateable=answer.get("updateable") is not False,
        createable=answer.get("createable") is not False,
    )


def wire(values: Mapping[str, str | None], shape: Shape) -> dict[str, object]:
    """Turn canonical texts into JSON values. What clears a field that is never empty is its blank value."""
    return {name: _json(value, shape.fields.get(name)) for name, value in values.items()}


def cells(values: Mapping[str, str | None], shape: Shape) -> dict[str, str]:
    """Turn canonical texts into the cells of a CSV file, unquoted."""
    return {name: _cell(value, shape.fields.get(name)) for name, value in values.items()}


def reading(field: Field | None) -> Reading:
    """Give the function that turns a field's JSON value, or its CSV text, into canonical text."""
    kind = field.type if field is not None else None
    if kind is ValueType.NUMBER:
        return _number
    if kind is ValueType.DATETIME:
        return stamp
    if kind is ValueType.MULTISELECT:
        return _choices
    return _plain


def stamp(value: object) -> str | None:
    """Read an instant as ISO 8601 with `Z`; digits below the second only where there are any."""
    found = _STAMP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return _plain(value)
    digits = (found[2] or "").rstrip("0")
    return f"{found[1]}.{digits}Z" if digits else f"{found[1]}Z"


@lru_cache(maxsize=1 << 16)
def full_id(record: str) -> str:
    """Give the 18 characters of an id; 15 of them tell upper from lower case by themselves (crm-apis §B12)."""
    if len(record) != 15:
        return record
    marks = (sum(1 << place for place in range(5) if record[start + place].isupper()) for start in (0, 5, 10))
    return record + "".join(_ALPHABET[mark] for mark in marks)


def _json(value: str | None, field: Field | None) -> object:
    if value is None or value == "":
        return False if field is not None and field.blank is not None else None
    kind = field.type if field is not None else None
    if kind is ValueType.BOOLEAN and value in {"true", "false"}:
        return value == "true"
    return _digits(value) if kind is ValueType.NUMBER else value


def _digits(value: str) -> int | float | str:
    """Give a number for JSON; text that is none stays, to be refused by its name. JSON knows no `nan` and no `inf`."""
    if not _NUMBER.fullmatch(value):
        return value
    try:
        number = int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:  # more digits than any field holds
        return value
    return number if isinstance(number, int) or isfinite(number) else value


def _cell(value: str | None, field: Field | None) -> str:
    if value is None or value == "":
        return field.blank if field is not None and field.blank is not None else CLEAR
    return value


def _plain(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)


def _number(value: object) -> str | None:
    if value is None or value == "":
        return None
    told = str(value)
    if "." not in told and "E" not in told and "e" not in told:
        return told
    try:
        plain = format(Decimal(told), "f")
    except InvalidOperation:
        return told
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _choices(value: object) -> str | None:
    told = _plain(value)
    return None if told is None else ";".join(sorted(told.split(";")))


def _field(row: Mapping[str, object]) -> Field:
    native = text(row.get("type")) or ""
    kind = TYPES.get(native)
    length, scale = row.get("length"), row.get("scale")
    decimals = 0 if native in _WHOLE else scale if kind is ValueType.NUMBER and isinstance(scale, int) else None
    precision = row.get("digits") if native in _WHOLE else row.get("precision")
    counted = decimals is not None and isinstance(precision, int) and precision > 0
    options = _options(row) if kind in {ValueType.SELECT, ValueType.MULTISELECT} else None
    return Field(
        name=str(row.get("name")),
        label=text(row.get("label")) or str(row.get("name")),
        type=kind,
        native="formula" if row.get("calculated") is True else native,
        writable=row.get("updateable") is True and row.get("calculated") is not True,
        unique=row.get("unique") is True,
        options=options if row.get("restrictedPicklist") is True else None,
        length=length if kind in _MEASURED and isinstance(length, int) and length > 0 else None,
        whole=int(str(precision)) - (decimals or 0) if counted else None,
        decimals=decimals,
        blank="false" if kind is ValueType.BOOLEAN else None,
        trimmed=kind in _MEASURED,
    )


def _options(row: Mapping[str, object]) -> tuple[str, ...]:
    rows = row.get("picklistValues")
    found = rows if isinstance(rows, list) else []
    return tuple(
        str(option.get("value")) for option in found if isinstance(option, dict) and option.get("active") is not False
    )
