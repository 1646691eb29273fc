"""What a project looks like from outside: the snapshot that each run leaves, and what a daemon adds of itself. Plain
values without any library, so that the process that serves them stays small; it reads, measures and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict


class QuotaView(TypedDict):
    """A day's calls as the CRM told last: its limit, everybody's use, and what our share leaves to us."""

    limit: int
    used: int
    left: int


class DriftView(TypedDict):
    """How many fields that somebody else set the last push kept, and how many it overwrote."""

    kept: int
    overwritten: int


class SilentView(TypedDict):
    """Since when pulls that go well bring nothing new, and for how many seconds that is usual at most."""

    since: str
    usual: float


class ConnectorView(TypedDict):
    """One connector. `holds` are the kinds of the brakes that it waits for; `records` the buckets of its last push,
    by object; `linked` its linked records; `cursor_at` the instant up to which the mirror of an object holds what the
    CRM had; `silent` the objects of which its pulls bring nothing new for too long. Instants are ISO 8601 in UTC, None
    where there was none yet."""

    last_pull: str | None
    last_push: str | None
    failures: int
    held: bool
    holds: list[str]
    drift: DriftView
    quota: QuotaView | None
    suspended_until: str | None
    records: dict[str, dict[str, int]]
    linked: dict[str, int]
    cursor_at: dict[str, str | None]
    silent: dict[str, SilentView]


class EventsView(TypedDict):
    """The event store: when the newest message happened."""

    newest_at: str | None


class RecordedView(TypedDict):
    """The run whose verdicts stand now."""

    run: int
    as_of: str


class Snapshot(TypedDict):
    """A project at one instant. `runs` counts ended runs in all by command and status, `calls` the calls of runs by
    connector, kind and outcome, `deliveries` those that signals asked for by status."""

    at: str
    connectors: dict[str, ConnectorView]
    events: EventsView
    runs: dict[str, dict[str, int]]
    calls: dict[str, dict[str, dict[str, int]]]
    deliveries: dict[str, int]
    recorded: RecordedView | None


class LeaseView(TypedDict):
    """Who schedules now, on which machine, and since when (ISO 8601)."""

    holder: str
    host: str
    pid: int
    since: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job of the daemon: when it is due next, and how it went last. `status` and `exit` are its last run's."""

    name: str
    due: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    succeeded_at: datetime | None
    status: str | None
    exit: int | None


@dataclass(frozen=True, slots=True)
class AlertView:
    """Something that fails now, and since when."""

    name: str
    since: datetime
    sentence: str


@dataclass(frozen=True, slots=True)
class DaemonView:
    """A daemon, or the faces alone, at one instant. `leader` tells whether this process schedules, `lease` who does;
    `why_not_ready` are sentences, none where `ready`."""

    snapshot: Snapshot | None
    leader: bool
    lease: LeaseView | None
    jobs: list[JobView]
    alerts: list[AlertView]
    started_at: datetime
    version: str
    ready: bool
    why_not_ready: list[str]
