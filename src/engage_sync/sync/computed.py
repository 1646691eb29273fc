"""What computing gives: everything that one instant says, before any plan. Holds values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.assess import Verdicts
from engage_sync.core.definitions import Entity
from engage_sync.core.matching import Matches
from engage_sync.core.population import Population

ObjectKey = tuple[str, str]
"""A connector's name and an object of it."""


@dataclass(frozen=True, slots=True)
class Computed:
    """Everything one `as_of` says, before any plan: what push, show and explain read.

    `records` are the live mirrored records of each object (`record`, `updated_at`, `crm.FIELD`…), `gone` those that
    vanished or were merged away (as `State.gone` gives them), `whole` the objects whose mirror is whole, `matches` who
    is who, `entities` which entity each object shows.
    """

    as_of: datetime
    population: Population
    verdicts: Verdicts
    records: Mapping[ObjectKey, pl.DataFrame]
    gone: Mapping[ObjectKey, pl.DataFrame]
    whole: frozenset[ObjectKey]
    matches: Mapping[ObjectKey, Matches]
    entities: Mapping[ObjectKey, Entity]
    counts: Mapping[str, int]
    newest_message_at: datetime | None
