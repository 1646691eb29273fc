"""What the signals that switched in a run ask to be done: one row per action and target, each with its idempotency key
and the text that will be sent, made once, so that every repetition sends the same. It sends nothing, and knows neither
the address nor the secret of a webhook: those are looked up at the call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import polars as pl

from engage_sync.core.columns import at
from engage_sync.core.definitions import Entity
from engage_sync.core.facts import INSTANT
from engage_sync.core.verdict_rules import Action, FieldAction, Signal, TaskAction
from engage_sync.core.wanted import console_link
from engage_sync.sync.addresses import RECORD, record_urls
from engage_sync.sync.rows import iso
from engage_sync.sync.wiring import Workspace, connector_classes

TASK, WEBHOOK, FIELD = "task", "webhook", "field"
"""The kinds of action."""

SCHEMA: dict[str, pl.DataType] = {
    "key": pl.String(),
    "run": pl.Int64(),
    "at": INSTANT,
    "signal": pl.String(),
    "entity": pl.String(),
    "external_id": pl.String(),
    "episode": INSTANT,
    "phase": pl.String(),
    "number": pl.Int64(),
    "action": pl.String(),
    "connector": pl.String(),
    "payload": pl.String(),
}
"""One row per delivery. `number` counts the actions of the list of that phase from 0; `connector` is null for a
webhook. `payload` is JSON: a webhook's body, a task's `subject`, `body`, `due`, or a field's `field`, `value`."""

SWITCHED: dict[str, pl.DataType] = {
    "entity": pl.String(),
    "external_id": pl.String(),
    "signal": pl.String(),
    "phase": pl.String(),
    "episode": INSTANT,
    "reasons": pl.List(pl.String()),
    "name": pl.String(),
    "email": pl.String(),
    "domain": pl.String(),
}
"""One row per signal that switched `on` or `off`; `episode` is the instant it fired. `name`, `email` (users) and
`domain` (accounts) may be absent."""

_TEXT = pl.String()
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def rows(workspace: Workspace, run: int, as_of: datetime, switched: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """Give the outbox rows (SCHEMA) of what switched (SWITCHED). `links`: entity, external_id, connector, object,
    record. A task or a field gives its row also where the entity has no record in the connector yet: whether it has one
    is asked when it is delivered."""
    model = workspace.project.model
    if switched.is_empty() or not model.signals:
        return pl.DataFrame(schema=SCHEMA)
    held = _held(workspace, links.join(switched, on=["entity", "external_id"], how="semi"))
    fired = switched.select(
        (pl.col(name) if name in switched.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in SWITCHED.items()
    )
    parts = [
        part.select(
            *("external_id", "episode", "connector", "key", "payload"),
            *(pl.lit(value, dtype=SCHEMA[name]).alias(name) for name, value in said.items()),
        )
        for entity in Entity
        for signal in model.signals_of(entity)
        for said, part in _of(workspace, signal, fired, held, (run, as_of))
    ]
    made = [part.with_columns(at(as_of).alias("at"), pl.lit(run, pl.Int64).alias("run")) for part in parts]
    return pl.concat([pl.DataFrame(schema=SCHEMA), *(part.select(list(SCHEMA)) for part in made)])


def _of(
    workspace: Workspace, signal: Signal, fired: pl.DataFrame, held: pl.DataFrame, when: tuple[int, datetime]
) -> Iterator[tuple[dict[str, str | int], pl.DataFrame]]:
    """Give what the rows of each action of a signal have in common, and the rows."""
    entity, zone = signal.entity, workspace.project.timezone
    mine = fired.filter(pl.col("entity") == entity.value, pl.col("signal") == signal.name)
    records = held.filter(pl.col("entity") == entity.value).drop("entity")
    for phase, actions in (("on", signal.actions), ("off", signal.clear_actions)):
        switched = mine.filter(pl.col("phase") == phase)
        if switched.is_empty():
            continue
        for number, action in enumerate(actions):
            said: dict[str, str | int] = {"signal": signal.name, "entity": entity.value, "phase": phase}
            said |= {"number": number, "action": action_kind(action)}
            aimed = _aimed(workspace, action, entity, switched)
            if aimed.is_empty():
                continue
            keyed = aimed.with_columns(_keys(aimed, signal, phase, number), _console(workspace, entity))
            yield said, keyed.with_columns(_payload(action, signal, records, keyed, (*when, zone)))


def action_kind(action: Action) -> str:
    """Give the word for a kind of action."""
    if isinstance(action, TaskAction):
        return TASK
    return FIELD if isinstance(action, FieldAction) else WEBHOOK


def _held(workspace: Workspace, links: pl.DataFrame) -> pl.DataFrame:
    """Give the record that stands for an entity in each connector (entity, external_id, connector, link): of several
    objects the first in file order. `link` is the JSON of its place."""
    urls = record_urls(workspace)
    objects = [(file.name, item.object) for file in workspace.project.connectors for item in file.objects]
    places = pl.DataFrame(
        [
            (name, object_, place, json.dumps(name), *_halves(urls.get((name, object_))))
            for place, (name, object_) in enumerate(objects)
        ],
        schema={
            **dict.fromkeys(("connector", "object"), _TEXT),
            "place": pl.Int64(),
            **dict.fromkeys(("label", "before", "after"), _TEXT),
        },
        orient="row",
    )
    url = pl.concat_str("before", "record", "after").alias("url")
    link = pl.struct("object", pl.col("record").alias("id"), url).struct.json_encode()
    first = links.join(places, on=["connector", "object"]).sort("place", "record")
    return first.unique(["entity", "external_id", "connector"], keep="first", maintain_order=True).select(
        "entity", "external_id", "connector", pl.concat_str("label", pl.lit(":"), link).alias("link")
    )


def _halves(template: str | None) -> tuple[str | None, str | None]:
    if template is None:
        return None, None
    before, _, after = template.partition(RECORD)
    return before, after


def _aimed(workspace: Workspace, action: Action, entity: Entity, switched: pl.DataFrame) -> pl.DataFrame:
    """Give what switched once per target, which is the `connector`, null for a webhook: every CRM that can have a
    record of such an entity and takes such an action."""
    if not isinstance(action, TaskAction | FieldAction):
        return switched.with_columns(pl.lit(None, _TEXT).alias("connector"))
    files = [f for f in workspace.project.connectors if any(item.entity is entity for item in f.objects)]
    if isinstance(action, TaskAction):
        classes = connector_classes()
        able = [f.name for f in files if classes[f.connector].limits.tasks is not None]
    else:
        able = [f.name for f in files if f.name == action.connector]
    return switched.join(pl.DataFrame({"connector": able}, schema={"connector": _TEXT}), how="cross")


def _keys(aimed: pl.DataFrame, signal: Signal, phase: str, number: int) -> pl.Series:
    """Hash what makes a delivery this one and no other: a run that is repeated makes the same keys."""
    moments: Iterable[tuple[str, str, str | None]] = aimed.select(
        "external_id", iso(pl.col("episode")), "connector"
    ).iter_rows()
    keys = [
        hashlib.sha256(
            _COMPACT.encode([signal.name, signal.entity.value, external_id, moment, phase, number, connector]).encode()
        ).hexdigest()
        for external_id, moment, connector in moments
    ]
    return pl.Series("key", keys, dtype=_TEXT)


def _console(workspace: Workspace, entity: Entity) -> pl.Expr:
    return console_link(workspace.project.model.links.get(entity)).alias("link")


def _payload(
    action: Action, signal: Signal, records: pl.DataFrame, keyed: pl.DataFrame, when: tuple[int, datetime, str]
) -> pl.Series:
    run, as_of, zone = when
    if isinstance(action, FieldAction):
        value = {"field": action.field, "value": action.value}
        return pl.Series("payload", [json.dumps(value, ensure_ascii=False)] * keyed.height, dtype=_TEXT)
    if isinstance(action, TaskAction):
        return keyed.select(_task(action, signal, _due(as_of, zone)).alias("payload"))["payload"]
    links = records.group_by("external_id", maintain_order=True).agg(pl.col("link").str.join(",").alias("links"))
    joined = keyed.join(links, on="external_id", how="left", maintain_order="left")
    return joined.select(_body(signal, run, as_of).alias("payload"))["payload"]


def _due(as_of: datetime, zone: str) -> datetime:
    """Give noon in UTC of the project's day: the instant that falls on this day for a CRM that keeps only days, which
    it reads in UTC, and for nearly all people who see the hour in their own zone."""
    day = as_of.astimezone(ZoneInfo(zone)).date()
    return datetime.combine(day, time(12), UTC)


def _task(action: TaskAction, signal: Signal, due: datetime) -> pl.Expr:
    """Give a task's JSON: what happened, why that matters, and where to look, one below the other."""
    reasons = pl.when(pl.col("reasons").list.len() > 0).then(pl.col("reasons").list.join("\n", ignore_nulls=True))
    body = pl.concat_str([pl.lit(signal.rule.why, _TEXT), reasons, pl.col("link")], separator="\n", ignore_nulls=True)
    subject = pl.lit(action.title).alias("subject")
    return pl.struct(subject, body.replace("", None).alias("body"), iso(at(due)).alias("due")).struct.json_encode()


def _body(signal: Signal, run: int, as_of: datetime) -> pl.Expr:
    """Give the bytes, as text, that every call of a webhook sends. `links` is the inner text of that object."""
    contact = "email" if signal.entity is Entity.USER else "domain"
    said = pl.struct(
        pl.col("key").alias("idempotency_key"),
        "signal",
        pl.lit(signal.rule.why, _TEXT).alias("why"),
        pl.col("phase").alias("state"),
        "entity",
        "external_id",
        "name",
        contact,
        iso(pl.col("episode")).alias("episode"),
        iso(at(as_of)).alias("at"),
        iso(at(as_of)).alias("as_of"),
        pl.lit(run).alias("run"),
        pl.col("reasons").fill_null([]),
    ).struct.json_encode()
    link = pl.struct("link").struct.json_encode().str.strip_prefix("{")
    return pl.concat_str(
        said.str.strip_suffix("}"), pl.lit(',"links":{'), pl.col("links").fill_null(""), pl.lit("},"), link
    )
