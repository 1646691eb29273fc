"""The fields of ours that a project wants to exist, and having connectors make them: the work of `provision`.

Only with `apply` anything is written, and only fields, options and permissions that are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from structlog.contextvars import bound_contextvars

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Field, FieldSpec, Schema
from engage_sync.connectors.wrappers import Observed
from engage_sync.core.definitions import ObjectMap, ValueType
from engage_sync.errors import EXIT_DONE, EXIT_ORDER, EXIT_PARTIAL, EngageError, Misbehaved, Mistake, Problem
from engage_sync.sync import kept_answers
from engage_sync.sync.accounts import recognise, remember_account
from engage_sync.sync.field_limits import keep_limits
from engage_sync.sync.findings import creates_tasks
from engage_sync.sync.wiring import Workspace, open_connector

REFUSED = "refused"
WAITING = frozenset({"missing", "options missing", "hidden", "read-only"})
"""What is left to do where nothing was applied."""


@dataclass(frozen=True, slots=True)
class Provision:
    """What became of one field: `result` is one of `WAITING`, or `exists`, when nothing was applied."""

    connector: str
    object: str
    field: str
    type: str
    result: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What became of all fields; what an admin must still do, by connector; and what ended connectors."""

    fields: list[Provision]
    advice: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: Mapping[str, EngageError] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)
    """What ended connectors, for people: with the place where an answer that nobody understood is kept."""

    @property
    def exit(self) -> int:
        """The exit code: the worst of the errors, else whether a field was refused."""
        codes = {error.exit_code for error in self.errors.values()}
        if Mistake.exit_code in codes:
            return Mistake.exit_code
        if any(one.result == REFUSED for one in self.fields):
            codes.add(EXIT_PARTIAL)
        return next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)

    def error(self) -> EngageError | None:
        """Give the one error that the process ends with: all mistakes together, else the worst."""
        problems: list[Problem] = []
        for error in self.errors.values():
            problems += error.problems if isinstance(error, Mistake) else []
        if problems:
            return Mistake(problems)
        return next((error for error in self.errors.values() if error.exit_code == self.exit), None)


def provide(workspace: Workspace, *, apply: bool) -> Provisioning:
    """Create the missing fields and options of every connector; without `apply` only list them.

    A connector that cannot be reached keeps no other from its work.
    """
    done: list[Provision] = []
    advice: dict[str, tuple[str, ...]] = {}
    errors: dict[str, EngageError] = {}
    for file in workspace.project.connectors:
        try:
            if apply:
                done += _applied(workspace, file)
            schema = describe(workspace, file)
            if schema.missing and not schema.objects:
                raise Misbehaved("; ".join(f"{lack.problem}: {lack.todo}" for lack in schema.missing))
            advice[file.name] = tuple(schema.advice)
            if not apply:
                done += [_outlook(file.name, spec, _found(schema, spec)) for spec in wanted(file)]
        except EngageError as error:
            errors[file.name] = error
    root = workspace.project.root
    sentences = {name: kept_answers.told(root, f"provision-{name}", error) for name, error in errors.items()}
    return Provisioning(done, advice, errors, sentences)


def provision(workspace: Workspace, *, apply: bool) -> list[Provision]:
    """Do the same and give what became of the fields; raises the first connector's error."""
    made = provide(workspace, apply=apply)
    for error in made.errors.values():
        raise error
    return made.fields


def describe(workspace: Workspace, file: ConnectorFile, *, probing: bool = False) -> Schema:
    """Give the CRM's description of its objects and fields; with `probing` also what only trying a write tells."""
    with _opened(workspace, file, read_only=True) as connector:
        recognise(workspace, file, connector)
        schema = connector.check()
        if probing:
            tasks = connector.limits.tasks if creates_tasks(workspace.project.model) else None
            found = connector.probe([object_map.object for object_map in file.objects] + ([tasks] if tasks else []))
            schema = replace(schema, missing=list(dict.fromkeys([*schema.missing, *found])))
        remember_account(workspace, file, schema, connector.quota_key)
    keep_limits(workspace, file, schema)
    return schema


def wanted(file: ConnectorFile) -> list[FieldSpec]:
    """Give the fields of ours that the objects of one connector should have."""
    return [spec for object_map in file.objects for spec in specs(object_map)]


def specs(object_map: ObjectMap) -> list[FieldSpec]:
    """Give the fields of ours that one object should have: the written ones, and the external id it is matched by."""
    found = {
        managed.field: FieldSpec(
            object=object_map.object,
            name=managed.field,
            label=label_of(managed.field),
            type=managed.type,
            options=managed.options,
            unique=managed.field == object_map.match_external_id,
            description=f"Kept up to date by engage-sync from {managed.source}.",
        )
        for managed in object_map.write
    }
    external_id = object_map.match_external_id
    if external_id is not None and external_id not in found:
        found[external_id] = FieldSpec(
            object=object_map.object,
            name=external_id,
            label=label_of(external_id),
            type=ValueType.TEXT,
            unique=True,
            description="The id that links this record to the product.",
        )
    return list(found.values())


def label_of(name: str) -> str:
    """Give the label a person sees: `engage_user_types` and `Engage_User_Types__c` are both `Engage user types`."""
    words = name.removesuffix("__c").replace("_", " ").strip()
    return words[:1].upper() + words[1:].lower()


def _applied(workspace: Workspace, file: ConnectorFile) -> list[Provision]:
    with _opened(workspace, file) as connector:
        recognise(workspace, file, connector)
        return [
            Provision(file.name, made.spec.object, made.spec.name, made.spec.type.value, made.result, made.message)
            for made in connector.provision(wanted(file))
        ]


@contextmanager
def _opened(workspace: Workspace, file: ConnectorFile, *, read_only: bool = False) -> Iterator[Observed]:
    """Open a connector outside of a run; log lines meanwhile carry its name in the project."""
    connector = open_connector(workspace, file, read_only=read_only)
    try:
        with bound_contextvars(connector=file.name):
            yield connector
    finally:
        connector.close()


def _found(schema: Schema, spec: FieldSpec) -> Field | None:
    return schema.objects.get(spec.object, {}).get(spec.name)


def _outlook(connector: str, spec: FieldSpec, found: Field | None) -> Provision:
    result, message = "exists", None
    if found is None:
        result = "missing"
    elif not found.readable:
        result, message = "hidden", "it is there, and the credentials may not see it"
    elif missing := [option for option in spec.options if found.options is not None and option not in found.options]:
        result, message = "options missing", f"options to add: {', '.join(missing)}"
    elif not found.writable:
        result, message = "read-only", "it is there, and the credentials may not write it"
    return Provision(connector, spec.object, spec.name, spec.type.value, result, message)
