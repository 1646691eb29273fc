"""What may be written to a CRM field: the values each entity has, their types and options (architecture §6, "Field
types follow from the value"), and constants and templates made of them. Knows no file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engage_sync.config.actions import canonical
from engage_sync.config.names import ACCOUNT_MONEY, MONEY, TYPE_TERMS, USER_TYPES, Term, built_ins, days_to, identity
from engage_sync.config.reach import Declared
from engage_sync.core.definitions import Entity, ValueType
from engage_sync.core.expressions import NUMERIC_TEXT


@dataclass(frozen=True, slots=True)
class Source:
    """A value that can be written: its natural type and its options."""

    type: ValueType
    options: tuple[str, ...] = ()


_TEXTUAL = frozenset({ValueType.TEXT, ValueType.LONG_TEXT})
_FITTING: Mapping[ValueType, frozenset[ValueType]] = {
    ValueType.TEXT: frozenset(ValueType) - {ValueType.MULTISELECT},
    ValueType.LONG_TEXT: _TEXTUAL,
    ValueType.NUMBER: _TEXTUAL | {ValueType.NUMBER},
    ValueType.BOOLEAN: _TEXTUAL | {ValueType.BOOLEAN},
    ValueType.DATE: _TEXTUAL | {ValueType.DATE, ValueType.DATETIME},
    ValueType.DATETIME: _TEXTUAL | {ValueType.DATE, ValueType.DATETIME},
    ValueType.SELECT: _TEXTUAL | {ValueType.SELECT, ValueType.MULTISELECT},
    ValueType.MULTISELECT: _TEXTUAL | {ValueType.MULTISELECT},
    ValueType.URL: _TEXTUAL | {ValueType.URL},
}
TEMPLATE_TYPES = _TEXTUAL | {ValueType.URL}
"""What a field with a template can be."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fitting(natural: ValueType) -> frozenset[ValueType]:
    """Give the field types that can hold a value of a type."""
    return _FITTING[natural]


def sources(entity: Entity, declared: Mapping[str, ValueType], verdicts: Declared) -> dict[str, Source]:
    """Give every value of the entity by the name that a field map uses. `declared` are its properties and metrics."""
    terms: dict[str, Term] = {**identity(entity), **built_ins(entity)}
    terms |= {**TYPE_TERMS, **MONEY} if entity is Entity.USER else ACCOUNT_MONEY
    found = {name: Source(term.type, term.known.options or ()) for name, term in terms.items()}
    if entity is Entity.USER:
        found["user_types"] = Source(ValueType.MULTISELECT, USER_TYPES)
    found |= {name: Source(kind) for name, kind in {**days_to(declared), **declared}.items()}
    found |= {name: Source(kind, verdicts.options.get(name, ())) for name, kind in verdicts.types.items()}
    return found


def constant(value: str | int | float | bool) -> tuple[str, ValueType]:
    """Give the text of a constant, and the type that follows from how it is written."""
    if isinstance(value, bool):
        kind = ValueType.BOOLEAN
    else:
        kind = ValueType.NUMBER if isinstance(value, int | float) else ValueType.TEXT
    return canonical(value) or "", kind


def reads_as(text: str, kind: ValueType) -> bool:
    """Tell whether a constant text can stand in a field of a type."""
    if kind is ValueType.BOOLEAN:
        return text in {"true", "false"}
    if kind is ValueType.URL:
        return text.startswith(("http://", "https://"))
    if kind is ValueType.NUMBER:
        return re.fullmatch(NUMERIC_TEXT, text) is not None and math.isfinite(float(text))
    try:
        if kind in {ValueType.DATE, ValueType.DATETIME}:
            datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def template(text: str) -> tuple[str, ...]:
    """Take a template apart: texts at even places, names of values at odd ones. `{{` and `}}` are braces.

    Raises ValueError with a sentence.
    """
    parts = [""]
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts[-1] += text[end : match.start()]
        end = match.end()
        if match[0] in {"{{", "}}"}:
            parts[-1] += match[0][0]
        elif match[1] is None:
            raise ValueError(
                f"a `{match[0]}` stands alone in the template; write `{match[0] * 2}` for the brace itself"
            )
        else:
            parts += [match[1].strip(), ""]
    parts[-1] += text[end:]
    return tuple(parts)
