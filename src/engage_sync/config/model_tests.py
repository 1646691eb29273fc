"""Builds the model's own tests (`tests:` of the model files): an instant, messages and what must come out, with every
unknown key of an expectation as a problem. Nothing here computes a verdict or reads a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engage_sync.config.model import ModelBuilder
from engage_sync.config.names import BUILT_INS, ROLL_UPS, SCORE_FORMS, USER_TYPES
from engage_sync.config.problems import nearest
from engage_sync.config.reach import Reach
from engage_sync.config.verdict_parts import TestDefinition
from engage_sync.core.definitions import Entity
from engage_sync.core.expression_ranges import Known

Path = tuple[str | int, ...]
Values = Mapping[str, Mapping[str, object]]
"""Values by the external id of whom they belong to."""

_BOTH = (
    *("external_id", "name", "health", "stage", "segments", "signals", "mrr", "renewal_date", "links"),
    *("scores", "score_trends", "score_bands", "metrics", "properties"),
)
_OWN = {
    Entity.USER: (
        *("email", "user_types", "primary_user_type", "lapsed_influencer", "last_active_at", "accounts"),
        *(f"types.{name}" for name in USER_TYPES),
    ),
    Entity.ACCOUNT: (
        *("domain", "active", "users", "active_users", "active_share", "seat_use", "users_by_type", "score_sums"),
        *(f"users_by_type.{name}" for name in USER_TYPES),
    ),
}
"""Keys of a row of `show` (architecture §6)."""


@dataclass(frozen=True, slots=True)
class ModelTest:
    """One test of the model. `expect` holds values by entity, external id and key, as written: keys of a row of `show`,
    dotted into it, or names as rules write them. `crm` holds linked records by connector, entity and external id."""

    name: str
    as_of: datetime
    messages: tuple[Mapping[str, object], ...]
    expect: Mapping[Entity, Values]
    file: str
    line: int
    crm: Mapping[str, Mapping[Entity, Values]] = field(default_factory=dict)


class ModelTestBuilder:
    """Builds the tests of one model, whose verdicts are all in the builder's `reach`."""

    def __init__(self, builder: ModelBuilder) -> None:
        self.document = builder.document
        self.problems = builder.problems
        self.keys = {entity: frozenset(self._keys(entity, builder)) for entity in Entity}
        self.options = {entity: self._options(entity, builder.reach) for entity in Entity}

    def build(self, definitions: list[TestDefinition], connectors: frozenset[str]) -> tuple[ModelTest, ...]:
        """Build all that are valid, in file order, noting each problem."""
        seen: set[str] = set()
        found = []
        for index, definition in enumerate(definitions):
            location: Path = ("tests", index)
            if definition.name in seen:
                self.problems.at_key(self.document, (*location, "name"), f"the test `{definition.name}` is given twice")
            seen.add(definition.name)
            for name in definition.crm:
                if connectors and name not in connectors:
                    what = f"there is no connectors/{name}.yaml; {nearest(name, connectors)}"
                    self.problems.at_key(self.document, (*location, "crm", name), what)
            expect = {Entity.USER: definition.expect.users, Entity.ACCOUNT: definition.expect.accounts}
            for entity, section in ((Entity.USER, "users"), (Entity.ACCOUNT, "accounts")):
                for external_id, values in expect[entity].items():
                    self._expected(entity, (*location, "expect", section, external_id), values)
            as_of = self._instant(definition.as_of, (*location, "as_of"))
            if as_of is not None:
                crm = {
                    name: {Entity.USER: records.users, Entity.ACCOUNT: records.accounts}
                    for name, records in definition.crm.items()
                }
                file, line = self.document.value_place(*location)
                found.append(ModelTest(definition.name, as_of, tuple(definition.messages), expect, file, line, crm))
        return tuple(found)

    def _instant(self, text: str, location: Path) -> datetime | None:
        """Read an instant (semantics §1): without a zone UTC, a date alone its midnight."""
        try:
            read = datetime.fromisoformat(text)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        except (ValueError, OverflowError):
            what = f"`{text}` is no instant; write it like 2026-06-01T00:00:00Z"
            self.problems.at_value(self.document, location, what)
            return None

    def _expected(self, entity: Entity, location: Path, values: Mapping[str, object]) -> None:
        for key, value in values.items():
            place = (*location, key)
            if key in self.keys[entity] or key.startswith("links."):
                self._value(entity, place, key, value)
            else:
                what = f"`{key}` is no value of {'a user' if entity is Entity.USER else 'an account'}"
                self.problems.at_key(self.document, place, f"{what}; {nearest(key, self.keys[entity])}")

    def _value(self, entity: Entity, location: Path, key: str, value: object) -> None:
        if isinstance(value, dict) and key != "links":
            for name, inner in value.items():
                full = f"{key}.{name}"
                if full in self.keys[entity]:
                    self._value(entity, (*location, name), full, inner)
                else:
                    valid = [one.removeprefix(f"{key}.") for one in self.keys[entity] if one.startswith(f"{key}.")]
                    self.problems.at_key(
                        self.document, (*location, name), f"`{name}` is not among `{key}`; {nearest(name, valid)}"
                    )
            return
        options = self.options[entity].get(key)
        for one in value if isinstance(value, list) else [value]:
            if options is not None and one is not None and one not in options:
                shown = one if isinstance(one, str) else str(one).lower()
                self.problems.at_value(
                    self.document, location, f"`{key}` is never `{shown}`; {nearest(shown, options)}"
                )

    def _keys(self, entity: Entity, builder: ModelBuilder) -> Iterator[str]:
        """Give every key of a row, names dotted into it, and names as rules write them; those with a problem too."""
        yield from (*_BOTH, *_OWN[entity])
        later = builder.reach.later[entity]
        forms = tuple(form for form in SCORE_FORMS if form)
        scores = [name.removeprefix("scores.") for name, kind in later.items() if kind == "scores"]
        sections = ("scores", "score_trends", "score_bands", *(("score_sums",) if entity is Entity.ACCOUNT else ()))
        yield from (f"{section}.{name}" for section in sections for name in scores if not name.endswith(forms))
        metrics = [*BUILT_INS, *(ROLL_UPS if entity is Entity.ACCOUNT else ()), *builder.written("metrics", entity)]
        properties = builder.written("properties", entity)
        yield from (*metrics, *properties)
        yield from (f"metrics.{name}" for name in metrics)
        yield from (f"properties.{name}" for name in properties)
        yield from (name for name in later if "." in name)

    def _options(self, entity: Entity, reach: Reach) -> dict[str, tuple[str, ...]]:
        """Give what the values that hold names can be."""
        later, known = reach.later[entity], reach.known[entity]
        found: dict[str, tuple[str, ...]] = {"user_types": USER_TYPES, "primary_user_type": USER_TYPES}
        for kind in ("segments", "signals"):
            found[kind] = tuple(name.partition(".")[2] for name, of in later.items() if of == kind)
        found |= {name: known[name].options or () for name in ("health", "stage") if known[name].options is not None}
        for name in later:
            if name.endswith("_band") and (options := known.get(name, Known()).options) is not None:
                found[f"score_bands.{name.removeprefix('scores.').removesuffix('_band')}"] = options
        return found
