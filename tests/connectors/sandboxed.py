"""A HubSpot sandbox as a stage for tests: connectors to it, and the hands of a person and of bad luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from engage_sync.connectors.base import Connector, FieldSpec, Kind, Role
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.core.definitions import ValueType
from engage_sync.sandbox.faults import Fault as SandboxFault
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.server import Options, Sandbox, start
from engage_sync.testing import Fault, Stage

FIELDS = {
    ValueType.TEXT: ("engage_text", ("plain", "ümläut; 'quote' \"double\" 😀 <b>")),
    ValueType.LONG_TEXT: ("engage_long", ("a\nb", "x" * 5_000)),
    ValueType.NUMBER: ("engage_number", ("5", "-12.5")),
    ValueType.BOOLEAN: ("engage_bool", ("true", "false")),
    ValueType.DATE: ("engage_date", ("2026-08-22", "1999-12-31")),
    ValueType.DATETIME: ("engage_at", ("2026-08-22T10:11:12.345Z", "2026-01-01T00:00:00.500Z")),
    ValueType.SELECT: ("engage_type", ("power", "active")),
    ValueType.MULTISELECT: ("engage_types", ("active;power", "zombie")),
    ValueType.URL: ("engage_link", ("https://example.com/a?b=c&d=%20", "https://example.com/")),
}
OPTIONS = ("active", "power", "zombie")
SPECS = [
    FieldSpec("contacts", name, name, kind, OPTIONS if "select" in kind else ()) for kind, (name, _) in FIELDS.items()
]
KIND = Kind("contacts", Role.CONTACT, ("email", "jobtitle", *(name for name, _ in FIELDS.values())))


class Memory(dict[str, str]):
    """A memory that forgets with the test."""

    def put(self, key: str, value: str | None) -> None:
        if value is None:
            self.pop(key, None)
        else:
            self[key] = value


class Clock:
    """The wall clock; it can be held still or moved."""

    def __init__(self) -> None:
        self.held: datetime | None = None
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return (self.held or datetime.now(UTC)) + self.ahead


def settings(sandbox: Sandbox, **auth: str) -> object:
    """Give settings that reach the sandbox."""
    return HubSpot.Settings.model_validate(
        {"auth": auth or {"access_token": sandbox.token}, "base_url": sandbox.base_url}
    )


def oauth(sandbox: Sandbox) -> dict[str, str]:
    """Give the sandbox's OAuth app as settings."""
    app = sandbox.options.oauth
    return {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": app.refresh_token}


def hubspot(sandbox: Sandbox, memory: Memory | None = None, **auth: str) -> HubSpot:
    """Give a bare connector, with its usual time limits: on a busy machine an answer may take seconds."""
    return HubSpot(settings(sandbox, **auth), memory if memory is not None else Memory())


def hardened(sandbox: Sandbox, pauses: list[float] | None = None, connector: Connector | None = None) -> Observed:
    """Wrap a connector fully, but note its pauses instead of taking them, and do not throttle it."""
    taken = pauses if pauses is not None else []
    return harden(connector or hubspot(sandbox), gate=Gate({}), sleep=taken.append)


@contextmanager
def sandbox(**options: object) -> Iterator[Sandbox]:
    """Run a sandbox without limits."""
    with start(options=replace(Options(rates=UNLIMITED), **options)) as running:
        yield running
        assert running.bugs == []


class Hands:
    """`Crm` on the sandbox's store."""

    FAULTS: ClassVar = {
        Fault.THROTTLED: "too_many_ten_secondly",
        Fault.UNAVAILABLE: "bad_gateway",
        Fault.LOST_ANSWER: "drop_after",
        Fault.GARBLED: "html_200",
        Fault.MISSING_ANSWER: "missing_result",
    }

    def __init__(self, sandbox: Sandbox, clock: Clock, object_: str = "contacts") -> None:
        self.sandbox, self.clock, self.object = sandbox, clock, object_

    def create(self, values: Sequence[Mapping[str, str]]) -> list[str]:
        return self.sandbox.store.create_many(self.object, values)

    def edit(self, record: str, values: Mapping[str, str]) -> None:
        self.sandbox.store.update(self.object, record, values)

    def edit_at_once(self, records: Sequence[str], values: Mapping[str, str]) -> None:
        self.clock.held = datetime.now(UTC)
        for record in records:
            self.edit(record, values)
        self.clock.held = None

    def delete(self, record: str) -> None:
        self.sandbox.store.archive(self.object, record)

    def merge(self, winner: str, loser: str) -> str:
        return self.sandbox.store.merge(self.object, winner, loser)

    def values(self, record: str) -> Mapping[str, str | None]:
        return self.sandbox.store.values(self.object, record)

    def fail(self, fault: Fault, times: int, *, writing: bool = True) -> None:
        if fault is Fault.SESSION_ENDED:
            self.sandbox.faults.add(SandboxFault("expired_token", kind="read", times=times))
        else:
            kind = "write" if writing else "*a*"  # reads and searches, no logins
            self.sandbox.faults.add(SandboxFault(self.FAULTS[fault], kind=kind, times=times))

    def logins(self) -> int:
        return self.sandbox.calls.count("login")


def stage(running: Sandbox, clock: Clock, *, auth: Mapping[str, str] | None = None) -> Stage:
    """Give a stage with the fields of every type provisioned."""
    pauses: list[float] = []
    memory = Memory()
    connector = harden(hubspot(running, memory, **(auth or {})), gate=Gate({}), sleep=pauses.append)
    connector.provision(SPECS)
    return Stage(
        connector=connector,
        connect=lambda: hardened(running, connector=hubspot(running, memory, **(auth or {}))),
        crm=Hands(running, clock),
        kind=KIND,
        samples=dict(FIELDS.values()),
        refused=("engage_number", "not a number"),
        foreign=("jobtitle", "Head of Import"),
        pauses=pauses,
        page=100,
        new=lambda number: {"email": f"person{number}@example.com"},
        tasks=lambda record: [task.values["hs_task_subject"] for task in running.store.tasks("contacts", record)],
    )
