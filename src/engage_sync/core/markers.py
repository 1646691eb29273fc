"""Markers: for each rule that was evaluated its place in the model, whether it matched, and the values that it read
(semantics §7), for one user or account. Decides nothing anew: it asks the same rules of the same values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.definitions import Entity
from engage_sync.core.reasons import profiles
from engage_sync.core.verdict_rules import Rule, RuleScore, Stages


@dataclass(frozen=True, slots=True)
class Marker:
    """One rule as it was answered for one row. `matched` None: unknown, which counts as not matched. `place` says which
    verdict it belongs to (`health`, `scores.adoption`) and `part` where there (`good`, `bad`, a stage's name)."""

    place: str
    part: str
    name: str
    rule: str
    why: str | None
    matched: bool | None
    values: dict[str, object]
    weight: float | None = None


def markers(frame: pl.DataFrame, asking: Asking) -> Iterator[Marker]:
    """Give the markers of the first row, in the order in which the verdicts are decided. Profiles of other stages are
    left out."""
    row = frame.head(1)
    for place, part, rule, weight in _asked(row, asking):
        read = asking.read(row, [rule.when])
        yield Marker(
            place=place,
            part=part,
            name=rule.name,
            rule=rule.when.text,
            why=rule.why,
            matched=asking.each(row, [rule.when])[0][0],
            values={name: read[name][0] for name in sorted(rule.when.names)},
            weight=weight,
        )


def _asked(row: pl.DataFrame, asking: Asking) -> Iterator[tuple[str, str, Rule, float | None]]:
    model, entity = asking.model, asking.entity
    if entity is Entity.USER and model.influencer.where is not None:
        yield "influencer", "where", Rule(model.influencer.where.text, model.influencer.where), None
    for step in reversed(model.stages.get(entity, Stages()).steps):
        yield "stage", step.name, step, None
    health = model.health.get(entity)
    if health is not None:
        for _, profile, mine in profiles(health):
            if row.select(mine.fill_null(value=False).alias("mine"))["mine"][0]:
                yield from (("health", "good", rule, None) for rule in profile.good)
                yield from (("health", "bad", rule, None) for rule in profile.bad)
    for score in model.scores_of(entity):
        if isinstance(score, RuleScore):
            yield from ((f"scores.{score.name}", one.rule.name, one.rule, float(one.weight)) for one in score.rules)
    for segment in model.segments_of(entity):
        yield f"segments.{segment.name}", segment.name, segment.rule, None
    for signal in model.signals_of(entity):
        yield f"signals.{signal.name}", signal.name, signal.rule, None
