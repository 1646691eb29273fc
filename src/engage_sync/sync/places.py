"""Where a user or an account stands in each CRM: the record it is matched with, how, and what a push would write there,
field by field. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.asking import Asking
from engage_sync.core.assess import Verdicts
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.fitting import FieldLimit
from engage_sync.core.matching import AMBIGUOUS
from engage_sync.core.ownership import drifting, met, owned
from engage_sync.core.plan import ObjectPlan
from engage_sync.core.population import Population
from engage_sync.core.wanted import wanted
from engage_sync.state.links import CONTESTED
from engage_sync.sync.addresses import record_urls
from engage_sync.sync.confinement import recorded_members
from engage_sync.sync.deciding import Others, Sides, decide
from engage_sync.sync.drift import TOLD
from engage_sync.sync.failures import described, with_failures
from engage_sync.sync.field_limits import kept_limits, room_of
from engage_sync.sync.views import Shown
from engage_sync.sync.wiring import Workspace, connector_classes, kind_of

LEVELS = {
    "link": "the stored link",
    "external_id": "external id",
    "email": "e-mail",
    "further_email": "a further e-mail",
    "domain": "domain",
}
UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class FieldView:
    """One managed field of a linked record. `decision` and `reason` are the plan's, or UNCHANGED and None."""

    field: str
    source: str
    wanted: str | None
    seen: str | None
    decision: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entity stands in one object of a CRM, and what a push would do there, field by field."""

    connector: str
    object: str
    record: str | None
    why: str
    fields: tuple[FieldView, ...]
    url: str | None = None


@dataclass(frozen=True, slots=True)
class _When:
    """The instants that a push would go by: locks run to `as_of`, refused records wait until `now`."""

    as_of: datetime
    now: datetime


def places(workspace: Workspace, shown: Shown, *, as_of: datetime, now: datetime) -> Iterator[Place]:
    """Give the place of the one shown entity in each declared object. The shown frame holds all that rules read. What a
    push as of `as_of` would write there is told as the last runs left things: who set a value that no run has met, and
    what the CRM says of our fields by now, is found out by the next plan."""
    for file in workspace.project.connectors:
        for object_map in file.objects:
            if object_map.entity is shown.entity:
                yield _place(workspace, file, object_map, shown, _When(as_of, now))


def _place(workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown, when: _When) -> Place:
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
    fields = _fields(workspace, file, object_map, shown, link["record"], when)
    address = record_urls(workspace).get((file.name, object_map.object))
    url = None if address is None else address.replace("{record}", link["record"])
    return Place(**here, record=link["record"], why=f"matched by {level}{since}", fields=fields, url=url)


def _fields(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown, record: str, when: _When
) -> tuple[FieldView, ...]:
    """Give every managed field of the linked record: what is wanted, what the CRM holds, what a push would do."""
    state = workspace.state
    sides = _sides(workspace, file, object_map, shown, record)
    others = Others(partial(_owned, workspace, when.as_of), partial(_told_before, workspace, file.name))
    plan, _ = decide(object_map, sides, others=others, now=when.now)
    told = None if sides.limits is None else described(object_map.write, sides.limits)
    plan = with_failures(state, plan, told, now=when.now, retrying=False)
    mine = plan.changes.filter(pl.col("record") == record).select("field", "decision", "reason")
    decisions = {field: (decision, reason) for field, decision, reason in mine.iter_rows()}
    texts = sides.wanted.filter(pl.col("external_id") == shown.frame["external_id"][0])
    seen = sides.records.filter(pl.col("record") == record)
    return tuple(
        FieldView(
            item.field,
            item.source,
            texts[item.field][0] if texts.height else None,
            seen[f"crm.{item.field}"][0] if seen.height else None,
            *decisions.get(item.field, (UNCHANGED, None)),
        )
        for item in object_map.write
    )


def _owned(
    workspace: Workspace,
    as_of: datetime,
    plan: ObjectPlan,
    object_map: ObjectMap,
    records: pl.DataFrame,  # noqa: ARG001  as `deciding.Owning` has it: a cycle asks the CRM about these
    limits: Mapping[str, FieldLimit] | None,
) -> ObjectPlan:
    """Decide about what somebody else set by what earlier runs found out about it."""
    found = met(drifting(plan), workspace.state.drifts(plan.connector, plan.object), as_of=as_of)
    return owned(plan, object_map.write, found, found.clear(), as_of=as_of, limits=limits)


def _told_before(workspace: Workspace, connector: str, object_map: ObjectMap, places: pl.DataFrame) -> pl.DataFrame:
    """Tell what earlier runs were told of who set some fields (record, field): what they kept was not ours. Of all else
    nothing is told, as by a CRM that cannot tell."""
    stored = workspace.state.drifts(connector, object_map.object).drop_nulls("author")
    known = stored.select("record", "field", "author", "changed_at", "human", ours=pl.lit(value=False))
    told = places.join(known, on=["record", "field"], how="left", maintain_order="left")
    return told.with_columns(pl.col("author").fill_null(""), of_record=pl.lit(value=False)).select(*TOLD)


def _sides(workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown, record: str) -> Sides:
    """Gather what the plan of one record is made from, as the last runs left it, and of the records that hold the id
    which it is to get: whether they give that up is for the plan to say."""
    key, state = (file.name, object_map.object), workspace.state
    its = connector_classes()[file.connector].limits
    limits = kept_limits(workspace, file.name, object_map)
    texts = _wanted(workspace, object_map, shown, limits)
    links = pl.DataFrame({"record": [record], "external_id": [shown.frame["external_id"][0]]})
    records = state.records(*key, kind_of(object_map, its).fields)
    field = object_map.match_external_id
    if field in texts.columns and texts.height:
        stored = state.links(*key).filter(pl.col("level") != CONTESTED).select("record", "external_id")
        links = _round(records, links, stored, field, texts[field][0])
        texts = pl.concat([texts, _ids(object_map, links[1:].drop_nulls())], how="diagonal")
    near = pl.col("record").is_in(links["record"].implode())
    gone = state.gone(*key).filter(pl.col("moved_to").is_in(links["record"].implode()))
    written = state.written(*key, [managed.field for managed in object_map.write])
    return Sides(
        wanted=texts,
        links=links.drop_nulls(),
        ambiguous=pl.DataFrame(schema=AMBIGUOUS),
        records=records.filter(near),
        gone=gone,
        written=written.filter(near | pl.col("record").is_in(gone["record"].implode())),
        intents=state.intents(*key),
        undone=state.undone(*key),
        limits=limits,
        datetime_digits=its.datetime_digits,
        members=_members(workspace, object_map, shown, links),
    )


def _members(workspace: Workspace, object_map: ObjectMap, shown: Shown, links: pl.DataFrame) -> pl.Series | None:
    """Give whose records may be written: the shown one as it is shown, others as the newest run left them."""
    its, ids = shown.frame["external_id"][0], links["external_id"].drop_nulls().to_list()
    others = recorded_members(workspace.state, object_map, [one for one in ids if one != its])
    if others is None:
        return None
    inside = shown.frame.filter(pl.col("segments").list.contains(object_map.only))
    return pl.concat([inside["external_id"], others])


def _round(
    records: pl.DataFrame, links: pl.DataFrame, stored: pl.DataFrame, field: str, text: str | None
) -> pl.DataFrame:
    """Add to one link those of the records that hold its id (`text`) in `field`, that hold theirs, and so on; the
    external id of one that is not linked is null."""
    wanted = [text]
    while True:
        holding = records.filter(pl.col(f"crm.{field}").is_in([one for one in wanted if one]))
        new = holding.select("record").join(links, on="record", how="anti").join(stored, on="record", how="left")
        new = new.filter(
            ~pl.col("external_id").is_in(links["external_id"].drop_nulls().implode()).fill_null(value=False)
        )
        if new.is_empty():
            return links
        links, wanted = pl.concat([links, new]), new["external_id"].to_list()


def _ids(object_map: ObjectMap, links: pl.DataFrame) -> pl.DataFrame:
    """Give what other linked records are to hold, as far as it matters here: their ids."""
    names = [item.field for item in object_map.write if item.source == "external_id"]
    return links.select("external_id", *(pl.col("external_id").alias(name) for name in names))


def _wanted(
    workspace: Workspace, object_map: ObjectMap, shown: Shown, limits: Mapping[str, FieldLimit] | None
) -> pl.DataFrame:
    project, frame, none = workspace.project, shown.frame, pl.DataFrame()
    users = (
        frame
        if shown.entity is Entity.USER
        else pl.DataFrame(schema={"external_id": pl.String, "deactivated": pl.Boolean})
    )
    active = users.filter(~pl.col("deactivated").fill_null(value=False))
    asking = Asking(project.model, shown.entity, shown.as_of, project.timezone)
    population = Population(users, frame, none, none, none, none)
    return wanted(Verdicts(active, frame, {}), population, object_map, asking, room=room_of(limits))
