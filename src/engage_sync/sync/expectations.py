"""Comparing a row of `show` with what a model's test expects of it: only the keys that the test names, one by one. It
computes nothing and knows no test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from engage_sync.core.types import TYPES
from engage_sync.events.message import read_instant
from engage_sync.sync.rows import json_value
from engage_sync.sync.views import Json

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_BARE = ("metrics", "properties")
"""Keys of a row whose names may be written without them, as rules do."""
_FORMS = {"_band": "score_bands", "_trend": "score_trends", "_sum": "score_sums"}
_COLUMNS = ("segments.", "signals.", "scores.")
_NOISE = 1e-9
"""How far two numbers may lie apart, as a share, and still be the same: the last digits of a double."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what was expected. `why` tells of a name that the row does not have, else it is empty."""

    field: str
    expected: Json
    got: Json
    why: str = ""


class _Absent(Exception):
    """The row has nothing of that name. The text is a sentence with the nearest one."""


def differences(
    row: Mapping[str, Json], columns: Mapping[str, Json], field: str, expected: Json
) -> Iterator[Difference]:
    """Compare one expectation with a row. A mapping is compared key by key; names are those of the row, dotted into it
    (`scores.engagement`), or as rules and field maps write them (`scores.engagement_band`, `segments.at_risk`,
    `types.power`, a bare metric). `columns` is the same row as the frame has it."""
    try:
        got = _found(row, columns, field)
    except _Absent as absent:
        yield Difference(field, expected, None, str(absent))
        return
    yield from _compared(field, expected, got)


def _compared(field: str, expected: Json, got: Json) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            name = f"{field}.{key}"
            if key in got:
                yield from _compared(name, value, got[key])
            else:
                yield Difference(name, value, None, _no_such(name, [f"{field}.{one}" for one in got]))
    elif not same(expected, got):
        yield Difference(field, expected, got)


def same(expected: Json, got: Json) -> bool:
    """Tell whether two values mean the same: numbers as numbers, instants as instants, lists in any order."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, (int, float)) and isinstance(got, (int, float)):
        return abs(expected - got) <= _NOISE * max(abs(expected), abs(got))
    if isinstance(expected, list) and isinstance(got, list):
        return {str(one) for one in expected} == {str(one) for one in got}
    if isinstance(expected, str) and isinstance(got, str) and _INSTANT.fullmatch(got):
        return read_instant(expected) == read_instant(got)
    return expected == got


def _found(row: Mapping[str, Json], columns: Mapping[str, Json], field: str) -> Json:
    """Give what a name stands for: in the row itself, else as rules and field maps write it. Raises _Absent."""
    found = _inside(row, field) or _as_in_rules(row, field)
    if found is not None:
        return found[0]
    if field.startswith(_COLUMNS) and field in columns:
        return json_value(columns[field])
    raise _Absent(_no_such(field, _names(row)))


def _as_in_rules(row: Mapping[str, Json], field: str) -> tuple[Json] | None:
    kind, _, name = field.partition(".")
    types = row.get("user_types")
    if kind == "types" and name in TYPES and isinstance(types, list):
        return (name in types,)
    inner = [(of, field) for of in _BARE]
    if kind == "scores":
        inner += [(of, name.removesuffix(form)) for form, of in _FORMS.items() if name.endswith(form)]
    for of, key in inner:
        values = row.get(of)
        if isinstance(values, dict) and key in values:
            return (values[key],)
    return None


def _inside(row: Mapping[str, Json], field: str) -> tuple[Json] | None:
    """Follow a dotted name into the row; a key may hold dots itself. None: there is nothing."""
    if field in row:
        return (row[field],)
    for end in (place for place, letter in enumerate(field) if letter == "."):
        inner = row.get(field[:end])
        if isinstance(inner, dict):
            return _inside(inner, field[end + 1 :])
    return None


def _names(row: Mapping[str, Json]) -> list[str]:
    inner = [f"{key}.{name}" for key, value in row.items() if isinstance(value, dict) for name in value]
    bare = [name for key in _BARE if isinstance(of := row[key], dict) for name in of]
    return [*row, *inner, *bare]


def _no_such(name: str, valid: list[str]) -> str:
    near = get_close_matches(name, valid, n=1)
    return f"there is no `{name}`; did you mean `{near[0]}`?" if near else f"there is no `{name}` in the row of `show`"
