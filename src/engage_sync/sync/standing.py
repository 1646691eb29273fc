"""Where the entities of waiting tasks and fields stand in one CRM: which deliveries have a record to go to, which wait
for one, and which will never have one. It reads the state and calls nobody.

While a signal is on, what it asks for waits for a record without being a problem. Once it is off, nothing is begun that
was never begun; but a field that was set is cleared where it was set. A record outside of the segment that its object
names (decision 0012) is none to go to until it is inside, or the file names no segment any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.definitions import Entity
from engage_sync.core.groups import MARKS
from engage_sync.state import instants
from engage_sync.state.links import CONTESTED
from engage_sync.sync.confinement import within
from engage_sync.sync.documents import read_fields
from engage_sync.sync.outbox import FIELD
from engage_sync.sync.wiring import Workspace

WHO = ["entity", "external_id"]
EPISODE = ["signal", *WHO, "episode"]
"""What names one firing of one signal for one entity."""

Place = tuple[str, str]
"""An object of a CRM and a record of it."""

_TEXT = pl.String()
_PLACES = pl.List(pl.List(pl.String))
_KEPT: Mapping[str, pl.DataType] = {"key": _TEXT, "object": _TEXT, "record": _TEXT}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a CRM's waiting deliveries can do now. `ready` and `waiting` are rows as they were given; `ended` has key,
    message, result of those that have nothing to go to any more; `left` tells where the field of an `off` was set, as
    far as those records live, stand for nobody else and are not the entity's own now."""

    ready: pl.DataFrame
    waiting: pl.DataFrame
    ended: pl.DataFrame
    left: Mapping[str, Sequence[Place]]


def standing(workspace: Workspace, file: ConnectorFile, rows: pl.DataFrame, owed: pl.DataFrame) -> Standing:
    """Part the waiting deliveries of a connector. `owed`: `state.owed_episodes()`."""
    links = _links(workspace, file)
    usable = _within(workspace, file, links.filter(pl.col("level") != CONTESTED))
    contested = links.join(usable, on=["object", "record"], how="anti")
    left = _left(workspace, file, rows, owed, links)
    known = (
        rows.with_row_index(".row")
        .join(_marked(usable, ".linked"), on=WHO, how="left")
        .join(_marked(contested, ".contested"), on=WHO, how="left")
        .join(_marked(owed.filter(phase="off"), ".told", EPISODE), on=EPISODE, how="left")
        .join(_begun(owed), on=[*EPISODE, "connector", "action"], how="left")
        .join(left.select("key", pl.lit(value=True).alias(".left")).unique(), on="key", how="left")
        .sort(".row")
        .with_columns(pl.col(".linked", ".contested", ".told", ".left").fill_null(value=False))
    )
    known = known.join(_over(workspace, known.filter(~pl.col(".linked"), phase="on")), on="key", how="left")
    off = pl.col("phase") == "off"
    can = pl.col(".linked") | pl.col(".left")
    unsettled = ~pl.col(".told") & ~pl.col(".over").fill_null(value=False)
    waits = pl.when(off).then(pl.col(".contested") & pl.col(".begun").fill_null(value=True)).otherwise(unsettled)
    waits = ~pl.col(".linked") & waits
    ready = known.filter(can & ~waits)
    lost = pl.lit(f"it has no record in {file.name} any more")
    never = pl.lit(f"it has no record in {file.name}, and the signal is off")
    ended = known.filter(~can & ~waits).select(
        "key", pl.when(off & pl.col(".begun")).then(lost).otherwise(never).alias("message"), "result"
    )
    places: dict[str, list[Place]] = {}
    for key, object_, record in left.select("key", "object", "record").iter_rows():
        places.setdefault(key, []).append((object_, record))
    return Standing(ready.select(rows.columns), known.filter(waits).select(rows.columns), ended, places)


def _links(workspace: Workspace, file: ConnectorFile) -> pl.DataFrame:
    return pl.concat(
        workspace.state.links(file.name, item.object).select(
            pl.lit(item.entity.value).alias("entity"),
            "external_id",
            pl.lit(item.object).alias("object"),
            "record",
            "level",
        )
        for item in file.objects
    )


def _within(workspace: Workspace, file: ConnectorFile, links: pl.DataFrame) -> pl.DataFrame:
    """Give the links of records that may be written."""
    parts = [within(workspace.state, item, links.filter(object=item.object)) for item in file.objects]
    return pl.concat(parts) if parts else links


def _marked(frame: pl.DataFrame, name: str, on: Sequence[str] = WHO) -> pl.DataFrame:
    return frame.select(on).unique().with_columns(pl.lit(value=True).alias(name))


def _begun(owed: pl.DataFrame) -> pl.DataFrame:
    """Tell of each firing and kind of action whether the `on` reached the connector; no row where it has none."""
    reached = (pl.col("status") == "delivered") | pl.col("result").is_not_null()
    return owed.filter(phase="on").group_by(*EPISODE, "connector", "action").agg(reached.any().alias(".begun"))


def _over(workspace: Workspace, rows: pl.DataFrame) -> pl.DataFrame:
    """Tell of each row whether the newest recorded verdicts say that its signal is on no more, or on anew."""
    found = [pl.DataFrame(schema={"key": _TEXT, ".over": pl.Boolean()})]
    newest = workspace.state.newest_recorded()
    for entity in Entity:
        mine = rows.filter(entity=entity.value)
        if mine.is_empty() or newest is None or not workspace.state.verdict_count(entity, newest.id):
            continue
        documents = workspace.state.verdicts(entity, ids=mine["external_id"].unique().to_list())
        marks = read_fields(documents, {"signal_marks": MARKS}).explode("signal_marks").drop_nulls("signal_marks")
        on = marks.unnest("signal_marks").filter("on").select("external_id", signal="name", episode="fired")
        moments = mine.with_columns(instants.column_from_text("episode"))
        over = moments.join(on, on=["external_id", "signal", "episode"], how="anti")
        found.append(over.select("key", pl.lit(value=True).alias(".over")))
    return pl.concat(found)


def _left(
    workspace: Workspace, file: ConnectorFile, rows: pl.DataFrame, owed: pl.DataFrame, links: pl.DataFrame
) -> pl.DataFrame:
    """Give (key, object, record) where the `on` of a waiting `off` set the same field, and nobody stands now."""
    name = pl.col("payload").str.json_path_match("$.field").alias(".field")
    offs = rows.filter(phase="off", action=FIELD).select("key", *EPISODE, name)
    ons = owed.filter(pl.col("result").is_not_null(), phase="on", action=FIELD, connector=file.name)
    went = offs.join(ons.select(*EPISODE, name, "result"), on=[*EPISODE, ".field"])
    if went.is_empty():
        return pl.DataFrame(schema=_KEPT)
    places = went.with_columns(pl.col("result").str.json_decode(_PLACES)).explode("result").drop_nulls("result")
    places = places.select(
        "key", pl.col("result").list.get(0).alias("object"), pl.col("result").list.get(1).alias("record")
    )
    free = places.join(links, on=["object", "record"], how="anti").unique(maintain_order=True)
    objects = [item.object for item in file.objects]
    alive = [pl.DataFrame(schema=_KEPT)]
    for (object_,), mine in free.filter(pl.col("object").is_in(objects)).group_by("object", maintain_order=True):
        live = workspace.state.records(file.name, str(object_), [])
        alive.append(mine.join(live, on="record", how="semi", maintain_order="left"))
    return pl.concat(alive)
