"""Where a user or an account stands in each CRM: the record it is matched with, how, and what a push would write there,
field by field. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.asking import Asking
from engage_sync.core.assess import Verdicts
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.matching import AMBIGUOUS
from engage_sync.core.plan import plan_object
from engage_sync.core.population import Population
from engage_sync.core.wanted import wanted
from engage_sync.sync.addresses import record_urls
from engage_sync.sync.views import Shown
from engage_sync.sync.wiring import Workspace, connector_classes, kind_of

LEVELS = {
    "link": "the stored link",
    "external_id": "external id",
    "email": "e-mail",
    "further_email": "a further e-mail",
    "domain": "domain",
}


@dataclass(frozen=True, slots=True)
class FieldView:
    """One managed field of a linked record. `decision` is the plan's, or `unchanged`."""

    field: str
    source: str
    wanted: str | None
    seen: str | None
    decision: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entity stands in one object of a CRM, and what a push would do there, field by field."""

    connector: str
    object: str
    record: str | None
    why: str
    fields: tuple[FieldView, ...]
    url: str | None = None


def places(workspace: Workspace, shown: Shown) -> Iterator[Place]:
    """Give the place of the one shown entity in each declared object. The shown frame holds all that rules read."""
    for file in workspace.project.connectors:
        for object_map in file.objects:
            if object_map.entity is shown.entity:
                yield _place(workspace, file, object_map, shown)


def _place(workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown) -> Place:
    values = shown.frame.row(0, named=True)
    here = {"connector": file.name, "object": object_map.object}
    link = next((one for one in values["links"] if here.items() <= one.items()), None)
    if link is None:
        stopped = next((one for one in values["ambiguous"] if here.items() <= one.items()), None)
        if stopped is None:
            return Place(**here, record=None, why="no record has this external id, e-mail or domain", fields=())
        why = f"ambiguous: {stopped['reason']} ({', '.join(stopped['candidates'])}); nothing is linked or written"
        return Place(**here, record=None, why=why, fields=())
    stored = workspace.state.links(file.name, object_map.object).filter(pl.col("record") == link["record"])
    level = LEVELS[stored["level"][0]] if stored.height else "what is not recorded"
    since = f", linked since run {stored['since_run'][0]}" if stored.height else ""
    fields = _fields(workspace, file, object_map, shown, link["record"])
    address = record_urls(workspace).get((file.name, object_map.object))
    url = None if address is None else address.replace("{record}", link["record"])
    return Place(**here, record=link["record"], why=f"matched by {level}{since}", fields=fields, url=url)


def _fields(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown, record: str
) -> tuple[FieldView, ...]:
    """Give every managed field of the linked record: what is wanted, what the CRM holds, what a push would do."""
    name = object_map.object
    connector = connector_classes()[file.connector]
    fields = kind_of(object_map, connector.limits).fields
    records = workspace.state.records(file.name, name, fields).filter(pl.col("record") == record)
    managed = tuple(item.field for item in object_map.write)
    link = pl.DataFrame({"record": [record], "external_id": [shown.frame["external_id"][0]]})
    texts = _wanted(workspace, object_map, shown)
    plan = plan_object(
        object_map,
        texts,
        link,
        pl.DataFrame(schema=AMBIGUOUS),
        records,
        workspace.state.written(file.name, name, managed).filter(pl.col("record") == record),
        pl.DataFrame(schema={"record": pl.String}),
        limits=None,
        datetime_digits=connector.limits.datetime_digits,
    )
    decisions = dict(plan.changes.select("field", "decision").iter_rows())
    return tuple(
        FieldView(
            field=item.field,
            source=item.source,
            wanted=texts[item.field][0] if texts.height else None,
            seen=records[f"crm.{item.field}"][0] if records.height else None,
            decision=decisions.get(item.field, "unchanged"),
        )
        for item in object_map.write
    )


def _wanted(workspace: Workspace, object_map: ObjectMap, shown: Shown) -> pl.DataFrame:
    project, frame, none = workspace.project, shown.frame, pl.DataFrame()
    users = (
        frame
        if shown.entity is Entity.USER
        else pl.DataFrame(schema={"external_id": pl.String, "deactivated": pl.Boolean})
    )
    active = users.filter(~pl.col("deactivated").fill_null(value=False))
    asking = Asking(project.model, shown.entity, shown.as_of, project.timezone)
    population = Population(users, frame, none, none, none, none)
    return wanted(Verdicts(active, frame, {}), population, object_map, asking)
