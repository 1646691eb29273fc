"""Turns a valid `connectors/NAME.yaml` into object maps and lazily resolved settings, with every unknown object, field
source and contradiction as a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from pydantic import BaseModel, ValidationError

from engage_sync.config import secrets
from engage_sync.config.connector_file import OWN_KEYS, ConnectorDefinition, LongField, MatchSection, ObjectDefinition
from engage_sync.config.fields import Source, fitting
from engage_sync.config.model import CrmObjects
from engage_sync.config.problems import Problems, nearest
from engage_sync.config.validation import relevant, report, validated
from engage_sync.config.yaml_lines import Document, Value
from engage_sync.core.definitions import Entity, ManagedField, Model, ObjectMap, OnDrift, ValueType
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
        for item in objects.values():
            entity = Entity(item.entity)
            fields[entity] = fields.get(entity, frozenset()) | frozenset(item.write)
        return CrmObjects(frozenset(fields) if complete else None, fields)


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

    def _managed(self, name: str, entity: Entity, field_name: str, value: str | LongField) -> ManagedField:
        location: Path = ("objects", name, "write", field_name)
        source, drift, kind = (
            (value, "overwrite", None) if isinstance(value, str) else (value.from_, value.on_drift, value.type)
        )
        from_location = location if isinstance(value, str) else (*location, "from")
        found = self._source(entity, source, from_location)
        if field_name == self.draft.definition.objects[name].match.external_id and source != "external_id":
            what = f"records are matched by `{field_name}`; it can only be written from `external_id`"
            self.problems.at_value(self.document, from_location, what)
        if kind is not None and self.sources is not None and ValueType(kind) not in fitting(found.type):
            fits = ", ".join(f"`{fit}`" for fit in sorted(fitting(found.type)))
            what = f"a field of type `{kind}` cannot hold `{source}`, a {found.type}; fitting types: {fits}"
            self.problems.at_value(self.document, (*location, "type"), what)
        options = found.options if kind in {None, "select", "multiselect"} else ()
        return ManagedField(
            field=field_name,
            source=source,
            type=ValueType(kind) if kind else found.type,
            on_drift=OnDrift(drift),
            options=options,
            computed=found.computed,
        )

    def _source(self, entity: Entity, source: str, location: Path) -> Source:
        if self.sources is None:
            return Source(ValueType.TEXT)
        found = self.sources[entity].get(source)
        if found is None:
            what = f"`{source}` is no value of {'a user' if entity is Entity.USER else 'an account'}"
            if source in self.sources[Entity.USER if entity is Entity.ACCOUNT else Entity.ACCOUNT]:
                what += f", only of {'an account' if entity is Entity.USER else 'a user'}"
            self.problems.at_value(self.document, location, f"{what}; {nearest(source, self.sources[entity])}")
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


def _fields(match: MatchSection) -> list[str]:
    return [name for name in (match.external_id, match.email, match.domain) if name is not None]
