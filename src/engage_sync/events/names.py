"""Which events a glob means: globs are matched against the distinct names once, never against each message."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import ibis
import ibis.expr.types as ir
from ibis.backends import BaseBackend

from engage_sync.events.engine import held

_LISTED: Final = 1000


def matching(names: Collection[str], include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """Give the names that match one of `include` and none of `exclude` (shell-style, case-sensitive)."""
    return [
        name
        for name in names
        if any(fnmatchcase(name, glob) for glob in include) and not any(fnmatchcase(name, glob) for glob in exclude)
    ]


@dataclass(frozen=True, slots=True)
class EventNames:
    """The distinct names of all events of one scan. Only track, page and screen have one."""

    known: frozenset[str]
    connection: BaseBackend

    def match(self, table: ir.Table, include: Sequence[str], exclude: Sequence[str] = ()) -> ir.BooleanValue:
        """Tell which messages are events matched by the globs; false or null where a message is no event.

        A search in a constant array: DuckDB does it once for each name of a dictionary, where `IN` with a list of texts
        compares every message. Longer lists than that is good for, and their complements, are joined.
        """
        event, wanted = table["event"], matching(self.known, include, exclude)
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


def _array(names: Collection[str]) -> ir.ArrayValue:
    return ibis.literal(sorted(names), type="array<string>")
