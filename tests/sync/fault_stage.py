"""A project with one CRM for many bad days, one after the other, with time enough between them. Each has a newcomer, a
contact nobody wrote to before, and the regular, whose field a person has changed. What the CRM, the mirror and a run
show is asked here; what should be is the matrix's business."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engage_sync.connectors.base import Change, Connector, Kind, Outcome, Role
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.connectors.wrapper import Wrapper
from engage_sync.connectors.wrappers import Observed
from engage_sync.sandbox import salesforce_server, server
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox
from engage_sync.sandbox.server import Options, Sandbox
from engage_sync.sandbox.standin import StandIn
from engage_sync.sync import cycle
from engage_sync.sync.cycle import Report
from engage_sync.sync.wiring import Workspace
from tests.sync.project import Clock, Project

PEOPLE = 45
DAY = 86_400.0
TITLE = "Head of Data"
"""The title of every contact; it switches a signal on, whose task must be there once."""

ENGAGE = "timezone: UTC\nbrakes: {max_event_age: , max_change_share: 1.0, max_clear_share: 1.0, min_records: 1000000}\n"
MODEL = """\
properties: {user: {plan: traits.plan, title: crm.NAME.TITLE}}
signals: {arrived: {entity: user, when: "title = 'Head of Data'", actions: [{crm_task: "Say hello"}]}}
"""
HUBSPOT_FILE = """\
connector: hubspot
auth: {access_token: "${ENGAGE_TEST_TOKEN}"}
base_url: BASE_URL
objects:
  contacts:
    entity: user
    match: {external_id: engage_external_id, email: email}
    read: [jobtitle]
    write: {engage_plan: plan, engage_external_id: external_id}
"""
SALESFORCE_FILE = """\
connector: salesforce
auth: {login_url: BASE_URL, client_id: "${ENGAGE_TEST_CLIENT}", client_secret: "${ENGAGE_TEST_SECRET}"}
objects:
  Contact:
    entity: user
    match: {external_id: Engage_External_Id__c, email: Email}
    read: [Title]
    write: {Engage_Plan__c: plan, Engage_External_Id__c: external_id}
"""


class Stage(ABC):
    """One project, one CRM, and a contact more for each bad day. `people` maps each contact to its user's number; the
    first is the regular."""

    connector: str
    object: str
    email: str
    title: str
    plan: str
    id: str
    crm: StandIn

    def __init__(self, project: Days, workspace: Workspace) -> None:
        self.project, self.workspace, self.clock = project, workspace, project.clock
        self.people: dict[str, int] = {}
        self.owed: dict[str, int] = {}
        """How many tasks there must be in the end about the contacts of the days so far."""

    @abstractmethod
    def create(self, email: str) -> str:
        """Let a person create a contact with this address and `TITLE`."""

    @abstractmethod
    def edit(self, record: str, field: str, value: str) -> None:
        """Let a person change a field of a contact."""

    @abstractmethod
    def held(self, record: str) -> Mapping[str, str]:
        """Give what the CRM holds of the four fields of a contact, empty ones as an empty text."""

    @abstractmethod
    def changes(self, record: str) -> Counter[tuple[str, str]]:
        """Count every change of the fields we write, by field and new value."""

    @abstractmethod
    def count(self) -> int:
        """Count the contacts of the CRM."""

    @abstractmethod
    def tasks(self, record: str) -> int:
        """Count the tasks about a contact."""

    def newcomer(self) -> str:
        """Let the next person's contact be created."""
        number = len(self.people)
        record = self.create(f"p{number}@a.example")
        self.people[record] = number
        return record

    @property
    def regular(self) -> str:
        """Give the contact that was there before all bad days."""
        return next(iter(self.people))

    def wanted(self, record: str) -> dict[str, str]:
        """Give what a contact must hold in the end."""
        number = self.people[record]
        return {
            self.email: f"p{number}@a.example",
            self.title: TITLE,
            self.plan: f"plan {number}",
            self.id: f"u{number}",
        }

    def mirror(self) -> dict[str, dict[str, str]]:
        """Give the mirror of the contacts, empty values as an empty text."""
        names = (self.email, self.title, self.plan, self.id)
        frame = self.workspace.state.records(self.connector, self.object, names)
        found = frame.select("record", *(f"crm.{name}" for name in names)).rows()
        return {row[0]: dict(zip(names, (value or "" for value in row[1:]), strict=True)) for row in found}

    def truth(self) -> dict[str, Mapping[str, str]]:
        """Give what the CRM holds of all contacts."""
        return {record: self.held(record) for record in self.people}

    def pull(self) -> Report:
        """Pull as of a second later."""
        self.clock.advance(1)
        return cycle.pull(self.workspace, None, clock=self.clock)

    def sync(self, *, pulling: bool = True) -> Report:
        """Run a cycle as of a second later."""
        self.clock.advance(1)
        return cycle.sync(self.workspace, None, self.clock(), clock=self.clock, pulling=pulling)

    def failures(self) -> dict[str, tuple[str, str]]:
        """Give code and message of the listed failures, by record."""
        found = self.workspace.state.failures().select("record", "code", "message").rows()
        return {record: (code or "", message or "") for record, code, message in found}

    def begin(self) -> None:
        """Import the people, create the fields and load the one contact that is there before the bad days."""
        self.project.tell(
            *(
                self.project.identify(f"u{number}", email=f"p{number}@a.example", plan=f"plan {number}")
                for number in range(PEOPLE)
            )
        )
        self.project.provision()
        self.newcomer()
        assert self.sync().exit == 0
        assert self.pull().exit == 0
        self.clock.advance(DAY)


class HubSpotStage(Stage):
    """The stage with HubSpot's stand-in."""

    connector, object = "hubspot", "contacts"
    email, title, plan, id = "email", "jobtitle", "engage_plan", "engage_external_id"
    crm: Sandbox

    def create(self, email: str) -> str:
        return self.crm.store.create(self.object, {"email": email, "jobtitle": TITLE})

    def edit(self, record: str, field: str, value: str) -> None:
        self.crm.store.update(self.object, record, {field: value})

    def held(self, record: str) -> Mapping[str, str]:
        values = self.crm.store.values(self.object, record)
        return {name: values.get(name, "") for name in (self.email, self.title, self.plan, self.id)}

    def changes(self, record: str) -> Counter[tuple[str, str]]:
        edits = self.crm.store.edits(self.object, record)
        return Counter((edit.property, edit.after or "") for edit in edits if edit.property in (self.plan, self.id))

    def count(self) -> int:
        return len(self.crm.store.ids(self.object))

    def tasks(self, record: str) -> int:
        return len(self.crm.store.tasks(self.object, record))


class SalesforceStage(Stage):
    """The stage with Salesforce's stand-in."""

    connector, object = "salesforce", "Contact"
    email, title, plan, id = "Email", "Title", "Engage_Plan__c", "Engage_External_Id__c"
    crm: SalesforceSandbox

    def create(self, email: str) -> str:
        return self.crm.store.create(self.object, {"LastName": "P", "Email": email, "Title": TITLE})

    def edit(self, record: str, field: str, value: str) -> None:
        self.crm.store.edit(self.object, record, {field: value})

    def held(self, record: str) -> Mapping[str, str]:
        values = self.crm.store.text(self.object, record, (self.email, self.title, self.plan, self.id))
        return {name: value or "" for name, value in values.items()}

    def changes(self, record: str) -> Counter[tuple[str, str]]:
        edits = self.crm.store.edits(self.object, record)
        return Counter((edit.field, str(edit.after or "")) for edit in edits if edit.field in (self.plan, self.id))

    def count(self) -> int:
        return len(self.crm.store.ids(self.object))

    def tasks(self, record: str) -> int:
        return len(self.crm.store.tasks(self.object, record))


class Noting(Wrapper):
    """Notes the records in the order in which they are to be sent."""

    def __init__(self, inner: Connector, sent: list[str]) -> None:
        super().__init__(inner)
        self._sent = sent

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        if kind.role is not Role.TASK:
            self._sent += [change.record for change in changes]
        yield from self.inner.push(kind, changes)


@dataclass
class Days(Project):
    """The project, whose Salesforce connector writes `by_jobs` when told so."""

    by_jobs: bool = False
    sent: list[str] = field(default_factory=list)

    def hardened(self, connector: Connector, **settings: Any) -> Observed:
        if isinstance(connector, Salesforce) and self.by_jobs:
            vars(connector)["limits"] = replace(connector.limits, whole_above=1)
        return super().hardened(Noting(connector, self.sent), **settings)


@contextmanager
def hubspot_stage(root: Path) -> Iterator[Stage]:
    """Open the stage with HubSpot."""
    clock = Clock()
    options = Options(rates=UNLIMITED, clock=clock, tick=clock.tick)
    with server.start(options=options) as crm:
        given = {"ENGAGE_TEST_TOKEN": crm.token}
        with _opened(HubSpotStage, root, crm, clock, HUBSPOT_FILE, given) as stage:
            yield stage


@contextmanager
def salesforce_stage(root: Path) -> Iterator[Stage]:
    """Open the stage with Salesforce."""
    clock = Clock()
    with salesforce_server.start(options=SalesforceOptions(clock=clock, tick=clock.tick)) as crm:
        given = {"ENGAGE_TEST_CLIENT": crm.client_id, "ENGAGE_TEST_SECRET": crm.client_secret}
        with _opened(SalesforceStage, root, crm, clock, SALESFORCE_FILE, given) as stage:
            yield stage


@contextmanager
def _opened(
    kind: type[Stage], root: Path, crm: StandIn, clock: Clock, connector: str, given: Mapping[str, str]
) -> Iterator[Stage]:
    for name, text in (
        ("config/engage.yaml", ENGAGE),
        ("config/model.yaml", MODEL.replace("NAME", kind.connector).replace("TITLE", kind.title)),
        (f"connectors/{kind.connector}.yaml", connector.replace("BASE_URL", crm.base_url)),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        project = Days(root, crm, clock)  # type: ignore[arg-type]
        with project.open() as workspace:
            stage = kind(project, workspace)
            stage.crm = crm
            stage.begin()
            yield stage
        assert crm.bugs == []
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


STAGES: Mapping[str, Callable[[Path], AbstractContextManager[Stage]]] = {
    "hubspot": hubspot_stage,
    "salesforce": salesforce_stage,
}
"""How to open the stage of each connector, in an empty folder."""
