"""A Salesforce sandbox as a stage for tests: connectors to it, and the hands of a person and of bad luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from engage_sync.connectors.base import Connector, FieldSpec, Kind, Memory, Role, Turnstile
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.core.definitions import ValueType
from engage_sync.sandbox.faults import Fault as SandboxFault
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox, start
from engage_sync.testing import Fault, Stage
from tests.connectors.sandboxed import OPTIONS, Clock
from tests.connectors.sandboxed import Memory as Kept

FIELDS = {
    ValueType.TEXT: ("Engage_Text__c", ("plain", "ümläut; 'quote' \"double\" 😀 <b>")),
    ValueType.LONG_TEXT: ("Engage_Long__c", ('a\nb, "c"', "x" * 5_000)),
    ValueType.NUMBER: ("Engage_Number__c", ("5", "-12.5")),
    ValueType.BOOLEAN: ("Engage_Flag__c", ("true", "false")),
    ValueType.DATE: ("Engage_Date__c", ("2026-08-22", "1999-12-31")),
    ValueType.DATETIME: ("Engage_At__c", ("2026-08-22T10:11:12Z", "2026-01-01T00:00:00Z")),
    ValueType.SELECT: ("Engage_Type__c", ("power", "active")),
    ValueType.MULTISELECT: ("Engage_Types__c", ("active;power", "zombie")),
    ValueType.URL: ("Engage_Link__c", ("https://example.com/a?b=c&d=%20", "https://example.com/")),
}
SPECS = [
    FieldSpec("Contact", name, name, kind, OPTIONS if "select" in kind else ()) for kind, (name, _) in FIELDS.items()
]
KIND = Kind("Contact", Role.CONTACT, ("AccountId", "Email", "Title", *(name for name, _ in FIELDS.values())))


def credentials(sandbox: SalesforceSandbox) -> dict[str, str]:
    """Give client credentials as settings."""
    return {
        "login_url": sandbox.base_url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
    }


def certificate(sandbox: SalesforceSandbox) -> dict[str, str]:
    """Give a JWT bearer login as settings."""
    return {
        "login_url": sandbox.base_url,
        "client_id": sandbox.client_id,
        "username": sandbox.username,
        "private_key": sandbox.private_key,
    }


class Hurried(Turnstile):
    """Lets all calls pass, and waits for nothing."""

    def pause(self, seconds: float) -> None:
        """Go on at once."""


def salesforce(
    sandbox: SalesforceSandbox, memory: Memory | None = None, auth: Mapping[str, str] | None = None
) -> Salesforce:
    """Give a bare connector with short time limits that does not wait for jobs."""
    settings = Salesforce.Settings.model_validate({"auth": auth or credentials(sandbox)})
    kept = memory if memory is not None else Kept()
    made = Salesforce(settings, kept)
    made.turnstile = Hurried()
    return made


def hardened(connector: Connector, pauses: list[float] | None = None) -> Observed:
    """Wrap a connector fully, but note its pauses instead of taking them, and do not throttle it."""
    return harden(connector, gate=Gate({}), sleep=(pauses if pauses is not None else []).append)


@contextmanager
def sandbox(**options: object) -> Iterator[SalesforceSandbox]:
    """Run a sandbox."""
    with start(options=replace(SalesforceOptions(), **options)) as running:
        yield running
        assert running.bugs == []


class Hands:
    """`Crm` on the sandbox's store."""

    FAULTS: ClassVar = {
        Fault.THROTTLED: "concurrent_requests",
        Fault.UNAVAILABLE: "unavailable",
        Fault.LOST_ANSWER: "drop_after",
        Fault.GARBLED: "html_200",
        Fault.MISSING_ANSWER: "missing_result",
    }

    def __init__(self, sandbox: SalesforceSandbox, clock: Clock, object_: str = "Contact") -> None:
        self.sandbox, self.clock, self.object = sandbox, clock, object_

    def create(self, values: Sequence[Mapping[str, str]]) -> list[str]:
        return self.sandbox.store.create_many(self.object, values)

    def edit(self, record: str, values: Mapping[str, str]) -> None:
        self.sandbox.store.edit(self.object, record, {name: self._typed(name, text) for name, text in values.items()})

    def edit_at_once(self, records: Sequence[str], values: Mapping[str, str]) -> None:
        typed = {name: self._typed(name, text) for name, text in values.items()}
        self.sandbox.store.edit_at_once(self.object, records, typed)

    def delete(self, record: str) -> None:
        self.sandbox.store.delete(self.object, record)

    def merge(self, winner: str, loser: str) -> str:
        return self.sandbox.store.merge(self.object, winner, loser)

    def values(self, record: str) -> Mapping[str, str | None]:
        return self.sandbox.store.text(self.object, record)

    def fail(self, fault: Fault, times: int, *, writing: bool = True) -> None:
        if fault is Fault.SESSION_ENDED:
            self.sandbox.end_sessions()
        else:
            kind = "write" if writing else "*a*"  # reads and searches, no logins
            self.sandbox.faults.add(SandboxFault(self.FAULTS[fault], kind=kind, times=times))

    def logins(self) -> int:
        return self.sandbox.logins

    @staticmethod
    def _typed(name: str, text: str) -> object:
        kind = next((kind for kind, (field, _) in FIELDS.items() if field == name), ValueType.TEXT)
        if text == "":
            return None
        if kind is ValueType.NUMBER:
            return float(text)
        if kind is ValueType.BOOLEAN:
            return text == "true"
        return datetime.fromisoformat(text).astimezone(UTC) if kind is ValueType.DATETIME else text


def stage(running: SalesforceSandbox, clock: Clock, auth: Mapping[str, str] | None = None) -> Stage:
    """Give a stage with the fields of every type provisioned."""
    pauses: list[float] = []
    memory = Kept()
    connector = hardened(salesforce(running, memory, auth), pauses)
    connector.provision(SPECS)
    return Stage(
        connector=connector,
        connect=lambda: hardened(salesforce(running, memory, auth)),
        crm=Hands(running, clock),
        kind=KIND,
        samples=dict(FIELDS.values()),
        refused=("Engage_Number__c", "not a number"),
        foreign=("Title", "Head of Import"),
        pauses=pauses,
        page=running.options.page,
        new=lambda number: {"LastName": f"Person {number}", "Email": f"person{number}@example.com"},
        blank={"Engage_Flag__c": "false"},
    )
