"""Keeping what a run changed: transitions with their reasons, and what the signals that switched ask to be done. Writes
to the state only; nothing is sent from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.columns import at
from engage_sync.core.definitions import Entity
from engage_sync.core.history import TRANSITIONS, Marks, transitions, watched, with_reasons
from engage_sync.core.reasons import because
from engage_sync.core.scores import Benchmark, benchmark_numbers
from engage_sync.state.runs import Run
from engage_sync.sync import outbox
from engage_sync.sync.computed import Computed
from engage_sync.sync.documents import LINKS, read_fields
from engage_sync.sync.link_history import parted
from engage_sync.sync.wiring import Workspace

NO_LONGER = "its rule does not hold any more"


def keep(workspace: Workspace, run: int, computed: Computed) -> None:
    """Keep the transitions since the last run before this instant, and the outbox rows of the signals that switched.

    The verdicts of the run must have been saved.
    """
    last = workspace.state.previous(computed.as_of)
    changed = [_transitions(workspace, run, last, computed, entity) for entity in Entity] if last is not None else []
    workspace.state.save_history(
        run,
        since=None if last is None else last.id,
        transitions=pl.concat([pl.DataFrame(schema=_KEPT), *changed]),
        deliveries=outbox.rows(workspace, run, computed.as_of, _switched(workspace, computed), linked(computed)),
    )


_KEPT = {"entity": pl.String(), "at": pl.Datetime("us", "UTC"), **TRANSITIONS, "reasons": pl.String()}


def _transitions(workspace: Workspace, run: int, last: Run, computed: Computed, entity: Entity) -> pl.DataFrame:
    model = workspace.project.model
    documents = workspace.state.changed_verdicts(entity, since=last.id, run=run)
    both = documents.filter(pl.col("before").is_not_null() & pl.col("after").is_not_null())
    if both.is_empty():
        return pl.DataFrame(schema=_KEPT)
    fields = watched(model, entity)
    old = read_fields(both.select("external_id", document="before"), fields)
    new = read_fields(both.select("external_id", document="after"), fields)
    frame = frame_of(computed, entity).join(both, on="external_id", how="semi")
    asking = Asking(model, entity, computed.as_of, workspace.project.timezone)
    marks = benchmarks(last, computed.verdicts.benchmarks)
    told = with_reasons(transitions(old, new, model, entity), frame, asking, marks)
    told = _with_parted(workspace, computed, entity, told, both)
    reasons = pl.Series([json.dumps(one, ensure_ascii=False) for one in told["reasons"].to_list()], dtype=pl.String)
    return told.with_columns(
        pl.lit(entity.value).alias("entity"),
        pl.lit(computed.as_of).cast(_KEPT["at"]).alias("at"),
        reasons.alias("reasons"),
    ).select(list(_KEPT))


def _with_parted(
    workspace: Workspace, computed: Computed, entity: Entity, told: pl.DataFrame, both: pl.DataFrame
) -> pl.DataFrame:
    """Add to the reasons of other types what became of the records that an entity lost."""
    types = told.filter(kind="type")
    if types.is_empty():
        return told
    before = both.join(types, on="external_id", how="semi").select("external_id", document="before")
    now = linked(computed).filter(entity=entity.value)
    lost = parted(workspace, read_fields(before, {"links": LINKS}), now).rename({"text": "lost"})
    more = pl.when(pl.col("kind") == "type").then("lost").fill_null([])
    joined = told.join(lost, on="external_id", how="left", maintain_order="left")
    return joined.with_columns(pl.concat_list("reasons", more).alias("reasons")).drop("lost")


def _switched(workspace: Workspace, computed: Computed) -> pl.DataFrame:
    """Give the signals that went on or off with their reasons and who they are about, as `outbox.SWITCHED`."""
    model = workspace.project.model
    found = [pl.DataFrame(schema=outbox.SWITCHED)]
    told = workspace.state.attempted_firings(computed.as_of)
    for entity in Entity:
        asking = Asking(model, entity, computed.as_of, workspace.project.timezone)
        about = ("name", "email") if entity is Entity.USER else ("name", "domain")
        population = computed.population.users if entity is Entity.USER else computed.population.accounts
        switched = pl.concat([computed.verdicts.switched[entity], _taken_back(told, computed, entity)]).join(
            population.select("external_id", *about), on="external_id", how="left", maintain_order="left"
        )
        rules = {signal.name: signal.rule for signal in model.signals_of(entity)}
        for (name, phase), rows in switched.group_by("signal", "phase", maintain_order=True):
            held = rows.with_columns(pl.lit([NO_LONGER], pl.List(pl.String)).alias("reasons"))
            if phase == "on":
                mine = rows.select("external_id").join(
                    frame_of(computed, entity), on="external_id", how="left", maintain_order="left"
                )
                text = because(mine, rules[str(name)], asking)
                held = rows.with_columns(pl.concat_list(text).alias("reasons"))
            held = held.with_columns(pl.lit(entity.value).alias("entity"))
            found.append(held.select(column for column in outbox.SWITCHED if column in held.columns))
    return pl.concat(found, how="diagonal")


def _taken_back(told: pl.DataFrame, computed: Computed, entity: Entity) -> pl.DataFrame:
    """Give the end of what fired in a run at the same instant, was told to somebody, and never was by this run."""
    frame = frame_of(computed, entity)
    mine = told.filter(entity=entity.value).select("external_id", "signal")
    on = frame.select("external_id", pl.col("signals").alias("signal")).explode("signal").drop_nulls()
    over = mine.join(on, on=["external_id", "signal"], how="anti").sort("signal", "external_id")
    schema = computed.verdicts.switched[entity].schema
    return over.with_columns(pl.lit("off").alias("phase"), at(computed.as_of).alias("episode")).select(
        pl.col(name).cast(dtype) for name, dtype in schema.items()
    )


def frame_of(computed: Computed, entity: Entity) -> pl.DataFrame:
    """Give the verdict rows of an entity."""
    return computed.verdicts.users if entity is Entity.USER else computed.verdicts.accounts


def linked(computed: Computed) -> pl.DataFrame:
    """Give the record of every linked user and account: entity, external_id, connector, object, record."""
    text = dict.fromkeys(("entity", "external_id", "connector", "object", "record"), pl.String)
    return pl.concat(
        [pl.DataFrame(schema=text)]
        + [
            found.links.select(
                pl.lit(computed.entities[connector, object_].value).alias("entity"),
                "external_id",
                pl.lit(connector).alias("connector"),
                pl.lit(object_).alias("object"),
                "record",
            )
            for (connector, object_), found in computed.matches.items()
        ]
    )


def benchmarks(last: Run | None, marks: Mapping[str, Benchmark]) -> Marks:
    """Give each score's benchmark in the last run, as far as it is kept, and now."""
    before = kept_benchmarks(last)
    return {name: (before.get(name), now) for name, now in benchmark_numbers(marks).items()}


def kept_benchmarks(run: Run | None) -> dict[str, float | None]:
    """Give the benchmarks that a run kept in its summary."""
    found: dict[str, float | None] = {} if run is None else run.summary.get("benchmarks", {})
    return found
