"""The definition of `config/engage.yaml`: where a project keeps its data, its time zone, its brakes, its server, and
how it works in the background.

Only the shape of the file; paths are resolved and secrets looked up by `project.py`.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from engage_sync.config.parts import Definition, Duration, NonEmpty, PositiveDuration, Schedule

Engine = Literal[
    "duckdb", "spark", "pyspark", "postgres", "bigquery", "snowflake", "trino", "clickhouse", "databricks", "athena",
    "datafusion", "druid", "exasol", "flink", "impala", "materialize", "mssql", "mysql", "oracle", "polars",
    "risingwave", "singlestoredb", "sqlite",
]  # fmt: skip
ENGINES: tuple[str, ...] = get_args(Engine)

DATABASE_SCHEMES = ("sqlite:///", "postgresql+psycopg://", "postgresql://")


def _database(value: str) -> str:
    """Accept a database URL, or a text that a secret completes. The text itself may hold a password: never shown."""
    if not value.startswith((*DATABASE_SCHEMES, "${")):
        raise PydanticCustomError("database", "must start with sqlite:/// or postgresql+psycopg://")
    if value in {"sqlite:///", "sqlite:///:memory:"}:
        raise PydanticCustomError("database", "must name a file, like sqlite:///var/engage.db")
    return value


def timezone_name(value: str) -> str:
    """Accept the name of a time zone. Raises ValueError that says the nearest right name."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        close = difflib.get_close_matches(value, sorted(available_timezones()), n=1, cutoff=0.6)
        hint = f"did you mean `{close[0]}`?" if close else "write a name like UTC or Europe/Berlin"
        raise PydanticCustomError(
            "timezone", "`{zone}` is no time zone; {hint}", {"zone": value, "hint": hint}
        ) from None
    return value


class EventsSection(Definition):
    """The event store and the engine that measures it."""

    store: NonEmpty = Field(
        "var/events",
        description="The Delta table of events: a folder (relative to the project) or s3://…, gs://…, az://….",
    )
    engine: Engine = Field("duckdb", description="The Ibis backend that measures the events.")
    engine_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Options handed to the engine as they are, e.g. `memory_limit: 2GB`."
    )


class BrakesSection(Definition):
    """The limits that hold a run before it touches a CRM."""

    max_event_age: Duration | None = Field(
        timedelta(hours=24),
        description="Hold when the newest message is older than this at `as_of`, and when an event that came in each of"
        " the 14 spans of this length before stays away in the newest. Empty switches both off.",
    )
    max_change_share: float = Field(
        0.3, ge=0, le=1, description="Hold when more than this share of the records written before would change."
    )
    max_clear_share: float = Field(
        0.1, ge=0, le=1, description="Hold when more than this share of the records written before would be emptied."
    )
    max_gone_share: float = Field(
        0.1, ge=0, le=1, description="Hold when more than this share of the records of the last push is gone."
    )
    max_inactive_share: float = Field(
        0.3, ge=0, le=1, description="Hold when more than this share of the users active at the last push is not now."
    )
    min_records: int = Field(100, ge=0, description="Below this many records, or active users, all shares are off.")


class ServerSection(Definition):
    """Where the HTTP faces listen."""

    host: NonEmpty = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 takes any free one.")


class DaemonSection(Definition):
    """How `engage-sync daemon` works in the background, beside the connectors' own schedules."""

    lease: PositiveDuration = Field(
        timedelta(seconds=15),
        description="How long the daemon's lease holds without renewal: a standby takes over when it ends.",
    )
    jitter: Duration = Field(
        timedelta(seconds=10),
        description="Each start is put off by up to this long: projects do not all begin at once.",
    )
    compute: PositiveDuration = Field(
        timedelta(minutes=15),
        description="New events, new records or a new day are computed at most this often; a push computes anyway.",
    )
    reconcile: Schedule | None = Field(
        "15 3 * * *", description="When every record is compared with the CRM. Empty: never."
    )
    compact: Schedule | None = Field("45 3 * * *", description="When the event store is compacted. Empty: never.")
    keep: Duration | None = Field(None, description="How long compacting keeps events, e.g. `400d`. Empty: for ever.")
    time_limit: PositiveDuration = Field(
        timedelta(hours=2), description="A job that takes longer is ended; what it did is kept, the next one goes on."
    )


class MailSection(Definition):
    """Where alerts are mailed."""

    smtp: NonEmpty = Field(
        description="The server: `smtp://HOST:25`, `smtp+starttls://USER:${PASSWORD}@HOST:587` or `smtps://…:465`."
    )
    sender: NonEmpty = Field(alias="from", description="The address that the mail is from.")
    to: list[NonEmpty] = Field(min_length=1, description="Who gets it.")


class AlertsSection(Definition):
    """Who is told when the daemon begins to fail, and when it has recovered."""

    webhook: NonEmpty | None = Field(
        None, description='A URL that gets `{"text": …}`, as Slack\'s incoming webhooks do, e.g. `${SLACK_WEBHOOK}`.'
    )
    mail: MailSection | None = Field(None, description="Mail beside it, or instead.")
    missed: PositiveDuration = Field(
        timedelta(hours=1),
        description="A job that is so late counts as missed, a cursor that stands so long as stalled.",
    )


class LogsSection(Definition):
    """How the daemon logs, on stderr."""

    format: Literal["auto", "json", "terminal"] = Field(
        "auto", description="JSON lines, or lines for a person; `auto`: JSON where stderr is no terminal."
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")


class TelemetrySection(Definition):
    """Where traces go."""

    endpoint: NonEmpty | None = Field(
        None, description="An OpenTelemetry collector that takes OTLP over HTTP, e.g. `http://127.0.0.1:4318`."
    )


class EngageFile(Definition):
    """`config/engage.yaml`: where this project keeps its data, its time zone, its brakes and its server."""

    database: Annotated[str, AfterValidator(_database)] = Field(
        "sqlite:///var/engage.db",
        description="What is remembered: `sqlite:///FILE` (relative to the project) or "
        "`postgresql+psycopg://USER:${PASSWORD}@HOST/NAME`.",
    )
    events: EventsSection = Field(default_factory=EventsSection, description="Where the events are.")
    timezone: Annotated[str, AfterValidator(timezone_name)] = Field(
        "UTC", description="The time zone of calendar days, date fields and schedules, e.g. `Europe/Berlin`."
    )
    brakes: BrakesSection = Field(default_factory=BrakesSection, description="The limits that hold a run.")
    server: ServerSection = Field(default_factory=ServerSection, description="Where the HTTP faces listen.")
    daemon: DaemonSection = Field(default_factory=DaemonSection, description="How it works in the background.")
    alerts: AlertsSection = Field(default_factory=AlertsSection, description="Who is told when it fails.")
    logs: LogsSection = Field(default_factory=LogsSection, description="How the daemon logs.")
    telemetry: TelemetrySection = Field(default_factory=TelemetrySection, description="Where traces go.")
