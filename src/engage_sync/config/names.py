"""The vocabulary of a model: which names exist beside the declared ones, of which type, what they mean and can be, and
which may not be taken (semantics §4, §6, §7, §8). Knows no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engage_sync.core.definitions import Entity, Metric, MetricKind, ValueType
from engage_sync.core.expression_ranges import Known
from engage_sync.core.expressions import Type
from engage_sync.core.verdict_rules import BANDS

USER_TYPES = ("power", "influencer", "active", "inactive", "zombie")
HEALTH = ("good", "normal", "bad")
"""What a CRM shows; in rules health may also be `UNKNOWN_HEALTH`."""
UNKNOWN_HEALTH = "unknown"
HEAT = ("hot", "steady", "cold")
EVENT_KINDS = ("track", "page", "screen")


ANYTHING = Known()


@dataclass(frozen=True, slots=True)
class Term:
    """A name that a model has without declaring it: its type, what it means in one line, and what it can be."""

    type: ValueType
    meaning: str
    known: Known = ANYTHING


_COUNT = Known(low=0)


def _counted(meaning: str) -> Term:
    return Term(ValueType.NUMBER, meaning, _COUNT)


BUILT_INS: Mapping[str, Term] = {
    "events": _counted("Activity events in the activity window."),
    "active_days": _counted("Calendar days with activity in the activity window."),
    "first_active_at": Term(ValueType.DATETIME, "The instant of the first activity ever."),
    "last_active_at": Term(ValueType.DATETIME, "The instant of the last activity."),
    "days_since_active": _counted("Whole days of 24 hours since the last activity; null without any."),
    "age_days": _counted("Whole days of 24 hours since `traits.createdAt`, else since the first message."),
}
ROLL_UPS: Mapping[str, Term] = {
    "active": Term(ValueType.BOOLEAN, "Whether a user of the account is active."),
    "users": _counted("How many users the account has."),
    "active_users": _counted("How many of them are active."),
    "active_share": Term(ValueType.NUMBER, "Active users ÷ users; null without users.", Known(low=0, high=1)),
    "seat_use": Term(ValueType.NUMBER, "Active users ÷ the number property `seats`; may exceed 1.", _COUNT),
    **{f"users_{name}": _counted(f"How many of its users are of the type {name}.") for name in USER_TYPES},
}
MONEY: Mapping[str, Term] = {
    "mrr": Term(ValueType.NUMBER, "The sum of the known MRR of the user's accounts."),
    "renewal_date": Term(ValueType.DATE, "The earliest renewal date of the user's accounts that is not past."),
}
"""Of a user. An account's are declared properties (semantics §8)."""
ACCOUNT_MONEY: Mapping[str, Term] = {
    "mrr": Term(ValueType.NUMBER, "The account's MRR: its declared property; empty where none is declared."),
    "renewal_date": Term(ValueType.DATE, "The account's renewal date: its declared property; empty where none is."),
}
TYPE_TERMS: Mapping[str, Term] = {
    **{f"types.{name}": Term(ValueType.BOOLEAN, f"Whether the user is of the type {name}.") for name in USER_TYPES},
    "primary_user_type": Term(
        ValueType.SELECT, "The first that holds of power, influencer, active, inactive, zombie.", Known(USER_TYPES)
    ),
    "lapsed_influencer": Term(ValueType.BOOLEAN, "Whether the user would be an influencer, but is no longer active."),
}
"""Of a user, once the user types are known."""
VERDICTS: Mapping[str, Term] = {
    "stage": Term(ValueType.SELECT, "The stage: the last one whose rule matches; empty when none does."),
    "health": Term(
        ValueType.SELECT,
        "Good, normal, bad, or unknown while too young to tell (in a CRM: empty).",
        Known((*HEALTH, UNKNOWN_HEALTH)),
    ),
    "segments": Term(ValueType.MULTISELECT, "The names of all segments it is in, sorted."),
    "signals": Term(ValueType.MULTISELECT, "The names of all signals that are on, sorted."),
    "reasons": Term(ValueType.LONG_TEXT, "The top three reasons behind its verdicts, in plain words."),
}
"""Values that every model has, whether or not it defines them."""
IDENTITY: Mapping[str, Term] = {
    "external_id": Term(ValueType.TEXT, "The id in your product."),
    "name": Term(ValueType.TEXT, "The name, from traits."),
    "link": Term(ValueType.URL, "The address of its page, from `links`."),
    "as_of": Term(ValueType.DATETIME, "The instant the values were computed for."),
}
USER_IDENTITY: Mapping[str, Term] = {
    "email": Term(ValueType.TEXT, "The e-mail address, trimmed and in lower case."),
    "user_types": Term(ValueType.MULTISELECT, "All user types, sorted."),
}
ACCOUNT_IDENTITY: Mapping[str, Term] = {"domain": Term(ValueType.TEXT, "The domain, in lower case.")}

SCORE_FORMS: Mapping[str, Term] = {
    "": Term(
        ValueType.NUMBER,
        "The score, 0 to 100; of an account a weighted score is the mean of its active users.",
        Known(low=0, high=100),
    ),
    "_trend": Term(
        ValueType.NUMBER, "Weighted scores: the score minus that of the window before it.", Known(low=-100, high=100)
    ),
    "_sum": Term(ValueType.NUMBER, "Weighted scores, of an account: the sum over its active users.", _COUNT),
    "_band": Term(
        ValueType.SELECT,
        f"The band it falls into: {', '.join(band.name for band in BANDS)}, unless `bands` says otherwise.",
    ),
    "_heat": Term(
        ValueType.SELECT,
        "Weighted scores: hot at a trend of +10 or more, cold at −10 or less, else steady.",
        Known(HEAT),
    ),
}
"""What a score is called, beside its own name: `scores.NAME_trend`, … A rule score has only its band; only accounts
have the sum."""

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
_COUNTING = {MetricKind.COUNT, MetricKind.ACTIVE_DAYS, MetricKind.DISTINCT, MetricKind.ACTIVE_USERS}


def rule_type(value_type: ValueType) -> Type:
    """Give the type that a value has in a rule."""
    return _TYPES.get(value_type, Type.TEXT)


def metric_type(metric: Metric) -> ValueType:
    """Give the type of a metric's value: instants for first and last, else numbers."""
    return ValueType.DATETIME if metric.kind in {MetricKind.FIRST, MetricKind.LAST} else ValueType.NUMBER


def metric_known(metric: Metric) -> Known:
    """Give what a metric can be: counts are never below zero."""
    return _COUNT if metric.kind in _COUNTING else Known()


def built_ins(entity: Entity) -> Mapping[str, Term]:
    """Give the names that an entity has without declaring them, in rules and as values."""
    return {**BUILT_INS, **(MONEY if entity is Entity.USER else ROLL_UPS)}


def identity(entity: Entity) -> Mapping[str, Term]:
    """Give the values that can be written and are no names of rules."""
    return {**IDENTITY, **(USER_IDENTITY if entity is Entity.USER else ACCOUNT_IDENTITY)}


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
