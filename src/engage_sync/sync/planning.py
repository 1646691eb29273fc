"""Turn what was computed into a plan per connector: wanted × seen in the CRM × last written, then the brakes.
Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Schema
from engage_sync.core.asking import Asking
from engage_sync.core.confined import members
from engage_sync.core.definitions import ObjectMap
from engage_sync.core.holds import Hold
from engage_sync.core.plan import CHANGES, REFUSED, ObjectPlan
from engage_sync.core.undo import followed
from engage_sync.core.wanted import wanted
from engage_sync.sync.claims import Claims
from engage_sync.sync.computed import Computed
from engage_sync.sync.deciding import Others, Sides, decide
from engage_sync.sync.failures import described, with_failures
from engage_sync.sync.field_limits import Limits, limits_of, room_of
from engage_sync.sync.holding import Watch, holds
from engage_sync.sync.wiring import Workspace, connector_classes


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
    claims: Mapping[str, Claims] = field(default_factory=dict)
    """By object, what runs without an answer turn out to have written."""
    undone: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By object, what rollbacks took back (`State.undone`)."""

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
    schema: Schema,
    *,
    now: datetime,
    looking: Watch,
    portion: Portion,
    others: Others,
) -> Prepared:
    """Plan every object of one connector. `now` is the run's clock, by which refused records wait; `looking` what the
    brakes look at; `portion` what is planned; `others` what is known about what somebody else set."""
    plans, told, claims, undone = {}, {}, {}, {}
    for object_map in file.objects:
        name, limits = object_map.object, limits_of(schema, object_map.object)
        sides = _sides(workspace, file, object_map, computed, limits)
        undone[name] = sides.undone
        plan, claims[name] = decide(object_map, sides, others=others, now=now, releases=portion.releases)
        told[name] = described(object_map.write, limits)
        plan = with_failures(workspace.state, plan, told[name], now=now, retrying=portion.scope is Scope.FAILED)
        if portion.scope is Scope.RELEASED:
            plan = _only_released(plan, followed(sides.undone, sides.gone), portion.releases)
        plans[name] = plan
    return Prepared(
        file.name,
        plans,
        holds(looking, file, schema, plans),
        described=told,
        claims=claims,
        undone=undone,
    )


def _sides(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, computed: Computed, limits: Limits
) -> Sides:
    """Gather what the plan of one object is made from."""
    key = (file.name, object_map.object)
    state, project, found = workspace.state, workspace.project, computed.matches[key]
    asking = Asking(project.model, object_map.entity, computed.as_of, project.timezone)
    return Sides(
        wanted=wanted(computed.verdicts, computed.population, object_map, asking, room=room_of(limits)),
        links=found.links,
        ambiguous=found.ambiguous,
        records=computed.records[key],
        gone=computed.gone[key],
        written=state.written(*key, [managed.field for managed in object_map.write]),
        intents=state.intents(*key),
        undone=state.undone(*key),
        limits=limits,
        datetime_digits=connector_classes()[file.connector].limits.datetime_digits,
        members=members(computed.verdicts, object_map),
    )


def _only_released(plan: ObjectPlan, undone: pl.DataFrame, released: int | None) -> ObjectPlan:
    """Give the plan with the writes alone of what a rollback of run `released` took back."""
    ours = undone.filter(pl.col("undone") == released).select(place=pl.struct("record", "field"))["place"]
    return plan.put_off(~pl.struct("record", "field").is_in(ours.implode()), NOT_RELEASED)
