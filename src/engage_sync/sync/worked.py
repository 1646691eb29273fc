"""What a child of the daemon tells its parent, as the one JSON document on its stdout. Types only, so that the parent
knows them without importing what the child works with."""

from __future__ import annotations

from typing import TypedDict

from engage_sync.core.overview import Snapshot


class JobDone(TypedDict):
    """How one job went: `status` ok, partial, held, failed, suspended (the CRM's quota ended it), locked (somebody else
    writes) or stopped (cut off, nothing lost), `exit` the contract's code. `pulled` tells whether it got as far as a
    pull. `errors` are sentences by connector, `held` those of brakes, `counts` records by bucket. Instants are
    ISO 8601."""

    job: str
    run: int | None
    status: str
    exit: int
    message: str | None
    pulled: bool
    errors: dict[str, str]
    held: list[str]
    started_at: str
    ended_at: str
    counts: dict[str, int]


class Schedules(TypedDict):
    """A connector's schedules: intervals or cron lines."""

    pull: str
    push: str


class DaemonSettings(TypedDict):
    """The `daemon` section; lengths in seconds."""

    lease: float
    jitter: float
    compute: float
    reconcile: str | None
    compact: str | None
    keep: float | None
    time_limit: float


class MailSettings(TypedDict):
    """Where alerts are mailed, secrets filled in."""

    smtp: str
    sender: str
    to: list[str]


class AlertSettings(TypedDict):
    """The `alerts` section, secrets filled in: never to be logged."""

    webhook: str | None
    mail: MailSettings | None
    missed: float


class ServerSettings(TypedDict):
    """Where the HTTP faces listen."""

    host: str
    port: int


class LogSettings(TypedDict):
    """How the daemon logs."""

    format: str
    level: str


class Settings(TypedDict):
    """All that the parent must know of a project. `digest` tells one configuration from another, `database` is its URL
    with secrets, `events` the location of the event store."""

    digest: str
    timezone: str
    connectors: dict[str, Schedules]
    daemon: DaemonSettings
    alerts: AlertSettings
    server: ServerSettings
    logs: LogSettings
    telemetry: str | None
    database: str
    events: str


class Worked(TypedDict):
    """The document. Without `settings` the configuration is wrong, as `problems` say; with both, something else is: the
    state database does not answer. `mirror` changes when a pull has brought something new."""

    jobs: list[JobDone]
    settings: Settings | None
    snapshot: Snapshot | None
    mirror: str | None
    problems: list[str]
