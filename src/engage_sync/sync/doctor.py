"""Compare what the project declares with what the CRM has: the to-do list of `check` and the work of `provision`.

Only `provision` with `apply` writes, and only fields and options that are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Field, FieldSpec, Schema
from engage_sync.core.definitions import ManagedField, ObjectMap, ValueType
from engage_sync.core.fitting import FITS
from engage_sync.errors import EXIT_DONE, EXIT_ORDER, EXIT_PARTIAL, EngageError, LoginFailed, Misbehaved, Mistake
from engage_sync.sync.wiring import Workspace, open_connector

_TODO = {LoginFailed.exit_code: "put a valid token into the connector's file", Misbehaved.exit_code: "report it"}
PROVISION = "run `engage-sync provision --apply`"


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing an admin must mend before a first write succeeds, and how."""

    file: str
    line: int | None
    object: str | None
    field: str | None
    problem: str
    todo: str


@dataclass(frozen=True, slots=True)
class Provision:
    """What became of one field: `result` is `missing` or `options missing` when nothing was applied."""

    connector: str
    object: str
    field: str
    type: str
    result: str
    message: str | None


def check(workspace: Workspace) -> tuple[list[Gap], int]:
    """Log in to each CRM; give every gap and the exit code: 0 without any, 1 with, or that of a login that failed."""
    gaps: list[Gap] = []
    codes = set()
    for file in workspace.project.connectors:
        try:
            with_schema = describe(workspace, file)
        except Mistake:
            raise
        except EngageError as error:
            codes.add(error.exit_code)
            gaps.append(Gap(file.file, None, None, None, str(error), _TODO.get(error.exit_code, "try again later")))
            continue
        gaps += [
            Gap(file.file, None, None, None, missing, "grant it, then check again") for missing in with_schema.missing
        ]
        for object_map in file.objects:
            gaps += _gaps(file, object_map, with_schema)
    if gaps:
        codes.add(EXIT_PARTIAL)
    return gaps, next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)


def describe(workspace: Workspace, file: ConnectorFile) -> Schema:
    """Give the CRM's description of its objects and fields."""
    connector = open_connector(workspace, file, read_only=True)
    try:
        schema = connector.check()
    finally:
        connector.close()
    remember_account(workspace, file, schema)
    return schema


def remember_account(workspace: Workspace, file: ConnectorFile, schema: Schema) -> None:
    """Keep which CRM account a connector reaches, for the links to its records."""
    if schema.account:
        workspace.state.set_note(f"account.{file.name}", schema.account)


def _gaps(file: ConnectorFile, object_map: ObjectMap, schema: Schema) -> Iterator[Gap]:
    fields = schema.objects.get(object_map.object)
    if not fields and schema.missing:
        return  # the permission that hides the object is named already
    if not fields:
        problem = f"{file.name} shows no object {object_map.object} to these credentials"
        todo = f"give the credentials read access to {object_map.object}"
        yield Gap(file.file, file.line_of(object_map.object), object_map.object, None, problem, todo)
        return

    def gap(field: str, problem: str, todo: str) -> Gap:
        return Gap(file.file, file.line_of(object_map.object, field), object_map.object, field, problem, todo)

    for managed in object_map.write:
        found = fields.get(managed.field)
        if found is None:
            yield gap(managed.field, f"{object_map.object} has no field {managed.field}", PROVISION)
        else:
            yield from (gap(managed.field, *finding) for finding in _findings(managed, found))
    external_id = object_map.match_external_id
    written = {managed.field for managed in object_map.write}
    for name in filter(None, (external_id, object_map.match_email, object_map.match_domain, *object_map.read)):
        found = fields.get(name)
        if found is None and name not in written:
            todo = PROVISION if name == external_id else f"correct the name in {file.file}, or create the field"
            yield gap(name, f"{object_map.object} has no field {name}", todo)
        elif found is not None and not found.readable:
            yield gap(name, f"{object_map.object}.{name} cannot be read", "give the credentials read access to it")
        elif found is not None and name == external_id and not found.unique:
            todo = f"match on a field that only holds unique values: rename it in {file.file}, then {PROVISION}"
            yield gap(name, f"{object_map.object}.{name} holds the external id but is not unique", todo)


def _findings(managed: ManagedField, found: Field) -> Iterator[tuple[str, str]]:
    if not found.writable:
        yield f"{found.name} is read-only", "map another field"
    if found.type is None or found.type not in FITS[managed.type]:
        kind = found.native if found.type is None else found.type.value
        yield (
            f"{found.name} is a {kind} field and cannot hold {managed.source}, a {managed.type.value}",
            f"map {managed.source} to another field, or give `type:` one that fits",
        )
    missing = [option for option in managed.options if found.options is not None and option not in found.options]
    if missing:
        yield f"{found.name} lacks the options {', '.join(missing)}", PROVISION


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


def label_of(field: str) -> str:
    """Give the label a person sees: `engage_user_types` and `Engage_User_Types__c` are both `Engage user types`."""
    words = field.removesuffix("__c").replace("_", " ").strip()
    return words[:1].upper() + words[1:].lower()


def provision(workspace: Workspace, *, apply: bool) -> list[Provision]:
    """Create the missing fields and options of every connector; without `apply` only list them."""
    done: list[Provision] = []
    for file in workspace.project.connectors:
        wanted = [spec for object_map in file.objects for spec in specs(object_map)]
        if not apply:
            schema = describe(workspace, file)
            done += [_outlook(file.name, spec, schema.objects.get(spec.object, {}).get(spec.name)) for spec in wanted]
            continue
        connector = open_connector(workspace, file)
        try:
            done += [
                Provision(file.name, made.spec.object, made.spec.name, made.spec.type.value, made.result, made.message)
                for made in connector.provision(wanted)
            ]
        finally:
            connector.close()
    return done


def _outlook(connector: str, spec: FieldSpec, found: Field | None) -> Provision:
    missing = [] if found is None or found.options is None else [o for o in spec.options if o not in found.options]
    result = "missing" if found is None else "options missing" if missing else "exists"
    message = f"options to add: {', '.join(missing)}" if missing else None
    return Provision(connector, spec.object, spec.name, spec.type.value, result, message)
