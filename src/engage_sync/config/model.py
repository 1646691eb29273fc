"""Turns a valid `model.yaml` into the `Model`: properties, metrics, user types and links, with every clash and every
unknown name as a problem. What comes after the user types is `verdicts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from engage_sync.config.free_mail import FREE_MAIL
from engage_sync.config.model_file import LongProperty, MetricDefinition, ModelFile
from engage_sync.config.names import (
    EVENT_KINDS,
    built_ins,
    days_to,
    metric_known,
    metric_type,
    name_refusal,
    rule_type,
)
from engage_sync.config.problems import Problems, nearest
from engage_sync.config.reach import Reach, Reading
from engage_sync.config.yaml_lines import Document
from engage_sync.core.definitions import (
    Activity,
    Entity,
    InfluencerRule,
    Metric,
    MetricKind,
    Model,
    PowerRule,
    Property,
    ValueType,
)
from engage_sync.core.expressions import BadExpression, Expression, Type, parse
from engage_sync.core.never import Known, refusal

Path = tuple[str | int, ...]

_GLOB_KINDS = ("count", "active_days", "first", "last", "active_users")
_VALUE_KINDS = ("distinct", "sum", "min", "max", "avg")
_KINDS = (*_GLOB_KINDS, *_VALUE_KINDS)
_WHERE = Reading({"event": Type.TEXT, "kind": Type.TEXT}, {"kind": Known(EVENT_KINDS)}, ("properties.",))
_PROPERTY_VALUE = re.compile(r"properties\.[^\s]+")
_SOURCE = re.compile(r"(traits)\.([^\s.][^\n]*)|(crm)\.([^\s.]+)\.([^\s]+)")
_MONEY_TYPES: Mapping[str, tuple[ValueType, ...]] = {
    "seats": (ValueType.NUMBER, ValueType.TEXT),
    "mrr": (ValueType.NUMBER, ValueType.TEXT),
    "renewal_date": (ValueType.DATE, ValueType.DATETIME, ValueType.TEXT),
}
"""Account properties that the law reads as numbers or dates (semantics §4, §8); numeric text reads as a number."""
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class CrmObjects:
    """What the model may know of one connector file: its objects' entities, the fields it writes and matches by.

    `entities` is None when the file could not be read well enough to tell.
    """

    entities: frozenset[Entity] | None = None
    written: Mapping[Entity, frozenset[str]] = field(default_factory=dict)
    matched: Mapping[Entity, frozenset[str]] = field(default_factory=dict)


class ModelBuilder:
    """Builds one model. Every problem goes to `problems`; what has one is left out of the model."""

    def __init__(self, document: Document, definition: ModelFile, problems: Problems) -> None:
        self.document = document
        self.definition = definition
        self.problems = problems
        self.properties: dict[Entity, dict[str, Property]] = {entity: {} for entity in Entity}
        self.metrics: dict[Entity, dict[str, Metric]] = {entity: {} for entity in Entity}
        self.reach = Reach({}, {entity: {} for entity in Entity})

    def build(self, connectors: Mapping[str, CrmObjects]) -> Model:
        """Build everything up to the user types; `reach` then knows what the rules of verdicts may read."""
        for entity in Entity:
            self._declare(entity, connectors)
        self.reach = Reach(self.document.data, {entity: self.named(entity) for entity in Entity})
        self.reach.know({entity: self.known(entity) for entity in Entity})
        definition = self.definition
        activity = definition.activity
        links = {Entity.USER: definition.links.user, Entity.ACCOUNT: definition.links.account}
        self._check_links(links)
        return Model(
            activity=Activity(tuple(activity.include), tuple(activity.exclude), activity.window),
            attributed=definition.account_activity == "attributed",
            deactivated=self._deactivated(),
            properties=tuple(item for entity in Entity for item in self.properties[entity].values()),
            power=PowerRule(definition.user_types.power.share, self._measure()),
            influencer=self._influencer(connectors),
            metrics=tuple(item for entity in Entity for item in self.metrics[entity].values()),
            links={entity: link for entity, link in links.items() if link is not None},
            free_mail=FREE_MAIL,
        )

    def rule(self, text: str | None, location: Path, reading: Reading) -> Expression | None:
        """Parse the rule at `location`; None when there is none or when it has a problem."""
        if text is None:
            return None
        try:
            found = parse(text, reading.types, open_prefixes=reading.prefixes)
        except BadExpression as error:
            what = reading.refused(error.name) if error.name is not None else None
            self.problems.in_rule(self.document, location, BadExpression(what, error.column) if what else error)
            return None
        never = refusal(found, reading.known)
        if never is not None:
            self.problems.in_rule(self.document, location, never)
        return None if never is not None else found

    def declared(self, entity: Entity, *, from_traits: bool = False) -> dict[str, Type]:
        """Give the declared names and `days_to_X` with their types; one that has a problem is UNKNOWN, but known."""
        properties = {
            name: item.type
            for name, item in self.properties[entity].items()
            if not from_traits or item.connector is None
        }
        types = {name: rule_type(kind) for name, kind in {**properties, **days_to(properties)}.items()}
        if not from_traits:
            types |= {name: rule_type(metric_type(item)) for name, item in self.metrics[entity].items()}
        broken = [
            name
            for section in ("properties", *(() if from_traits else ("metrics",)))
            for name in self.written(section, entity)
            if name not in self.properties[entity] and name not in self.metrics[entity]
        ]
        for name in broken:
            types.setdefault(name, Type.UNKNOWN)
            if name not in self.metrics[entity]:
                types.setdefault(f"days_to_{name}", Type.NUMBER)
        return types

    def named(self, entity: Entity) -> dict[str, Type]:
        """Give all names that a rule of the entity may read before any verdict but the user types."""
        return {name: rule_type(term.type) for name, term in built_ins(entity).items()} | self.declared(entity)

    def known(self, entity: Entity) -> dict[str, Known]:
        """Give what the names without a verdict can be, beside their type."""
        metrics = {name: metric_known(item) for name, item in self.metrics[entity].items()}
        return {name: term.known for name, term in built_ins(entity).items()} | metrics

    def value_types(self, entity: Entity) -> dict[str, ValueType]:
        """Give the declared names with the types of their values; one that has a problem counts as text."""
        properties = {name: item.type for name, item in self.properties[entity].items()}
        metrics = {name: metric_type(item) for name, item in self.metrics[entity].items()}
        written = [name for section in ("properties", "metrics") for name in self.written(section, entity)]
        return dict.fromkeys(written, ValueType.TEXT) | properties | metrics

    def written(self, section: str, entity: Entity) -> tuple[str, ...]:
        """Give the names that the files declare, valid or not, in their order."""
        found = self.document.data.get(section)
        inner = found.get(entity.value) if isinstance(found, dict) else None
        return tuple(inner) if isinstance(inner, dict) else ()

    def _declare(self, entity: Entity, connectors: Mapping[str, CrmObjects]) -> None:
        taken: dict[str, Path] = {}
        for section in ("properties", "metrics"):
            for name in self.written(section, entity):
                location: Path = (section, entity.value, name)
                refusal = name_refusal(name, entity) or _money(location) or self._clash(name, taken, location)
                if refusal:
                    self.problems.at_key(self.document, location, refusal)
                else:
                    taken[name.lower()] = location
        properties = getattr(self.definition.properties, entity.value)
        for name, source in properties.items():
            if taken.get(name.lower()) == ("properties", entity.value, name):
                self._property(entity, name, source, connectors)
        metrics = getattr(self.definition.metrics, entity.value)
        for name, metric in metrics.items():
            if taken.get(name.lower()) == ("metrics", entity.value, name):
                self._metric(entity, name, metric)
        derived = days_to({name: item.type for name, item in self.properties[entity].items()})
        for name in derived:
            if name.lower() in taken:
                what = f"`{name}` belongs to the date property `{name.removeprefix('days_to_')}`; choose another name"
                self.problems.at_key(self.document, taken[name.lower()], what)

    def _place(self, other: Path, beside: Path) -> str:
        """Tell where a key stands: the line, and the file where it is another one."""
        file, line = self.document.key_place(*other)
        return f"line {line}" if file == self.document.key_place(*beside)[0] else f"{file}:{line}"

    def _clash(self, name: str, taken: Mapping[str, Path], location: Path) -> str | None:
        first = taken.get(name.lower())
        if first is None:
            return None
        where = f"a {'metric' if first[0] == 'metrics' else 'property'} in {self._place(first, location)}"
        if first[-1] == name:
            return f"`{name}` is already {where}; metrics and properties share their names"
        return f"`{name}` differs only by case from `{first[-1]}`, {where}"

    def _property(
        self, entity: Entity, name: str, source: str | LongProperty, connectors: Mapping[str, CrmObjects]
    ) -> None:
        location: Path = ("properties", entity.value, name)
        text, kind = (source, "text") if isinstance(source, str) else (source.from_, source.type)
        if not isinstance(source, str):
            location = (*location, "from")
        match = _SOURCE.fullmatch(text)
        if match is None:
            what = f"`{text}` is no source of a property; write traits.PATH or crm.CONNECTOR.FIELD"
            self.problems.at_value(self.document, location, what)
            return
        wanted = _MONEY_TYPES.get(name, ()) if entity is Entity.ACCOUNT else ()
        if wanted and kind not in wanted:
            what = f"`{name}` of an account must be a {wanted[0]}; write {{from: {text}, type: {wanted[0]}}}"
            self.problems.at_value(self.document, location, what)
            return
        connector, path = (None, match[2]) if match[1] else (match[4], match[5])
        if connector is None or self._crm_source(entity, connector, path, location, connectors):
            self.properties[entity][name] = Property(name, entity, path, connector, ValueType(kind))

    def _crm_source(
        self, entity: Entity, connector: str, field_name: str, location: Path, connectors: Mapping[str, CrmObjects]
    ) -> bool:
        if not connectors:
            return True  # a project without any connector computes too; the property is null
        if connector not in connectors:
            what = f"there is no connectors/{connector}.yaml; {nearest(connector, connectors)}"
        elif (objects := connectors[connector].entities) is not None and entity not in objects:
            what = f"connectors/{connector}.yaml has no object with `entity: {entity}` to read `{field_name}` from"
        elif field_name in connectors[connector].written.get(entity, ()):
            what = f"`{field_name}` is written by connectors/{connector}.yaml; reading it back here would be a cycle"
        else:
            return True
        self.problems.at_value(self.document, location, what)
        return False

    def _metric(self, entity: Entity, name: str, metric: MetricDefinition) -> None:
        location: Path = ("metrics", entity.value, name)
        given = [kind for kind in _KINDS if getattr(metric, kind) is not None]
        if len(given) != 1:
            what = f"`{name}` needs exactly one of {', '.join(_KINDS)}"
            self.problems.at_key(self.document, location, what + (f", not {' and '.join(given)}" if given else ""))
            return
        kind, text = given[0], getattr(metric, given[0])
        found = list(self._metric_problems(entity, kind, metric))
        for part, what in found:
            self.problems.at_key(self.document, (*location, part), what)
        where = self.rule(metric.where, (*location, "where"), _WHERE)
        if found or (where is None and metric.where is not None):
            return
        reads_value = kind in _VALUE_KINDS
        self.metrics[entity][name] = Metric(
            name=name,
            entity=entity,
            kind=MetricKind(kind),
            events=(metric.event or "*") if reads_value else text,
            value=text if reads_value else None,
            where=where,
            window=metric.window,
            offset=metric.offset or timedelta(0),
        )

    def _metric_problems(self, entity: Entity, kind: str, metric: MetricDefinition) -> Iterator[tuple[str, str]]:
        text = getattr(metric, kind)
        if kind in _GLOB_KINDS and metric.event is not None:
            yield "event", f"`event` does not go with `{kind}`, which names the events itself"
        if kind == "active_users" and entity is Entity.USER:
            yield kind, "`active_users` counts the users of an account; it is no metric of users"
        values = "`event` or `properties.NAME`" if kind == "distinct" else "`properties.NAME`"
        if kind in _VALUE_KINDS and not (_PROPERTY_VALUE.fullmatch(text) or (kind == "distinct" and text == "event")):
            yield kind, f"`{kind}: {text}` names no value; write {values}"
        if metric.offset is not None and metric.window is None:
            yield "offset", "`offset` needs a `window` to move"

    def _measure(self) -> str:
        measure = self.definition.user_types.power.measure
        valid = ["events", "active_days", *self.written("metrics", Entity.USER)]
        if measure not in valid:
            what = f"`{measure}` is no measure of users; {nearest(measure, valid)}"
            self.problems.at_value(self.document, ("user_types", "power", "measure"), what)
        return measure

    def _influencer(self, connectors: Mapping[str, CrmObjects]) -> InfluencerRule:
        definition = self.definition.user_types.influencer
        reading = self.reach.reading(Entity.USER, "types")
        where = self.rule(definition.where, ("user_types", "influencer", "where"), reading)
        if definition.connectors is None:
            return InfluencerRule(where)
        for index, name in enumerate(definition.connectors):
            if connectors and name not in connectors:
                what = f"there is no connectors/{name}.yaml; {nearest(name, connectors)}"
                self.problems.at_value(self.document, ("user_types", "influencer", "connectors", index), what)
        return InfluencerRule(where, tuple(dict.fromkeys(definition.connectors)))

    def _deactivated(self) -> Expression | None:
        others = {*self.reach.types[Entity.USER], *self.reach.later[Entity.USER]}

        def refused(name: str) -> str | None:
            return f"`deactivated` reads properties from traits only, not `{name}`" if name in others else None

        traits = self.declared(Entity.USER, from_traits=True)
        return self.rule(self.definition.deactivated, ("deactivated",), Reading(traits, refused=refused))

    def _check_links(self, links: Mapping[Entity, str | None]) -> None:
        for entity, link in links.items():
            wrong = [part for part in _PLACEHOLDER.findall(link or "") if part != "{external_id}"]
            for part in wrong:
                what = f"`{part}` cannot be filled in; did you mean `{{external_id}}`?"
                self.problems.at_value(self.document, ("links", entity.value), what)


def _money(location: Path) -> str | None:
    """Say why a metric of accounts may not have the name of a property that the law reads (semantics §4, §8)."""
    section, entity, name = location
    if section == "metrics" and entity == Entity.ACCOUNT.value and str(name).lower() in _MONEY_TYPES:
        return f"`{name}` of an account is a property; declare it there, or choose another name"
    return None
