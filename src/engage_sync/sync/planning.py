"""Turn what was computed into a plan per connector: wanted × seen in the CRM × last written, then the brakes.
Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Limits, Schema
from engage_sync.core.asking import Asking
from engage_sync.core.brakes import brakes
from engage_sync.core.definitions import ObjectMap
from engage_sync.core.plan import CHANGES, EXECUTED, FieldLimit, ObjectPlan, plan_object
from engage_sync.core.unique_ids import refuse_taken
from engage_sync.core.wanted import wanted
from engage_sync.sync.computed import Computed
from engage_sync.sync.inheritance import inherited, overlaid, remembered
from engage_sync.sync.push import SLICE
from engage_sync.sync.wiring import Workspace, connector_classes


@dataclass(frozen=True, slots=True)
class Prepared:
    """One connector's plan: one `ObjectPlan` per declared object, and the reasons for which a brake holds it."""

    connector: str
    plans: Mapping[str, ObjectPlan]
    held: tuple[str, ...]

    def changes(self) -> pl.DataFrame:
        """Give the changes of all objects in one frame."""
        return pl.concat([pl.DataFrame(schema=CHANGES), *(plan.changes for plan in self.plans.values())])


def prepare(workspace: Workspace, file: ConnectorFile, computed: Computed, schema: Schema | None) -> Prepared:
    """Plan every object of one connector. Without a schema nothing is checked against the CRM's fields."""
    plans = {object_map.object: _plan(workspace, file, object_map, computed, schema) for object_map in file.objects}
    partly = tuple(
        f"the mirror of {name} is not whole yet; run `engage-sync pull {file.name}` first"
        for name in plans
        if not workspace.state.loaded(file.name, name)
    )
    held = partly + brakes(
        list(plans.values()),
        limits=workspace.project.brakes,
        newest_message_at=computed.newest_message_at,
        as_of=computed.as_of,
    )
    return Prepared(file.name, plans, held)


def _plan(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, computed: Computed, schema: Schema | None
) -> ObjectPlan:
    key = (file.name, object_map.object)
    found = computed.matches[key]
    fields = tuple(managed.field for managed in object_map.write)
    project = workspace.project
    gone = workspace.state.gone(file.name, object_map.object)
    digits = connector_classes()[file.connector].limits.datetime_digits
    written = workspace.state.written(file.name, object_map.object, fields)
    heirs = inherited(written, gone, computed.records[key], object_map.write, datetime_digits=digits)
    written = overlaid(written, heirs)
    limits = None if schema is None else limits_of(schema, object_map.object)
    asking = Asking(project.model, object_map.entity, computed.as_of, project.timezone)
    plan = plan_object(
        object_map,
        wanted(computed.verdicts, computed.population, object_map, asking, room=room_of(limits)),
        found.links,
        found.ambiguous,
        computed.records[key],
        written,
        gone.join(written, on="record", how="semi"),
        limits=limits,
        datetime_digits=digits,
    )
    plan = refuse_taken(plan, computed.records[key], object_map.match_external_id)
    return replace(plan, remember=remembered(plan.remember, heirs))


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


def room_of(limits: Mapping[str, FieldLimit] | None) -> dict[str, int]:
    """Give how many characters each field takes, where the CRM says so."""
    return {name: found.length for name, found in (limits or {}).items() if found.length is not None}


def write_calls(prepared: Prepared, file: ConnectorFile) -> int:
    """Count the write calls that a push of this plan takes when nothing goes wrong."""
    limits = connector_classes()[file.connector].limits
    sent = (
        plan.changes.filter(pl.col("decision").is_in(EXECUTED))["record"].n_unique() for plan in prepared.plans.values()
    )
    return sum(_calls(records, limits) for records in sent)


def _calls(records: int, limits: Limits) -> int:
    if limits.whole_above is not None and records > limits.whole_above:
        return limits.whole_calls * ceil(records / SLICE)
    return ceil(records / limits.push_batch)
