"""Whose records of an object may be written, as the newest recorded verdicts say: for what is not planned with a run's
own verdicts, the actions of signals and `explain` (decision 0012). Reads the state and calls nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.core.definitions import ObjectMap
from engage_sync.state.store import State
from engage_sync.sync.documents import read_fields

_SEGMENTS = {"segments": pl.List(pl.String)}


def recorded_members(state: State, object_map: ObjectMap, ids: Sequence[str]) -> pl.Series | None:
    """Give those of some external ids whose records may be written; None: everybody's."""
    if object_map.only is None:
        return None
    found = read_fields(state.verdicts(object_map.entity, ids=ids), _SEGMENTS)
    return found.filter(pl.col("segments").list.contains(object_map.only))["external_id"]


def within(state: State, object_map: ObjectMap, links: pl.DataFrame) -> pl.DataFrame:
    """Give the links (with external_id) of those whose records may be written."""
    ids = recorded_members(state, object_map, links["external_id"].unique().to_list())
    return links if ids is None else links.filter(pl.col("external_id").is_in(ids.implode()))
