"""SOQL conditions over records: checked against the fields a user may see, made into one function, and read for the
bounds that spare a scan (crm-apis §B3). Text compares without case, a missing value equals null only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from engage_sync.sandbox.salesforce_fields import NUMBERS, FieldDef
from engage_sync.sandbox.salesforce_ids import normal
from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_shelf import Bound, Getter, Record
from engage_sync.sandbox.salesforce_soql import All, Among, Compare, Condition, Literal, Not, Some

Test = Callable[[Record], bool]
LOWEST: Bound = (float("-inf"), "")
_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a query: its definition and how a record gives it; `path` is how the answer names it, `link` gives
    the id of the other record when the field is reached through a relationship."""

    field: FieldDef
    get: Getter
    path: tuple[str, ...]
    link: Getter | None = None


Find = Callable[[str], Column]


def compiled(condition: Condition | None, find: Find) -> Test | None:
    """Make a condition into a function. Raises Denied for unknown fields and literals that do not fit."""
    match condition:
        case None:
            return None
        case All(parts):
            tests = [compiled(part, find) for part in parts]
            return _every([test for test in tests if test])
        case Some(parts):
            some = [test for test in (compiled(part, find) for part in parts) if test]
            return _any_of(some)
        case Not(inside):
            test = compiled(inside, find)
            return None if test is None else lambda record: not test(record)
        case Among():
            return _among(condition, find(condition.field))
        case Compare():
            return _compare(condition, find(condition.field))


def _every(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda record: first(record) and second(record)
    return lambda record: all(test(record) for test in tests)


def _any_of(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda record: first(record) or second(record)
    return lambda record: any(test(record) for test in tests)


def _compare(condition: Compare, column: Column) -> Test:
    get, sign = column.get, condition.sign
    _filterable(column.field)
    if sign == "like":
        return _like(condition, column)
    if column.field.type == "multipicklist" and sign not in ("=", "!="):
        raise _operator(condition.field, sign)
    value = literal(column.field, condition.literal, condition.field)
    lowered = _lowered(column.field)
    if value is None:
        if sign == "=":
            return lambda record: get(record) is None
        if sign == "!=":
            return lambda record: get(record) is not None
        raise _operator(condition.field, sign)
    if sign in ("=", "!="):
        return _equal(get, value, lowered=lowered, wanted=sign == "=")
    if column.field.type == "boolean":
        raise _operator(condition.field, sign)
    return _ordered(get, value, sign, lowered=lowered)


def _equal(get: Getter, value: object, *, lowered: bool, wanted: bool) -> Test:
    if not lowered:
        return (lambda record: get(record) == value) if wanted else (lambda record: get(record) != value)

    def equal(record: Record) -> bool:
        held = get(record)
        return (isinstance(held, str) and held.lower() == value) == wanted

    return equal


def _ordered(get: Getter, value: object, sign: str, *, lowered: bool) -> Test:
    compare = _ORDERED[sign]

    def plain(record: Record) -> bool:
        held = get(record)
        return held is not None and compare(held, value)

    def folded(record: Record) -> bool:
        held = get(record)
        return isinstance(held, str) and compare(held.lower(), value)

    return folded if lowered else plain


def _like(condition: Compare, column: Column) -> Test:
    if condition.literal.kind != "text" or column.field.type in ("id", "reference", "boolean", "multipicklist"):
        raise _operator(condition.field, "like")
    pattern, raw = "", condition.literal.raw
    place = 0
    while place < len(raw):
        one = raw[place]
        if one == "\\" and place + 1 < len(raw):
            place += 1
            pattern += re.escape(raw[place])
        else:
            pattern += {"%": ".*", "_": "."}.get(one, re.escape(one))
        place += 1
    matches = re.compile(pattern, re.IGNORECASE | re.DOTALL).fullmatch
    get = column.get
    return lambda record: matches(str(get(record) or "")) is not None


def _among(condition: Among, column: Column) -> Test:
    get, field = column.get, column.field
    _filterable(field)
    if condition.sign in ("includes", "excludes"):
        if field.type != "multipicklist":
            raise _operator(condition.field, condition.sign)
        groups = [frozenset(str(one.value).split(";")) for one in condition.literals]

        def includes(record: Record) -> bool:
            held = frozenset(str(get(record) or "").split(";"))
            return any(group <= held for group in groups)

        return includes if condition.sign == "includes" else lambda record: not includes(record)
    if field.type == "multipicklist":
        raise _operator(condition.field, condition.sign)
    values = {literal(field, one, condition.field) for one in condition.literals}
    lowered, wanted = _lowered(field), condition.sign == "in"

    def among(record: Record) -> bool:
        held = get(record)
        return ((held.lower() if lowered and isinstance(held, str) else held) in values) == wanted

    return among


def literal(field: FieldDef, one: Literal, name: str) -> object:
    """Give the value a literal stands for in comparisons with a field. Raises Denied when the types do not fit."""
    if one.kind == "null":
        return None
    kind = "double" if field.type in NUMBERS or field.type == "int" else field.type
    wanted = {"datetime": "datetime", "date": "date", "double": "number", "boolean": "boolean"}.get(kind, "text")
    if one.kind != wanted:
        shown = {"datetime": "dateTime", "text": "string"}.get(kind, "string" if wanted == "text" else kind)
        quotes = "should be" if wanted == "text" else "should not be"
        raise Denied(
            400,
            "INVALID_FIELD",
            f"value of filter criterion for field '{name}' must be of type {shown} and {quotes} enclosed in quotes",
        )
    if kind in ("id", "reference"):
        known = normal(str(one.value))
        if known is None and one.value != "":
            raise Denied(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {one.value}")
        return known or ""
    value = one.value
    return value.lower() if isinstance(value, str) and _lowered(field) else value


def stamp_bounds(condition: Condition | None) -> tuple[Bound, float]:
    """Give a place in the order by (SystemModstamp, Id) before which, and a second after which, no record can fit."""
    match condition:
        case All(parts):
            bounds = [stamp_bounds(part) for part in parts]
            low = max(bound for bound, _ in bounds)
            together = (max(bound[0] for bound, _ in bounds), max(id_bounds(part)[0] for part in parts))
            return max(low, together), min(high for _, high in bounds)
        case Some(parts):
            bounds = [stamp_bounds(part) for part in parts]
            return min(bound for bound, _ in bounds), max(high for _, high in bounds)
        case Compare("SystemModstamp", sign, Literal("datetime", float(second))):
            since = {">": second // 1 + 1, ">=": second, "=": second}.get(sign, float("-inf"))
            return (since, ""), second if sign in ("<", "<=", "=") else float("inf")
    return LOWEST, float("inf")


def id_bounds(condition: Condition | None) -> tuple[str, str | None]:
    """Give the lowest and the highest id that can fit; None is no highest."""
    match condition:
        case All(parts):
            bounds = [id_bounds(part) for part in parts]
            highs = [high for _, high in bounds if high is not None]
            return max(low for low, _ in bounds), min(highs) if highs else None
        case Some(parts):
            bounds = [id_bounds(part) for part in parts]
            highs = [high for _, high in bounds if high is not None]
            return min(low for low, _ in bounds), max(highs) if len(highs) == len(bounds) else None
        case Compare("Id", sign, Literal("text", str(text))):
            known = normal(text) or ""
            low = known if sign in (">", ">=", "=") else ""
            return low, known if sign in ("<", "<=", "=") and known else None
    return "", None


def exact_ids(condition: Condition | None, find: Find) -> set[str] | None:
    """Give the ids that alone can fit, when the condition names them."""
    match condition:
        case All(parts):
            named = [ids for ids in (exact_ids(part, find) for part in parts) if ids is not None]
            return set.intersection(*named) if named else None
        case Compare("Id", "=", one):
            return {str(literal(find("Id").field, one, "Id"))}
        case Among("Id", "in", several):
            return {str(literal(find("Id").field, one, "Id")) for one in several}
    return None


def _lowered(field: FieldDef) -> bool:
    return (
        field.type not in ("id", "reference", "date", "datetime", "boolean", "int", *NUMBERS)
        and not field.case_sensitive
    )


def _filterable(field: FieldDef) -> None:
    if field.long or field.type in ("address", "json"):
        raise Denied(400, "INVALID_FIELD", f"field '{field.name}' can not be filtered in a query call")


def _operator(name: str, sign: str) -> Denied:
    return Denied(400, "INVALID_FIELD", f"Invalid operator on field '{name}': {sign}")
