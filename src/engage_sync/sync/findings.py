"""What keeps the declared fields of one object from being read and written, by the CRM's own description of them: the
findings, each with what an admin must do. Pure: asks nobody, reads no file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from engage_sync.connectors.base import Field, Guide
from engage_sync.core.definitions import Entity, ManagedField, MetricKind, Model, ObjectMap, ValueType
from engage_sync.core.fitting import FITS
from engage_sync.core.types import TYPES
from engage_sync.core.values import DECIMALS, SEPARATOR
from engage_sync.core.verdict_rules import FieldAction, TaskAction

PROVISION = "run `engage-sync provision --apply`"

_ID = "{external_id}"
_RATIOS = frozenset({"active_share", "seat_use"})
_MONEY_DECIMALS = 2
"""Digits after the point that a property, or a sum of properties, is given room for: they mostly hold money."""
_FRACTIONS: Mapping[MetricKind, int] = {
    MetricKind.AVG: DECIMALS,
    MetricKind.SUM: _MONEY_DECIMALS,
    MetricKind.MIN: _MONEY_DECIMALS,
    MetricKind.MAX: _MONEY_DECIMALS,
}
_LONGEST: Mapping[ValueType, int] = {ValueType.BOOLEAN: 5, ValueType.DATE: 10, ValueType.DATETIME: 20}
"""Characters of the longest text of a type, where that is known: `false`, a day, an instant in whole seconds."""
_NO_KEY = frozenset({ValueType.BOOLEAN, ValueType.DATE, ValueType.DATETIME, ValueType.MULTISELECT})
"""Types of CRM fields that hold no key of a record."""
_UNREADABLE: Mapping[ValueType, frozenset[ValueType]] = {
    ValueType.NUMBER: frozenset({ValueType.BOOLEAN, ValueType.DATE, ValueType.DATETIME, ValueType.URL}),
    ValueType.BOOLEAN: frozenset({ValueType.NUMBER, ValueType.DATE, ValueType.DATETIME, ValueType.URL}),
    ValueType.DATE: frozenset({ValueType.BOOLEAN, ValueType.URL}),
    ValueType.DATETIME: frozenset({ValueType.BOOLEAN, ValueType.URL}),
}
"""Type of a declared property → types of CRM fields of which no value can ever be read as that."""


class Step(IntEnum):
    """When an admin comes to it: later steps need the earlier ones."""

    LOGIN = 0
    OBJECT = 1
    PROVISION = 2
    CREATE = 3
    REVEAL = 4
    UNLOCK = 5
    TYPE = 6
    OPTIONS = 7
    ROOM = 8
    UNIQUE = 9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a field, and what to do about it."""

    step: Step
    field: str
    problem: str
    todo: str


@dataclass(frozen=True, slots=True)
class Examined:
    """One declared object beside what the CRM has: `file` is the connector's, for the to-do's that are about it;
    `provisions` tells whether the connector can make fields at all."""

    map: ObjectMap
    fields: Mapping[str, Field]
    model: Model
    guide: Guide
    provisions: bool
    file: str

    def place(self, field: str, sentence: str) -> str:
        """Fill object and field into a sentence of the guide."""
        return sentence.replace("{object}", self.map.object).replace("{field}", field)

    def made_for_us(self, field: str) -> bool:
        """Tell whether `provision` can make a field of that name."""
        return self.provisions and re.fullmatch(self.guide.makes, field) is not None


def findings(examined: Examined) -> Iterator[Finding]:
    """Give what is wrong with the declared fields: the written ones, then those that are only matched by or read."""
    object_map = examined.map
    written = {managed.field for managed in object_map.write}
    for managed in object_map.write:
        yield from _of_written(examined, managed)
    keys = {
        name: key
        for name, key in (
            (object_map.match_external_id, "the external id"),
            (object_map.match_email, "an e-mail address"),
            (object_map.match_domain, "a domain"),
        )
        if name is not None
    }
    for name in dict.fromkeys([*keys, *object_map.read]):
        if name not in written:
            yield from _of_read(examined, name)
        found = examined.fields.get(name)
        if found is not None and found.readable:
            yield from _of_key(examined, found, keys[name]) if name in keys else _of_property(examined, found)


def creates_tasks(model: Model) -> bool:
    """Tell whether any signal creates tasks."""
    actions = [action for signal in model.signals for action in (*signal.actions, *signal.clear_actions)]
    return any(isinstance(action, TaskAction) for action in actions)


def of_actions(examined: Examined) -> Iterator[Finding]:
    """Give what keeps the signals' own fields from being set."""
    for signal in examined.model.signals_of(examined.map.entity):
        for action in (*signal.actions, *signal.clear_actions):
            if isinstance(action, FieldAction) and action.connector == examined.map.connector:
                yield from _of_action(examined, signal.name, action)


def _of_action(examined: Examined, signal: str, action: FieldAction) -> Iterator[Finding]:
    found = examined.fields.get(action.field)
    if found is None:
        problem = f"{examined.map.object} has no field {action.field}, which the signal {signal} sets"
        todo = examined.place(action.field, examined.guide.create)
        yield Finding(Step.CREATE, action.field, problem, f"correct the name in config/model.yaml, or {todo}")
    elif not found.readable or not found.writable:
        problem = f"{found.name}, which the signal {signal} sets, is read-only or hidden"
        yield Finding(Step.UNLOCK, found.name, problem, examined.place(found.name, examined.guide.unlock))
    elif action.value is not None and found.options is not None and action.value not in found.options:
        problem = f"{found.name} lacks the option {action.value}, which the signal {signal} sets"
        yield Finding(Step.OPTIONS, found.name, problem, examined.place(found.name, examined.guide.options))
    elif action.value is not None and found.length is not None and len(action.value) > found.length:
        problem = f"{found.name} takes {found.length} characters, not the {len(action.value)} of the signal {signal}"
        yield Finding(Step.ROOM, found.name, problem, "choose a shorter value in config/model.yaml")


def _of_written(examined: Examined, managed: ManagedField) -> Iterator[Finding]:
    found = examined.fields.get(managed.field)
    if found is None:
        yield _missing(examined, managed.field, ours=True)
    elif not found.readable:
        yield _hidden(examined, managed.field, ours=True)
    else:
        if not found.writable:
            problem = f"{found.name} is read-only ({found.native})"
            yield Finding(Step.UNLOCK, found.name, problem, examined.place(found.name, examined.guide.unlock))
        if found.type is None or found.type not in FITS[managed.type]:
            kind = found.native if found.type is None else found.type.value
            problem = f"{found.name} is a {kind} field and cannot hold {managed.source}, a {managed.type.value}"
            todo = f"map {managed.source} to another field, or give `type:` one that fits"
            yield Finding(Step.TYPE, found.name, problem, todo)
            return
        yield from _of_options(examined, managed, found)
        yield from _of_room(examined, managed, found)


def _of_read(examined: Examined, name: str) -> Iterator[Finding]:
    found = examined.fields.get(name)
    ours = name == examined.map.match_external_id
    if found is None:
        yield _missing(examined, name, ours=ours)
    elif not found.readable:
        yield _hidden(examined, name, ours=ours)


def _missing(examined: Examined, name: str, *, ours: bool) -> Finding:
    problem = f"{examined.map.object} has no field {name}"
    near = _near(name, examined.fields, only_case=ours and examined.made_for_us(name))
    if near is not None:
        todo = f"did you mean {near}? Correct the name in {examined.file}"
        return Finding(Step.CREATE, name, problem, f"{todo}, or {examined.place(name, examined.guide.create)}")
    if ours and examined.made_for_us(name):
        return Finding(Step.PROVISION, name, problem, PROVISION)
    todo = f"correct the name in {examined.file}, or {examined.place(name, examined.guide.create)}"
    return Finding(Step.CREATE, name, problem, todo)


def _near(name: str, known: Iterable[str], *, only_case: bool) -> str | None:
    """Give the nearest known name; a field of ours that is not there yet is no misspelling of another one of ours."""
    folded = {one.lower(): one for one in known}
    if only_case:
        return folded.get(name.lower())
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.8)
    return folded[close[0]] if close else None


def _hidden(examined: Examined, name: str, *, ours: bool) -> Finding:
    todo = examined.place(name, examined.guide.reveal)
    if ours and examined.made_for_us(name):
        todo = f"{PROVISION}; if that is refused, {todo}"
    return Finding(Step.REVEAL, name, f"{examined.map.object}.{name} is there, but hidden from the credentials", todo)


def _of_options(examined: Examined, managed: ManagedField, found: Field) -> Iterator[Finding]:
    missing = [option for option in managed.options if found.options is not None and option not in found.options]
    if missing:
        todo = examined.place(found.name, examined.guide.options)
        if examined.made_for_us(found.name):
            todo = f"{PROVISION}; if that is refused, {todo}"
        yield Finding(Step.OPTIONS, found.name, f"{found.name} lacks the options {', '.join(missing)}", todo)


def _of_room(examined: Examined, managed: ManagedField, found: Field) -> Iterator[Finding]:
    needed = longest(managed, examined.model, examined.map.entity)
    if found.length is not None and needed is not None and found.length < needed:
        problem = f"{found.name} takes {found.length} characters, and {managed.source} can have {needed}"
        todo = f"let {examined.map.object}.{found.name} take {needed} characters, or map another field"
        yield Finding(Step.ROOM, found.name, problem, todo)
    digits = decimals(managed, examined.model, examined.map.entity)
    if found.decimals is not None and found.type is ValueType.NUMBER and found.decimals < digits:
        problem = f"{found.name} keeps {found.decimals} digits after the point, and {managed.source} can have {digits}"
        todo = f"let {examined.map.object}.{found.name} keep {digits} digits after the point, or map another field"
        yield Finding(Step.ROOM, found.name, problem, todo)


def _of_key(examined: Examined, found: Field, key: str) -> Iterator[Finding]:
    if found.type in _NO_KEY and found.name not in {managed.field for managed in examined.map.write}:
        problem = f"{found.name} is a {found.type.value} field and cannot hold {key}"
        yield Finding(Step.TYPE, found.name, problem, f"name another field under `match` in {examined.file}")
    elif found.name == examined.map.match_external_id and not found.unique:
        problem = f"{examined.map.object}.{found.name} holds the external id but is not unique"
        yield Finding(Step.UNIQUE, found.name, problem, examined.place(found.name, examined.guide.unique))


def _of_property(examined: Examined, found: Field) -> Iterator[Finding]:
    """Say where a declared property can never be read from its field."""
    object_map = examined.map
    for declared in examined.model.properties_of(object_map.entity):
        here = (declared.connector, declared.path) == (object_map.connector, found.name)
        if here and found.type is not None and found.type in _UNREADABLE.get(declared.type, ()):
            problem = (
                f"{found.name} is a {found.type.value} field and never reads as {declared.name},"
                f" a {declared.type.value} property"
            )
            todo = f"give the property {declared.name} in config/model.yaml another `type:`, or another field"
            yield Finding(Step.TYPE, found.name, problem, todo)


def longest(managed: ManagedField, model: Model, entity: Entity) -> int | None:
    """Give the characters that a field must take for its values to fit; None where that is not known beforehand.

    Several choices are counted all together, but for the user types, of which at most three hold at once. Of a link
    what surrounds the id is counted, and one character.
    """
    if len(managed.parts) == 1:
        return len(managed.parts[0])
    if managed.source == "link":
        return len(model.links.get(entity, _ID).replace(_ID, "")) + 1
    if managed.options and managed.type is ValueType.SELECT:
        return max(map(len, managed.options))
    if managed.options and managed.type is ValueType.MULTISELECT:
        chosen = ("active", "influencer", "power") if set(managed.options) == set(TYPES) else managed.options
        return len(SEPARATOR.join(chosen))
    return _LONGEST.get(managed.type)


def decimals(managed: ManagedField, model: Model, entity: Entity) -> int:
    """Give the digits after the point that a value can have: none for what is counted."""
    if managed.type is not ValueType.NUMBER:
        return 0
    if managed.source in _RATIOS:
        return DECIMALS
    kinds = {metric.name: metric.kind for metric in model.metrics_of(entity)}
    if managed.source in kinds:
        return _FRACTIONS.get(kinds[managed.source], 0)
    declared = {item.name for item in model.properties_of(entity)}
    return _MONEY_DECIMALS if managed.source in declared or managed.source == "mrr" else 0
