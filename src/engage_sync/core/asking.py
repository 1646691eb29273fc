"""Asking rules of one entity's frame at one instant, as every verdict after the types does. It knows no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.columns import answers, inputs
from engage_sync.core.definitions import Entity, Model
from engage_sync.core.expressions import Expression


@dataclass(frozen=True, slots=True)
class Asking:
    """The model and the instant that rules of one entity are asked for."""

    model: Model
    entity: Entity
    as_of: datetime
    timezone: str

    def read(self, frame: pl.DataFrame, rules: Sequence[Expression]) -> pl.DataFrame:
        """Give the values that rules read, a column per name."""
        return inputs(frame, rules, self.model, self.entity, as_of=self.as_of, timezone=self.timezone)

    def each(self, frame: pl.DataFrame, rules: Sequence[Expression]) -> list[pl.Series]:
        """Ask rules of every row: a series for each, null where unknown."""
        return answers(self.read(frame, rules), rules) if rules else []

    def matched(self, frame: pl.DataFrame, rule: Expression) -> pl.Series:
        """Ask one rule of every row; unknown is not matched."""
        return self.each(frame, [rule])[0].fill_null(value=False)
