"""The health bar and the stage bar: how many users or accounts stand where, and their MRR (semantics §8). The health
bar ignores stages; the stage bar counts health within each stage. Counts verdicts that are there; it decides none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.accounts import money
from engage_sync.core.definitions import Entity
from engage_sync.sync.rows import iso_text
from engage_sync.sync.views import Json, Shown, show
from engage_sync.sync.wiring import Workspace

HEALTH = ("good", "normal", "bad", "unknown")
"""The values of a health. Who has none at all is counted under `none`."""

_ORDER = (Entity.ACCOUNT, Entity.USER)
_STAGE_KEYS = ("stage", "count", "mrr", *HEALTH, "none")
_SCHEMA: Mapping[str, pl.DataType] = {
    "stage": pl.String(),
    "count": pl.Int64(),
    "mrr": pl.Float64(),
    **{name: pl.Int64() for name in (*HEALTH, "none")},
    **{f"{name}_mrr": pl.Float64() for name in (*HEALTH, "none")},
}


@dataclass(frozen=True, slots=True)
class Bars:
    """Who stands where at one `as_of`, by entity; an entity that has no such verdict in the model is not there.

    Each frame is `stage`, `count`, `mrr` (the sum of what is known; null where nothing is), then for each health, and
    for `none`, a count and `HEALTH_mrr`. The health bar is one row with no stage; the stage bar has a row for each
    stage in the model's order, then one for those without a stage.
    """

    run: int | None
    as_of: datetime
    frames: Mapping[Entity, pl.DataFrame]


def health(workspace: Workspace, as_of: datetime | None, *, everyone: bool = False) -> Bars:
    """Count everybody by health. Accounts are always there, users where the model declares a health of users."""
    return _bars(workspace, as_of, staged=False, everyone=everyone)


def stages(workspace: Workspace, as_of: datetime | None, *, everyone: bool = False) -> Bars:
    """Count everybody by stage, and by health within it. Users are there where the model declares stages of users."""
    return _bars(workspace, as_of, staged=True, everyone=everyone)


def _bars(workspace: Workspace, as_of: datetime | None, *, staged: bool, everyone: bool) -> Bars:
    model = workspace.project.model
    counted = _by_stage if staged else _by_health
    accounts = show(workspace, Entity.ACCOUNT, as_of)
    frames = {Entity.ACCOUNT: counted(workspace, accounts)}
    if Entity.USER in (model.stages if staged else model.health):
        # Of the same run, even if a newer one has been recorded meanwhile.
        frames[Entity.USER] = counted(workspace, show(workspace, Entity.USER, accounts.as_of, everyone=everyone))
    return Bars(accounts.run, accounts.as_of, frames)


def _facts(workspace: Workspace, shown: Shown) -> pl.DataFrame:
    """Give stage, health and MRR of everybody: an account's own, a user's from its accounts."""
    if shown.entity is Entity.USER:
        return shown.frame.select("stage", "health", pl.col("mrr").cast(pl.Float64))
    mrr = money(workspace.project.model, workspace.project.timezone)["mrr"].cast(pl.Float64)
    return shown.frame.select("stage", "health", mrr=mrr)


def _by_health(workspace: Workspace, shown: Shown) -> pl.DataFrame:
    found = _facts(workspace, shown).select(pl.lit(None, pl.String).alias("stage"), *_figures())
    return found.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())


def _by_stage(workspace: Workspace, shown: Shown) -> pl.DataFrame:
    """Give a row per stage. A stage that the model no longer has comes behind those it has."""
    counted = _facts(workspace, shown).group_by("stage").agg(*_figures())
    declared = workspace.project.model.stages.get(shown.entity)
    names = [] if declared is None else [step.name for step in declared.steps]
    former = sorted(set(counted["stage"].drop_nulls()) - set(names))
    order = pl.DataFrame({"stage": [*names, *former, None]}, schema={"stage": pl.String})
    rows = order.join(counted, on="stage", how="left", nulls_equal=True, maintain_order="left")
    counts = ("count", *HEALTH, "none")
    filled = rows.with_columns(pl.col(name).fill_null(0) for name in counts)
    return filled.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())


def _figures() -> list[pl.Expr]:
    held = {name: pl.col("health").eq_missing(pl.lit(None if name == "none" else name)) for name in (*HEALTH, "none")}
    return [
        pl.len().alias("count"),
        _known_sum(pl.col("mrr")).alias("mrr"),
        *(here.sum().alias(name) for name, here in held.items()),
        *(_known_sum(pl.col("mrr").filter(here)).alias(f"{name}_mrr") for name, here in held.items()),
    ]


def _known_sum(column: pl.Expr) -> pl.Expr:
    """Add up what is known; null where nothing is."""
    return pl.when(column.count() > 0).then(column.sum())


def health_json(bars: Bars) -> Json:
    """Give the answer of `show health`: `accounts` and `users` map each health, and `none`, to `count` and `mrr`."""
    return {**_when(bars), **{f"{entity}s": _health_of(bars.frames.get(entity)) for entity in _ORDER}}


def stages_json(bars: Bars) -> Json:
    """Give the answer of `show stages`: `accounts` and `users` list the stages in order, those without one last."""
    return {**_when(bars), **{f"{entity}s": _stages_of(bars.frames.get(entity)) for entity in _ORDER}}


def health_rows(bars: Bars) -> pl.DataFrame:
    """Give the health bar as rows: entity, health (null: none), count, mrr."""
    return pl.concat(
        pl.DataFrame(
            {
                "entity": entity.value,
                "health": None if name == "none" else name,
                "count": frame[name],
                "mrr": frame[f"{name}_mrr"],
            },
            schema={"entity": pl.String, "health": pl.String, "count": pl.Int64, "mrr": pl.Float64},
        )
        for entity, frame in bars.frames.items()
        for name in (*HEALTH, "none")
    )


def stage_rows(bars: Bars) -> pl.DataFrame:
    """Give the stage bar as rows: entity, stage, count, mrr, and a count for each health."""
    frames = bars.frames.items()
    return pl.concat(frame.select(pl.lit(entity.value).alias("entity"), *_STAGE_KEYS) for entity, frame in frames)


def _when(bars: Bars) -> dict[str, Json]:
    return {"run": bars.run, "as_of": iso_text(bars.as_of)}


def _health_of(frame: pl.DataFrame | None) -> Json:
    if frame is None:
        return None
    row = frame.row(0, named=True)
    return {name: {"count": row[name], "mrr": row[f"{name}_mrr"]} for name in (*HEALTH, "none")}


def _stages_of(frame: pl.DataFrame | None) -> Json:
    return None if frame is None else frame.select(_STAGE_KEYS).to_dicts()
