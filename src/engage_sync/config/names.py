"""The vocabulary of a model: which names exist beside the declared ones, of which type, and which may not be taken
(semantics §6, §7). Knows no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engage_sync.core.definitions import Entity, Metric, MetricKind, ValueType
from engage_sync.core.expressions import Type

USER_TYPES = ("power", "influencer", "active", "inactive", "zombie")
HEALTH = ("good", "normal", "bad")
HEAT = ("hot", "steady", "cold")
DEFAULT_BANDS: Mapping[str, float] = {"high": 75, "medium": 50, "low": 25, "minimal": 0}

BUILT_INS: Mapping[str, ValueType] = {
    "events": ValueType.NUMBER,
    "active_days": ValueType.NUMBER,
    "first_active_at": ValueType.DATETIME,
    "last_active_at": ValueType.DATETIME,
    "days_since_active": ValueType.NUMBER,
    "age_days": ValueType.NUMBER,
}
ROLL_UPS: Mapping[str, ValueType] = {
    "active": ValueType.BOOLEAN,
    "users": ValueType.NUMBER,
    "active_users": ValueType.NUMBER,
    "active_share": ValueType.NUMBER,
    "seat_use": ValueType.NUMBER,
    **{f"users_{name}": ValueType.NUMBER for name in USER_TYPES},
}
MONEY: Mapping[str, ValueType] = {"mrr": ValueType.NUMBER, "renewal_date": ValueType.DATE}
"""A user's are sums and minima over its accounts; an account's are declared properties (semantics §8)."""

VERDICTS: Mapping[str, ValueType] = {
    "health": ValueType.SELECT,
    "stage": ValueType.SELECT,
    "segments": ValueType.MULTISELECT,
    "signals": ValueType.MULTISELECT,
    "reasons": ValueType.LONG_TEXT,
}
"""Verdicts that every model has, whether or not it defines them."""

_DERIVED = frozenset(
    {
        *("user_types", "primary_user_type", "lapsed_influencer", "types", "account", "scores"),
        *("external_id", "first_message_at", "link", "as_of", *VERDICTS),
    }
)
_RULE_WORDS = frozenset({"and", "or", "not", "is", "in", "between", "like", "ilike", "null", "true", "false"})
_NAME = re.compile(r"[^\W\d]\w*")

_TYPES: Mapping[ValueType, Type] = {
    ValueType.TEXT: Type.TEXT,
    ValueType.NUMBER: Type.NUMBER,
    ValueType.BOOLEAN: Type.BOOLEAN,
    ValueType.DATE: Type.DATE,
    ValueType.DATETIME: Type.DATETIME,
}


def rule_type(value_type: ValueType) -> Type:
    """Give the type that a value has in a rule."""
    return _TYPES.get(value_type, Type.TEXT)


def metric_type(metric: Metric) -> ValueType:
    """Give the type of a metric's value: instants for first and last, else numbers."""
    return ValueType.DATETIME if metric.kind in {MetricKind.FIRST, MetricKind.LAST} else ValueType.NUMBER


def built_ins(entity: Entity) -> Mapping[str, ValueType]:
    """Give the names that an entity has without declaring them, in rules and as values."""
    return {**BUILT_INS, **(MONEY if entity is Entity.USER else ROLL_UPS)}


def name_refusal(name: str, entity: Entity) -> str | None:
    """Say why a metric or property may not be called `name`, or None."""
    folded = name.lower()
    if not _NAME.fullmatch(name):
        return f"`{name}` is no name; use letters, digits and `_`, not starting with a digit"
    if folded in _RULE_WORDS:
        return f"`{name}` is a word of the rules; choose another name"
    if folded in built_ins(entity):
        return f"`{name}` is built in and cannot be declared; choose another name"
    if folded in _DERIVED:
        return f"`{name}` is a derived name and cannot be declared; choose another name"
    return None


def simple_name(name: str) -> bool:
    """Tell whether a name can stand in a rule as it is."""
    return _NAME.fullmatch(name) is not None


def days_to(properties: Mapping[str, ValueType]) -> dict[str, ValueType]:
    """Give `days_to_X` for each date property (semantics §7)."""
    dates = {ValueType.DATE, ValueType.DATETIME}
    return {f"days_to_{name}": ValueType.NUMBER for name, kind in properties.items() if kind in dates}
