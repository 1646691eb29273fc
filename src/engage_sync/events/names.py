"""Which events a glob means, and what they weigh: globs are matched against the distinct names once, never against each
message."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import ibis
import ibis.expr.types as ir
from ibis.backends import BaseBackend

from engage_sync.events.engine import held
from engage_sync.events.functions import map_value

_LISTED: Final = 1000
_INT32: Final = 2**31 - 1


def matching(names: Collection[str], include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """Give the names that match one of `include` and none of `exclude` (shell-style, case-sensitive)."""
    return [
        name
        for name in names
        if any(fnmatchcase(name, glob) for glob in include) and not any(fnmatchcase(name, glob) for glob in exclude)
    ]


def weights_of(names: Collection[str], entries: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Give the names whose weight is not 0, with it: that of the entry that is the name letter by letter, wildcards in
    it included, else of the first entry that matches as a glob (semantics §7)."""
    exact = dict(reversed(entries))
    return {
        name: weight for name in names if (weight := exact[name] if name in exact else _first_match(name, entries)) != 0
    }


def _first_match(name: str, entries: Sequence[tuple[str, int]]) -> int:
    return next((weight for glob, weight in entries if fnmatchcase(name, glob)), 0)


@dataclass(frozen=True, slots=True)
class EventNames:
    """The distinct names of all events of one scan. Only track, page and screen have one."""

    known: frozenset[str]
    connection: BaseBackend

    def match(self, table: ir.Table, include: Sequence[str], exclude: Sequence[str] = ()) -> ir.BooleanValue:
        """Tell which messages are events matched by the globs; false or null where a message is no event."""
        return self._among(table["event"], matching(self.known, include, exclude))

    def weight(self, table: ir.Table, entries: Sequence[tuple[str, int]]) -> ir.IntegerValue | None:
        """Give the weight of each message's event (see `weights_of`), null where it is 0 or a message is no event;
        None where no event has any."""
        weights = weights_of(self.known, entries)
        if not weights:
            return None
        if len(weights) <= _LISTED:
            return looked_up(weights, table["event"], self.connection.name)
        by_weight: dict[int, list[str]] = {}
        for name, weight in weights.items():
            by_weight.setdefault(weight, []).append(name)
        cases = [(self._among(table["event"], names), weight) for weight, names in sorted(by_weight.items())]
        return ibis.cases(*cases)

    def _among(self, event: ir.StringValue, wanted: Collection[str]) -> ir.BooleanValue:
        """Tell which events are among some of the known names.

        A search in a constant array: DuckDB does it once for each name of a dictionary, where `IN` with a list of texts
        compares every message. Longer lists than that is good for, and their complements, are joined.
        """
        others = self.known.difference(wanted)
        if not others:
            return event.notnull()
        if not wanted:
            return ibis.literal(False)
        if len(wanted) <= _LISTED:
            return _array(wanted).contains(event)
        if len(others) <= _LISTED:
            return event.notnull() & ~_array(others).contains(event)
        return event.isin(held(self.connection, wanted))


def looked_up(weights: Mapping[str, int], event: ir.StringValue, engine: str) -> ir.IntegerValue:
    """Look events up in a constant map, null where it has none.

    Every engine understands the second form; DuckDB takes a quarter longer for it, because what Ibis wraps around the
    look-up is done for each message and not once for each name of a dictionary.
    """
    small = max(map(abs, weights.values())) <= _INT32
    table = ibis.literal(dict(sorted(weights.items())), type=f"map<string, {'int32' if small else 'int64'}>")
    return map_value(table, event) if small and engine == "duckdb" else table.get(event)


def _array(names: Collection[str]) -> ir.ArrayValue:
    return ibis.literal(sorted(names), type="array<string>")
