"""Checks the verdicts of `model.yaml` that come after the user types: every rule is read with exactly the names that
stand before it in the order stage → health → scores → segments → signals (semantics §7), and the names and options they
declare are collected. Nothing here computes a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engage_sync.config.model import ModelBuilder, Path
from engage_sync.config.names import DEFAULT_BANDS, HEALTH, HEAT, USER_TYPES, VERDICTS, simple_name
from engage_sync.config.problems import nearest
from engage_sync.config.verdict_parts import (
    Action,
    HealthDefinition,
    HealthProfile,
    MonotonicStages,
    ScoreDefinition,
    StageStep,
)
from engage_sync.core.definitions import Entity, ValueType
from engage_sync.core.expressions import Type

SCORE_FORMS: Mapping[str, tuple[ValueType, Type]] = {
    "": (ValueType.NUMBER, Type.NUMBER),
    "_trend": (ValueType.NUMBER, Type.NUMBER),
    "_sum": (ValueType.NUMBER, Type.NUMBER),
    "_band": (ValueType.SELECT, Type.TEXT),
    "_heat": (ValueType.SELECT, Type.TEXT),
}
"""What a score is called, beside its own name: `scores.NAME_trend`, … A rule score has only its band."""


@dataclass(slots=True)
class Declared:
    """The verdicts one entity has: their types, and the options of those that hold names."""

    types: dict[str, ValueType] = field(default_factory=dict)
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)


class VerdictChecker:
    """Walks the verdicts of one model in their order. `declared` is complete after `check`."""

    def __init__(self, builder: ModelBuilder, connectors: Iterable[str]) -> None:
        self.builder = builder
        self.document = builder.document
        self.definition = builder.definition
        self.problems = builder.problems
        self.connectors = tuple(connectors)
        self.names: dict[Entity, dict[str, Type]] = {entity: builder.named(entity) for entity in Entity}
        accounts = {f"account.{name}": kind for name, kind in self.names[Entity.ACCOUNT].items()}
        self.names[Entity.USER] |= {f"types.{name}": Type.BOOLEAN for name in USER_TYPES}
        self.names[Entity.USER] |= {"primary_user_type": Type.TEXT, "lapsed_influencer": Type.BOOLEAN, **accounts}
        self.declared = {entity: Declared(types=dict(VERDICTS)) for entity in Entity}

    def check(self) -> None:
        """Check everything, noting each problem."""
        for entity in Entity:
            self._stages(entity)
        for entity in Entity:
            self._health(entity)
        self._scores()
        self._groups()
        self._signals()
        self._tests()

    def _note(self, location: Path, what: str) -> None:
        self.problems.at_key(self.document, location, what)

    def _written(self, section: str) -> Mapping[str, object]:
        found = self.document.data.get(section)
        return found if isinstance(found, dict) else {}

    def _simple(self, section: str) -> None:
        """Refuse names that cannot stand in a rule, or that a CRM would not tell apart."""
        seen: dict[str, str] = {}
        for name in self._written(section):
            if not simple_name(name):
                self._note(
                    (section, name), f"`{name}` is no name; use letters, digits and `_`, not starting with a digit"
                )
            elif name.lower() in seen:
                self._note((section, name), f"`{name}` differs only by case from `{seen[name.lower()]}`")
            seen.setdefault(name.lower(), name)

    def _stages(self, entity: Entity) -> None:
        location: Path = ("stages", entity.value)
        steps, rest = self._steps(entity)
        seen: dict[str, int] = {}
        for index, step in enumerate(steps):
            place = (*location, *rest, index)
            if step.name.lower() in seen:
                self._note((*place, "name"), f"the stage `{step.name}` is given twice")
            elif ";" in step.name:
                self._note((*place, "name"), f"the stage `{step.name}` cannot hold a `;`")
            seen.setdefault(step.name.lower(), index)
            self.builder.rule(step.when, (*place, "when"), self.names[entity])
        self.declared[entity].options["stage"] = tuple(seen)
        self.names[entity]["stage"] = Type.TEXT

    def _steps(self, entity: Entity) -> tuple[list[StageStep], tuple[str, ...]]:
        stages = self.definition.stages.user if entity is Entity.USER else self.definition.stages.account
        return (stages.steps, ("steps",)) if isinstance(stages, MonotonicStages) else (stages, ())

    def _health(self, entity: Entity) -> None:
        health = self.definition.health.user if entity is Entity.USER else self.definition.health.account
        location: Path = ("health", entity.value)
        self.declared[entity].options["health"] = HEALTH
        for place, profile in self._profiles(entity, health):
            for kind, rules in (("good", profile.good), ("bad", profile.bad)):
                for index, rule in enumerate(rules):
                    self.builder.rule(rule, (*location, *place, kind, index), self.names[entity])
        self.names[entity]["health"] = Type.TEXT

    def _profiles(self, entity: Entity, health: HealthDefinition | None) -> Iterator[tuple[Path, HealthProfile]]:
        if health is None:
            return
        if health.default is not None:
            yield ("default",), health.default
        steps, _ = self._steps(entity)
        known = [step.name for step in steps]
        stages_readable = bool(known) or entity.value not in self._written("stages")
        for name, profile in health.stages.items():
            if name not in known and stages_readable:
                what = (
                    f"there is no stage `{name}` of an {entity}"
                    if entity is Entity.ACCOUNT
                    else f"there is no stage `{name}` of a user"
                )
                self._note(("health", entity.value, "stages", name), f"{what}; {nearest(name, known)}")
            yield ("stages", name), profile

    def _scores(self) -> None:
        self._simple("scores")
        bands = self._bands()
        for name in self._written("scores"):
            suffix = next((form for form in SCORE_FORMS if form and name.endswith(form)), None)
            if suffix:
                what = f"`{name}` ends like a derived name (`NAME{suffix}` belongs to the score `NAME`); choose another"
                self._note(("scores", name), what)
            score = self.definition.scores.get(name)
            if score is None:
                for entity in Entity:
                    self._declare_score(entity, name, SCORE_FORMS, bands, known=False)
            else:
                self._score(name, score, bands)

    def _score(self, name: str, score: ScoreDefinition, bands: tuple[str, ...]) -> None:
        entity = Entity(score.entity)
        location: Path = ("scores", name)
        unfit = ("rules",) if score.kind == "weighted" else ("weights", "window")
        for key in unfit:
            if getattr(score, key) is not None:
                self._note((*location, key), f"`{key}` does not go with `kind: {score.kind}`")
        if score.kind == "weighted":
            if not score.weights:
                self._note(location, f"the weighted score `{name}` needs `weights`")
            if entity is Entity.ACCOUNT:
                what = "a weighted score is of users; write `entity: user`, and accounts get the mean of their users"
                self._note((*location, "entity"), what)
            self._declare_score(Entity.USER, name, ("", "_trend", "_band", "_heat"), bands)
            self._declare_score(Entity.ACCOUNT, name, SCORE_FORMS, bands)
            return
        if not score.rules:
            self._note(location, f"the score `{name}` needs `rules`")
        seen: set[str] = set()
        for index, rule in enumerate(score.rules or ()):
            if rule.name in seen:
                self._note((*location, "rules", index, "name"), f"the rule `{rule.name}` is given twice")
            seen.add(rule.name)
            self.builder.rule(rule.when, (*location, "rules", index, "when"), self.names[entity])
        self._declare_score(entity, name, ("", "_band"), bands)

    def _declare_score(
        self, entity: Entity, name: str, forms: Iterable[str], bands: tuple[str, ...], *, known: bool = True
    ) -> None:
        declared = self.declared[entity]
        for form in forms:
            source = f"scores.{name}{form}"
            declared.types[source] = SCORE_FORMS[form][0]
            self.names[entity][source] = SCORE_FORMS[form][1] if known else Type.UNKNOWN
            if form in {"_band", "_heat"}:
                declared.options[source] = bands if form == "_band" else HEAT

    def _bands(self) -> tuple[str, ...]:
        given = self.definition.bands
        if given is None:
            return tuple(DEFAULT_BANDS)
        if not given:
            self._note(("bands",), "`bands` needs at least one band")
        starts: dict[float, str] = {}
        for name, start in given.items():
            if ";" in name:
                self._note(("bands", name), f"the band `{name}` cannot hold a `;`")
            if not 0 <= start <= 100:
                self._note(("bands", name), f"the band `{name}` must start between 0 and 100")
            elif start in starts:
                self._note(("bands", name), f"the bands `{starts[start]}` and `{name}` start at the same score")
            starts.setdefault(start, name)
        if given and 0 not in starts:
            self._note(("bands",), "the lowest band must start at 0, so that every score has a band")
        return tuple(dict.fromkeys(name.lower() for name in given))

    def _groups(self) -> None:
        self._simple("segments")
        for name in self._written("segments"):
            segment = self.definition.segments.get(name)
            if segment is None:
                self._declare_name("segments", name, Entity, Type.UNKNOWN)
                continue
            entity = Entity(segment.entity)
            self.builder.rule(segment.where, ("segments", name, "where"), self.names[entity])
            self._declare_name("segments", name, (entity,), Type.BOOLEAN)

    def _signals(self) -> None:
        self._simple("signals")
        for name in self._written("signals"):
            signal = self.definition.signals.get(name)
            if signal is None:
                self._declare_name("signals", name, Entity, Type.UNKNOWN)
                continue
            entity = Entity(signal.entity)
            self.builder.rule(signal.when, ("signals", name, "when"), self.names[entity])
            self._declare_name("signals", name, (entity,), Type.BOOLEAN)
            for key, actions in (("actions", signal.actions), ("clear_actions", signal.clear_actions)):
                for index, action in enumerate(actions):
                    self._action(("signals", name, key, index), action)

    def _declare_name(self, kind: str, name: str, entities: Iterable[Entity], rule_type: Type) -> None:
        for entity in entities:
            self.names[entity][f"{kind}.{name}"] = rule_type
            options = self.declared[entity].options
            options[kind] = tuple(dict.fromkeys((*options.get(kind, ()), name.lower())))

    def _action(self, location: Path, action: Action) -> None:
        given = [key for key in ("crm_task", "webhook", "field") if getattr(action, key) is not None]
        if len(given) != 1:
            self._note(location, "an action is exactly one of `crm_task`, `webhook` and `field`")
        if action.field is not None and action.field.connector not in self.connectors:
            name = action.field.connector
            what = f"there is no connectors/{name}.yaml; {nearest(name, self.connectors)}"
            self._note((*location, "field", "connector"), what)

    def _tests(self) -> None:
        for index, test in enumerate(self.definition.tests):
            try:
                datetime.fromisoformat(test.as_of)
            except ValueError:
                self._note(
                    ("tests", index, "as_of"), f"`{test.as_of}` is no instant; write it like 2026-06-01T00:00:00Z"
                )
