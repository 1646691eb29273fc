"""The definition of `config/model.yaml`: what the numbers mean. Only the shape of the file; names, rules and clashes
are checked by `model.py` and `verdicts.py` when every file is known.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from engage_sync.config.parts import Definition, Exact, NonEmpty, PositiveDuration
from engage_sync.config.verdict_parts import (
    HealthSection,
    ScoreDefinition,
    SegmentDefinition,
    SignalDefinition,
    StagesSection,
    TestDefinition,
)

PropertyType = Literal["text", "number", "boolean", "date", "datetime"]


class ActivitySection(Definition):
    """Which events count as somebody being active."""

    include: list[NonEmpty] = Field(
        default_factory=lambda: ["*"],
        description="Names of events that are activity; `*`, `?` and `[…]` are wildcards.",
    )
    exclude: list[NonEmpty] = Field(default_factory=list, description="Names among them that are not.")
    window: PositiveDuration = Field(timedelta(days=30), description="How far back activity counts as being active.")


class LongProperty(Definition):
    """A property with its type."""

    from_: NonEmpty = Field(
        alias="from", description="`traits.PATH`, or `crm.NAME.FIELD` for a field read by connectors/NAME.yaml."
    )
    type: PropertyType = Field("text", description="How the text is read.")


def _form(value: object) -> str:
    return "long form" if isinstance(value, dict) else "short form"


PropertySource = Annotated[
    Annotated[str, Tag("short form")] | Annotated[LongProperty, Tag("long form")],
    Discriminator(_form),
]


class PropertiesSection(Definition):
    """The properties that rules, metrics and fields may name."""

    user: dict[NonEmpty, PropertySource] = Field(
        default_factory=dict, description="Properties of users: `NAME: traits.PATH`, or `{from: …, type: …}`."
    )
    account: dict[NonEmpty, PropertySource] = Field(
        default_factory=dict,
        description="Properties of accounts. `seats`, `mrr` and `renewal_date` have a meaning of their own.",
    )


class PowerSection(Definition):
    """Who is a power user."""

    share: Annotated[Exact, Field(ge=0, le=1)] = Field(
        Decimal("0.10"), description="The share of the active users that are power users at most."
    )
    measure: NonEmpty = Field("events", description="What ranks them: `events`, `active_days` or a user metric.")


class InfluencerSection(Definition):
    """Who is an influencer, beside being active and having a live contact in a CRM."""

    where: str | None = Field(None, description="A rule over the user's properties, metrics and built-ins.")
    connectors: list[NonEmpty] | None = Field(None, description="The connectors whose contacts count; default all.")


class UserTypesSection(Definition):
    """The two user types that a project can tune."""

    power: PowerSection = Field(default_factory=PowerSection, description="Power users.")
    influencer: InfluencerSection = Field(default_factory=InfluencerSection, description="Influencers.")


class MetricDefinition(Definition):
    """One metric: exactly one of the kinds, then what narrows it."""

    count: NonEmpty | None = Field(None, description="How many events of this name (wildcards allowed).")
    active_days: NonEmpty | None = Field(None, description="On how many calendar days there were such events.")
    first: NonEmpty | None = Field(None, description="The instant of the first such event.")
    last: NonEmpty | None = Field(None, description="The instant of the last such event.")
    distinct: NonEmpty | None = Field(None, description="How many different values: `event` or `properties.NAME`.")
    sum: NonEmpty | None = Field(None, description="The sum of `properties.NAME`.")
    min: NonEmpty | None = Field(None, description="The least `properties.NAME`.")
    max: NonEmpty | None = Field(None, description="The greatest `properties.NAME`.")
    avg: NonEmpty | None = Field(None, description="The mean of `properties.NAME`.")
    active_users: NonEmpty | None = Field(None, description="Accounts only: how many users had such events.")
    event: NonEmpty | None = Field(None, description="For distinct, sum, min, max, avg: which events (default all).")
    where: str | None = Field(None, description="A rule over `event`, `kind` and `properties.NAME`.")
    window: PositiveDuration | None = Field(None, description="How far back; without it, ever.")
    offset: PositiveDuration | None = Field(None, description="Moves the window back, e.g. to the week before.")


class MetricsSection(Definition):
    """The metrics, each by its name."""

    user: dict[NonEmpty, MetricDefinition] = Field(default_factory=dict, description="Metrics of users.")
    account: dict[NonEmpty, MetricDefinition] = Field(default_factory=dict, description="Metrics of accounts.")


class LinksSection(Definition):
    """The addresses behind the value `link`."""

    user: NonEmpty | None = Field(None, description="A user's page; `{external_id}` stands for the id.")
    account: NonEmpty | None = Field(None, description="An account's page; `{external_id}` stands for the id.")


class ModelFile(Definition):
    """`config/model.yaml`: what the numbers mean."""

    activity: ActivitySection = Field(default_factory=ActivitySection, description="What counts as being active.")
    deactivated: str | None = Field(
        None, description="A rule over user properties from traits: such users have left and get no verdict."
    )
    account_activity: Literal["member_any", "attributed"] = Field(
        "member_any",
        description="`member_any`: any activity of a member makes the account active; `attributed`: only activity "
        "that names the account.",
    )
    bands: dict[NonEmpty, float] | None = Field(
        None, description="Names of score bands and where each starts; default high 75, medium 50, low 25, minimal 0."
    )
    properties: PropertiesSection = Field(default_factory=PropertiesSection, description="Properties by name.")
    user_types: UserTypesSection = Field(default_factory=UserTypesSection, description="Power users and influencers.")
    metrics: MetricsSection = Field(default_factory=MetricsSection, description="Metrics by name.")
    stages: StagesSection = Field(default_factory=StagesSection, description="Lifecycle stages, first to last.")
    health: HealthSection = Field(default_factory=HealthSection, description="When somebody is good or bad.")
    scores: dict[NonEmpty, ScoreDefinition] = Field(default_factory=dict, description="Scores by name.")
    segments: dict[NonEmpty, SegmentDefinition] = Field(default_factory=dict, description="Segments by name.")
    signals: dict[NonEmpty, SignalDefinition] = Field(default_factory=dict, description="Signals by name.")
    tests: list[TestDefinition] = Field(default_factory=list, description="Examples with what they must give.")
    links: LinksSection = Field(default_factory=LinksSection, description="Addresses of a user's or account's page.")
