"""Signals that switched, in a small project with its own state, and a CRM in memory that takes tasks and fields."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from engage_sync.config.parts import Definition
from engage_sync.connectors.base import (
    Change,
    Connector,
    Cursor,
    Field,
    Kind,
    Limits,
    Outcome,
    Page,
    Role,
    Schema,
    Status,
    Turnstile,
)
from engage_sync.core.definitions import Entity, ValueType
from engage_sync.core.expression_reader import read
from engage_sync.core.expressions import Type
from engage_sync.core.verdict_rules import Action, Rule, Signal
from engage_sync.errors import EngageError
from engage_sync.sync import outbox
from engage_sync.sync.deliver import Delivered, deliver
from engage_sync.sync.wiring import Workspace, open_workspace
from tests.sync.mortal import Death, mortal
from tests.sync.project import BEGIN, MODEL, write
from tests.sync.two_crms import SALESFORCE, TITLES

EVENTS = read("events > 0", {"events": Type.NUMBER}, ())
HOUR = timedelta(hours=1)
SCHEMAS: Mapping[str, Schema] = {
    "salesforce": Schema(
        "org",
        {
            "Contact": {"Alert__c": Field("Alert__c", "Alert", ValueType.TEXT, "string")},
            "Lead": {"Alert__c": Field("Alert__c", "Alert", ValueType.TEXT, "string", writable=False)},
            "Account": {},
        },
    )
}


class Desk(Connector):
    """Keeps tasks by key and fields by record; refuses, fails or stops as it is told."""

    name = "desk"
    Settings = Definition
    limits = Limits(
        push_batch=3, in_flight=2, objects={"contacts": Role.CONTACT, "companies": Role.ACCOUNT}, tasks="tasks"
    )

    def __init__(self, of: str = "hubspot") -> None:
        self.turnstile = Turnstile()
        self.of = of
        self.pushes: list[tuple[Kind, list[Change]]] = []
        self.tasks: dict[str, Mapping[str, str | None]] = {}
        self.fields: dict[tuple[str, str, str], str | None] = {}
        self.ends: dict[str, Status] = {}
        """How pushes of a record, or of a task about it, end. Else they are written."""
        self.raises: list[EngageError | None] = []
        """What the next pushes raise after their first outcome."""
        self.before: Callable[[], None] = lambda: None

    def check(self) -> Schema:
        return SCHEMAS[self.of]

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        return Page(records=[], vanished=[], merged={}, cursor=Cursor("end"), done=True)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        self.before()
        self.pushes.append((kind, list(changes)))
        error = self.raises.pop(0) if self.raises else None
        for number, change in enumerate(changes):
            if number == 1 and error is not None:
                raise error
            yield self._one(kind, change)
        if error is not None:
            raise error

    def _one(self, kind: Kind, change: Change) -> Outcome:
        about = change.values["about"] if kind.role is Role.TASK else change.record
        status = self.ends.get(str(about), Status.WRITTEN)
        if status is not Status.WRITTEN:
            return Outcome(change.record, status, "NO", "the desk says no")
        if kind.role is not Role.TASK:
            self.fields |= {(kind.object, change.record, name): value for name, value in change.values.items()}
            return Outcome(change.record, status)
        self.tasks.setdefault(change.record, change.values)
        return Outcome(change.record, status, values={"id": f"T{list(self.tasks).index(change.record) + 1}"})


def signal(
    name: str,
    *actions: Action,
    clear: Sequence[Action] = (),
    entity: Entity = Entity.ACCOUNT,
    why: str | None = "Usage halved within a week",
) -> Signal:
    return Signal(Rule(name, EVENTS, why), entity, timedelta(0), actions, tuple(clear))


@dataclass
class Firing:
    """An opened project with signals of one's own. Every `switch` is a recorded run, an hour after the last."""

    workspace: Workspace
    now: datetime = BEGIN
    links: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def link(self, connector: str, object_: str, *pairs: tuple[str, str], level: str = "email") -> None:
        """Make the links of an object exactly these (external id, record)."""
        columns = dict.fromkeys(("record", "external_id", "level"), pl.String)
        rows = [(record, external_id, level) for external_id, record in pairs]
        frame = pl.DataFrame(rows, schema=columns, orient="row")
        run = self.workspace.state.start_run("sync", self.now, self.now)
        self.workspace.state.replace_links(connector, object_, frame, run)
        entity = next(
            item.entity
            for file in self.workspace.project.connectors
            for item in file.objects
            if (file.name, item.object) == (connector, object_)
        )
        others = [one for one in self.links if (one[2], one[3]) != (connector, object_)]
        self.links = others + [(entity.value, external_id, connector, object_, record) for external_id, record in pairs]

    def linked(self) -> pl.DataFrame:
        columns = ("entity", "external_id", "connector", "object", "record")
        return pl.DataFrame(self.links, schema=dict.fromkeys(columns, pl.String), orient="row")

    def switched(self, of: str, phase: str, ids: Sequence[str], episode: datetime, **more: Any) -> pl.DataFrame:
        entity = next(one.entity for one in self.workspace.project.model.signals if one.name == of)
        rows = {
            "external_id": list(ids),
            "entity": entity.value,
            "signal": of,
            "phase": phase,
            "episode": episode,
            "reasons": [["12 events in 7 days (200 before)"]] * len(ids),
            **more,
        }
        return pl.DataFrame(rows).with_columns(pl.col("episode").cast(outbox.SWITCHED["episode"]))

    def rows(self, of: str, phase: str, *ids: str, episode: datetime | None = None, **more: Any) -> pl.DataFrame:
        """Give the outbox rows of a signal that switches now."""
        switched = self.switched(of, phase, ids, episode or self.now, **more)
        return outbox.rows(self.workspace, 7, self.now, switched, self.linked())

    def switch(self, name: str, phase: str, *ids: str, episode: datetime | None = None) -> datetime:
        """Record a run in which a signal switches; give its instant."""
        self.now += HOUR
        state = self.workspace.state
        run = state.start_run("sync", self.now, self.now)
        switched = self.switched(name, phase, ids, episode or self.now)
        rows = outbox.rows(self.workspace, run, self.now, switched, self.linked())
        last = state.previous(self.now)
        changes = pl.DataFrame(schema=dict.fromkeys(
            ("entity", "external_id", "kind", "name", "before", "after", "reasons"), pl.String))  # fmt: skip
        state.save_history(run, since=last and last.id, transitions=changes, deliveries=rows)
        state.mark_recorded(run)
        return self.now

    def deliver(self, targets: Mapping[str, Connector] | None = None, *, webhooks: bool = True) -> Delivered:
        return deliver(
            self.workspace, targets or {}, run=99, clock=lambda: self.now, webhooks=webhooks, sleep=self.pauses.append
        )

    def dying(self, steps: int) -> Firing:
        """Give the same project with a state that dies after some steps."""
        root, project = self.workspace.project.root, self.workspace.project
        state = mortal(project.database_url(), root / "var" / "memory.key", Death(steps))
        return Firing(replace(self.workspace, state=state), self.now, self.links)

    def statuses(self) -> dict[tuple[str, str, str], str]:
        """Give the status of each delivery by external id, phase and action."""
        rows = self.workspace.state.deliveries().select("external_id", "phase", "action", "status")
        return {(external_id, phase, action): status for external_id, phase, action, status in rows.iter_rows()}


@contextmanager
def firing(root: Path, *signals: Signal, salesforce: bool = False) -> Iterator[Firing]:
    """Write a project, open it and give it signals."""
    write(root, "http://127.0.0.1:1", model=TITLES if salesforce else MODEL)
    if salesforce:
        text = SALESFORCE.replace("BASE_URL", "http://127.0.0.1:1")
        (root / "connectors" / "salesforce.yaml").write_text(text, encoding="utf-8")
    with reopened(root, *signals) as made:
        yield made


@contextmanager
def reopened(root: Path, *signals: Signal) -> Iterator[Firing]:
    """Open a written project, also in another process, and give it signals."""
    with open_workspace(root) as workspace:
        project = replace(workspace.project, model=replace(workspace.project.model, signals=signals))
        yield Firing(replace(workspace, project=project))


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def body(payload: str | bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload)
    return found
