"""Open a project: read its files, open its state and event store, find and build connectors. The only module that
wires; tests call the same functions with sandbox connectors. It decides nothing and moves no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from engage_sync.config.project import ConnectorFile, ConnectorType, Project, load
from engage_sync.connectors.base import Connector, Kind, Limits, Role
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.promises import build
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.errors import Mistake, Problem
from engage_sync.events.store import EventStore
from engage_sync.state.store import State
from engage_sync.sync.plugins import ENTRY_POINTS, Plugins

Only = str | frozenset[str] | None
"""The connectors that a command is about: one, some, or all of them."""
ENTITIES: Mapping[Role, Entity] = {Role.CONTACT: Entity.USER, Role.ACCOUNT: Entity.ACCOUNT}


class Hardening(Protocol):
    """Puts the wrappers around a connector: `wrappers.harden`, or that with clocks and gates of one's own."""

    def __call__(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        """Wrap one connector."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """An opened project: what it declares, what it remembers, the events it has, and how connectors are wrapped."""

    project: Project
    state: State
    store: EventStore
    hardened: Hardening = harden
    halt: Halt = field(default_factory=Halt)
    """Asked before every call to a CRM: the process may have to end."""

    def connector_files(self, only: Only = None) -> tuple[ConnectorFile, ...]:
        """Give the connector files, or those named `only`; an unknown name is a Mistake."""
        files = self.project.connectors
        if only is None:
            return files
        names = {only} if isinstance(only, str) else only
        for unknown in sorted(names - {file.name for file in files}):
            known = ", ".join(file.name for file in files) or "none"
            raise Mistake(f"there is no connector named {unknown!r} in this project (connectors: {known})")
        return tuple(file for file in files if file.name in names)


@cache
def connector_classes() -> Plugins:
    """Find the connector classes of all installed packages, ours included, by the name their entry point has.

    Each is loaded when it is looked up, which raises Mistake for one that cannot be used.
    """
    return Plugins(entry_points(group=ENTRY_POINTS))


class ConnectorTypes(Mapping[str, ConnectorType]):
    """What the configuration must know of each connector class: its settings, its objects, or why it is of no use.

    A class is loaded when it is looked up: a project pays for, and suffers from, the packages that it names.
    """

    def __init__(self, classes: Plugins) -> None:
        self._classes = classes

    def __getitem__(self, name: str) -> ConnectorType:
        if (why := self._classes.why_not(name) if name in self._classes else None) is not None:
            return ConnectorType(settings=BaseModel, objects={}, unusable=why)
        found = self._classes[name]
        objects = {object_: ENTITIES[role] for object_, role in found.limits.objects.items() if role in ENTITIES}
        return ConnectorType(settings=found.Settings, objects=objects)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def connector_types() -> Mapping[str, ConnectorType]:
    """Give what the configuration must know of every connector class. One that cannot be used is a Mistake."""
    types = dict(ConnectorTypes(connector_classes()))
    if unusable := [Problem(found.unusable) for found in types.values() if found.unusable is not None]:
        raise Mistake(unusable)
    return types


def load_project(root: Path, *, files: Path | None = None) -> Project:
    """Read and check all files of a project, or copies of them in the folder `files`. Raises Mistake with every problem
    found."""
    return load(root, ConnectorTypes(connector_classes()), files=files)


def event_store(project: Project) -> EventStore:
    """Give the project's event store; a relative location lies in the project's folder."""
    location = project.events_location
    return EventStore(location if "://" in location else str(project.root / location))


@contextmanager
def open_workspace(root: Path, *, hardened: Hardening = harden) -> Iterator[Workspace]:
    """Open a project for the length of a `with` block."""
    with open_project(load_project(root), hardened=hardened) as workspace:
        yield workspace


@contextmanager
def open_project(project: Project, *, hardened: Hardening = harden) -> Iterator[Workspace]:
    """Open a project that is loaded, for the length of a `with` block."""
    state = State.open(project.database_url(), key_file=project.root / "var" / "memory.key")
    try:
        yield Workspace(project, state, event_store(project), hardened)
    finally:
        state.close()


def open_connector(workspace: Workspace, file: ConnectorFile, *, read_only: bool = False) -> Observed:
    """Build one connector with its wrappers; its secrets are resolved now. Closing it is the caller's business."""
    built = build(connector_classes()[file.connector], file.settings(), workspace.state.memory(file.name))
    return workspace.hardened(built, read_only=read_only, daily_share=file.daily_share, halt=workspace.halt)


def kind_of(object_map: ObjectMap, limits: Limits) -> Kind:
    """Give the connector's view of a declared object: what must be read to match it, to compare it and to use it."""
    wanted = [
        object_map.match_external_id,
        object_map.match_email,
        object_map.match_domain,
        limits.further_emails.get(object_map.object),
        limits.locked_with.get(object_map.object),
        *object_map.read,
        *(managed.field for managed in object_map.write),
    ]
    role = Role.CONTACT if object_map.entity is Entity.USER else Role.ACCOUNT
    return Kind(object_map.object, role, tuple(sorted({name for name in wanted if name})))
