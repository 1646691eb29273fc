"""A connector that reaches another CRM account than before: refused until a person confirms it, and then without
anything of the former company."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.connectors.salesforce_auth import quota_key
from engage_sync.connectors.salesforce_settings import SalesforceSettings
from engage_sync.errors import Mistake
from engage_sync.sandbox import salesforce_server, server
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.limits import UNLIMITED
from engage_sync.sandbox.salesforce_server import SalesforceOptions
from engage_sync.sandbox.server import Options, Sandbox
from engage_sync.sync import cycle, provisioning
from engage_sync.sync.acceptance import accept_account
from engage_sync.sync.accounts import same
from engage_sync.sync.approval import approve
from engage_sync.sync.doctor import examine
from engage_sync.sync.rollback import rollback
from tests.sync.command import answer, engage
from tests.sync.project import TOKEN_VARIABLE, Project, project
from tests.sync.two_crms import both

PATHS = ("/crm/", "/properties/")


@pytest.fixture(scope="module")
def other() -> Iterator[Sandbox]:
    with server.start(options=Options(portal=2, rates=UNLIMITED)) as crm:
        yield crm
        assert crm.bugs == []


@pytest.fixture
def here(tmp_path: Path, other: Sandbox) -> Iterator[Project]:
    """A project that was synced with account 1."""
    with project(tmp_path) as made:
        made.contact("ada@a.example")
        made.tell(*made.person("ada", "ada@a.example"))
        assert made.buckets(made.sync()) == {"written": 1}
        other.calls.clear()
        yield made


def turn(to: Sandbox, made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the file name another account's address, and the environment its token."""
    file = made.root / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().replace(made.crm.base_url, to.base_url))
    monkeypatch.setenv(TOKEN_VARIABLE, to.token)


def crm_calls(crm: Sandbox) -> list[str]:
    """Give the calls about records and fields."""
    return [one.path for one in crm.calls.all() if one.path.startswith(PATHS)]


def test_no_command_works_with_another_account(here: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    run = here.sync().run
    turn(other, here, monkeypatch)
    with here.open() as workspace:
        before = workspace.state.records("hubspot", "contacts", ["email"]).rows()
        told = "reaches the account 2 now.*of the account 1.*check hubspot --accept-account"
        for pulling in (True, False):
            with pytest.raises(Mistake, match=told):
                cycle.sync(workspace, None, here.clock(), clock=here.clock, pulling=pulling)
        with pytest.raises(Mistake, match=told):
            cycle.sync(workspace, None, here.clock(), clock=here.clock, pulling=False, retrying=True)
        with pytest.raises(Mistake, match=told):
            cycle.plan(workspace, None, here.clock(), clock=here.clock)
        for reconciling in (False, True):
            with pytest.raises(Mistake, match=told):
                cycle.pull(workspace, None, clock=here.clock, reconciling=reconciling)
        with pytest.raises(Mistake, match=told):
            rollback(workspace, run - 1, clock=here.clock, confirm=lambda _: True)
        with pytest.raises(Mistake, match=told):
            provisioning.provision(workspace, apply=True)
        found = examine(workspace)
        assert (found.exit, len(found.gaps), len(found.mistakes)) == (2, 1, 1)
        assert workspace.state.records("hubspot", "contacts", ["email"]).rows() == before
    assert [path for path in crm_calls(other) if "/batch/" in path or "search" in path] == []


def test_after_the_confirmation_nothing_of_the_former_account_is_left(
    here: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the stranger has the id that the user's record has in the former account."""
    record = here.crm.store.ids("contacts")[0]
    assert other.store.create("contacts", {"email": "stranger@b.example"}) == record
    user = other.store.create("contacts", {"email": "ada@a.example"})
    first = here.sync().run
    turn(other, here, monkeypatch)
    found = answer(here.root, "check", "hubspot", "--accept-account", code=1)
    assert {gap["field"] for gap in found["problems"]} >= {
        "engage_user_types",
        "engage_reports",
    }  # the new one lacks ours
    assert found["accepted"] == {
        "connector": "hubspot",
        "account": "2",
        "former": "1",
        "changed": True,
        "forgotten": {"records": 1, "written": 1},
    }
    with here.open() as workspace:
        state = workspace.state
        assert (state.note("account.hubspot"), state.note("baseline.hubspot")) == ("2", None)
        for frame in (
            state.records("hubspot", "contacts", []),
            state.links("hubspot", "contacts"),
            state.written("hubspot", "contacts", ["engage_link"]),
        ):
            assert frame.is_empty()
        undone = rollback(workspace, first - 1, clock=here.clock, confirm=lambda _: True)
        assert (undone.restored, undone.plan.restores().height) == (0, 0)
        (former,) = state.link_history(["ada"]).rows(named=True)
        assert (former["connector"], former["record"]) == (f"hubspot (account 1, until run {first + 1})", record)
        assert former["until_run"] == first + 1
    here.provision()
    assert here.buckets(here.sync()) == {"written": 1, "unlinked": 1}
    assert other.store.values("contacts", user)["engage_external_id"] == "ada"
    assert {edit.name for edit in other.store.edits("contacts", record) if edit.name.startswith("engage")} == set()
    assert here.buckets(here.sync()) == {"unchanged": 1, "unlinked": 1}
    monkeypatch.setenv(TOKEN_VARIABLE, here.crm.token)
    turn(here.crm, here, monkeypatch)
    file = here.root / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().replace(other.base_url, here.crm.base_url))
    with pytest.raises(Mistake, match=r"reaches the account 1 now.*of the account 2"):
        here.sync()


def test_a_held_run_of_the_former_account_cannot_be_approved(
    here: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.clock.advance(3 * 86_400)
    engage_yaml = here.root / "config" / "engage.yaml"
    engage_yaml.write_text(engage_yaml.read_text().replace("max_event_age: ,", "max_event_age: 24h,"))
    held = here.sync()
    assert held.exit == 3
    turn(other, here, monkeypatch)
    with here.open() as workspace:
        with pytest.raises(Mistake, match="reaches the account 2"):
            approve(workspace, held.run, clock=here.clock)
        accept_account(workspace, "hubspot", clock=here.clock)
        with pytest.raises(Mistake, match="overtaken by run"):
            approve(workspace, held.run, clock=here.clock)


def test_the_same_account_by_other_credentials_needs_no_confirmation(
    here: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.start(store=here.crm.store, options=Options(portal=1, rates=UNLIMITED)) as moved:
        turn(moved, here, monkeypatch)
        assert here.buckets(here.sync()) == {"unchanged": 1}
        with here.open() as workspace:
            accepted = accept_account(workspace, "hubspot", clock=here.clock)
            assert (accepted.changed, accepted.account, accepted.former) == (False, "1", "1")
            assert workspace.state.records("hubspot", "contacts", []).height == 1


def test_new_credentials_of_an_account_that_is_not_named_wait(
    here: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn(other, here, monkeypatch)
    other.faults.add(Fault("server_error", path="/account-info/*", times=None))
    report = here.sync()
    other.faults.clear()
    assert (report.exit, list(report.errors)) == (5, ["hubspot"])
    assert "does not tell which account" in report.errors["hubspot"]


@pytest.fixture
def unnamed(tmp_path: Path, other: Sandbox) -> Iterator[Project]:
    """A project that was synced with an account that HubSpot did not name."""
    with project(tmp_path, provisioned=False) as made:
        made.crm.faults.add(Fault("server_error", path="/account-info/*", times=None))
        made.provision()
        made.contact("ada@a.example")
        made.tell(*made.person("ada", "ada@a.example"))
        assert made.buckets(made.sync()) == {"written": 1}
        assert noted(made) is None
        other.calls.clear()
        yield made


def noted(made: Project) -> str | None:
    with made.open() as workspace:
        return workspace.state.note("account.hubspot")


def test_an_account_that_is_named_later_is_kept(unnamed: Project) -> None:
    unnamed.crm.faults.clear()
    assert unnamed.buckets(unnamed.sync()) == {"unchanged": 1}
    assert noted(unnamed) == "1"


def test_new_credentials_are_refused_where_the_account_is_named_neither_before_nor_after(
    unnamed: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells the two apart. The confirmation needs no name, or the CRM would be a dead end."""
    turn(other, unnamed, monkeypatch)
    other.faults.add(Fault("server_error", path="/account-info/*", times=None))
    with pytest.raises(Mistake, match=r"an account that it does not name.*not named then.*--accept-account"):
        unnamed.sync()
    assert [path for path in crm_calls(other) if "/batch/" in path or "search" in path] == []
    with unnamed.open() as workspace:
        accepted = accept_account(workspace, "hubspot", clock=unnamed.clock)
        assert (accepted.former, accepted.account, accepted.changed) == ("unknown", None, True)
        assert accepted.json()["forgotten"] == {"records": 1, "written": 1}
    unnamed.sync()
    with unnamed.open() as workspace, pytest.raises(Mistake, match="nothing to accept"):
        accept_account(workspace, "hubspot", clock=unnamed.clock)
    other.faults.clear()


def test_the_former_credentials_go_on_without_a_name(
    unnamed: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = unnamed.root / "connectors" / "hubspot.yaml"
    before = file.read_text()
    turn(other, unnamed, monkeypatch)
    other.faults.add(Fault("server_error", path="/account-info/*", times=None))
    with pytest.raises(Mistake, match="an account that it does not name"):
        unnamed.sync()
    other.faults.clear()
    file.write_text(before)
    monkeypatch.setenv(TOKEN_VARIABLE, unnamed.crm.token)
    assert unnamed.buckets(unnamed.sync()) == {"unchanged": 1}


def test_new_credentials_over_an_account_that_was_not_named_are_refused(
    unnamed: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered may be another company's; a confirmation forgets it, and says so."""
    turn(other, unnamed, monkeypatch)
    with pytest.raises(Mistake, match=r"reaches the account 2 now.*was not named then.*--accept-account"):
        unnamed.sync()
    assert [path for path in crm_calls(other) if "/batch/" in path or "search" in path] == []
    assert noted(unnamed) is None
    with unnamed.open() as workspace:
        accepted = accept_account(workspace, "hubspot", clock=unnamed.clock)
        assert (accepted.former, accepted.account, accepted.changed) == ("unknown", "2", True)
        assert workspace.state.records("hubspot", "contacts", []).is_empty()


def test_credentials_are_corrected_before_anything_is_remembered(
    tmp_path: Path, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with project(tmp_path, provisioned=False) as made:
        made.crm.faults.add(Fault("server_error", times=None))
        assert made.sync().exit == 5
        turn(other, made, monkeypatch)
        assert made.sync().exit != 5
        assert noted(made) == "2"


def test_what_is_forgotten_leaves_no_note_of_the_former_account(
    here: Project, other: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("brakes.inactive.hubspot", "field_limits.hubspot", "reached.hubspot.contacts", "baseline.hubspot")
    with here.open() as workspace:
        state = workspace.state
        state.set_note("brakes.inactive.hubspot", "{}")
        state.set_note("alerts.volumes", '{"hubspot": [], "salesforce": []}')
        turn(other, here, monkeypatch)
    with here.open() as workspace:
        accept_account(workspace, "hubspot", clock=here.clock)
        assert [workspace.state.note(key) for key in kinds] == [None] * 4
        assert workspace.state.note("alerts.volumes") == '{"salesforce": []}'


def test_users_of_one_salesforce_app_are_other_credentials_but_a_rotated_secret_is_not() -> None:
    def key(**auth: str) -> str:
        return quota_key(SalesforceSettings.model_validate({"auth": auth}))

    def signed(username: str, private: str) -> str:
        pem = f"-----BEGIN PRIVATE KEY-----\n{private}\n-----END PRIVATE KEY-----"
        return key(client_id="app", username=username, private_key=pem)

    assert signed("ada@a.example", "k1") != signed("bo@b.example", "k1")
    assert signed("ada@a.example", "k1") == signed("ada@a.example", "k2")
    own = {"client_id": "app", "login_url": "https://a.my.salesforce.com"}
    assert key(**own, client_secret="s1") == key(**own, client_secret="s2")


def test_other_connectors_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox of Salesforce and its production are two accounts."""
    with both(tmp_path) as made, salesforce_server.start(options=SalesforceOptions(org="00D000000000077")) as full:
        ann, sold = made.contact("ann@a.example"), made.sales("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        assert made.sync().exit == 0
        file = made.root / "connectors" / "salesforce.yaml"
        file.write_text(file.read_text().replace(made.org.base_url, full.base_url))
        made.tell(made.track("ann", "report_run"))
        report = made.sync()
        assert (report.exit, list(report.errors), list(report.connectors)) == (2, ["salesforce"], ["hubspot"])
        assert made.counts(report, "hubspot", "contacts") == {"written": 1}
        assert full.store.ids("Contact") == []
        engage(made.root, "pull", "salesforce", code=2)
        assert made.values(ann)["engage_reports"] == "1"
        assert made.held(sold)["Engage_Reports__c"] != "1"


def test_an_org_is_the_same_by_its_short_and_its_long_id() -> None:
    assert same("00D000000000001AAA", "00D000000000001")
    assert not same("00D000000000001AAA", "00D000000000002AAA")
    assert not same("123456789012345678", "123456789012345")
