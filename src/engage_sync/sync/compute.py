"""Match, measure and assess on the mirror as it is: from the event store and the state to verdicts. Reads only;
`record` is the one function here that writes, and it writes to the state, never to a CRM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.config.project import ConnectorFile
from engage_sync.core.assess import BEFORE, REMEMBERED, assess, remembers
from engage_sync.core.definitions import Entity, ObjectMap
from engage_sync.core.matching import Matches, match
from engage_sync.core.population import CrmValues, Population, with_crm_properties
from engage_sync.core.scores import benchmark_numbers
from engage_sync.state.links import CONTESTED
from engage_sync.sync import history
from engage_sync.sync.computed import Computed, ObjectKey
from engage_sync.sync.documents import encode, frame_of, read_fields
from engage_sync.sync.measuring import measured
from engage_sync.sync.wiring import Workspace, connector_classes, kind_of


def compute(workspace: Workspace, as_of: datetime) -> Computed:
    """Work out every verdict at `as_of` from the stored messages, the mirror and the stored links."""
    project = workspace.project
    model, zone = project.model, project.timezone
    facts, population = measured(
        workspace.store,
        model,
        as_of=as_of,
        timezone=zone,
        engine=project.engine_name,
        options=project.engine_options,
    )
    mirrored = _mirrored(workspace)
    records = mirrored.records
    matches = {
        (file.name, one.object): _match(workspace, file, one, population, mirrored)
        for file in project.connectors
        for one in file.objects
    }
    population = with_crm_properties(
        population, model, _crm_values(project.connectors, records, matches), timezone=zone
    )
    before = _before(workspace, as_of, population.aliases)
    verdicts = assess(
        population,
        model,
        as_of=as_of,
        timezone=zone,
        linked=_linked(project.connectors, matches),
        before=before,
    )
    counts = {**facts.counts, **verdicts.counts, "power_limit": _first(verdicts.users, "power_limit")}
    entities = {(file.name, one.object): one.entity for file in project.connectors for one in file.objects}
    return Computed(
        as_of,
        population,
        verdicts,
        records=records,
        gone=mirrored.gone,
        whole=mirrored.whole,
        matches=matches,
        entities=entities,
        counts=counts,
        newest_message_at=facts.newest_message_at,
    )


@dataclass(frozen=True, slots=True)
class _Mirrored:
    """What the state knows of every declared object of every connector, read once, the frames in one go."""

    whole: frozenset[ObjectKey]
    records: Mapping[ObjectKey, pl.DataFrame]
    gone: Mapping[ObjectKey, pl.DataFrame]
    links: Mapping[ObjectKey, pl.DataFrame]


def _mirrored(workspace: Workspace) -> _Mirrored:
    state = workspace.state
    fields = {
        (file.name, one.object): kind_of(one, connector_classes()[file.connector].limits).fields
        for file in workspace.project.connectors
        for one in file.objects
    }
    return _Mirrored(
        whole=frozenset(key for key in fields if state.loaded(*key)),
        records={key: state.records(*key, names) for key, names in fields.items()},
        gone={key: state.gone(*key) for key in fields},
        links={key: state.links(*key).select("record", "external_id") for key in fields},
    )


def _first(frame: pl.DataFrame, column: str) -> int:
    """Give a number that is the same in every row, 0 where there is no row."""
    return int(frame[column][0]) if frame.height else 0


def _before(workspace: Workspace, as_of: datetime, aliases: pl.DataFrame) -> dict[Entity, pl.DataFrame] | None:
    """Give what the last run decided, as far as a model with a memory needs it; None where nothing was decided. What
    was decided about a user under a former id counts for the id of now, where that has no past of its own."""
    last = workspace.state.previous(as_of)
    if last is None:
        return None
    former = {Entity.USER: aliases, Entity.ACCOUNT: aliases.clear()}
    remembering = {entity: remembers(workspace.project.model, entity) for entity in Entity}
    return {
        entity: _renamed(read_fields(workspace.state.verdicts(entity, run=last.id), REMEMBERED), former[entity])
        if needed
        else pl.DataFrame(schema=BEFORE)
        for entity, needed in remembering.items()
    }


def _renamed(before: pl.DataFrame, aliases: pl.DataFrame) -> pl.DataFrame:
    """Put former ids' rows under the ids of now; of several for one id its own stands, else the first by id."""
    if aliases.is_empty():
        return before
    moved = before.join(aliases.rename({"external_id": "now"}), left_on="external_id", right_on="alias", how="left")
    ordered = moved.sort(pl.col("now").is_not_null(), "external_id").with_columns(pl.coalesce("now", "external_id"))
    renamed = ordered.with_columns(external_id=pl.col("now")).drop("now")
    return renamed.unique("external_id", keep="first", maintain_order=True)


def _stored_links(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, mirrored: _Mirrored
) -> pl.DataFrame:
    """Give the links known from before: `record`, `external_id`. A record that another object's record has become, as a
    lead becomes a contact, has that one's link, where neither side has one of its own."""
    key = (file.name, object_map.object)
    stored = mirrored.links[key]
    for other in file.objects:
        if other.object == object_map.object or other.entity is not object_map.entity:
            continue
        became = mirrored.gone[file.name, other.object].select("record", became="moved_to").drop_nulls()
        moved = mirrored.links[file.name, other.object].join(became, on="record")
        if moved.is_empty():
            continue
        merged = workspace.state.merges(*key).select(became="record", onward="moved_to")
        moved = moved.join(merged, on="became", how="left")
        heirs = (
            moved.select(pl.coalesce("onward", "became").alias("record"), "external_id")
            .join(mirrored.records[key], on="record", how="semi")
            .join(stored, on="record", how="anti")
            .join(stored, on="external_id", how="anti")
            .sort("record", "external_id")
        )
        alone = heirs.unique("record", keep="first", maintain_order=True)
        stored = pl.concat([stored, alone.unique("external_id", keep="first", maintain_order=True)])
    return stored


def _match(
    workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, population: Population, mirrored: _Mirrored
) -> Matches:
    """Match one object. While its mirror is only partly loaded what was linked stays linked and nothing new is: a match
    that looks unique in half of the records may not be."""
    users, place = object_map.entity is Entity.USER, (file.name, object_map.object)
    key_field = object_map.match_email if users else object_map.match_domain
    further = connector_classes()[file.connector].limits.further_emails.get(object_map.object)

    def column(name: str | None) -> pl.Expr:
        return pl.lit(None, pl.String) if name is None else pl.col(f"crm.{name}")

    candidates = mirrored.records[place].select(
        "record",
        column(object_map.match_external_id).alias("external_id"),
        column(key_field).alias("key"),
        column(further).str.split(";").fill_null([]).alias("further"),
    )
    entities = population.users if users else population.accounts
    stored = _stored_links(workspace, file, object_map, mirrored)
    if place not in mirrored.whole:
        candidates = candidates.join(stored, on="record", how="semi")
    return match(
        entities.select(
            "external_id",
            pl.col("email" if users else "domain").alias("key"),
            (pl.col("deactivated") if users else pl.lit(value=False)).alias("deactivated"),
        ),
        candidates,
        stored,
        mirrored.gone[place],
        population.aliases if users else population.aliases.clear(),
        key="email" if users else "domain",
        free_mail=workspace.project.model.free_mail,
    )


def _crm_values(
    files: tuple[ConnectorFile, ...],
    records: Mapping[ObjectKey, pl.DataFrame],
    matches: Mapping[ObjectKey, Matches],
) -> list[CrmValues]:
    """Hang the mirrored values of each linked record onto the entity it is linked to."""
    return [
        CrmValues(
            file.name,
            object_map.entity,
            matches[file.name, object_map.object]
            .links.select("record", "external_id")
            .join(records[file.name, object_map.object], on="record")
            .drop("record", "updated_at"),
        )
        for file in files
        for object_map in file.objects
    ]


def _linked(files: tuple[ConnectorFile, ...], matches: Mapping[ObjectKey, Matches]) -> pl.DataFrame:
    """Give the users with a live link to a contact, one row per connector."""
    empty = pl.DataFrame(schema={"external_id": pl.String, "connector": pl.String})
    found = [
        matches[file.name, object_map.object].links.select("external_id", pl.lit(file.name).alias("connector"))
        for file in files
        for object_map in file.objects
        if object_map.entity is Entity.USER
    ]
    return pl.concat([empty, *found]).unique(maintain_order=True)


def record(workspace: Workspace, run: int, computed: Computed, *, forgetting: bool = False) -> None:
    """Keep what was computed as the newest recorded run: population, links, verdicts; `forgetting` what was recorded
    for later instants."""
    state, population = workspace.state, computed.population
    state.save_population(
        run,
        population.users.select("external_id", "email", "name", "deactivated"),
        population.accounts.select("external_id", "name", "domain"),
        population.memberships,
    )
    for (connector, object_), found in computed.matches.items():
        contested = found.contested.with_columns(pl.lit(CONTESTED).alias("level"))
        waiting = _waiting_links(workspace, connector, object_, computed)
        state.replace_links(connector, object_, pl.concat([found.links, contested, waiting]), run)
    for entity in Entity:
        state.save_verdicts(
            run, entity, encode(documents(workspace, computed, entity), workspace.project.model, entity)
        )
    history.keep(workspace, run, computed)
    state.add_to_summary(run, summary_of(workspace, computed))
    state.mark_recorded(run, forgetting=forgetting)


def summary_of(workspace: Workspace, computed: Computed) -> dict[str, object]:
    """Give what explaining a recorded run needs beside its verdicts: tallies, benchmarks, and which model it was."""
    return {
        "counts": dict(computed.counts),
        "benchmarks": benchmark_numbers(computed.verdicts.benchmarks),
        "model": workspace.project.model_digest,
    }


def _waiting_links(workspace: Workspace, connector: str, object_: str, computed: Computed) -> pl.DataFrame:
    """Give the stored links of records that have become one which no pull has brought yet: a lead's contact. Dropped
    now, nothing would be left to inherit when it comes."""
    moved = computed.gone[connector, object_].select("record", "moved_to").drop_nulls()
    kept = pl.DataFrame(schema={"record": pl.String, "external_id": pl.String, "level": pl.String})
    if moved.is_empty():
        return kept
    kept = workspace.state.links(connector, object_).join(moved, on="record")
    both = (*computed.records.items(), *computed.gone.items())
    known = [frame["record"] for (owner, _), frame in both if owner == connector]
    away = kept.filter(~pl.col("moved_to").is_in(pl.concat(known).implode()))
    return away.select("record", "external_id", "level")


def documents(workspace: Workspace, computed: Computed, entity: Entity) -> pl.DataFrame:
    """Give one row per user or account with everything known, as it is recorded and shown."""
    links = [pl.DataFrame(schema=dict.fromkeys(("external_id", "connector", "object", "record"), pl.String))]
    text = dict.fromkeys(("external_id", "connector", "object", "reason"), pl.String())
    ambiguous = [pl.DataFrame(schema={**text, "candidates": pl.List(pl.String)})]
    for file in workspace.project.connectors:
        for object_map in file.objects:
            if object_map.entity is not entity:
                continue
            place = (pl.lit(file.name).alias("connector"), pl.lit(object_map.object).alias("object"))
            found = computed.matches[file.name, object_map.object]
            links.append(found.links.select("external_id", *place, "record"))
            stopped = found.ambiguous.filter(pl.col("external_id").is_not_null())
            ambiguous.append(stopped.select("external_id", *place, "reason", "candidates"))
    return frame_of(computed.verdicts, computed.population, pl.concat(links), pl.concat(ambiguous), entity)


def without_record(workspace: Workspace, computed: Computed) -> int:
    """Count the users and accounts that no record of any declared object stands for."""
    linked = history.linked(computed)
    declared = {item.entity for file in workspace.project.connectors for item in file.objects}
    return sum(
        history.frame_of(computed, entity)
        .join(linked.filter(pl.col("entity") == entity.value), on="external_id", how="anti")
        .height
        for entity in declared
    )
