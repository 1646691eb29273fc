"""Turns a valid `connectors/NAME.yaml` into object maps and lazily resolved settings, with every unknown object, field
source and contradiction as a problem.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from pydantic import BaseModel, ValidationError

from engage_sync.config import secrets
from engage_sync.config.connector_file import OWN_KEYS, ConnectorDefinition, LongField, MatchSection, ObjectDefinition
from engage_sync.config.drift_policy import policy
from engage_sync.config.fields import TEMPLATE_TYPES, Source, constant, fitting, reads_as, template
from engage_sync.config.model import CrmObjects
from engage_sync.config.problems import Problems, nearest
from engage_sync.config.validation import relevant, report, validated
from engage_sync.config.yaml_lines import Document, Value
from engage_sync.core.definitions import Entity, ManagedField, Model, ObjectMap, ValueType
from engage_sync.errors import Mistake

Path = tuple[str | int, ...]

_ITEMS: tuple[Path, ...] = (
    ("schedule", "*"),
    ("limits", "*"),
    ("objects", "*"),
    ("objects", "*", "match"),
    ("objects", "*", "match", "*"),
    ("objects", "*", "read"),
    ("objects", "*", "write", "*"),
)


@dataclass(frozen=True, slots=True)
class ConnectorType:
    """What the configuration must know of a connector class: its settings, and its objects with what they show.

    `unusable` says why a project cannot use it, and what to do; then the rest means nothing.
    """

    settings: type[BaseModel]
    objects: Mapping[str, Entity]
    unusable: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of one file that belong to the connector, with secrets still named and not known."""

    document: Document = field(repr=False)
    definition: type[BaseModel]
    root: FilePath

    def resolved(self) -> BaseModel:
        """Look the secrets up and validate. Raises Mistake with file and line; no secret is shown."""
        problems = Problems()
        found: list[str] = []
        data = {
            key: self._filled(value, (key,), problems, found)
            for key, value in self.document.data.items()
            if key not in OWN_KEYS
        }
        if wrong := problems.all():
            raise Mistake(wrong)
        try:
            return self.definition.model_validate(data)
        except ValidationError as error:
            report(self.definition, relevant(error.errors(), data), self.document, problems, OWN_KEYS)
        raise Mistake([replace(problem, what=secrets.redacted(problem.what, found)) for problem in problems.all()])

    def _filled(self, value: Value, location: Path, problems: Problems, found: list[str]) -> Value:
        if isinstance(value, dict):
            return {key: self._filled(inner, (*location, key), problems, found) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._filled(inner, (*location, index), problems, found) for index, inner in enumerate(value)]
        if not isinstance(value, str) or not secrets.has_reference(value):
            return value
        try:
            text = secrets.resolve(value, self.root)
        except secrets.UnresolvedError as error:
            problems.at_value(self.document, location, str(error))
            return None
        found.append(text)
        return text


@dataclass(frozen=True, slots=True)
class Draft:
    """One connector file whose shape was checked, before its values are held against the model."""

    name: str
    document: Document = field(repr=False)
    definition: ConnectorDefinition
    type: ConnectorType | None

    def crm_objects(self) -> CrmObjects:
        """Give what the model may know of this file."""
        objects = self.definition.objects
        written = self.document.data.get("objects", {})
        complete = self.document.readable and isinstance(written, dict) and set(written) == set(objects)
        fields: dict[Entity, frozenset[str]] = {}
        matched: dict[Entity, frozenset[str]] = {}
        for item in objects.values():
            entity = Entity(item.entity)
            fields[entity] = fields.get(entity, frozenset()) | frozenset(item.write)
            matched[entity] = matched.get(entity, frozenset()) | frozenset(_fields(item.match))
        return CrmObjects(frozenset(fields) if complete else None, fields, matched)


def draft(document: Document, types: Mapping[str, ConnectorType], problems: Problems) -> Draft:
    """Check the shape of one connector file."""
    own = {key: value for key, value in document.data.items() if key in OWN_KEYS}
    definition = validated(ConnectorDefinition, document, own, problems, _ITEMS)
    found = types.get(definition.connector)
    if document.readable and "connector" not in document.data:
        what = f"`connector` is missing, the type of the CRM; {nearest('', types)}"
        problems.at_key(document, (), what)
    elif definition.connector and found is None:
        what = f"there is no connector type `{definition.connector}`; {nearest(definition.connector, types)}"
        problems.at_value(document, ("connector",), what)
    elif found is not None and found.unusable is not None:
        problems.at_value(document, ("connector",), found.unusable)
        found = None
    malformed = False
    for location, text in secrets.references({k: v for k, v in document.data.items() if k not in OWN_KEYS}):
        if (what_is_wrong := secrets.reference_problem(text)) is not None:
            malformed = True
            problems.at_value(document, location, what_is_wrong)
    if found is not None and not malformed:
        _check_settings(document, found.settings, problems)
    return Draft(FilePath(document.file).stem, document, definition, found)


def _check_settings(document: Document, definition: type[BaseModel], problems: Problems) -> None:
    """Check the connector's own keys as far as they are known without any secret."""
    data = {key: value for key, value in document.data.items() if key not in OWN_KEYS}
    try:
        definition.model_validate(data)
    except ValidationError as error:
        known = [
            detail
            for detail in relevant(error.errors(), data)
            if not (isinstance(detail["input"], str) and secrets.has_reference(detail["input"]))
        ]
        report(definition, known, document, problems, OWN_KEYS)


@dataclass(frozen=True, slots=True)
class _Made:
    """What a field is made of: its source as written, the value's type and options, the field types that can hold it,
    where it stands, and how a sentence calls it."""

    source: str
    value: Source
    fitting: frozenset[ValueType]
    location: Path
    told: str = ""
    parts: tuple[str, ...] = ()


class ObjectBuilder:
    """Builds the object maps of one file. `sources` is None when the model is too broken to know its values."""

    def __init__(
        self, draft: Draft, model: Model, sources: Mapping[Entity, Mapping[str, Source]] | None, problems: Problems
    ) -> None:
        self.draft = draft
        self.document = draft.document
        self.model = model
        self.sources = sources
        self.problems = problems

    def build(self) -> tuple[ObjectMap, ...]:
        """Build all objects of the file, in file order."""
        return tuple(self._object(name, item) for name, item in self.draft.definition.objects.items())

    def _object(self, name: str, definition: ObjectDefinition) -> ObjectMap:
        entity = Entity(definition.entity)
        self._check_object(name, entity)
        self._check_match(name, entity, definition)
        match = definition.match
        write = tuple(self._managed(name, entity, field_name, value) for field_name, value in definition.write.items())
        return ObjectMap(
            connector=self.draft.name,
            object=name,
            entity=entity,
            match_external_id=match.external_id,
            match_email=match.email,
            match_domain=match.domain,
            read=self._read(name, entity, definition.read),
            write=write,
            only=self._only(name, entity, definition.only),
        )

    def _check_object(self, name: str, entity: Entity) -> None:
        if self.draft.type is None:
            return
        known = self.draft.type.objects
        if name not in known:
            what = f"`{name}` is no object of {self.draft.definition.connector}; {nearest(name, known)}"
            self.problems.at_key(self.document, ("objects", name), what)
        elif known[name] is not entity:
            what = f"`{name}` shows {known[name]}s; did you mean `entity: {known[name]}`?"
            self.problems.at_value(self.document, ("objects", name, "entity"), what)

    def _check_match(self, name: str, entity: Entity, definition: ObjectDefinition) -> None:
        location: Path = ("objects", name, "match")
        unfit, fit = ("domain", "email") if entity is Entity.USER else ("email", "domain")
        match = definition.match
        raw = self.document.data["objects"]
        written = raw[name] if isinstance(raw, dict) else None
        if getattr(match, unfit) is not None:
            what = f"`{unfit}` does not match {entity}s; did you mean `{fit}`?"
            self.problems.at_key(self.document, (*location, unfit), what)
        elif not _fields(match) and not (isinstance(written, dict) and written.get("match")):
            what = f"`{name}` cannot be matched; give `match` an `external_id` or `{fit}` field"
            self.problems.at_key(self.document, location, what)
        if len(set(_fields(match))) < len(_fields(match)):
            self.problems.at_key(self.document, location, "one field cannot hold two different keys of `match`")

    def _only(self, name: str, entity: Entity, segment: str | None) -> str | None:
        """Give the segment that an object names, if the model has it for this entity."""
        if segment is None or self.sources is None:
            return segment
        its = {one.name for one in self.model.segments_of(entity)}
        if segment not in its:
            other = Entity.ACCOUNT if entity is Entity.USER else Entity.USER
            theirs = any(one.name == segment for one in self.model.segments_of(other))
            what = f"`{segment}` is a segment of {other}s, and `{name}` shows {entity}s" if theirs else ""
            what = what or f"the model has no segment `{segment}` of {entity}s"
            closest = nearest(segment, its) if its else "declare one under `segments` of config/model.yaml"
            self.problems.at_value(self.document, ("objects", name, "only"), f"{what}; {closest}")
        return segment

    def _managed(self, name: str, entity: Entity, field_name: str, value: str | LongField) -> ManagedField:
        location: Path = ("objects", name, "write", field_name)
        given = LongField.model_validate({"from": value}) if isinstance(value, str) else value
        made = self._made(entity, given, location, short=isinstance(value, str))
        if field_name == self.draft.definition.objects[name].match.external_id and given.from_ != "external_id":
            what = f"records are matched by `{field_name}`; it can only be written from `external_id`"
            self.problems.at_value(self.document, made.location, what)
        kind = None if given.type is None else ValueType(given.type)
        if kind is not None and kind not in made.fitting:
            fits = ", ".join(f"`{fit}`" for fit in sorted(made.fitting))
            what = f"a field of type `{kind}` cannot hold {made.told}; fitting types: {fits}"
            self.problems.at_value(self.document, (*location, "type"), what)
        chosen = kind or made.value.type
        on_drift, lock = policy(given.on_drift)
        return ManagedField(
            field=field_name,
            source=made.source,
            type=chosen,
            on_drift=on_drift,
            options=made.value.options if chosen in {ValueType.SELECT, ValueType.MULTISELECT} else (),
            parts=made.parts,
            lock=lock,
        )

    def _made(self, entity: Entity, given: LongField, location: Path, *, short: bool) -> _Made:
        """Find out what a field is made of: a value, a constant or a template."""
        keys = [
            key
            for key, one in (("from", given.from_), ("value", given.value), ("template", given.template))
            if one is not None
        ]
        if len(keys) != 1:
            what = f"`{location[-1]}` needs exactly one of `from`, `value` and `template`"
            self.problems.at_key(self.document, location, what + (f", not {' and '.join(keys)}" if keys else ""))
            return _Made("", Source(ValueType.TEXT), frozenset(ValueType), location)
        place = location if short else (*location, keys[0])
        if given.value is not None:
            return self._constant(given.value, place)
        if given.template is not None:
            return self._template(entity, given.template, place)
        source = given.from_ or ""
        found = self._source(entity, source, place)
        fits = frozenset(ValueType) if self.sources is None else fitting(found.type)
        return _Made(source, found, fits, place, f"`{source}`, a {found.type}")

    def _constant(self, value: str | int | float | bool, location: Path) -> _Made:
        text, natural = constant(value)
        if not text:
            self.problems.at_value(self.document, location, "`value` must not be empty; leave the field out instead")
        fits = frozenset(kind for kind in ValueType if reads_as(text, kind))
        told = f"the constant `{text}`"
        return _Made(text, Source(natural, (text,)), fits, location, told, (text,))

    def _template(self, entity: Entity, text: str, location: Path) -> _Made:
        try:
            parts = template(text)
        except ValueError as error:
            self.problems.at_value(self.document, location, str(error))
            parts = (text,)
        for source in parts[1::2]:
            self._source(entity, source, location)
        return _Made(text, Source(ValueType.TEXT), TEMPLATE_TYPES, location, "a template", parts)

    def _source(self, entity: Entity, source: str, location: Path) -> Source:
        if self.sources is None:
            return Source(ValueType.TEXT)
        found = self.sources[entity].get(source)
        if found is None:
            what = f"`{source}` is no value of {'a user' if entity is Entity.USER else 'an account'}"
            if source in self.sources[Entity.USER if entity is Entity.ACCOUNT else Entity.ACCOUNT]:
                what += f", only of {'an account' if entity is Entity.USER else 'a user'}"
            self.problems.at_value(self.document, location, f"{what}; {_closest(source, self.sources[entity])}")
        return found or Source(ValueType.TEXT)

    def _read(self, name: str, entity: Entity, listed: list[str]) -> tuple[str, ...]:
        """Give the listed fields and those that the model's properties read."""
        for index, field_name in enumerate(listed):
            if field_name in listed[:index]:
                location = ("objects", name, "read", index)
                self.problems.at_value(self.document, location, f"`{field_name}` is listed twice")
        return tuple(dict.fromkeys([*listed, *self._property_fields(entity)]))

    def _property_fields(self, entity: Entity) -> Iterator[str]:
        for item in self.model.properties_of(entity):
            if item.connector == self.draft.name:
                yield item.path


def _closest(source: str, values: Iterable[str]) -> str:
    """Give the end of a sentence about an unknown value; of a score, segment or signal the nearest of its kind."""
    kind, point, _ = source.partition(".")
    if not point or kind not in {"scores", "segments", "signals"}:
        return nearest(source, values)
    alike = [name for name in values if name.startswith(f"{kind}.")]
    return nearest(source, alike) if alike else f"the model defines no such {kind}"


def _fields(match: MatchSection) -> list[str]:
    return [name for name in (match.external_id, match.email, match.domain) if name is not None]
