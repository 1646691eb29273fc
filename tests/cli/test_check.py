"""What `check` and `provision` print, for people and for machines, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.sandbox import salesforce_server
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox
from engage_sync.sandbox.server import Sandbox
from tests.cli.conftest import Run

VARIABLES = {"LOGIN_URL": "base_url", "CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret"}


@pytest.fixture
def org(monkeypatch: pytest.MonkeyPatch) -> Iterator[SalesforceSandbox]:
    """A Salesforce stand-in whose credentials are in the environment."""
    with salesforce_server.start() as running:
        connect(running, monkeypatch)
        yield running
        assert running.bugs == []


def connect(org: SalesforceSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, attribute in VARIABLES.items():
        monkeypatch.setenv(f"SALESFORCE_{name}", getattr(org, attribute))


@pytest.fixture
def both(tmp_path: Path, run: Run, crm: Sandbox, org: SalesforceSandbox) -> Path:
    """A new project with both CRMs, as `init` writes it."""
    root = tmp_path / "both"
    assert run("init", str(root), "--crm", "hubspot", "--crm", "salesforce").code == 0
    file = root / "connectors" / "hubspot.yaml"
    file.write_text(f"{file.read_text()}\nbase_url: {crm.base_url}\n")
    return root


def test_a_todo_list_is_numbered_for_each_connector(run: Run, both: Path) -> None:
    file = both / "connectors" / "salesforce.yaml"
    file.write_text(file.read_text().replace("read: [Department]", "read: [Departmant]"))
    ended = run("check", "--project", str(both))
    assert ended.code == 1
    hubspot, salesforce = ended.out.split("connectors/salesforce.yaml: 2 things to do, in this order\n")
    assert hubspot.startswith("connectors/hubspot.yaml: 1 thing to do, in this order\n  1. run `engage-sync provision")
    lines = salesforce.splitlines()
    assert lines[0] == "  1. run `engage-sync provision --apply`"
    assert lines[1].strip() == "connectors/salesforce.yaml:50  Contact has no field Engage_User_Types__c"
    [second] = [number for number, line in enumerate(lines) if line.startswith("  2. ")]
    assert lines[second].startswith("  2. did you mean Department? Correct the name in connectors/salesforce.yaml")
    assert lines[second + 1].endswith("Contact has no field Departmant")


def test_from_nothing_to_a_healthy_project(run: Run, both: Path) -> None:
    here = ("--project", str(both))
    assert run("check", *here, "--json").code == 1
    listed = run("provision", *here)
    assert listed.code == 0
    assert "52 to create or mend: run `engage-sync provision --apply`." in listed.out
    made = run("provision", "--apply", *here)
    assert made.code == 0
    assert "page layout of Contact" in made.out
    again = run("provision", "--apply", *here, "--json")
    assert (again.code, {field["result"] for field in again.json["fields"]}) == (0, {"exists"})
    assert again.json["errors"] == {}
    checked = run("check", *here)
    assert checked.code == 0
    assert "is there and can hold its value" in checked.out
    assert "salesforce: nothing waits for this" in checked.out
    told = run("check", *here, "--json").json
    assert (told["ok"], told["problems"]) == (True, [])
    assert told["advice"] == again.json["advice"]
    assert len(told["advice"]) == 2


def test_every_problem_has_its_six_keys(run: Run, both: Path, org: SalesforceSandbox) -> None:
    org.store.allow("Account", edit=False)
    ended = run("check", "--project", str(both), "--json")
    assert (ended.code, ended.json["ok"]) == (1, False)
    assert {frozenset(problem) for problem in ended.json["problems"]} == {
        frozenset({"file", "line", "object", "field", "problem", "todo"})
    }
    assert all((both / problem["file"]).exists() for problem in ended.json["problems"])
    [permission] = [problem for problem in ended.json["problems"] if "may not edit" in problem["problem"]]
    assert (permission["object"], permission["field"]) == ("Account", None)


@pytest.mark.parametrize(("variable", "code"), [("SALESFORCE_CLIENT_SECRET", 6), ("HUBSPOT_ACCESS_TOKEN", 6)])
def test_wrong_credentials_of_one_crm_leave_the_other_examined(
    run: Run, both: Path, monkeypatch: pytest.MonkeyPatch, variable: str, code: int
) -> None:
    monkeypatch.setenv(variable, "wrong-and-secret")
    for json in ((), ("--json",)):
        ended = run("check", "--project", str(both), *json)
        assert ended.code == code
        assert "wrong-and-secret" not in ended.out + ended.err
        other = "hubspot" if variable.startswith("SALESFORCE") else "salesforce"
        assert f"connectors/{other}.yaml" in ended.out
        assert "has no field" in ended.out
    made = run("provision", "--apply", "--project", str(both), "--json")
    assert made.code == code
    assert {field["result"] for field in made.json["fields"]} == {"created"}
    assert len(made.json["errors"]) == 1


def test_an_unset_secret_of_one_crm_leaves_the_other_examined(
    run: Run, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SALESFORCE_CLIENT_SECRET")
    ended = run("check", "--project", str(both))
    assert ended.code == 2
    assert "SALESFORCE_CLIENT_SECRET" in ended.err
    assert "contacts has no field engage_user_types" in ended.out
    told = run("check", "--project", str(both), "--json")
    assert (told.code, told.json["ok"]) == (2, False)
    assert "SALESFORCE_CLIENT_SECRET" in next(p["problem"] for p in told.json["problems"] if "salesforce" in p["file"])


def test_both_crms_down_is_exit_5(run: Run, both: Path, crm: Sandbox, org: SalesforceSandbox) -> None:
    for running in (crm, org):
        running.faults.add(Fault("total_requests" if running is org else "too_many_daily", times=None))
    ended = run("check", "--project", str(both), "--json")
    assert ended.code == 5
    assert len(ended.json["problems"]) == 2
    refused = run("provision", "--apply", "--project", str(both), "--json")
    assert refused.code == 5
    assert sorted(refused.json["errors"]) == ["hubspot", "salesforce"]


def test_fields_that_the_user_may_not_make_are_told_with_the_way_out(
    run: Run, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with salesforce_server.start(options=SalesforceOptions(may_customize=False)) as closed:
        connect(closed, monkeypatch)
        ended = run("provision", "--apply", "--project", str(both), "--json")
        assert ended.code == 1
        results = {field["connector"]: field["result"] for field in ended.json["fields"]}
        assert results == {"hubspot": "created", "salesforce": "refused"}
        refused = next(field for field in ended.json["fields"] if field["field"] == "Engage_Link__c")
        assert "Customize Application" in refused["message"]
        assert "Setup → Object Manager → Contact → Fields & Relationships → New" in refused["message"]
