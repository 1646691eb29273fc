"""`explain`: one user's or account's verdicts with their reasons, the record it is matched with, and what a push would
write there. Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.assess import Verdicts
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.matching import AMBIGUOUS
from engage_sync.core.plan import plan_object
from engage_sync.core.population import Population
from engage_sync.core.wanted import wanted
from engage_sync.errors import Mistake
from engage_sync.sync.rows import iso_text, json_value
from engage_sync.sync.views import Json, Shown, json_rows, show
from engage_sync.sync.wiring import Workspace, connector_classes, kind_of

NEWEST = 5
LEVELS = {
    "link": "the stored link",
    "external_id": "external id",
    "email": "e-mail",
    "further_email": "a further e-mail",
    "domain": "domain",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One verdict with why: `holds` None means the verdict is not a yes or no."""

    verdict: str
    holds: bool | None
    why: str


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known of one entity at one instant. `row` is its row of `show`."""

    entity: Entity
    external_id: str
    as_of: datetime
    run: int | None
    row: dict[str, Json]
    reasons: tuple[Reason, ...]
    places: tuple[Place, ...]
    newest: tuple[dict[str, Json], ...]


def explain(workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None) -> Explanation:
    """Explain one user or account. An id nobody has is a Mistake with the nearest ones."""
    from engage_sync.events.measure import newest_messages  # noqa: PLC0415  start-up: only explain needs the engine

    shown = show(workspace, entity, as_of)
    frame = shown.frame.filter(pl.col("external_id") == external_id)
    if not frame.height:
        raise _unknown(shown, entity, external_id)
    one = Shown(entity, shown.run, shown.as_of, frame, shown.counts)
    values = frame.row(0, named=True)
    reasons = _user_reasons(workspace, one, values) if entity is Entity.USER else _account_reasons(workspace, values)
    messages = newest_messages(workspace.store, entity=entity, ids=[external_id], as_of=shown.as_of, limit=NEWEST)
    return Explanation(
        entity=entity,
        external_id=external_id,
        as_of=shown.as_of,
        run=shown.run,
        row=json.loads(json_rows(workspace, one)[0]),
        reasons=tuple(reasons),
        places=tuple(_places(workspace, one)),
        newest=tuple({key: json_value(cell) for key, cell in line.items()} for line in messages.iter_rows(named=True)),
    )


def explanation_json(found: Explanation) -> Json:
    """Give the answer of `explain`."""
    return {
        "entity": found.entity.value,
        "external_id": found.external_id,
        "as_of": iso_text(found.as_of),
        "run": found.run,
        "verdicts": found.row,
        "reasons": [asdict(reason) for reason in found.reasons],
        "records": [asdict(place) for place in found.places],
        "newest": list(found.newest),
    }


def _unknown(shown: Shown, entity: Entity, external_id: str) -> Mistake:
    known = shown.frame["external_id"].to_list()
    near = get_close_matches(external_id, known, n=3, cutoff=0.4)
    if entity is Entity.USER:
        by_email = shown.frame.filter(pl.col("email") == external_id.strip().lower())["external_id"].to_list()
        near = by_email or near
    hint = f"; did you mean {', '.join(near)}?" if near else f" among {len(known):,}"
    return Mistake(f"there is no {entity.value} {external_id!r}{hint}")


def _user_reasons(workspace: Workspace, shown: Shown, values: dict[str, Json]) -> Iterator[Reason]:
    if values["deactivated"]:
        yield Reason(
            "deactivated", holds=True, why="a deactivated user has no verdicts, and its CRM fields are cleared"
        )
        return
    types = values["user_types"]
    assert isinstance(types, list)
    model = workspace.project.model
    days = model.activity.window.total_seconds() / 86_400
    last = values["last_active_at"]
    seen = f"last active {iso_text(last)}" if isinstance(last, datetime) else "no activity event ever"
    why = f"{values['events']} activity events on {values['active_days']} days in the last {days:g} days; {seen}"
    for name in ("active", "inactive", "zombie"):
        if name in types:
            yield Reason(name, holds=True, why=why)
    yield Reason("power", holds="power" in types, why=_power_why(workspace, shown, values))
    yield from _influencer_reasons(workspace, values, types)


def _power_why(workspace: Workspace, shown: Shown, values: dict[str, Json]) -> str:
    power = workspace.project.model.power
    limit, total = shown.counts.get("power_limit", 0), shown.counts.get("active", 0)
    edge = f"ceil({power.share} × {total} active users) = {limit}"
    if values["power_rank"] is None:
        return f"not active, so not ranked; {edge}"
    measure = values.get(power.measure)
    who = "1 active user has" if values["power_rank"] == 1 else f"{values['power_rank']} active users have"
    have = f"{who} {power.measure} ≥ {json_value(measure)}"
    assert isinstance(values["power_rank"], int)
    return f"{have}, {'within' if values['power_rank'] <= limit else 'more than'} {edge}"


def _influencer_reasons(workspace: Workspace, values: dict[str, Json], types: list[str]) -> Iterator[Reason]:
    rule = workspace.project.model.influencer
    linked = "linked to a live CRM contact" if values["linked"] else "not linked to a live CRM contact"
    where = ""
    if rule.where is not None:
        held = {True: "holds", False: "does not hold", None: "is unknown"}[values["influencer_where"]]  # type: ignore[index]
        read = ", ".join(f"{name} = {_literal(values.get(name))}" for name in sorted(rule.where.names))
        where = f"; the rule `{rule.where.text}` {held} ({read})"
    activity = "active" if values["active"] else "not active"
    yield Reason("influencer", holds="influencer" in types, why=f"{activity}, {linked}{where}")
    matches = "" if rule.where is None else "; the same rule"
    yield Reason("lapsed_influencer", holds=bool(values["lapsed_influencer"]), why=f"{activity}, {linked}{matches}")


def _literal(value: Json) -> str:
    """Write a value as a rule does."""
    return "null" if value is None else repr(json_value(value))


def _account_reasons(workspace: Workspace, values: dict[str, Json]) -> Iterator[Reason]:
    rule = "attributed to the account" if workspace.project.model.attributed else "anywhere in the product"
    why = f"{values['active_users']} of {values['users']} users were active {rule} in the activity window"
    yield Reason("active", holds=bool(values["active"]), why=why)
    types = ", ".join(
        f"{values[f'users_{name}']} {name}" for name in ("power", "influencer", "active", "inactive", "zombie")
    )
    yield Reason("users by type", holds=None, why=types)


def _places(workspace: Workspace, shown: Shown) -> Iterator[Place]:
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
    return Place(**here, record=link["record"], why=f"matched by {level}{since}", fields=fields)


def _fields(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, shown: Shown, record: str
) -> tuple[FieldView, ...]:
    """Give every managed field of the linked record: what is wanted, what the CRM holds, what a push would do."""
    name = object_map.object
    connector = connector_classes()[file.connector]
    fields = kind_of(object_map, connector.limits).fields
    records = workspace.state.records(file.name, name, fields).filter(pl.col("record") == record)
    managed = tuple(item.field for item in object_map.write if item.computed)
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
            wanted=texts[item.field][0] if item.computed and texts.height else None,
            seen=records[f"crm.{item.field}"][0] if records.height else None,
            decision=decisions.get(item.field, "unchanged") if item.computed else "not computed by this version",
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
    return wanted(
        Verdicts(active, frame, {}),
        Population(users, frame, none, none, none, none),
        object_map,
        model=project.model,
        timezone=project.timezone,
        as_of=shown.as_of,
    )
