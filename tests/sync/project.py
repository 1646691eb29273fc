"""A small project against a sandbox on loopback, with clocks that move only when told."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from engage_sync.connectors.base import Connector
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.server import Options, Sandbox, start
from engage_sync.state.database import Database, backend_of
from engage_sync.state.store import State
from engage_sync.sync import cycle, doctor, ingest
from engage_sync.sync.cycle import Report
from engage_sync.sync.wiring import Workspace, open_workspace
from tests.sync.mortal import Death, mortal

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

BEGIN = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOKEN_VARIABLE = "ENGAGE_TEST_TOKEN"

OPEN_BRAKES = "{max_event_age: , max_change_share: 1.0, max_clear_share: 1.0, min_records: 1000000}"
ENGAGE = "timezone: Europe/Berlin\nbrakes: {brakes}\n"

MODEL = """\
activity: {exclude: [heartbeat], window: 10d}
properties:
  user: {title: crm.hubspot.jobtitle}
  account: {seats: {from: traits.seats, type: number}}
user_types:
  power: {share: 0.5}
  influencer: {where: "title ilike '%head%'"}
metrics:
  user: {reports: {count: report_run, window: 5d}}
  account: {events_5d: {count: "*", window: 5d}}
links: {user: "https://console.example.com/users/{external_id}"}
"""

CONNECTOR = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    read: [jobtitle]
    write:
      engage_user_types: user_types
      engage_user_type: {from: primary_user_type, on_drift: respect}
      engage_reports: reports
      engage_last_active: last_active_at
      engage_external_id: external_id
      engage_link: link
  companies:
    entity: account
    match: {external_id: engage_external_id, domain: domain}
    write:
      engage_active_users: active_users
      engage_seat_use: seat_use
      engage_events: events_5d
      engage_external_id: external_id
"""


class Clock:
    """A wall clock and a monotonic one that move only when told; sleeping moves them too."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.seconds = 100.0

    def __call__(self) -> datetime:
        return self.now

    def tick(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class Project:
    """A project's folder and the stand-in CRM it is connected to."""

    root: Path
    crm: Sandbox
    clock: Clock = field(default_factory=Clock)
    files: int = 0

    def hardened(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        """Wrap a connector as the product does, with pauses that pass at once."""
        gate = Gate(connector.limits.rates, clock=self.clock.tick, sleep=self.clock.advance)
        return harden(connector, read_only=read_only, daily_share=daily_share, gate=gate, sleep=self.clock.advance)

    @contextmanager
    def open(self, *, death: Death | None = None) -> Iterator[Workspace]:
        with ExitStack() as opened:
            workspace = opened.enter_context(open_workspace(self.root, hardened=self.hardened))
            if death is not None:
                state = mortal(workspace.project.database_url(), self.root / "var" / "memory.key", death)
                workspace = replace(workspace, state=opened.enter_context(state))
            yield workspace

    @contextmanager
    def remembered(self) -> Iterator[State]:
        """Open the state alone, which takes a tenth of the time."""
        with State(
            Database(backend_of(f"sqlite:///{self.root}/var/engage.db")), self.root / "var" / "none.key"
        ) as state:
            yield state

    def tell(self, *bodies: Mapping[str, Any]) -> None:
        """Import messages."""
        self.files += 1
        file = self.root / f"messages{self.files}.jsonl"
        file.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
        report = ingest.import_files(self.root, [file], now=self.clock(), progress=lambda *_: None)
        assert report.refused == 0, report

    def sync(self, *, after: float = 1.0, pulling: bool = True) -> Report:
        """Let some seconds pass, then run a cycle as of then."""
        self.clock.advance(after)
        with self.open() as workspace:
            return cycle.sync(workspace, None, self.clock(), clock=self.clock, pulling=pulling)

    def plan(self) -> Report:
        with self.open() as workspace:
            return cycle.plan(workspace, None, self.clock(), clock=self.clock)

    def provision(self) -> None:
        """Create the fields, over a database that has its tables already: these take as long as all the rest."""
        file = self.root / "var" / "engage.db"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(empty_database())
        with self.open() as workspace:
            doctor.provision(workspace, apply=True)

    def at(self, *, days: float = 0) -> str:
        """Give the instant so many days before now."""
        return (self.clock() - timedelta(days=days)).isoformat()

    def track(self, user: str, event: str = "login", *, days: float = 0, **more: Any) -> dict[str, Any]:
        return {"type": "track", "userId": user, "event": event, "timestamp": self.at(days=days), **more}

    def identify(self, user: str, *, days: float = 0, **traits: Any) -> dict[str, Any]:
        return {"type": "identify", "userId": user, "timestamp": self.at(days=days), "traits": traits}

    def group(self, user: str, account: str, *, days: float = 0, **traits: Any) -> dict[str, Any]:
        moment = self.at(days=days)
        return {"type": "group", "userId": user, "groupId": account, "timestamp": moment, "traits": traits}

    def person(self, user: str, email: str | None = None, *, events: int = 1, days: float = 1) -> list[dict[str, Any]]:
        """Give the messages of a user with an e-mail address and some logins."""
        named = [self.identify(user, days=days, email=email)] if email else []
        return named + [self.track(user, days=days + number / 1000) for number in range(events)]

    def contact(self, email: str | None = None, **values: str) -> str:
        return self.crm.store.create("contacts", {**({"email": email} if email else {}), **values})

    def shared_email(self, email: str, **values: str) -> str:
        """Create a contact with an address that another one has, as CRMs less strict than HubSpot allow."""
        store = self.crm.store
        with store.lock:
            record = store.create("contacts", values)
            store.need("contacts", record).values["email"] = email
            return record

    def company(self, domain: str, **values: str) -> str:
        return self.crm.store.create("companies", {"domain": domain, **values})

    def values(self, record: str, object_: str = "contacts") -> dict[str, str]:
        return self.crm.store.values(object_, record)

    def lose_state(self) -> None:
        """Delete the state database, as a lost disk does."""
        for path in (self.root / "var").glob("engage.db*"):
            path.unlink()

    def lose_link(self, record: str) -> None:
        """Drop the stored link of a contact, so that only its fields speak."""
        with self.open() as workspace:
            links = workspace.state.links("hubspot", "contacts").select("record", "external_id", "level")
            run = workspace.state.runs(1)[0].id
            workspace.state.replace_links("hubspot", "contacts", links.filter(pl.col("record") != record), run)

    def buckets(self, report: Report, object_: str = "contacts") -> dict[str, int]:
        """Give the counts that are not zero."""
        return {name: count for name, count in report.connectors["hubspot"][object_].items() if count}


def write(
    root: Path, base_url: str, *, brakes: str = OPEN_BRAKES, model: str = MODEL, connector: str = CONNECTOR
) -> None:
    """Write the files of a project."""
    for name, text in (
        ("config/engage.yaml", ENGAGE.replace("{brakes}", brakes)),
        ("config/model.yaml", model),
        ("connectors/hubspot.yaml", connector.replace("BASE_URL", base_url)),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@contextmanager
def project(
    root: Path, *, provisioned: bool = True, options: Mapping[str, Any] | None = None, **files: str
) -> Iterator[Project]:
    """Start a sandbox, write a project for it and create the fields. A bug of the sandbox fails the test."""
    clock = Clock()
    chosen = {"rates": UNLIMITED, "clock": clock, "tick": clock.tick, **(options or {})}
    with start(options=Options(**chosen)) as crm, _token(crm.token):
        made = Project(root, crm, clock)
        write(root, crm.base_url, **files)
        if provisioned:
            made.provision()
        yield made
        assert crm.bugs == []


@cache
def empty_database() -> bytes:
    """Give what the state makes of no file, made once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "engage.db"
        State.open(f"sqlite:///{file}", key_file=Path(folder) / "key").close()
        return file.read_bytes()


@contextmanager
def _token(token: str) -> Iterator[None]:
    os.environ[TOKEN_VARIABLE] = token
    try:
        yield
    finally:
        del os.environ[TOKEN_VARIABLE]


def decisions(report: Report) -> Sequence[tuple[str, str, str | None, str]]:
    """Give (record, field, after, decision) of a report's changes, in order."""
    return sorted(report.changes.select("record", "field", "after", "decision").rows())
