"""What the user hears when files, secrets, the CRM or the terminal are not as they should be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engage_sync.sandbox.server import Sandbox
from tests.cli.conftest import NOW, Run


def provisioned(run: Run, project: Path) -> tuple[str, ...]:
    assert run("provision", "--apply", "--project", str(project)).code == 0
    return ("--project", str(project), "--json")


def test_a_damaged_key_file_ends_the_run_as_a_mistake(run: Run, project: Path) -> None:
    here = provisioned(run, project)
    (project / "var" / "memory.key").write_text("junk")
    ended = run("sync", "--as-of", NOW, *here)
    assert ended.code == 2
    assert "memory.key" in ended.err


def test_a_password_in_the_database_url_is_never_told(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "p@ss%zz/w#rd")
    file = folder / "config" / "engage.yaml"
    url = "postgresql+psycopg://engage:${DATABASE_PASSWORD}@127.0.0.1:1/engage"
    file.write_text(file.read_text().replace("sqlite:///var/engage.db", url))
    ended = run("status", "--project", str(folder))
    assert ended.code == 5
    assert "PostgreSQL database engage at 127.0.0.1" in ended.err
    for part in ("p@ss", "zz", "w#rd", "%40"):
        assert part not in ended.err


def test_a_connector_that_declares_no_object_has_nothing_to_do(run: Run, project: Path) -> None:
    file = project / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().split("objects:")[0] + f"\nbase_url: {file.read_text().split('base_url: ')[-1]}")
    ended = run("sync", "--as-of", NOW, "--project", str(project), "--json")
    assert ended.code in {0, 2}
    assert "bug" not in ended.err


def test_verdicts_of_another_model_ask_for_a_new_run(run: Run, folder: Path) -> None:
    run("compute", "--as-of", NOW, "--project", str(folder))
    file = folder / "config" / "model.yaml"
    file.write_text(file.read_text().replace("title: traits.title", "title: {from: traits.title, type: number}"))
    file.write_text(file.read_text().replace("or title ilike '%head of%' or title ilike '%director%'", ""))
    ended = run("show", "users", "--project", str(folder))
    assert ended.code == 2
    assert "run `engage-sync compute`" in ended.err
    assert run("compute", "--as-of", NOW, "--project", str(folder)).code == 0
    assert run("show", "users", "--project", str(folder)).code == 0


def test_check_answers_in_its_own_shape_when_the_token_is_wrong(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "wrong")
    ended = run("check", "--json", "--project", str(project))
    assert ended.code == 6
    assert ended.json["ok"] is False
    assert "401" in ended.json["problems"][0]["problem"]


def test_a_record_with_a_refused_and_a_written_value_stays_a_failure(run: Run, project: Path, crm: Sandbox) -> None:
    here = provisioned(run, project)
    file = project / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().replace("engage_link: link", "engage_url: link", 1))
    for _ in range(2):
        ended = run("sync", "--as-of", NOW, *here)
        assert ended.code == 1
        assert ended.json["connectors"]["hubspot"]["contacts"]["refused"] == 2
    assert run("status", *here).json["connectors"]["hubspot"]["failures"] == 2
    ada = crm.store.values("contacts", crm.store.find("contacts", "email", "ada@acme.example") or "")
    assert ada["engage_user_type"] == "power"
    assert run("provision", "--apply", *here).code == 0
    assert run("sync", "--as-of", NOW, *here).code == 0
    assert run("status", *here).json["connectors"]["hubspot"]["failures"] == 0


def test_a_key_file_that_was_left_behind_stops_no_connector_that_keeps_no_secret(run: Run, project: Path) -> None:
    here = provisioned(run, project)
    assert run("sync", "--as-of", NOW, *here).code == 0
    (project / "var" / "memory.key").unlink()
    assert run("sync", "--as-of", NOW, *here).code == 0


def test_links_lead_to_the_record_in_the_crm(run: Run, project: Path) -> None:
    here = provisioned(run, project)
    run("sync", "--as-of", NOW, *here)
    [ada, _] = run("show", "users", *here).json
    link = ada["links"]["hubspot"]
    assert link["object"] == "contacts"
    assert link["url"] == f"https://app.hubspot.com/contacts/1/record/0-1/{link['id']}"


def test_a_run_number_beyond_all_numbers(run: Run, folder: Path) -> None:
    assert run("runs", "99999999999999999999", "--project", str(folder)).code == 2


def test_a_folder_that_cannot_be_written(run: Run) -> None:
    for command in (("init", "/proc/nowhere"), ("demo", "--dir", "/proc/nowhere")):
        ended = run(*command)
        assert ended.code == 2
        assert "/proc/nowhere" in ended.err


@pytest.mark.parametrize("target", ["/dev/full", "closed"])
def test_an_answer_that_nobody_can_take_is_no_traceback(folder: Path, target: str) -> None:
    command = f"{Path(sys.executable).parent / 'engage-sync'} schema"
    line = f"{command} | head -c 10" if target == "closed" else f"{command} > {target}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr


def test_an_instant_far_ahead_is_taken_with_a_warning(run: Run, folder: Path) -> None:
    ended = run("compute", "--as-of", "2099-01-01", "--project", str(folder))
    assert ended.code == 0
    assert "lies ahead of the clock" in ended.err
    assert "ahead" not in run("compute", "--as-of", NOW, "--project", str(folder)).err


def test_a_value_for_a_field_of_another_type_is_refused_before_any_call(run: Run, project: Path, crm: Sandbox) -> None:
    here = provisioned(run, project)
    file = project / "connectors" / "hubspot.yaml"
    file.write_text(
        file.read_text().replace("engage_events_30d: events", "engage_events_30d: {from: name, type: text}", 1)
    )
    ended = run("sync", "--as-of", NOW, *here)
    assert ended.code == 1
    assert ended.json["calls"]["write"] == 2
    problem = "contacts.engage_events_30d is a number field and cannot hold name, a text"
    journal = run("runs", str(ended.json["run"]), *here).json["journal"]
    assert problem in {line["message"] for line in journal}


def test_a_missing_read_scope_is_told_once_and_nothing_is_guessed(
    run: Run, project: Path, crm: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm.access.allow("narrow", frozenset({"crm.objects.contacts.read", "crm.objects.contacts.write"}))
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "narrow")
    ended = run("check", "--json", "--project", str(project))
    told = [item for item in ended.json["problems"] if item["object"] != "contacts"]
    assert ended.code == 1
    assert all("scope" in item["problem"] for item in told)
