"""Builds the verdicts of a model that come after the user types: every rule is read with exactly the names that stand
before it in the order stage → health → scores → segments → signals (semantics §7). Nothing here decides a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engage_sync.config.actions import ActionBuilder
from engage_sync.config.model import CrmObjects, ModelBuilder, Path
from engage_sync.config.names import HEALTH, VERDICTS, simple_name
from engage_sync.config.problems import nearest
from engage_sync.config.reach import Reading
from engage_sync.config.scores import ScoreBuilder
from engage_sync.config.verdict_parts import Action as ActionDefinition
from engage_sync.config.verdict_parts import (
    HealthDefinition,
    HealthProfile,
    LongHealthRule,
    MonotonicStages,
    SegmentDefinition,
    SignalDefinition,
    StageStep,
)
from engage_sync.core.definitions import Entity, Model, ValueType
from engage_sync.core.expression_ranges import Known
from engage_sync.core.expressions import Type
from engage_sync.core.verdict_rules import Action, Health, Profile, Rule, Segment, Signal, Stages


class VerdictBuilder:
    """Walks the verdicts of one model in their order. What has a problem is left out."""

    def __init__(self, builder: ModelBuilder, connectors: Mapping[str, CrmObjects]) -> None:
        self.builder = builder
        self.document = builder.document
        self.definition = builder.definition
        self.problems = builder.problems
        self.reach = builder.reach
        self.scores = ScoreBuilder(builder)
        self.actions = ActionBuilder(builder.document, connectors, builder.problems)

    def build(self, model: Model) -> Model:
        """Give the model with its verdicts, noting each problem; the builder's `reach` is complete after it."""
        self.reach.open_types()
        stages = {entity: steps for entity in Entity if (steps := self._stages(entity)).steps}
        health = {entity: rules for entity in Entity if (rules := self._health(entity)) is not None}
        self._simple("scores")
        scores = [self.scores.build(name, self.definition.scores.get(name)) for name in self._written("scores")]
        self._simple("segments")
        segments = [self._segment(name, self.definition.segments.get(name)) for name in self._written("segments")]
        self._simple("signals")
        signals = [self._signal(name, self.definition.signals.get(name)) for name in self._written("signals")]
        return replace(
            model,
            stages=stages,
            health=health,
            bands=self.scores.bands,
            scores=tuple(score for score in scores if score is not None),
            segments=tuple(segment for segment in segments if segment is not None),
            signals=tuple(signal for signal in signals if signal is not None),
        )

    def _note(self, location: Path, what: str) -> None:
        self.problems.at_key(self.document, location, what)

    def _written(self, section: str) -> Mapping[str, object]:
        found = self.document.data.get(section)
        return found if isinstance(found, dict) else {}

    def _rule(self, name: str, text: str, why: str | None, location: Path, reading: Reading) -> Rule | None:
        when = self.builder.rule(text, location, reading)
        return Rule(name, when, why) if when is not None else None

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

    def _stages(self, entity: Entity) -> Stages:
        location: Path = ("stages", entity.value)
        steps, rest = self._steps(entity)
        reading = self.reach.reading(entity, "stage", "stage")
        seen: dict[str, str] = {}
        found = []
        for index, step in enumerate(steps):
            place = (*location, *rest, index)
            if step.name.lower() in seen:
                self._note((*place, "name"), f"the stage `{step.name}` is given twice")
            elif ";" in step.name:
                self._note((*place, "name"), f"the stage `{step.name}` cannot hold a `;`")
            seen.setdefault(step.name.lower(), step.name)
            rule = self._rule(step.name, step.when, step.why, (*place, "when"), reading)
            found += [] if rule is None else [rule]
        known = Known(tuple(seen.values())) if self._stages_readable(entity) else None
        self.reach.add(entity, "stage", Type.TEXT, known)
        self.reach.value(entity, "stage", ValueType.SELECT, seen)
        return Stages(tuple(found), monotonic=self._monotonic(entity))

    def _steps(self, entity: Entity) -> tuple[list[StageStep], tuple[str, ...]]:
        stages = self.definition.stages.user if entity is Entity.USER else self.definition.stages.account
        return (stages.steps, ("steps",)) if isinstance(stages, MonotonicStages) else (stages, ())

    def _monotonic(self, entity: Entity) -> bool:
        stages = self.definition.stages.user if entity is Entity.USER else self.definition.stages.account
        return isinstance(stages, MonotonicStages) and stages.monotonic

    def _stages_readable(self, entity: Entity) -> bool:
        """Tell whether the stages that the files name are all known."""
        written = self.document.data.get("stages")
        return (
            bool(self._steps(entity)[0]) or written is None or (isinstance(written, dict) and not written.get(entity))
        )

    def _health(self, entity: Entity) -> Health | None:
        definition = self.definition.health.user if entity is Entity.USER else self.definition.health.account
        profiles = dict(self._profiles(entity, definition))
        self.reach.add(entity, "health", Type.TEXT, VERDICTS["health"].known)
        self.reach.value(entity, "health", ValueType.SELECT, HEALTH)
        if definition is None:
            return None
        return Health(
            default=profiles.pop(None, None),
            stages={name: profile for name, profile in profiles.items() if name is not None},
            bad_first=definition.precedence == "bad_first",
            grace=definition.grace,
            confirm=definition.confirm,
        )

    def _profiles(self, entity: Entity, health: HealthDefinition | None) -> Iterator[tuple[str | None, Profile]]:
        """Give the profiles by stage, the default one under None."""
        if health is None:
            return
        if health.default is not None:
            yield None, self._profile(entity, health.default, ("health", entity.value, "default"))
        known = [step.name for step in self._steps(entity)[0]]
        for name, profile in health.stages.items():
            location: Path = ("health", entity.value, "stages", name)
            if name not in known and self._stages_readable(entity):
                of = "a user" if entity is Entity.USER else "an account"
                self._note(location, f"there is no stage `{name}` of {of}; {nearest(name, known)}")
            yield name, self._profile(entity, profile, location)

    def _profile(self, entity: Entity, profile: HealthProfile, location: Path) -> Profile:
        reading = self.reach.reading(entity, "health", "health")
        found: dict[str, list[Rule]] = {"good": [], "bad": []}
        for kind, rules in (("good", profile.good), ("bad", profile.bad)):
            seen: set[str] = set()
            for index, given in enumerate(rules):
                rule = LongHealthRule(when=given) if isinstance(given, str) else given
                place: Path = (*location, kind, index)
                if rule.when in seen:
                    self._note(place, f"the rule `{rule.when}` is given twice")
                seen.add(rule.when)
                place = place if isinstance(given, str) else (*place, "when")
                built = self._rule(rule.when, rule.when, rule.why, place, reading)
                found[kind] += [] if built is None else [built]
        return Profile(tuple(found["good"]), tuple(found["bad"]))

    def _segment(self, name: str, definition: SegmentDefinition | None) -> Segment | None:
        if definition is None:
            self._declare("segments", name, None)
            return None
        entity = Entity(definition.entity)
        reading = self.reach.reading(entity, "segments", f"segments.{name}")
        rule = self._rule(name, definition.where, definition.why, ("segments", name, "where"), reading)
        self._declare("segments", name, entity)
        return Segment(rule, entity) if rule is not None else None

    def _signal(self, name: str, definition: SignalDefinition | None) -> Signal | None:
        if definition is None:
            self._declare("signals", name, None)
            return None
        entity = Entity(definition.entity)
        reading = self.reach.reading(entity, "signals", f"signals.{name}")
        rule = self._rule(name, definition.when, definition.why, ("signals", name, "when"), reading)
        self._declare("signals", name, entity)
        actions = self._actions(definition.actions, entity, ("signals", name, "actions"))
        clear_actions = self._actions(definition.clear_actions, entity, ("signals", name, "clear_actions"))
        return Signal(rule, entity, definition.cooldown, actions, clear_actions) if rule is not None else None

    def _actions(self, definitions: list[ActionDefinition], entity: Entity, location: Path) -> tuple[Action, ...]:
        built = [self.actions.build(one, entity, (*location, index)) for index, one in enumerate(definitions)]
        return tuple(action for action in built if action is not None)

    def _declare(self, kind: str, name: str, entity: Entity | None) -> None:
        """Let the rules that follow read a segment or signal; of an unreadable one the entity is not known."""
        for one in Entity if entity is None else (entity,):
            self.reach.add(one, f"{kind}.{name}", Type.UNKNOWN if entity is None else Type.BOOLEAN)
            self.reach.value(one, f"{kind}.{name}", ValueType.BOOLEAN)
            options = self.reach.declared[one].options.get(kind, ())
            self.reach.value(one, kind, ValueType.MULTISELECT, (*options, name))
