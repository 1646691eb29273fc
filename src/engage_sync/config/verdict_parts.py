"""The parts of `config/model.yaml` that define verdicts after the user types: stages, health, scores, segments, signals
and the model's own tests. Only their shape.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from engage_sync.config.parts import Constant, Definition, Duration, Exact, NonEmpty, PositiveDuration, Sentence

EntityName = Literal["user", "account"]

WHY = "One sentence for the people who read it as a reason, instead of the rule in words."


class StageStep(Definition):
    """One stage and the rule that opens it."""

    name: NonEmpty = Field(description="The stage's name.")
    when: str = Field(description="A rule. The last stage whose rule matches wins.")
    why: Sentence | None = Field(None, description=WHY)


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


class LongHealthRule(Definition):
    """A health rule with its reason."""

    when: str = Field(description="The rule.")
    why: Sentence | None = Field(None, description=WHY)


def _rule_form(value: object) -> str:
    return "long form" if isinstance(value, dict) else "short form"


HealthRule = Annotated[
    Annotated[str, Tag("short form")] | Annotated[LongHealthRule, Tag("long form")],
    Discriminator(_rule_form),
]


class HealthProfile(Definition):
    """The rules of one profile: any good one makes it good, any bad one bad, else it is normal."""

    good: list[HealthRule] = Field(
        default_factory=list,
        description="Rules of which one is enough to be good: each its text, or `{when: …, why: …}`.",
    )
    bad: list[HealthRule] = Field(
        default_factory=list, description="Rules of which one is enough to be bad, in the same way."
    )


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
    weight: Annotated[Exact, Field(gt=0, le=1_000_000)] = Field(
        Decimal(1), description="How much it counts; at most nine digits after the point."
    )
    why: Sentence | None = Field(None, description=WHY)


class ScoreDefinition(Definition):
    """A score of 0 to 100: `weighted` adds up events, `rules` adds up rules that match."""

    entity: EntityName = Field(description="What is scored. Weighted scores are of users; accounts get their mean.")
    kind: Literal["weighted", "rules"] = Field(description="How the score is made.")
    weights: dict[NonEmpty, Annotated[Exact, Field(ge=0, le=10)]] | None = Field(
        None,
        description="Weighted: names of events and their weight, 0 to 10, at most nine digits after the point. `*`, "
        "`?` and `[…]` are wildcards; an exact name counts before them, they count in the order of the file.",
    )
    window: PositiveDuration | None = Field(None, description="Weighted: how far back; default the activity window.")
    rules: list[ScoreRule] | None = Field(None, description="Rules: the rules and their weights.")


class SegmentDefinition(Definition):
    """A named group of users or accounts."""

    entity: EntityName = Field(description="What the segment holds.")
    where: str = Field(description="The rule of its members.")
    why: Sentence | None = Field(None, description=WHY)


class Webhook(Definition):
    """An HTTP call."""

    url: NonEmpty = Field(description="The address to call, http:// or https://; it may name secrets as `${NAME}`.")
    secret: NonEmpty | None = Field(
        None, description="The key of the signature, best named as `${NAME}` or `${file:/path}`."
    )


class FieldAction(Definition):
    """A CRM field to set."""

    connector: NonEmpty = Field(description="The connector's name.")
    field: NonEmpty = Field(description="The CRM field; none that `write` of that connector manages.")
    value: Constant | None = Field(description="The value to write; `null` clears the field.")


class Action(Definition):
    """One thing to do; exactly one of its keys."""

    crm_task: NonEmpty | None = Field(None, description="Create a task with this title in the CRM.")
    webhook: Webhook | None = Field(None, description="Call an address.")
    field: FieldAction | None = Field(None, description="Set a CRM field.")


class SignalDefinition(Definition):
    """Something that is switched on by a rule and does its actions once."""

    entity: EntityName = Field(description="What the signal is about.")
    when: str = Field(description="The rule that switches it on.")
    why: Sentence | None = Field(None, description=WHY)
    cooldown: Duration = Field(timedelta(0), description="How long it cannot fire again after it fired.")
    actions: list[Action] = Field(default_factory=list, description="What is done when it switches on.")
    clear_actions: list[Action] = Field(default_factory=list, description="What is done when it switches off.")


class Expectations(Definition):
    """What a test must give, by external id. Values are those of a row of `show`: `health: bad`, `scores: {use: 43}` or
    `scores.use: 43`, `segments: [at_risk]`. Only what is named is compared."""

    users: dict[NonEmpty, dict[NonEmpty, Any]] = Field(default_factory=dict, description="Expected values of users.")
    accounts: dict[NonEmpty, dict[NonEmpty, Any]] = Field(
        default_factory=dict, description="Expected values of accounts."
    )


class TestRecords(Definition):
    """The linked records of one connector, by the external id of whom they are linked to."""

    __test__ = False

    users: dict[NonEmpty, dict[NonEmpty, Any]] = Field(default_factory=dict, description="Fields of users' records.")
    accounts: dict[NonEmpty, dict[NonEmpty, Any]] = Field(
        default_factory=dict, description="Fields of accounts' records."
    )


class TestDefinition(Definition):
    """One example: messages, an instant, and what must come out."""

    __test__ = False

    name: NonEmpty = Field(description="What the example shows.")
    as_of: NonEmpty = Field(description="The instant it is computed for, ISO 8601.")
    messages: list[dict[str, Any]] = Field(default_factory=list, description="Messages in the shape of the import.")
    crm: dict[NonEmpty, TestRecords] = Field(
        default_factory=dict, description="Linked CRM records, by the connector's name; whoever has one is linked."
    )
    expect: Expectations = Field(default_factory=Expectations, description="What must come out.")
