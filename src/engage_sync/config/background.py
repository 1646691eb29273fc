"""What a project declares about working in the background, as plain values. Texts that name secrets stay as written:
`Project.filled` looks them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from engage_sync.config.engage_file import EngageFile


@dataclass(frozen=True, slots=True)
class Daemon:
    """The `daemon` section. Schedules are intervals or cron lines in the project's time zone; None: never."""

    lease: timedelta
    jitter: timedelta
    compute: timedelta
    reconcile: str | None
    compact: str | None
    keep: timedelta | None
    time_limit: timedelta


@dataclass(frozen=True, slots=True)
class Mail:
    """Where alerts are mailed. `smtp` is a URL as written, which may name secrets."""

    smtp: str = field(repr=False)
    sender: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alerts:
    """The `alerts` section. `webhook` is a URL as written, which may name secrets."""

    webhook: str | None = field(repr=False)
    mail: Mail | None
    missed: timedelta


@dataclass(frozen=True, slots=True)
class Background:
    """All of it. `logs` is auto, json or terminal; `telemetry` the collector's URL as written."""

    daemon: Daemon
    alerts: Alerts
    logs: str
    level: str
    telemetry: str | None


def background(definition: EngageFile) -> Background:
    """Give the sections of the file as plain values."""
    daemon, alerts, mail = definition.daemon, definition.alerts, definition.alerts.mail
    return Background(
        daemon=Daemon(
            lease=daemon.lease,
            jitter=daemon.jitter,
            compute=daemon.compute,
            reconcile=daemon.reconcile,
            compact=daemon.compact,
            keep=daemon.keep,
            time_limit=daemon.time_limit,
        ),
        alerts=Alerts(
            webhook=alerts.webhook,
            mail=None if mail is None else Mail(mail.smtp, mail.sender, tuple(mail.to)),
            missed=alerts.missed,
        ),
        logs=definition.logs.format,
        level=definition.logs.level,
        telemetry=definition.telemetry.endpoint,
    )
