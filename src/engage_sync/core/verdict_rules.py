"""What a model declares about the verdicts after the user types: stages, health, scores, bands, segments and signals,
as frozen values with their rules already parsed (semantics §7). Built by `config/`, read by every other room. Nothing
here evaluates a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TypeAlias

from engage_sync.core.entities import Entity
from engage_sync.core.expressions import Expression


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and what it is called: a stage, a rule of a score, a segment, a signal; for health the text of the rule.

    `why` is the project's own sentence for people, None where it has none.
    """

    name: str
    when: Expression
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of one entity, first to last; the last that matches wins. `monotonic`: nobody moves back."""

    steps: tuple[Rule, ...] = ()
    monotonic: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The health rules of one stage, or of all that have none of their own."""

    good: tuple[Rule, ...] = ()
    bad: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """How one entity's health is decided. `stages` maps a stage's name to its profile; without one `default` counts.

    Entities younger than `grace` are unknown; a new value moves when `confirm` runs in a row agree.
    """

    default: Profile | None = None
    stages: Mapping[str, Profile] = field(default_factory=dict)
    bad_first: bool = False
    grace: timedelta = timedelta(0)
    confirm: int = 1


@dataclass(frozen=True, slots=True)
class WeightedScore:
    """A score of users from the events they did: `weights` maps globs, exact names too, to whole numbers, `scale` times
    the weights as written, so that sums are exact. In file order; an exact name counts before globs."""

    name: str
    weights: tuple[tuple[str, int], ...]
    window: timedelta
    scale: int = 1

    @property
    def entity(self) -> Entity:
        """Weighted scores are of users; accounts show their mean and sum."""
        return Entity.USER


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """One rule of a rule score. The weight is exactly what was written."""

    rule: Rule
    weight: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class RuleScore:
    """A score from rules: the share of the known weight that matched."""

    name: str
    entity: Entity
    rules: tuple[ScoreRule, ...]


Score: TypeAlias = WeightedScore | RuleScore


@dataclass(frozen=True, slots=True)
class Band:
    """A band of scores, from `start` (included) up to the next band's start."""

    name: str
    start: float


BANDS = (Band("high", 75), Band("medium", 50), Band("low", 25), Band("minimal", 0))


@dataclass(frozen=True, slots=True)
class Segment:
    """A named group of users or accounts."""

    rule: Rule
    entity: Entity

    @property
    def name(self) -> str:
        """The segment's name."""
        return self.rule.name


@dataclass(frozen=True, slots=True)
class TaskAction:
    """Create a task with this title on the entity's record in each CRM that has one."""

    title: str


@dataclass(frozen=True, slots=True)
class WebhookAction:
    """Call an address. `url` and `secret` may name secrets (`${NAME}`), which are looked up at the call."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FieldAction:
    """Set a field of the entity's record in one CRM to a canonical text; None clears it."""

    connector: str
    field: str
    value: str | None


Action: TypeAlias = TaskAction | WebhookAction | FieldAction


@dataclass(frozen=True, slots=True)
class Signal:
    """A state machine per entity: off → on does `actions`, on → off does `clear_actions`, each once; it does not fire
    again within `cooldown` after it fired."""

    rule: Rule
    entity: Entity
    cooldown: timedelta = timedelta(0)
    actions: tuple[Action, ...] = ()
    clear_actions: tuple[Action, ...] = ()

    @property
    def name(self) -> str:
        """The signal's name."""
        return self.rule.name
