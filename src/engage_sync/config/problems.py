"""Collects what is wrong in a project's files, and finds the nearest right name to put into the sentence.

It never stops at the first problem and never prints a value that may be secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from engage_sync.config.yaml_lines import Document
from engage_sync.core.expressions import BadExpression
from engage_sync.errors import Problem

_LISTED = 8


class Problems:
    """Every problem found so far, given back in the order of files and lines."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def extend(self, problems: Iterable[Problem]) -> None:
        """Take over problems found elsewhere."""
        self._found.extend(problems)

    def at_key(self, document: Document, location: tuple[str | int, ...], what: str) -> None:
        """Note a problem with the key (or the list item) at `location`."""
        self._found.append(Problem(what, *document.key_place(*location)))

    def at_value(self, document: Document, location: tuple[str | int, ...], what: str) -> None:
        """Note a problem with the value at `location`."""
        self._found.append(Problem(what, *document.value_place(*location)))

    def in_rule(self, document: Document, location: tuple[str | int, ...], error: BadExpression) -> None:
        """Note what is wrong in the expression at `location`."""
        name = next((part for part in reversed(location) if isinstance(part, str)), "rule")
        self.at_value(document, location, f"`{name}`: {error.what} (column {error.column} of the rule)")

    def all(self) -> list[Problem]:
        """Give the problems in the order of files and lines, each once."""
        return sorted(dict.fromkeys(self._found), key=lambda problem: (problem.file or "", problem.line or 0))


def nearest(name: str, valid: Iterable[str]) -> str:
    """Give the end of a sentence that refuses `name`: the nearest valid name, or all of them when none is near."""
    names = sorted(set(valid))
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.55)
    if close:
        return f"did you mean `{folded[close[0]]}`?"
    if not names:
        return "there are none here"
    if len(names) <= _LISTED:
        return "valid here: " + ", ".join(f"`{candidate}`" for candidate in names)
    closest = difflib.get_close_matches(name.lower(), folded, n=_LISTED, cutoff=0.0)
    return "valid here are, among others, " + ", ".join(f"`{folded[candidate]}`" for candidate in closest)
