"""What a project declares, as frozen values: the model of `config/model.yaml`, the field maps of `connectors/*.yaml`.

Built by `config/` from text, read by every other room, and never changed. Durations are `timedelta`, names are the
text the user wrote, rules are parsed `Expression`s. Nothing here reads a file or the clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from engage_sync.core.entities import Entity
from engage_sync.core.expressions import Expression
from engage_sync.core.verdict_rules import BANDS, Band, Health, RuleScore, Score, Segment, Signal, Stages, WeightedScore

__all__ = [
    "Activity",
    "Brakes",
    "Entity",
    "InfluencerRule",
    "ManagedField",
    "Metric",
    "MetricKind",
    "Model",
    "ObjectMap",
    "OnDrift",
    "PowerRule",
    "Property",
    "ValueType",
]


class ValueType(StrEnum):
    """The type of a value as a CRM field or a declared property sees it."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    SELECT = "select"
    MULTISELECT = "multiselect"
    URL = "url"


class MetricKind(StrEnum):
    """The kinds of metric (semantics §6)."""

    COUNT = "count"
    ACTIVE_DAYS = "active_days"
    FIRST = "first"
    LAST = "last"
    DISTINCT = "distinct"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    AVG = "avg"
    ACTIVE_USERS = "active_users"


class OnDrift(StrEnum):
    """What to do when somebody else changed a managed field in the CRM (architecture §5, decision 0008)."""

    OVERWRITE = "overwrite"
    RESPECT = "respect"
    FILL_BLANK = "fill_blank"
    HUMAN_LOCK = "human_lock"


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared metric. `events` is a glob over event names; `value` is `event` or `properties.NAME`, for the kinds
    that read a value; `window` None means ever."""

    name: str
    entity: Entity
    kind: MetricKind
    events: str = "*"
    value: str | None = None
    where: Expression | None = None
    window: timedelta | None = None
    offset: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Activity:
    """Which event names count as activity (globs, `fnmatchcase`), and the activity window."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    window: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Property:
    """A declared property of a user or an account: from a trait (`connector` None, `path` the dotted trait path) or
    from the field `path` of the linked record in the connector named `connector`."""

    name: str
    entity: Entity
    path: str
    connector: str | None = None
    type: ValueType = ValueType.TEXT


@dataclass(frozen=True, slots=True)
class PowerRule:
    """Power users: `share` of the active users by `measure` (semantics §4)."""

    share: Decimal = Decimal("0.10")
    measure: str = "events"


@dataclass(frozen=True, slots=True)
class InfluencerRule:
    """Influencers: active, linked, and `where` (if given). `connectors` None means any connector."""

    where: Expression | None = None
    connectors: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """All of `config/model.yaml` but its tests. Scores, segments and signals are in file order."""

    activity: Activity = field(default_factory=Activity)
    attributed: bool = False
    """True for `account_activity: attributed`, False for `member_any`."""
    deactivated: Expression | None = None
    properties: tuple[Property, ...] = ()
    power: PowerRule = field(default_factory=PowerRule)
    influencer: InfluencerRule = field(default_factory=InfluencerRule)
    metrics: tuple[Metric, ...] = ()
    links: Mapping[Entity, str] = field(default_factory=dict)
    free_mail: frozenset[str] = frozenset()
    stages: Mapping[Entity, Stages] = field(default_factory=dict)
    health: Mapping[Entity, Health] = field(default_factory=dict)
    bands: tuple[Band, ...] = BANDS
    scores: tuple[Score, ...] = ()
    segments: tuple[Segment, ...] = ()
    signals: tuple[Signal, ...] = ()

    def weighted_scores(self) -> tuple[WeightedScore, ...]:
        """Give the weighted scores, in file order."""
        return tuple(score for score in self.scores if isinstance(score, WeightedScore))

    def scores_of(self, entity: Entity) -> tuple[Score, ...]:
        """Give the scores that an entity has: its rule scores, and every weighted one (accounts have the mean)."""
        return tuple(score for score in self.scores if not isinstance(score, RuleScore) or score.entity is entity)

    def segments_of(self, entity: Entity) -> tuple[Segment, ...]:
        """Give the segments of one entity, in file order."""
        return tuple(segment for segment in self.segments if segment.entity is entity)

    def signals_of(self, entity: Entity) -> tuple[Signal, ...]:
        """Give the signals of one entity, in file order."""
        return tuple(signal for signal in self.signals if signal.entity is entity)

    def metrics_of(self, entity: Entity) -> tuple[Metric, ...]:
        """Give the metrics declared for one entity, in file order."""
        return tuple(metric for metric in self.metrics if metric.entity is entity)

    def properties_of(self, entity: Entity) -> tuple[Property, ...]:
        """Give the properties declared for one entity, in file order."""
        return tuple(item for item in self.properties if item.entity is entity)


@dataclass(frozen=True, slots=True)
class ManagedField:
    """One CRM field that we write: `source` names the value (`user_types`, a bare metric, `scores.NAME`, …).

    For a constant or a template `source` is its text as written and `parts` what it is made of: texts at even places,
    names of values at odd ones; `("Plan: ", "plan", "")`. A constant is one part. Empty for a plain source.
    """

    field: str
    source: str
    type: ValueType
    on_drift: OnDrift = OnDrift.OVERWRITE
    options: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    lock: timedelta = timedelta(0)
    """How long a person's value stays, where `on_drift` is HUMAN_LOCK."""


@dataclass(frozen=True, slots=True)
class ObjectMap:
    """One object of a connector: which entity it shows, how it is matched, what is read and what is written.

    `match_external_id`, `match_email`, `match_domain` are CRM field names or None. `only` is the segment of the entity
    whose members' records alone are written (decision 0012), None: all.
    """

    connector: str
    object: str
    entity: Entity
    match_external_id: str | None = None
    match_email: str | None = None
    match_domain: str | None = None
    read: tuple[str, ...] = ()
    write: tuple[ManagedField, ...] = ()
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Brakes:
    """The limits that hold a run (architecture §6). `max_event_age` None switches that brake off."""

    max_event_age: timedelta | None = timedelta(hours=24)
    max_change_share: float = 0.3
    max_clear_share: float = 0.1
    min_records: int = 100
    max_gone_share: float = 0.1
    max_inactive_share: float = 0.3
