"""What the CRMs say our fields can hold: taken from their description of an object, and kept as a note, so that a value
can be judged without a call as the last plan judged it. Decides nothing; calls no CRM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Schema
from engage_sync.core.definitions import ObjectMap, ValueType
from engage_sync.core.fitting import FieldLimit
from engage_sync.sync.wiring import Workspace

Limits = Mapping[str, FieldLimit]


def limits_of(schema: Schema, object_: str) -> dict[str, FieldLimit]:
    """Give what the CRM says each field of an object can hold."""
    return {
        name: FieldLimit(
            options=found.options,
            length=found.length,
            writable=found.writable,
            type=found.type,
            decimals=found.decimals,
            blank=found.blank,
            whole=found.whole,
            trimmed=found.trimmed,
        )
        for name, found in schema.objects.get(object_, {}).items()
    }


def room_of(limits: Limits | None) -> dict[str, int]:
    """Give how many characters each field takes, where the CRM says so."""
    return {name: found.length for name, found in (limits or {}).items() if found.length is not None}


def keep_limits(workspace: Workspace, file: ConnectorFile, schema: Schema) -> None:
    """Keep what the CRM says of the fields that we write; of one that it lacks, that it lacks it."""
    told: dict[str, dict[str, object]] = {}
    for object_map in file.objects:
        limits = limits_of(schema, object_map.object)
        names = [managed.field for managed in object_map.write]
        told[object_map.object] = {name: asdict(limits[name]) if name in limits else None for name in names}
    text = json.dumps(told, ensure_ascii=False, sort_keys=True)
    if workspace.state.note(_note(file.name)) != text:
        workspace.state.set_note(_note(file.name), text)


def kept_limits(workspace: Workspace, connector: str, object_map: ObjectMap) -> Limits | None:
    """Give what was kept of the fields of an object that we write; None where the CRM was not asked about all of them
    yet, so that nothing can be checked."""
    told: dict[str, dict[str, Any]] = json.loads(workspace.state.note(_note(connector)) or "{}")
    fields = told.get(object_map.object, {})
    if any(managed.field not in fields for managed in object_map.write):
        return None
    return {name: _limit(one) for name, one in fields.items() if one is not None}


def _limit(told: Mapping[str, Any]) -> FieldLimit:
    kind, options = told["type"], told["options"]
    return FieldLimit(
        **{
            **told,
            "type": None if kind is None else ValueType(kind),
            "options": None if options is None else tuple(options),
        }
    )


def _note(connector: str) -> str:
    return f"field_limits.{connector}"
