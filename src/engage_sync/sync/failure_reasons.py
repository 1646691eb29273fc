"""Why a value that a model's test did not expect is what it is: the sentences of `explain`, and the rules behind them
as they were answered. Compares nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.history import Marks
from engage_sync.core.markers import Marker
from engage_sync.core.types import TYPES
from engage_sync.sync.expectations import Difference
from engage_sync.sync.explain_tree import tree
from engage_sync.sync.explain_types import reasons
from engage_sync.sync.rows import json_value
from engage_sync.sync.views import Shown

_OF_TYPES = ("user_types", "primary_user_type")
_SECTIONS = {"score_bands.": "scores.", "score_trends.": "scores.", "score_sums.": "scores."}
_FORMS = ("_band", "_trend", "_sum", "_heat")
_LISTS = ("segments", "signals")


def why(difference: Difference, shown: Shown, asking: Asking, marks: Marks) -> tuple[str, ...]:
    """Give the reasons, the rules last. `shown` holds the one row, with all its rules read."""
    frame = shown.frame
    if "deactivated" in frame.columns and frame["deactivated"][0]:
        return ("a deactivated user has no verdicts",)
    return (*_of_types(difference, shown, asking), *_of_rules(difference, frame, asking, marks))


def _of_types(difference: Difference, shown: Shown, asking: Asking) -> Iterator[str]:
    kind, _, name = difference.field.partition(".")
    names = {name} if kind == "types" else {kind}
    if kind in _OF_TYPES:
        names = _names(difference.expected) ^ _names(difference.got) if kind == "user_types" else set(TYPES)
    for reason in reasons(asking.model, shown, shown.frame.row(0, named=True)):
        if reason.verdict in names:
            yield f"{reason.verdict}: {reason.why}"


def _of_rules(difference: Difference, frame: pl.DataFrame, asking: Asking, marks: Marks) -> Iterator[str]:
    verdicts = _verdicts(difference)
    for node in tree(frame, asking, marks) if verdicts else ():
        if node.verdict in verdicts:
            if node.why:
                yield node.why
            yield from map(_told, node.rules)


def _verdicts(difference: Difference) -> set[str]:
    """Give the verdicts that a field is about, as `explain` calls them."""
    field = difference.field
    if field in _LISTS:
        return {f"{field}.{name}" for name in _names(difference.expected) ^ _names(difference.got)}
    for section, place in _SECTIONS.items():
        field = field.replace(section, place) if field.startswith(section) else field
    if field.startswith("scores."):
        return {field, *(field.removesuffix(form) for form in _FORMS)}
    return {field} if field in {"stage", "health"} or field.startswith(("segments.", "signals.")) else set()


def _names(value: object) -> set[str]:
    return {str(name) for name in value} if isinstance(value, list) else set()


def _told(marker: Marker) -> str:
    held = {True: "matches", False: "does not match", None: "is unknown"}[marker.matched]
    read = ", ".join(f"{name} = {_literal(value)}" for name, value in marker.values.items())
    part = "" if marker.part in {marker.name, marker.rule} else f"{marker.part}: "
    return f"{part}`{marker.rule}` {held}{f' ({read})' if read else ''}"


def _literal(value: object) -> str:
    return "null" if value is None else repr(json_value(value))
