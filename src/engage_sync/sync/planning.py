"""Turn what was computed into a plan per connector: wanted × seen in the CRM × last written, then the brakes.
Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Schema
from engage_sync.core.asking import Asking
from engage_sync.core.definitions import ObjectMap
from engage_sync.core.holds import Hold
from engage_sync.core.plan import CHANGES, DEFERRED, EXECUTED, REFUSED, FieldLimit, ObjectPlan, plan_object
from engage_sync.core.undo import disowned, followed, kept_undone, unfinished
from engage_sync.core.unique_ids import refuse_taken
from engage_sync.core.wanted import wanted
from engage_sync.sync.claims import claimed, laid_over, recognised
from engage_sync.sync.computed import Computed
from engage_sync.sync.failures import described, with_failures
from engage_sync.sync.holding import Watch, holds
from engage_sync.sync.inheritance import inherited, overlaid, remembered
from engage_sync.sync.wiring import Workspace, connector_classes

Owning = Callable[[ObjectPlan, ObjectMap, pl.DataFrame, Mapping[str, FieldLimit] | None], ObjectPlan]
"""Decides, over a plan and the mirrored records it is made from, about what somebody else set."""


class Scope(StrEnum):
    """What a run plans: all that is wanted, what failed before, or what a rollback took back."""

    ALL = "all"
    FAILED = "failed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Portion:
    """What of the wanted values a run plans. What a rollback of run `releases` took back is planned as if it stood."""

    scope: Scope = Scope.ALL
    releases: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all of them."""
        return self.scope is Scope.ALL


NOT_RELEASED = "no rollback took it back; the next run writes it"
EVERYTHING = Portion()
FAILED = Portion(Scope.FAILED)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One connector's plan: one `ObjectPlan` per declared object, and the reasons for which a brake holds it."""

    connector: str
    plans: Mapping[str, ObjectPlan]
    holds: tuple[Hold, ...]
    described: Mapping[str, str | None] = field(default_factory=dict)
    """By object, what tells one description of its fields from another."""
    claims: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By object, what runs without an answer turn out to have written (`claims.recognised`)."""

    @property
    def held(self) -> bool:
        """Whether a brake holds it."""
        return bool(self.holds)

    def changes(self) -> pl.DataFrame:
        """Give the changes of all objects in one frame."""
        return pl.concat([pl.DataFrame(schema=CHANGES), *(plan.changes for plan in self.plans.values())])

    def refuses(self) -> bool:
        """Tell whether a value is refused or waits, also one to be cleared on a record that counts as unlinked."""
        return any(bool(plan.changes["decision"].is_in(REFUSED).any()) for plan in self.plans.values())


def prepare(
    workspace: Workspace,
    file: ConnectorFile,
    computed: Computed,
    schema: Schema | None,
    *,
    now: datetime,
    looking: Watch,
    portion: Portion = EVERYTHING,
    owning: Owning | None = None,
) -> Prepared:
    """Plan every object of one connector. Without a schema nothing is checked against the CRM's fields. `now` is the
    run's clock, by which refused records wait; `looking` what the brakes look at; `portion` what is
    planned. `owning` decides about what somebody else set; without it such values stay where a lock may run."""
    plans, told, claims = {}, {}, {}
    for object_map in file.objects:
        limits = None if schema is None else limits_of(schema, object_map.object)
        plan, claims[object_map.object] = _plan(
            workspace, file, object_map, computed, limits, owning, portion.releases, now
        )
        told[object_map.object] = described(object_map.write, limits)
        plan = with_failures(
            workspace.state, plan, told[object_map.object], now=now, retrying=portion.scope is Scope.FAILED
        )
        if portion.scope is Scope.RELEASED:
            gone = workspace.state.gone(file.name, object_map.object)
            undone = followed(workspace.state.undone(file.name, object_map.object), gone)
            plan = _only_of(plan, undone.filter(pl.col("undone") == portion.releases))
        plans[object_map.object] = plan
    return Prepared(file.name, plans, holds(looking, file, schema, plans), told, claims)


def _plan(
    workspace: Workspace,
    file: ConnectorFile,
    object_map: ObjectMap,
    computed: Computed,
    limits: Mapping[str, FieldLimit] | None,
    owning: Owning | None,
    releases: int | None,
    now: datetime,
) -> tuple[ObjectPlan, pl.DataFrame]:
    """Plan one object; give what runs without an answer turn out to have written, too."""
    key = (file.name, object_map.object)
    found = computed.matches[key]
    fields = tuple(managed.field for managed in object_map.write)
    project = workspace.project
    gone = workspace.state.gone(file.name, object_map.object)
    digits = connector_classes()[file.connector].limits.datetime_digits
    recorded = workspace.state.written(file.name, object_map.object, fields)
    intents = workspace.state.intents(file.name, object_map.object)
    found_ours = recognised(intents, recorded, computed.records[key], object_map.write, now=now, datetime_digits=digits)
    claims = claimed(found_ours, object_map.write)
    undone = followed(workspace.state.undone(file.name, object_map.object), gone)
    written = disowned(laid_over(recorded, claims), undone)
    heirs = inherited(written, gone, computed.records[key], object_map.write, datetime_digits=digits)
    undone = undone.join(gone.select("record"), on="record", how="anti")
    written = disowned(overlaid(written, heirs), undone)
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
    if owning is not None:
        plan = owning(plan, object_map, computed.records[key], limits)
    plan = refuse_taken(plan, computed.records[key], object_map.match_external_id)
    kept = undone.filter(pl.col("undone").ne_missing(pl.lit(releases, pl.Int64)))
    plan = kept_undone(plan, kept, object_map.write, datetime_digits=digits)
    plan = unfinished(plan, kept, recorded, computed.records[key], object_map, datetime_digits=digits)
    return replace(plan, remember=remembered(remembered(plan.remember, heirs), claims)), found_ours


def _only_of(plan: ObjectPlan, places: pl.DataFrame) -> ObjectPlan:
    """Give the plan with the writes of some fields alone (record, field); the others are still to come."""
    open_ = plan.changes.with_row_index("at").filter(pl.col("decision").is_in(EXECUTED))
    left = open_.join(places, on=["record", "field"], how="anti")["at"]
    later = pl.col("at").is_in(left.implode())
    changes = plan.changes.with_row_index("at").with_columns(
        decision=pl.when(later).then(pl.lit(DEFERRED)).otherwise("decision"),
        reason=pl.when(later).then(pl.lit(NOT_RELEASED)).otherwise("reason"),
    )
    return plan.with_changes(changes.drop("at"))


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
