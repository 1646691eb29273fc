"""What may be written to a CRM field: the values each entity has, their types and options (architecture §6, "Field
types follow from the value"). Knows no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engage_sync.config.names import BUILT_INS, MONEY, ROLL_UPS, USER_TYPES, days_to
from engage_sync.config.verdicts import Declared
from engage_sync.core.definitions import Entity, ValueType


@dataclass(frozen=True, slots=True)
class Source:
    """A value that can be written: its natural type, its options, and whether this version computes it."""

    type: ValueType
    options: tuple[str, ...] = ()
    computed: bool = True


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


def fitting(natural: ValueType) -> frozenset[ValueType]:
    """Give the field types that can hold a value of a type."""
    return _FITTING[natural]


def sources(entity: Entity, declared: Mapping[str, ValueType], verdicts: Declared) -> dict[str, Source]:
    """Give every value of the entity by the name that a field map uses. `declared` are its properties and metrics."""
    found = {
        "external_id": Source(ValueType.TEXT),
        "link": Source(ValueType.URL),
        "as_of": Source(ValueType.DATETIME),
        "name": Source(ValueType.TEXT),
        **{name: Source(kind) for name, kind in BUILT_INS.items()},
    }
    if entity is Entity.USER:
        found |= {
            "email": Source(ValueType.TEXT),
            "user_types": Source(ValueType.MULTISELECT, USER_TYPES),
            "primary_user_type": Source(ValueType.SELECT, USER_TYPES),
            "lapsed_influencer": Source(ValueType.BOOLEAN),
            **{f"types.{name}": Source(ValueType.BOOLEAN) for name in USER_TYPES},
            **{name: Source(kind) for name, kind in MONEY.items()},
        }
    else:
        found |= {"domain": Source(ValueType.TEXT), **{name: Source(kind) for name, kind in ROLL_UPS.items()}}
    found |= {name: Source(kind) for name, kind in {**days_to(declared), **declared}.items()}
    for name, kind in verdicts.types.items():
        found[name] = Source(kind, verdicts.options.get(name, ()), computed=False)
    return found
