"""Loads a project: reads `config/engage.yaml`, `config/model.yaml` with `config/model/*.yaml`, and `connectors/*.yaml`,
and gives one frozen `Project`, or one `Mistake` with every problem of every file. It opens nothing, logs in nowhere
and looks up no secret.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from engage_sync.config import secrets
from engage_sync.config.background import Background, background
from engage_sync.config.connector import ConnectorType, Draft, ObjectBuilder, Settings, draft
from engage_sync.config.engage_file import EngageFile
from engage_sync.config.fields import Source, sources
from engage_sync.config.model import ModelBuilder
from engage_sync.config.model_documents import together
from engage_sync.config.model_file import ModelFile
from engage_sync.config.model_tests import ModelTest, ModelTestBuilder
from engage_sync.config.problems import Problems
from engage_sync.config.validation import validated
from engage_sync.config.verdicts import VerdictBuilder
from engage_sync.config.yaml_lines import Document, Value, read_document
from engage_sync.core.definitions import Brakes, Entity, Model, ObjectMap
from engage_sync.errors import Mistake, Problem

__all__ = ["ConnectorFile", "ConnectorType", "ModelTest", "Project", "Schedule", "load"]

ENGAGE_FILE = "config/engage.yaml"
RESTORING = ".engage-restoring"
"""The mark in a folder that a restore fills, and is not a project yet."""
MODEL_FILE = "config/model.yaml"
MODEL_FOLDER = "config/model"
CONNECTORS = "connectors"

_ENGAGE_ITEMS = (("events", "*"), ("brakes", "*"), ("server", "*"), ("daemon", "*"), ("alerts", "*"), ("logs", "*"))
_MODEL_ITEMS = (
    *(("activity", "*"), ("properties", "*", "*"), ("user_types", "*", "*"), ("metrics", "*", "*")),
    *(("stages", "*"), ("health", "*"), ("scores", "*"), ("segments", "*"), ("signals", "*"), ("links", "*")),
)
_CONNECTOR_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the daemon pulls and pushes: intervals or cron lines, in the project's time zone."""

    pull: str
    push: str


@dataclass(frozen=True, slots=True)
class ConnectorFile:
    """One `connectors/NAME.yaml`. `file` is its path relative to the project, `connector` its type."""

    name: str
    connector: str
    file: str
    objects: tuple[ObjectMap, ...]
    schedule: Schedule
    daily_share: float
    verify: str
    unresolved: Settings = field(repr=False, compare=False)

    def settings(self) -> BaseModel:
        """Look up the secrets now and give the connector's own settings. Raises Mistake with file and line."""
        return self.unresolved.resolved()

    def line_of(self, object: str, field: str | None = None) -> int | None:  # noqa: A002 - the word of the contract
        """Give the line that names an object or one of its fields; the object's for one that only the model names."""
        document = self.unresolved.document
        objects = document.data.get("objects")
        item = objects.get(object) if isinstance(objects, dict) else None
        if not isinstance(item, dict):
            return None
        place: tuple[str | int, ...] = ("objects", object)
        match item:
            case {"write": dict(write)} if field in write:
                place = (*place, "write", field)
            case {"match": dict(match)} if field is not None and field in match.values():
                place = (*place, "match", next(key for key, value in match.items() if value == field))
            case {"read": list(read)} if field is not None and field in read:
                place = (*place, "read", read.index(field))
            case _:
                pass
        return document.key_line(*place)


@dataclass(frozen=True, slots=True)
class Project:
    """All that a project declares. Texts that may name secrets are looked up when they are asked for."""

    root: Path
    database: SecretStr
    """As written; `database_url()` completes it."""
    engine_name: str
    timezone: str
    brakes: Brakes
    server_host: str
    server_port: int
    background: Background
    model: Model
    model_digest: str
    """Tells one text of the model from another; comments and layout do not count."""
    connectors: tuple[ConnectorFile, ...]
    document: Document = field(repr=False, compare=False)
    store: str = field(repr=False)
    options: Mapping[str, Value] = field(repr=False)
    tests: tuple[ModelTest, ...] = field(default=(), repr=False)
    """The model's own tests, in file order."""

    def database_url(self) -> str:
        """Give the URL with secrets filled in and a relative SQLite path made absolute. Raises Mistake."""
        written = self.database.get_secret_value()
        # A secret within the URL is a user or a password, whose special characters would end it early.
        url = self._resolved(written, "database", encode=str if written.startswith("$") else partial(quote, safe=""))
        scheme, separator, rest = url.partition("://")
        if scheme == "postgresql":
            return f"postgresql+psycopg://{rest}"
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
            path, mark, query = rest[1:].partition("?")
            return f"sqlite:///{self.root.resolve() / path}{mark}{query}"
        if scheme != "postgresql+psycopg" or not separator:
            raise self._mistake("`database` must start with sqlite:/// or postgresql+psycopg://", "database")
        return url

    @property
    def events_location(self) -> str:
        """Where the event store is: a URL, or an absolute path. Raises Mistake when a secret in it is missing."""
        location = self._resolved(self.store, "events", "store")
        return location if "://" in location else str(self.root.resolve() / location)

    @property
    def engine_options(self) -> Mapping[str, object]:
        """The engine's options with secrets filled in. Raises Mistake when one is missing."""
        return {
            key: self._resolved(value, "events", "engine_options", key) if isinstance(value, str) else value
            for key, value in self.options.items()
        }

    def filled(self, text: str, *location: str) -> str:
        """Give a text of `config/engage.yaml` with its secrets filled in; `location` names its keys. Raises Mistake."""
        return self._resolved(text, *location)

    def _resolved(self, text: str, *location: str, encode: Callable[[str], str] = str) -> str:
        try:
            return secrets.resolve(text, self.root, encode=encode)
        except secrets.UnresolvedError as error:
            raise self._mistake(str(error), *location) from None

    def _mistake(self, what: str, *location: str) -> Mistake:
        return Mistake([Problem(what, self.document.file, self.document.value_line(*location))])


def load(root: Path, connector_types: Mapping[str, ConnectorType], *, files: Path | None = None) -> Project:
    """Read and check every file of the project, or the copies of them in the folder `files`. Raises Mistake with all
    problems, in the order of files and lines."""
    problems = Problems()
    files = files or root
    engage = _read(files, ENGAGE_FILE, problems)
    if engage is None:
        what = f"not found, so {root.resolve()} is not a project; run `engage-sync init` there to start one"
        if (root / RESTORING).exists():
            what = "not found: a restore into this folder goes on, or was cut off; run `engage-sync restore FILE` again"
        raise Mistake([Problem(what, ENGAGE_FILE)])
    _refuse_other_endings(files, problems)
    definition = validated(EngageFile, engage, engage.data, problems, _ENGAGE_ITEMS)
    _check_references(engage, problems)
    drafts = {
        item.name: item
        for file in _connector_files(files, problems)
        if (document := _read(files, file, problems)) is not None
        for item in [draft(document, connector_types, problems)]
    }
    written = _model_document(files, problems)
    model, tests, values = _model(written, drafts, problems)
    connectors = tuple(_connector_file(item, model, values, root, problems) for item in drafts.values())
    if found := problems.all():
        raise Mistake(found)
    brakes = definition.brakes
    return Project(
        root=root,
        database=SecretStr(definition.database),
        engine_name=definition.events.engine,
        timezone=definition.timezone,
        brakes=Brakes(
            max_event_age=brakes.max_event_age,
            max_change_share=brakes.max_change_share,
            max_clear_share=brakes.max_clear_share,
            min_records=brakes.min_records,
            max_gone_share=brakes.max_gone_share,
            max_inactive_share=brakes.max_inactive_share,
        ),
        server_host=definition.server.host,
        server_port=definition.server.port,
        background=background(definition),
        model=model,
        model_digest=hashlib.sha256(json.dumps(written.data, sort_keys=True).encode()).hexdigest()[:16],
        connectors=connectors,
        document=engage,
        store=definition.events.store,
        options=dict(definition.events.engine_options),
        tests=tests,
    )


def _read(root: Path, file: str, problems: Problems) -> Document | None:
    """Read one file; None when it is not there."""
    try:
        content = (root / file).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problems.extend([Problem(f"cannot be read ({error.strerror})", file)])
        return Document(file, readable=False)
    document, found = read_document(file, content)
    problems.extend(found)
    return document


def _connector_files(root: Path, problems: Problems) -> list[str]:
    files = []
    for path in sorted((root / CONNECTORS).glob("*.yaml")):
        file = f"{CONNECTORS}/{path.name}"
        if path.name.startswith("."):
            continue
        if not _CONNECTOR_NAME.fullmatch(path.stem):
            what = "a connector is called by its file's name: rename the file, using letters, digits, `_` and `-`"
            problems.extend([Problem(what, file)])
        else:
            files.append(file)
    return files


def _refuse_other_endings(root: Path, problems: Problems) -> None:
    folders = [root / "config", root / MODEL_FOLDER, root / CONNECTORS]
    for path in sorted(path for folder in folders for path in folder.glob("*.yml")):
        file = path.relative_to(root).as_posix()
        problems.extend([Problem(f"files end in .yaml here; rename it to {path.stem}.yaml", file)])


def _check_references(document: Document, problems: Problems) -> None:
    for location, text in secrets.references(document.data):
        if (what := secrets.reference_problem(text)) is not None:
            problems.at_value(document, location, what)


def _model_document(root: Path, problems: Problems) -> Document:
    """Read the files of the model, `config/model.yaml` first, as one document; an empty one when there is none."""
    names = sorted(path.name for path in (root / MODEL_FOLDER).glob("*.yaml") if not path.name.startswith("."))
    files = [MODEL_FILE, *(f"{MODEL_FOLDER}/{name}" for name in names)]
    found = [document for file in files if (document := _read(root, file, problems)) is not None]
    document, twice = together(found, MODEL_FILE)
    problems.extend(twice)
    return document


def _model(
    document: Document, drafts: Mapping[str, Draft], problems: Problems
) -> tuple[Model, tuple[ModelTest, ...], Mapping[Entity, Mapping[str, Source]] | None]:
    """Build the model, its tests, and the values that a field map may name; None when the files could not be read."""
    definition = validated(ModelFile, document, document.data, problems, _MODEL_ITEMS)
    if not document.readable:  # what another file does not know may stand in the one that cannot be read
        document, definition = Document(document.file, readable=False), ModelFile()
    builder = ModelBuilder(document, definition, problems)
    connectors = {name: item.crm_objects() for name, item in drafts.items()}
    model = builder.build(connectors)
    model = VerdictBuilder(builder, connectors).build(model)
    tests = ModelTestBuilder(builder).build(definition.tests, frozenset(drafts))
    verdicts = builder.reach.declared
    values = {entity: sources(entity, builder.value_types(entity), verdicts[entity]) for entity in Entity}
    return model, tests, values if document.readable else None


def _connector_file(
    item: Draft,
    model: Model,
    values: Mapping[Entity, Mapping[str, Source]] | None,
    root: Path,
    problems: Problems,
) -> ConnectorFile:
    definition = item.definition
    settings = item.type.settings if item.type is not None else BaseModel
    return ConnectorFile(
        name=item.name,
        connector=definition.connector,
        file=item.document.file,
        objects=ObjectBuilder(item, model, values, problems).build(),
        schedule=Schedule(definition.schedule.pull, definition.schedule.push),
        daily_share=definition.limits.daily_share,
        verify=definition.limits.verify,
        unresolved=Settings(item.document, settings, root),
    )
