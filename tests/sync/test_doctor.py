"""`check` as a doctor of two CRMs at once: each kind of gap in the order of work, with its place and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engage_sync.connectors.base import Connector, FieldSpec
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.throttle import Gate
from engage_sync.connectors.wrappers import Observed, harden
from engage_sync.core.definitions import ValueType
from engage_sync.errors import LoginFailed, Mistake, Unreachable
from engage_sync.sandbox import salesforce_server, server
from engage_sync.sandbox.access import SCOPES
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from engage_sync.sandbox.server import Options, Sandbox
from engage_sync.sync import doctor, provisioning
from engage_sync.sync.doctor import Examination, Gap
from engage_sync.sync.findings import PROVISION, Step
from engage_sync.sync.provisioning import Provisioning
from engage_sync.sync.wiring import open_connector, open_workspace

MODEL = """\
user_types: {power: {share: 0.5}}
properties: {account: {seats: {from: traits.seats, type: number}}}
links: {user: "https://console.example.com/users/{external_id}"}
"""
HUBSPOT = """\
connector: hubspot
auth: {access_token: "${DOCTOR_TOKEN}"}
base_url: BASE
objects:
  contacts:
    entity: user
    match: {external_id: engage_id, email: email}
    read: [jobtitle]
    write:
      engage_types: user_types
      engage_type: primary_user_type
      engage_events: events
      engage_id: external_id
"""
SALESFORCE = """\
connector: salesforce
auth: {login_url: BASE, client_id: "${DOCTOR_ID}", client_secret: "${DOCTOR_SECRET}"}
objects:
  Contact:
    entity: user
    match: {external_id: Engage_Id__c, email: Email}
    read: [Title]
    write:
      Engage_Types__c: user_types
      Engage_Type__c: primary_user_type
      Engage_Events__c: events
      Engage_Link__c: link
      Engage_Id__c: external_id
  Account:
    entity: account
    match: {external_id: Engage_Id__c}
    write: {Engage_Seat_Use__c: seat_use}
"""
SALESFORCE_LINES = {"Contact": 4, "Engage_Types__c": 9, "Engage_Id__c": 13}


@dataclass
class Project:
    """A folder with two connectors, and the CRMs that they reach."""

    root: Path
    hub: Sandbox
    org: SalesforceSandbox
    pauses: list[float] = field(default_factory=list)

    def hardened(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        return harden(connector, read_only=read_only, gate=Gate({}), sleep=self.pauses.append)

    def examine(self) -> Examination:
        with open_workspace(self.root, hardened=self.hardened) as workspace:
            return doctor.examine(workspace)

    def provide(self, *, apply: bool = True) -> Provisioning:
        with open_workspace(self.root, hardened=self.hardened) as workspace:
            return provisioning.provide(workspace, apply=apply)

    def make(self, connector: str, *specs: FieldSpec) -> None:
        """Make fields in a CRM by somebody else's hand."""
        with open_workspace(self.root, hardened=self.hardened) as workspace:
            [file] = workspace.connector_files(connector)
            assert {made.result for made in open_connector(workspace, file).provision(specs)} == {"created"}

    def rewrite(self, connector: str, old: str, new: str) -> None:
        file = self.root / "connectors" / f"{connector}.yaml"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def gaps(self, connector: str) -> list[Gap]:
        return [gap for gap in self.examine().gaps if gap.file == f"connectors/{connector}.yaml"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    with server.start(options=Options(rates=UNLIMITED)) as hub, salesforce_server.start() as org:
        monkeypatch.setenv("DOCTOR_TOKEN", hub.token)
        monkeypatch.setenv("DOCTOR_ID", org.client_id)
        monkeypatch.setenv("DOCTOR_SECRET", org.client_secret)
        for name, text in (
            ("config/engage.yaml", "timezone: UTC\n"),
            ("config/model.yaml", MODEL),
            ("connectors/hubspot.yaml", HUBSPOT.replace("BASE", hub.base_url)),
            ("connectors/salesforce.yaml", SALESFORCE.replace("BASE", org.base_url)),
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        yield Project(tmp_path, hub, org)
        assert (hub.bugs, org.bugs) == ([], [])


@pytest.fixture
def healthy(project: Project) -> Project:
    """The same, with all fields made."""
    assert {one.result for one in project.provide().fields} == {"created"}
    return project


def the_only(gaps: list[Gap]) -> Gap:
    [gap] = gaps
    return gap


# -- the way from nothing to a first write


def test_a_new_project_lacks_all_its_fields_and_then_none(project: Project) -> None:
    first = project.examine()
    assert first.exit == 1
    assert {(gap.step, gap.todo) for gap in first.gaps} == {(Step.PROVISION, PROVISION)}
    assert {(gap.object, gap.field) for gap in first.gaps if gap.file.endswith("salesforce.yaml")} == {
        *(("Contact", f"Engage_{name}__c") for name in ("Types", "Type", "Events", "Link", "Id")),
        *(("Account", f"Engage_{name}__c") for name in ("Seat_Use", "Id")),
    }
    lines = {gap.field: gap.line for gap in first.gaps if gap.object == "Contact"}
    assert {name: lines[name] for name in SALESFORCE_LINES if name in lines} == {
        name: line for name, line in SALESFORCE_LINES.items() if name in lines
    }
    made = project.provide()
    assert {one.result for one in made.fields} == {"created"}
    assert made.exit == 0
    second = project.examine()
    assert (second.gaps, second.exit) == ([], 0)


def test_what_provision_would_do_is_listed_without_doing_it(project: Project) -> None:
    listed = project.provide(apply=False)
    assert {one.result for one in listed.fields} == {"missing"}
    assert project.hub.calls.count("write") + project.org.calls.count("write") == 0
    project.org.store.add_field("Contact", FieldDef("Engage_Link__c", "L", "url", 255, custom=True), visible=False)
    [hidden] = [one for one in project.provide(apply=False).fields if one.result == "hidden"]
    assert hidden.field == "Engage_Link__c"


def test_page_layouts_are_advice_and_no_gap(healthy: Project) -> None:
    found = healthy.examine()
    assert (found.gaps, found.exit) == ([], 0)
    assert found.advice["hubspot"] == ()
    contact, account = found.advice["salesforce"]
    assert "page layout of Contact" in contact
    assert "Engage id" not in contact
    assert "page layout of Account" in account
    assert healthy.provide().advice == found.advice


# -- one gap of each kind


def test_a_permission_that_is_missing_comes_first(healthy: Project) -> None:
    healthy.org.store.allow("Contact", edit=False)
    healthy.rewrite("salesforce", "Engage_Link__c", "Engage_Url__c")
    permission, missing = healthy.gaps("salesforce")
    assert permission.problem == "the integration user may not edit Contact records"
    assert (permission.object, permission.field, permission.line) == ("Contact", None, SALESFORCE_LINES["Contact"])
    assert (missing.field, missing.todo) == ("Engage_Url__c", PROVISION)


def test_what_an_undeclared_object_lacks_is_nobodys_business(healthy: Project) -> None:
    healthy.org.store.allow("Lead", edit=False)
    healthy.hub.access.allow("narrow", {scope for scope in SCOPES if "companies" not in scope})
    assert healthy.gaps("salesforce") == []


def test_a_missing_scope_of_a_declared_object_is_told_once(healthy: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.hub.access.allow("narrow", {scope for scope in SCOPES if scope != "crm.objects.contacts.write"})
    monkeypatch.setenv("DOCTOR_TOKEN", "narrow")
    gap = the_only(healthy.gaps("hubspot"))
    assert gap.problem == "the token lacks the scope crm.objects.contacts.write"
    assert "Scopes" in gap.todo


def test_a_version_that_the_org_does_not_offer(tmp_path: Path, project: Project) -> None:
    with salesforce_server.start(options=salesforce_server.SalesforceOptions(versions=("40.0", "61.0"))) as old:
        project.rewrite("salesforce", project.org.base_url, old.base_url)
        gap = the_only(project.gaps("salesforce"))
        assert "40.0 to 61.0, engage-sync speaks 62.0" in gap.problem
        assert project.examine().exit == 1


def edited_type(project: Project, **more: object) -> None:
    """Put another field in the place of Engage_Type__c."""
    store = project.org.store
    store.drop_field("Contact", "Engage_Type__c")
    store.add_field("Contact", FieldDef("Engage_Type__c", "T", custom=True, **more))  # type: ignore[arg-type]


SALESFORCE_GAPS: dict[str, tuple[Callable[[Project], None], Step, str, str]] = {
    "hidden": (
        lambda project: project.org.store.delete(
            "PermissionSetAssignment", project.org.store.ids("PermissionSetAssignment")[0]
        ),
        Step.REVEAL,
        "Contact.Engage_Type__c is there, but hidden from the credentials",
        "Set Field-Level Security",
    ),
    "formula": (
        lambda project: edited_type(project, type="string", length=99, formula=lambda _: "x"),
        Step.UNLOCK,
        "Engage_Type__c is read-only (formula)",
        "map another field",
    ),
    "type": (
        lambda project: edited_type(project, type="date"),
        Step.TYPE,
        "Engage_Type__c is a date field and cannot hold primary_user_type, a select",
        "map primary_user_type to another field",
    ),
    "options": (
        lambda project: edited_type(project, type="picklist", length=255, choices=choices(["power"]), restricted=True),
        Step.OPTIONS,
        "Engage_Type__c lacks the options influencer, active, inactive, zombie",
        PROVISION,
    ),
    "length": (
        lambda project: edited_type(project, type="string", length=9),
        Step.ROOM,
        "Engage_Type__c takes 9 characters, and primary_user_type can have 10",
        "take 10 characters",
    ),
}


@pytest.mark.parametrize("name", SALESFORCE_GAPS)
def test_each_gap_in_salesforce_is_told_with_its_place(healthy: Project, name: str) -> None:
    spoil, step, problem, todo = SALESFORCE_GAPS[name]
    spoil(healthy)
    healthy.org.store.access.changed()
    gap = next(gap for gap in healthy.gaps("salesforce") if gap.field == "Engage_Type__c")
    assert (gap.step, gap.problem, gap.object, gap.line) == (step, problem, "Contact", 10)
    assert todo in gap.todo
    assert healthy.examine().exit == 1


def test_a_standard_restricted_picklist_is_for_the_admin(healthy: Project) -> None:
    held = healthy.org.store.type("Contact").fields["LeadSource"]
    closed = FieldDef("LeadSource", "Lead Source", "picklist", 255, choices=held.choices, restricted=True)
    healthy.org.store.type("Contact").put(closed)
    healthy.rewrite("salesforce", "Engage_Type__c", "LeadSource")
    gap = the_only(healthy.gaps("salesforce"))
    assert gap.problem == "LeadSource lacks the options power, influencer, active, inactive, zombie"
    assert gap.todo.startswith("add them under Setup → Object Manager → Contact → Fields & Relationships → LeadSource")


def test_a_number_without_decimals_and_an_id_that_is_not_unique(healthy: Project) -> None:
    store = healthy.org.store
    for name in ("Engage_Seat_Use__c", "Engage_Id__c"):
        store.drop_field("Account", name)
    store.add_field("Account", FieldDef("Engage_Id__c", "I", "string", 80, custom=True))
    store.add_field("Account", FieldDef("Engage_Seat_Use__c", "S", "double", precision=18, custom=True))
    room, unique = healthy.gaps("salesforce")
    assert room.problem == "Engage_Seat_Use__c keeps 0 digits after the point, and seat_use can have 4"
    assert unique.problem == "Account.Engage_Id__c holds the external id but is not unique"
    assert "tick External ID and Unique" in unique.todo


def test_gaps_come_in_the_order_of_work(healthy: Project) -> None:
    healthy.rewrite("salesforce", "Engage_Events__c", "Engage_Count__c")
    healthy.rewrite("salesforce", "read: [Title]", "read: [Titel]")
    edited_type(healthy, type="string", length=9)
    healthy.org.store.allow("Account", edit=False)
    gaps = healthy.gaps("salesforce")
    assert [gap.step for gap in gaps] == [Step.LOGIN, Step.PROVISION, Step.CREATE, Step.ROOM]
    assert gaps[2].todo.startswith("did you mean Title?")


@pytest.mark.parametrize(
    ("spec", "old", "step", "problem"),
    [
        (None, "engage_type:", Step.UNLOCK, "hs_object_id is read-only (number/number)"),
        (
            FieldSpec("contacts", "other", "o", ValueType.DATE),
            "engage_type:",
            Step.TYPE,
            "other is a date field and cannot hold primary_user_type, a select",
        ),
        (
            FieldSpec("contacts", "other", "o", ValueType.SELECT, ("power",)),
            "engage_type:",
            Step.OPTIONS,
            "other lacks the options influencer, active, inactive, zombie",
        ),
        (
            FieldSpec("contacts", "other", "o", ValueType.TEXT),
            "engage_id",
            Step.UNIQUE,
            "contacts.other holds the external id but is not unique",
        ),
    ],
)
def test_each_gap_in_hubspot_is_told_with_its_place(
    healthy: Project, spec: FieldSpec | None, old: str, step: Step, problem: str
) -> None:
    if spec is not None:
        healthy.make("hubspot", spec)
    healthy.rewrite(
        "hubspot",
        old,
        old.replace("engage_type", "hs_object_id" if spec is None else "other").replace("engage_id", "other"),
    )
    gap = next(gap for gap in healthy.gaps("hubspot") if gap.step is step)
    assert gap.problem == problem
    assert (gap.object, gap.line is not None) == ("contacts", True)
    assert "→" in gap.todo or "`" in gap.todo


# -- a connector that cannot be asked


def test_a_refused_login_hides_no_gap_of_the_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTOR_SECRET", "wrong")
    found = project.examine()
    assert found.exit == LoginFailed.exit_code
    login = the_only([gap for gap in found.gaps if gap.file == "connectors/salesforce.yaml"])
    assert "client_secret" in login.problem
    assert "`auth`" in login.todo
    assert any(gap.field == "engage_type" for gap in found.gaps)


def test_a_crm_that_is_down_hides_no_gap_of_the_other(project: Project) -> None:
    project.hub.faults.add(Fault("bad_gateway", times=None))
    found = project.examine()
    assert found.exit == Unreachable.exit_code
    assert the_only([gap for gap in found.gaps if "hubspot" in gap.file]).todo == "try again later"
    assert any(gap.field == "Engage_Type__c" for gap in found.gaps)


def test_a_secret_that_is_not_set_hides_no_gap_of_the_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCTOR_TOKEN")
    found = project.examine()
    assert found.exit == Mistake.exit_code
    assert "DOCTOR_TOKEN" in found.mistakes[0].what
    unset = the_only([gap for gap in found.gaps if "hubspot" in gap.file])
    assert (unset.line, unset.todo) == (2, "correct it")
    assert any(gap.field == "Engage_Type__c" for gap in found.gaps)


def test_a_crm_that_is_down_keeps_no_other_from_its_fields(project: Project) -> None:
    project.hub.faults.add(Fault("bad_gateway", times=None))
    made = project.provide()
    assert {(one.connector, one.result) for one in made.fields} == {("salesforce", "created")}
    assert made.exit == Unreachable.exit_code
    assert made.error() is made.errors["hubspot"]
    project.hub.faults.clear()
    assert {one.result for one in project.provide().fields} == {"created", "exists"}
    assert project.examine().exit == 0


def test_a_refused_field_is_a_failure_and_the_others_are_made(project: Project) -> None:
    project.rewrite("salesforce", "Engage_Type__c", "Engage_Type")
    made = project.provide()
    assert made.exit == 1
    [refused] = [one for one in made.fields if one.result == "refused"]
    assert "name it Engage_Type__c" in (refused.message or "")
    assert [gap.step for gap in project.gaps("salesforce")] == [Step.CREATE]


def test_where_records_are_is_remembered(healthy: Project) -> None:
    with open_workspace(healthy.root, hardened=healthy.hardened) as workspace:
        doctor.examine(workspace)
        assert workspace.state.note("account.salesforce") == healthy.org.org_id
        assert workspace.state.note("site.salesforce") == healthy.org.base_url
