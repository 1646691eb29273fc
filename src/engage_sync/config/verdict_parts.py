"""The parts of `config/model.yaml` that define verdicts after the user types: stages, health, scores, segments, signals
and the model's own tests. Only their shape.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from engage_sync.config.parts import Definition, Duration, NonEmpty, PositiveDuration

EntityName = Literal["user", "account"]


class StageStep(Definition):
    """One stage and the rule that opens it."""

    name: NonEmpty = Field(description="The stage's name.")
    when: str = Field(description="A rule. The last stage whose rule matches wins.")


class MonotonicStages(Definition):
    """Stages that are never left backwards."""

    monotonic: bool = Field(False, description="True: nobody moves back to an earlier stage.")
    steps: list[StageStep] = Field(description="The stages, first to last.")


def _stages_form(value: object) -> str:
    return "steps form" if isinstance(value, dict) else "list form"


Stages = Annotated[
    Annotated[list[StageStep], Tag("list form")] | Annotated[MonotonicStages, Tag("steps form")],
    Discriminator(_stages_form),
]


class StagesSection(Definition):
    """Stages per entity."""

    user: Stages = Field(default_factory=list, description="Stages of users.")
    account: Stages = Field(default_factory=list, description="Stages of accounts.")


class HealthProfile(Definition):
    """The rules of one profile: any good one makes it good, any bad one bad, else it is normal."""

    good: list[str] = Field(default_factory=list, description="Rules of which one is enough to be good.")
    bad: list[str] = Field(default_factory=list, description="Rules of which one is enough to be bad.")


class HealthDefinition(Definition):
    """Health of one entity."""

    default: HealthProfile | None = Field(None, description="The profile of every stage that has none of its own.")
    stages: dict[NonEmpty, HealthProfile] = Field(default_factory=dict, description="Profiles by stage name.")
    precedence: Literal["good_first", "bad_first"] = Field("good_first", description="Which rules are asked first.")
    grace: Duration = Field(timedelta(0), description="Younger entities have unknown health.")
    confirm: int = Field(1, ge=1, description="How many runs in a row must agree before health moves.")


class HealthSection(Definition):
    """Health per entity."""

    user: HealthDefinition | None = Field(None, description="Health of users.")
    account: HealthDefinition | None = Field(None, description="Health of accounts.")


class ScoreRule(Definition):
    """One rule of a rule score."""

    name: NonEmpty = Field(description="What the rule says, for people.")
    when: str = Field(description="The rule.")
    weight: float = Field(1, gt=0, description="How much it counts.")


class ScoreDefinition(Definition):
    """A score of 0 to 100: `weighted` adds up events, `rules` adds up rules that match."""

    entity: EntityName = Field(description="What is scored. Weighted scores are of users; accounts get their mean.")
    kind: Literal["weighted", "rules"] = Field(description="How the score is made.")
    weights: dict[NonEmpty, Annotated[float, Field(ge=0, le=10)]] | None = Field(
        None, description="Weighted: names of events (wildcards allowed) and their weight, 0 to 10."
    )
    window: PositiveDuration | None = Field(None, description="Weighted: how far back; default the activity window.")
    rules: list[ScoreRule] | None = Field(None, description="Rules: the rules and their weights.")


class SegmentDefinition(Definition):
    """A named group of users or accounts."""

    entity: EntityName = Field(description="What the segment holds.")
    where: str = Field(description="The rule of its members.")


class Webhook(Definition):
    """An HTTP call."""

    url: NonEmpty = Field(description="The address to call.")
    secret: NonEmpty | None = Field(None, description="The key of the signature; write it as `${NAME}`.")


class FieldAction(Definition):
    """A CRM field to set."""

    connector: NonEmpty = Field(description="The connector's name.")
    field: NonEmpty = Field(description="The CRM field.")
    value: str | int | float | bool | None = Field(description="The value to write.")


class Action(Definition):
    """One thing to do; exactly one of its keys."""

    crm_task: NonEmpty | None = Field(None, description="Create a task with this title in the CRM.")
    webhook: Webhook | None = Field(None, description="Call an address.")
    field: FieldAction | None = Field(None, description="Set a CRM field.")


class SignalDefinition(Definition):
    """Something that is switched on by a rule and does its actions once."""

    entity: EntityName = Field(description="What the signal is about.")
    when: str = Field(description="The rule that switches it on.")
    cooldown: Duration = Field(timedelta(0), description="How long it cannot fire again.")
    actions: list[Action] = Field(default_factory=list, description="What is done when it switches on.")
    clear_actions: list[Action] = Field(default_factory=list, description="What is done when it switches off.")


class Expectations(Definition):
    """What a test must give, by external id."""

    users: dict[NonEmpty, dict[str, Any]] = Field(default_factory=dict, description="Expected values of users.")
    accounts: dict[NonEmpty, dict[str, Any]] = Field(default_factory=dict, description="Expected values of accounts.")


class TestDefinition(Definition):
    """One example: messages, an instant, and what must come out."""

    __test__ = False

    name: NonEmpty = Field(description="What the example shows.")
    as_of: NonEmpty = Field(description="The instant it is computed for, ISO 8601.")
    messages: list[Any] = Field(default_factory=list, description="Messages in the shape of the import.")
    expect: Expectations = Field(default_factory=Expectations, description="What must come out.")
