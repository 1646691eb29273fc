"""HubSpot's search (crm-apis §A6): filter groups, one sort, numeric offsets, the 10,000 wall, all over the records as
the index sees them. Changes nothing."""

from __future__ import annotations

import operator as operators
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from engage_sync.sandbox.properties import ObjectType, Property
from engage_sync.sandbox.refusal import Detail, Refused, unreadable
from engage_sync.sandbox.shelf import Record
from engage_sync.sandbox.values import instant, to_milliseconds
from engage_sync.sandbox.wire import Json, text, texts

BODY_LIMIT = 3_000
PAGE_LIMIT = 200
WALL = 10_000
GROUPS, FILTERS_PER_GROUP, FILTERS = 5, 6, 18
SEARCHED = ("email", "hs_additional_emails", "firstname", "lastname", "company", "name", "domain", "website", "phone")

Test = Callable[[Record], bool]
Key = Callable[[Record], Any]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQ": operators.eq,
    "LT": operators.lt,
    "LTE": operators.le,
    "GT": operators.gt,
    "GTE": operators.ge,
}


class Found(NamedTuple):
    """One page of a search; `after` is the offset of the next one, None at the end."""

    records: Sequence[Record]
    total: int
    after: int | None


def search(type_: ObjectType, records: Iterable[Record], body: Json, size: int) -> Found:
    """Carry out one search over records in order of id. `size` is the body's length. Raises Refused."""
    if size > BODY_LIMIT:
        raise Refused(f"The request body must not exceed {BODY_LIMIT} characters.")
    limit, after = _number(body, "limit", 10), _number(body, "after", 0)
    if limit > PAGE_LIMIT:
        raise Refused(f"limit must be at most {PAGE_LIMIT}, not {limit}.")
    if after + limit > WALL:
        raise Refused(f"Paging past {WALL} results is not supported (after {after}, limit {limit}).")
    matching = _matching(type_, records, body)
    matching = _sorted(type_, matching, body.get("sorts"))
    end = after + limit
    return Found(matching[after:end], len(matching), end if end < len(matching) else None)


def _matching(type_: ObjectType, records: Iterable[Record], body: Json) -> list[Record]:
    groups = body.get("filterGroups") or ([{"filters": body["filters"]}] if body.get("filters") else [])
    if not isinstance(groups, list) or not all(isinstance(g, dict) for g in groups):
        raise unreadable("filterGroups must be a list of objects")
    filters = [group.get("filters", []) for group in groups]
    if not all(isinstance(one, list) for one in filters):
        raise unreadable("filters must be a list")
    if len(groups) > GROUPS or any(len(f) > FILTERS_PER_GROUP for f in filters) or sum(map(len, filters)) > FILTERS:
        raise Refused(
            f"Too many filters: at most {GROUPS} groups, {FILTERS_PER_GROUP} filters in one and {FILTERS} in all."
        )
    rows = records if isinstance(records, list) else list(records)
    query = text(body, "query")
    if query:
        rows = [record for record in rows if _mentions(record, query.lower().split())]
    if not filters:
        return rows
    found = [_all(type_, rows, group) for group in filters]
    if len(found) == 1:
        return found[0]
    union = {record.id: record for matches in found for record in matches}
    return [union[number] for number in sorted(union)]


def _all(type_: ObjectType, rows: list[Record], filters: Sequence[object]) -> list[Record]:
    """Apply the filters of one group; those on the record id first, by bisection where they allow it."""
    tests = []
    for one in filters:
        if not isinstance(one, dict):
            raise unreadable("filters must be objects")
        tests.append((one, _test(type_, one)))
    for one, test in sorted(tests, key=lambda pair: pair[0].get("propertyName") != "hs_object_id"):
        if one.get("propertyName") == "hs_object_id" and one.get("operator") == "GT":
            rows = rows[bisect_right(rows, _operand(type_.properties["hs_object_id"], _value(one)), key=_id) :]
        else:
            rows = list(filter(test, rows))
    return rows


def _test(type_: ObjectType, one: Json) -> Test:
    name, operator = text(one, "propertyName") or "", text(one, "operator") or ""
    prop = type_.properties.get(name)
    if prop is None or prop.archived:
        message = f'Property "{name}" does not exist'
        detail = Detail(message, "PROPERTY_DOESNT_EXIST", {"propertyName": [name]})
        raise Refused("There was a problem with the request.", details=[detail])
    if operator == "HAS_PROPERTY":
        return lambda record: name in record.values
    if operator == "NOT_HAS_PROPERTY":
        return lambda record: name not in record.values
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        return _token_test(name, _value(one), wanted=operator == "CONTAINS_TOKEN")
    if operator in ("IN", "NOT_IN"):
        values = texts(one, "values")
        if not values:
            raise Refused(f"operator {operator} requires values.")
        return _member_test(prop, values, wanted=operator == "IN")
    if prop.several and operator in ("EQ", "NEQ"):
        return _member_test(prop, [_value(one)], wanted=operator == "EQ")
    return _order_test(prop, operator, one)


def _order_test(prop: Property, operator: str, one: Json) -> Test:
    key, low = _key(prop), _operand(prop, _value(one))
    if operator == "NEQ":
        return lambda record: key(record) != low
    if operator == "BETWEEN":
        high = _operand(prop, _value(one, "highValue"))
        return lambda record: (held := key(record)) is not None and low <= held <= high
    compare = _COMPARE.get(operator)
    if compare is None:
        raise unreadable(f"{operator or 'null'} is not one of the operators")
    return lambda record: (held := key(record)) is not None and compare(held, low)


def _key(prop: Property) -> Key:
    """Give what comparisons look at: numbers as numbers, instants as sortable text, other text in lower case."""
    name = prop.name
    if name == "hs_object_id":
        return lambda record: record.id
    if prop.type == "number":
        return lambda record: float(held) if (held := record.values.get(name)) is not None else None
    if prop.type == "string":
        return lambda record: held.lower() if (held := record.values.get(name)) is not None else None
    return lambda record: record.values.get(name)


def _operand(prop: Property, value: str) -> Any:
    try:
        if prop.name == "hs_object_id" and value.isascii() and value.isdigit():
            return int(value)
        if prop.type == "number":
            return float(value)
        if prop.type in ("date", "datetime"):
            at = to_milliseconds(value)
            if at == 0:
                raise Refused("internal error", status=500, category="INTERNAL_ERROR")
            return instant(at)[: 10 if prop.type == "date" else None]
    except (ValueError, OverflowError) as error:
        raise Refused(f"{value} is not a valid value for {prop.name} ({prop.type}).") from error
    return value.lower() if prop.type == "string" else value


def _member_test(prop: Property, values: Sequence[str], *, wanted: bool) -> Test:
    """IN and NOT_IN. Text is compared in lower case but `values` are not lowered: HubSpot wants them lower-case."""
    name = prop.name
    if prop.several:
        wanted_options = frozenset(values)
        return lambda record: (not wanted_options.isdisjoint(record.values.get(name, "").split(";"))) == wanted
    as_given = frozenset(value if prop.type == "string" else _operand(prop, value) for value in values)
    key = _key(prop)
    return lambda record: (key(record) in as_given) == wanted


def _token_test(name: str, pattern: str, *, wanted: bool) -> Test:
    lowered = pattern.lower()

    def contains(record: Record) -> bool:
        held = record.values.get(name, "").lower()
        tokens = [held, *re.split(r"[^\w]+", held)]
        if "*" in lowered:
            return any(fnmatchcase(token, lowered) for token in tokens) == wanted
        return (lowered in tokens or set(re.split(r"[^\w]+", lowered)) <= set(tokens)) == wanted

    return contains


def _id(record: Record) -> int:
    return record.id


def _mentions(record: Record, words: Sequence[str]) -> bool:
    held = " ".join(record.values.get(name, "") for name in SEARCHED).lower()
    return all(word in held for word in words)


def _sorted(type_: ObjectType, matching: list[Record], sorts: object) -> list[Record]:
    if not sorts:
        return matching
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise Refused("Only one sort is allowed.")
    first = sorts[0]
    name, down = "", False
    if isinstance(first, str):
        name, down = first.lstrip("-"), first.startswith("-")
    elif isinstance(first, dict):
        name, down = text(first, "propertyName") or "", first.get("direction") == "DESCENDING"
    prop = type_.properties.get(name)
    if prop is None:
        raise Refused(f'Sort property "{name}" does not exist.')
    if name == "hs_object_id":
        return matching[::-1] if down else matching
    key = _key(prop)
    ordered = sorted((r for r in matching if name in r.values), key=_tied)
    ordered.sort(key=key, reverse=down)
    return ordered + [r for r in matching if name not in r.values]


def _tied(record: Record) -> int:
    """Order records of equal rank in a stable way that is not their id: HubSpot promises none."""
    return record.id * 2_654_435_761 & 0xFFFFFFFF


def _value(one: Json, name: str = "value") -> str:
    given = text(one, name)
    if given is None:
        raise Refused(f"operator {one.get('operator')} requires {name}.")
    return given


def _number(body: Json, name: str, default: int) -> int:
    given = body.get(name)
    if given is None or given == "":
        return default
    digits = str(given)
    if isinstance(given, bool) or not (digits.isascii() and digits.isdigit()):
        raise unreadable(f'Cannot deserialize value of type `int` from String "{digits}"')
    return int(digits)
