"""Carry deliveries to where they go: tasks and fields to a CRM through its connector, webhooks to their address.

A courier says how each delivery ended and keeps an error of the other side to itself, so that the others go on. It
writes nothing to the state: `deliver.py` notes attempts before and ends after.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role, Status
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.errors import EngageError
from engage_sync.state.links import CONTESTED
from engage_sync.sync.confinement import within
from engage_sync.sync.standing import Place
from engage_sync.sync.wiring import Workspace

RECORDED_AT_ONCE = 100


class End(StrEnum):
    """How a delivery ended, for now (`pending`) or for good."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Refused: repeating it would be refused again."""
    PENDING = "pending"
    """The next run tries it again."""
    SKIPPED = "skipped"
    """There is nothing any more that it could go to."""
    EXPIRED = "expired"
    """It waited for too long to be news."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of the outbox that waits. `content` is the payload as it was made, `attempts` those before this run."""

    key: str
    signal: str
    entity: Entity
    external_id: str
    phase: str
    number: int
    content: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How one delivery ended; `message` is a sentence, `result` what the other side calls what was made."""

    key: str
    status: End
    message: str | None = None
    result: str | None = None


class Courier(Protocol):
    """Carries the deliveries of one target."""

    batch: int
    """Deliveries whose attempt is noted at once."""

    @property
    def stopped(self) -> str | None:
        """Why nothing more is carried in this run, None while it goes on."""

    def ready(self, rows: Sequence[Delivery]) -> tuple[Sequence[Delivery], Sequence[Ended]]:
        """Part what can be carried from what has nothing to go to any more."""

    def carry(self, rows: Sequence[Delivery]) -> Iterator[Sequence[Ended]]:
        """Carry some deliveries and give ends as they come. One without an end was not carried, or nobody knows."""


@dataclass(slots=True)
class _Crm:
    """One CRM during a delivery: where its entities are, and the error that ended it."""

    workspace: Workspace
    file: ConnectorFile
    connector: Connector
    error: EngageError | None = None
    links: dict[str, pl.DataFrame] = field(default_factory=dict)

    def places(self, rows: Sequence[Delivery]) -> Mapping[tuple[Entity, str], list[Place]]:
        """Give the records of the entities of some deliveries, objects in file order."""
        found: dict[tuple[Entity, str], list[Place]] = {}
        for item in self.file.objects:
            ids = [row.external_id for row in rows if row.entity is item.entity]
            links = self._links(item).filter(pl.col("external_id").is_in(ids)).sort("record")
            for external_id, record in links.select("external_id", "record").iter_rows():
                found.setdefault((item.entity, external_id), []).append((item.object, record))
        return found

    def _links(self, item: ObjectMap) -> pl.DataFrame:
        if item.object not in self.links:
            links = self.workspace.state.links(self.file.name, item.object)
            self.links[item.object] = within(self.workspace.state, item, links.filter(pl.col("level") != CONTESTED))
        return self.links[item.object]

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[list[Outcome]]:
        """Push, giving outcomes in groups as they come. An error of the connector ends the push and is kept."""
        try:
            outcomes = iter(self.connector.push(kind, changes))
        except EngageError as error:
            self.error = error
            return
        group: list[Outcome] = []
        while True:
            try:
                group.append(next(outcomes))
            except StopIteration:
                break
            except EngageError as error:
                self.error = error
                break
            if len(group) >= RECORDED_AT_ONCE:
                yield group
                group = []
        if group:
            yield group

    def ended(self, key: str, outcome: Outcome) -> Ended:
        """Translate an outcome. What is gone waits: the next pull tells whether it lives on in another record."""
        said = " ".join(part for part in (outcome.code, outcome.message) if part) or "no reason was given"
        if outcome.status is Status.WRITTEN:
            return Ended(key, End.DELIVERED, None, outcome.values.get("id") or outcome.moved_to or outcome.record)
        if outcome.status is Status.REFUSED:
            return Ended(key, End.FAILED, f"{self.file.name} refused it: {said}")
        if outcome.status is Status.GONE:
            return Ended(key, End.PENDING, f"{self.file.name}: the record is gone; the next pull tells where to")
        return Ended(key, End.PENDING, f"{self.file.name}: {said}")

    @property
    def batch(self) -> int:
        limits = self.connector.limits
        return max(1, limits.push_batch * limits.in_flight)


class _CrmCourier:
    """What the couriers to a CRM share: they end with the first error of its connector."""

    def __init__(self, crm: _Crm) -> None:
        self._crm = crm
        self.batch = crm.batch

    @property
    def error(self) -> EngageError | None:
        """The error that ended this courier's work."""
        return self._crm.error

    @property
    def stopped(self) -> str | None:
        """Why nothing more is carried."""
        return None if self._crm.error is None else str(self._crm.error)


class TaskCourier(_CrmCourier):
    """Creates tasks, each under its idempotency key, on the record that stands for the entity now: all have one."""

    def __init__(self, workspace: Workspace, file: ConnectorFile, connector: Connector) -> None:
        super().__init__(_Crm(workspace, file, connector))
        self._tasks = connector.limits.tasks

    def ready(self, rows: Sequence[Delivery]) -> tuple[Sequence[Delivery], Sequence[Ended]]:
        """Give all, if the CRM takes tasks."""
        if self._tasks is None:
            return (), [Ended(row.key, End.SKIPPED, f"{self._crm.file.name} creates no tasks") for row in rows]
        return rows, ()

    def carry(self, rows: Sequence[Delivery]) -> Iterator[Sequence[Ended]]:
        """Create the tasks of some deliveries."""
        assert self._tasks is not None
        places = self._crm.places(rows)
        changes = [_task(row, places[row.entity, row.external_id][0]) for row in rows]
        for outcomes in self._crm.push(Kind(self._tasks, Role.TASK), changes):
            yield [self._crm.ended(outcome.record, outcome) for outcome in outcomes]


def _task(row: Delivery, place: Place) -> Change:
    object_, record = place
    tried = "true" if row.attempts else "false"
    return Change(row.key, {**json.loads(row.content), "object": object_, "about": record, "tried": tried})


class FieldCourier(_CrmCourier):
    """Sets fields of the records that stand for an entity now, and of those that it `left`, by key. The values are
    absolute: setting them again is safe. A result is the JSON of where a field may have been set."""

    def __init__(
        self,
        workspace: Workspace,
        file: ConnectorFile,
        connector: Connector,
        left: Mapping[str, Sequence[Place]] = MappingProxyType({}),
    ) -> None:
        super().__init__(_Crm(workspace, file, connector))
        self._left = left

    def ready(self, rows: Sequence[Delivery]) -> tuple[Sequence[Delivery], Sequence[Ended]]:
        """Part what has a record that can hold the field from what has none that can."""
        try:
            places = self._places(rows)
        except EngageError as error:
            self._crm.error = error
            return (), ()
        return [row for row in rows if places[row.key]], [self._unfit(row) for row in rows if not places[row.key]]

    def carry(self, rows: Sequence[Delivery]) -> Iterator[Sequence[Ended]]:
        """Set the fields of some deliveries: no two of them the same field of the same entity."""
        places = self._places(rows)
        said: dict[str, list[Ended]] = {row.key: [] for row in rows}
        for (object_, name), items in _by_field(rows, places).items():
            if self._crm.error is not None:
                return
            role = Role.CONTACT if items[0][0].entity is Entity.USER else Role.ACCOUNT
            keys = {record: row.key for row, record in items}
            changes = [Change(record, {name: json.loads(row.content)["value"]}) for row, record in items]
            for outcomes in self._crm.push(Kind(object_, role, (name,)), changes):
                for outcome in outcomes:
                    key = keys[outcome.record]
                    said[key].append(_placed(self._crm.ended(key, outcome), object_, outcome))
                full = [
                    key for key in {keys[outcome.record] for outcome in outcomes} if len(said[key]) == len(places[key])
                ]
                yield [_worst(said[key]) for key in full]

    def _places(self, rows: Sequence[Delivery]) -> Mapping[str, list[Place]]:
        """Give where each delivery's field is set: on every object that can hold it."""
        linked = self._crm.places(rows)
        return {
            row.key: [
                place
                for place in (*linked.get((row.entity, row.external_id), ()), *self._left.get(row.key, ()))
                if self._can_hold(row.entity, place[0], _field(row))
            ]
            for row in rows
        }

    def _can_hold(self, entity: Entity, object_: str, name: str) -> bool:
        """Tell whether an object has a field to write. Where an entity has one object only, the CRM says so itself."""
        if sum(item.entity is entity for item in self._crm.file.objects) <= 1:
            return True
        found = self._schema.get(object_, {}).get(name)
        return found is not None and found

    @cached_property
    def _schema(self) -> Mapping[str, Mapping[str, bool]]:
        objects = self._crm.connector.check().objects
        return {name: {one.name: one.writable for one in fields.values()} for name, fields in objects.items()}

    def _unfit(self, row: Delivery) -> Ended:
        objects = ", ".join(item.object for item in self._crm.file.objects if item.entity is row.entity)
        what = f"{self._crm.file.name}: none of {objects} has a field {_field(row)} that can be written"
        return Ended(row.key, End.FAILED, what)


def _field(row: Delivery) -> str:
    return str(json.loads(row.content)["field"])


def _by_field(
    rows: Sequence[Delivery], places: Mapping[str, Sequence[Place]]
) -> dict[tuple[str, str], list[tuple[Delivery, str]]]:
    items: dict[tuple[str, str], list[tuple[Delivery, str]]] = {}
    for row in rows:
        for object_, record in places[row.key]:
            items.setdefault((object_, _field(row)), []).append((row, record))
    return items


def _placed(ended: Ended, object_: str, outcome: Outcome) -> Ended:
    """Let the result tell where the field is: nowhere when that was refused, or the record was gone."""
    if outcome.status in {Status.REFUSED, Status.GONE}:
        return replace(ended, result=None)
    return replace(ended, result=json.dumps([[object_, outcome.moved_to or outcome.record]]))


def _worst(ends: Sequence[Ended]) -> Ended:
    """Give the end of a delivery to several objects: it is done when all are, and goes on while one may be mended."""
    order = (End.PENDING, End.FAILED, End.SKIPPED, End.DELIVERED)
    places = [place for ended in ends for place in json.loads(ended.result or "[]")]
    worst = min(ends, key=lambda ended: order.index(ended.status))
    return replace(worst, result=json.dumps(places) if places else None)
