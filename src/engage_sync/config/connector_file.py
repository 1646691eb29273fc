"""The definition of `connectors/NAME.yaml`: one CRM account, facts only. The keys that belong to the connector itself
(`auth`, `base_url`, …) come from its own settings model and are not listed here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from engage_sync.config.drift_policy import DriftPolicy
from engage_sync.config.parts import Constant, Definition, NonEmpty, Schedule
from engage_sync.config.verdict_parts import EntityName

FieldType = Literal["text", "long_text", "number", "boolean", "date", "datetime", "select", "multiselect", "url"]


class ScheduleSection(Definition):
    """When the daemon works, in the project's time zone."""

    pull: Schedule = Field("15m", description="How often changes are pulled: an interval like 15m, or a cron line.")
    push: Schedule = Field("1h", description="How often values are computed and pushed.")


class LimitsSection(Definition):
    """How much of the CRM may be used."""

    daily_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="The share of the CRM's own daily quota at which we stop, the calls of all integrations counted: "
        "the rest is theirs. When it does not do, the records that matter most are written first.",
    )
    verify: Literal["sample", "all", "none"] = Field(
        "sample",
        description="Which of the records that a push wrote are read back and compared: up to 100 of each object, all, "
        "or none.",
    )


class MatchSection(Definition):
    """The CRM fields by which a record finds its user or account, tried in this order."""

    external_id: NonEmpty | None = Field(None, description="The field that holds the external id.")
    email: NonEmpty | None = Field(None, description="Users: the field that holds the e-mail address.")
    domain: NonEmpty | None = Field(None, description="Accounts: the field that holds the domain.")


class LongField(Definition):
    """A field to write, with what is special about it: exactly one of `from`, `value` and `template`."""

    from_: NonEmpty | None = Field(
        None, alias="from", description="The value: a verdict, metric, property or built-in (see model.md)."
    )
    value: Constant | None = Field(None, description="The same for all: a text, a number, `true` or `false`.")
    template: NonEmpty | None = Field(
        None,
        description='Text with values in it, like `"{name}: {stage}, {health}"`; `{{` and `}}` are braces. A '
        "value that is empty leaves its place empty.",
    )
    on_drift: DriftPolicy = Field(
        "overwrite",
        description="When somebody else changed the field: write ours again; leave theirs (`respect`); write only into "
        "an empty field (`fill_blank`); leave a person's value for a time (`human_lock: 30d`).",
    )
    type: FieldType | None = Field(None, description="The type of the CRM field; default by the value.")


def _form(value: object) -> str:
    return "long form" if isinstance(value, dict) else "short form"


FieldSource = Annotated[
    Annotated[str, Tag("short form")] | Annotated[LongField, Tag("long form")],
    Discriminator(_form),
]


class ObjectDefinition(Definition):
    """One object of the CRM: what it shows, how records are matched, what is read and what is written."""

    entity: EntityName = Field(description="Whose values the object shows.")
    match: MatchSection = Field(default_factory=MatchSection, description="How records are matched.")
    read: list[NonEmpty] = Field(default_factory=list, description="Further fields to read.")
    only: NonEmpty | None = Field(
        None,
        description="A segment of the model: only the records of its members are written, all others stay as they are. "
        "For going live with some of them first.",
    )
    write: dict[NonEmpty, FieldSource] = Field(
        default_factory=dict,
        description="The fields we keep true: `FIELD: VALUE`, or `{from: …, on_drift: …}`; model.md lists the values.",
    )


class ConnectorDefinition(Definition):
    """`connectors/NAME.yaml`: one CRM account."""

    connector: NonEmpty = Field("", description="The type of connector.")
    schedule: ScheduleSection = Field(default_factory=ScheduleSection, description="When it runs in the background.")
    limits: LimitsSection = Field(default_factory=LimitsSection, description="How much of the CRM may be used.")
    objects: dict[NonEmpty, ObjectDefinition] = Field(default_factory=dict, description="The objects by name.")


OWN_KEYS = tuple(ConnectorDefinition.model_fields)
"""The keys of a connector file that are not settings of the connector."""
