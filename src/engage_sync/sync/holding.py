"""What the brakes look at beside the plans: the baseline of each connector, which is its last push that no brake held,
what has gone and who has become inactive since, which events are silent, and the CRM's clock. Writes notes only.

A hold must not end because time passes or because the held run was recorded: all but the age of the events is compared
with the baseline, and a silent event is noted until it comes again or a person approves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Field, Schema
from engage_sync.core import brakes
from engage_sync.core.brakes import FieldFacts, Silence
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.holds import Hold, HoldKind, approved
from engage_sync.core.plan import ObjectPlan
from engage_sync.sync.computed import Computed
from engage_sync.sync.documents import read_fields
from engage_sync.sync.wiring import Workspace, connector_classes, kind_of

SILENT = "brakes.silent"
"""The note about silent events: a list of [kind, event, usual, last, accepted]."""
IDLE = ("inactive", "zombie")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms on which a run goes: its number, the clock where its instant was read from that, and the holds that a
    person has approved."""

    run: int
    clock: Callable[[], datetime] | None = None
    approvals: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """A connector as its last push that no brake held left it: the run, its instant, the live records of each object
    and the declared fields of each as the CRM described them."""

    run: int
    as_of: datetime
    live: Mapping[str, int]
    fields: Mapping[str, Mapping[str, FieldFacts]]

    def text(self) -> str:
        """Give it as the text of a note."""
        parts = {"run": self.run, "as_of": self.as_of.isoformat(), "live": self.live, "fields": self.fields}
        return json.dumps(parts, ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Baseline:
        """Read what `text` gave."""
        found: dict[str, Any] = json.loads(text)
        return cls(found["run"], datetime.fromisoformat(found["as_of"]), found["live"], found["fields"])


def baseline(workspace: Workspace, connector: str) -> Baseline | None:
    """Give the baseline of a connector; None before its first push, and after the state was lost."""
    text = workspace.state.note(_note(connector))
    return None if text is None else Baseline.read(text)


def _note(connector: str) -> str:
    return f"baseline.{connector}"


@dataclass(slots=True)
class Watch:
    """What the brakes of one run look at, whatever the connector; made by `watch`."""

    workspace: Workspace
    computed: Computed
    terms: Terms
    silences: tuple[Silence, ...] = ()
    remembered: str | None = None
    """The note about silent events as this run leaves it."""
    flipped: dict[int, tuple[list[str], int]] = field(default_factory=dict)

    def inactive(self, since: Baseline) -> tuple[list[str], int]:
        """Give the users that were active with the baseline's run and are not now, and how many were active. Users who
        are deactivated now, or have gone, count in neither. A baseline a whole activity window ago says nothing."""
        apart = self.computed.as_of - since.as_of
        if not timedelta(0) <= apart < self.workspace.project.model.activity.window:
            return [], 0
        if since.run not in self.flipped:
            self.flipped[since.run] = self._flipped(since.run)
        return self.flipped[since.run]

    def _flipped(self, run: int) -> tuple[list[str], int]:
        idle = pl.col("primary_user_type").is_in(IDLE)
        now = self.computed.verdicts.users.select("external_id", idle=idle)
        stored = self.workspace.state.verdicts(Entity.USER.value, run=run)
        then = read_fields(stored, {"primary_user_type": pl.String()}).drop_nulls().filter(~idle)
        both = now.join(then, on="external_id", how="semi")
        return both.filter("idle")["external_id"].sort().to_list(), both.height


def watch(workspace: Workspace, computed: Computed, terms: Terms, connectors: Iterable[str]) -> Watch:
    """Look once at what all connectors share. Nothing is silent before a first push: what stays away then was away
    when the project began."""
    looking = Watch(workspace, computed, terms)
    span = workspace.project.brakes.max_event_age
    newest = workspace.state.newest_recorded()
    back = newest is not None and computed.as_of < newest.as_of
    if span is None or back or not list(connectors):
        return looking
    # Imported here, as the engine is: only a cycle needs it.
    from engage_sync.events.engine import Engine  # noqa: PLC0415
    from engage_sync.events.silence import listen  # noqa: PLC0415

    project = workspace.project
    engine = Engine(project.engine_name, project.engine_options)
    heard = listen(workspace.store, as_of=computed.as_of, span=span, engine=engine)
    begun = any(baseline(workspace, file.name) is not None for file in project.connectors)
    known = {
        (kind, event): (Silence(kind, event, usual, datetime.fromisoformat(last)), accepted)
        for kind, event, usual, last, accepted in json.loads(workspace.state.note(SILENT) or "[]")
        if heard.last.get((kind, event), datetime.fromisoformat(last)) <= datetime.fromisoformat(last)
    }
    known = {(one.kind, one.event): (one, not begun) for one in heard.silent} | known
    named = {name for one in terms.approvals if one.kind is HoldKind.EVENT_SILENT for name in one.subjects}
    if heard.alive:
        looking.silences = tuple(one for one, accepted in known.values() if not accepted)
    kept = [
        [one.kind, one.event, one.usual, one.last.isoformat(), accepted or f"{one.kind} {one.event}" in named]
        for one, accepted in known.values()
    ]
    looking.remembered = json.dumps(kept, ensure_ascii=False)
    return looking


def keep_silences(looking: Watch) -> None:
    """Note the silent events, and those that a person accepted as such, until they come again."""
    state = looking.workspace.state
    if looking.remembered is not None and looking.remembered != (state.note(SILENT) or "[]"):
        state.set_note(SILENT, looking.remembered)


def holds(looking: Watch, file: ConnectorFile, schema: Schema, plans: Mapping[str, ObjectPlan]) -> tuple[Hold, ...]:
    """Give what holds the push of one connector; what a person has approved does not."""
    workspace, computed, terms = looking.workspace, looking.computed, looking.terms
    limits, run = workspace.project.brakes, terms.run
    found = [
        brakes.mirror_partial(file.name, name, run=run) for name in plans if (file.name, name) not in computed.whole
    ]
    newest = computed.newest_message_at
    found += brakes.brakes(list(plans.values()), limits=limits, newest_message_at=newest, as_of=computed.as_of, run=run)
    since = baseline(workspace, file.name)
    if since is not None:
        if limits.max_event_age is not None:
            found += brakes.event_silent(looking.silences, limit=limits.max_event_age, run=run)
        flipped, active = looking.inactive(since)
        found += brakes.inactive_share(flipped, active=active, since=since.run, limits=limits, run=run)
        for object_map in file.objects:
            found += _shrank(looking, file, object_map, since)
            found += _changed(file, object_map, since, schema, plans[object_map.object], run)
    if terms.clock is not None and schema.at:
        found += brakes.clocks_apart(terms.clock(), datetime.fromisoformat(schema.at), run=run)
    named = [one.of(file.name) for one in found]
    return tuple(one for one in named if not approved(one, terms.approvals))


def _shrank(looking: Watch, file: ConnectorFile, object_map: ObjectMap, since: Baseline) -> list[Hold]:
    """Look at the records that have gone since. One merged into a live record, or become one of another object, lives
    on."""
    name = object_map.object
    live = since.live.get(name, 0)
    limits = looking.workspace.project.brakes
    if live < limits.min_records:
        return []
    gone = looking.computed.gone[file.name, name].filter(pl.col("since_run") > since.run)
    if gone.is_empty():
        return []
    known = [records["record"] for (owner, _), records in looking.computed.records.items() if owner == file.name]
    lost = gone.filter(~pl.col("moved_to").is_in(pl.concat(known).implode()).fill_null(value=False))
    ids = lost["record"].sort().to_list()
    return brakes.pull_shrank(file.name, name, gone=ids, live=live, limits=limits, run=looking.terms.run)


def _changed(
    file: ConnectorFile,
    object_map: ObjectMap,
    since: Baseline,
    schema: Schema,
    plan: ObjectPlan,
    run: int,
) -> list[Hold]:
    before, now = _compared(file, object_map, since, schema)
    return brakes.schema_changed(plan, before, now, _written(object_map), run=run)


def _compared(
    file: ConnectorFile, object_map: ObjectMap, since: Baseline, schema: Schema
) -> tuple[Mapping[str, FieldFacts], Mapping[str, FieldFacts]]:
    """Give what the CRM said then and says now of the fields that are declared now."""
    declared = _declared(file, object_map)
    before = {name: facts for name, facts in since.fields.get(object_map.object, {}).items() if name in declared}
    return before, _facts(schema, object_map.object, declared)


def _declared(file: ConnectorFile, object_map: ObjectMap) -> frozenset[str]:
    return frozenset(kind_of(object_map, connector_classes()[file.connector].limits).fields)


def _written(object_map: ObjectMap) -> frozenset[str]:
    return frozenset(managed.field for managed in object_map.write)


def _facts(schema: Schema, object_: str, declared: Iterable[str]) -> dict[str, FieldFacts]:
    described = schema.objects.get(object_, {})
    return {name: _fact(described[name]) for name in sorted(declared) if name in described}


def _fact(described: Field) -> FieldFacts:
    kind = described.native if described.type is None else described.type.value
    return {"type": kind, "readable": described.readable, "writable": described.writable}


def keep_inactive(workspace: Workspace, run: int, holds: Iterable[Hold]) -> None:
    """Keep all the users of what holds a mere `plan`, whose verdicts are recorded nowhere, of each connector's newest
    such plan: what a person approves of it is approved of all of them."""
    for hold in holds:
        if hold.kind is HoldKind.INACTIVE_SHARE:
            kept = json.dumps({"run": run, "ids": hold.records}, ensure_ascii=False)
            workspace.state.set_note(_inactive(hold.connector), kept)


def kept_inactive(workspace: Workspace, connector: str | None, run: int) -> list[str] | None:
    """Give the users that were kept with a held plan; None where it is not the newest, or was no plan."""
    kept: dict[str, Any] = json.loads(workspace.state.note(_inactive(connector)) or "{}")
    return kept["ids"] if kept.get("run") == run else None


def _inactive(connector: str | None) -> str:
    return f"brakes.inactive.{connector}"


def keep_baseline(looking: Watch, file: ConnectorFile, schema: Schema, plans: Mapping[str, ObjectPlan]) -> None:
    """Note how a push that no brake held, and that reached the CRM, leaves the connector. A field that changed while
    there was nothing to write to its object stays as it was: it holds the first push that would write."""
    since = baseline(looking.workspace, file.name)
    live = {item.object: looking.computed.records[file.name, item.object].height for item in file.objects}
    fields = {}
    for item in file.objects:
        now = _facts(schema, item.object, _declared(file, item))
        if since is not None and not brakes.something_open(plans[item.object]):
            before, _ = _compared(file, item, since, schema)
            now = {**now, **before}
        fields[item.object] = now
    kept = Baseline(looking.terms.run, looking.computed.as_of, live, fields)
    state = looking.workspace.state
    state.set_note(_note(file.name), kept.text())
    if state.note(_inactive(file.name)) is not None:
        state.set_note(_inactive(file.name), None)
