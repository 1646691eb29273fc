"""`init`: the project that it writes, and the questions that it asks on a terminal and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from engage_sync.config.project import load
from engage_sync.sync.machine_zone import machine_timezone
from engage_sync.sync.wiring import connector_types
from tests.cli.conftest import Run
from tests.terminal import CTRL_C, seated

PLAIN = {"TZ": "America/Lima", "NO_COLOR": "1"}


def engage_file(root: Path) -> dict[str, object]:
    found = yaml.safe_load((root / "config" / "engage.yaml").read_text())
    assert isinstance(found, dict)
    return found


def connector(root: Path, name: str) -> dict[str, object]:
    found = yaml.safe_load((root / "connectors" / f"{name}.yaml").read_text())
    assert isinstance(found, dict)
    return found


def test_without_a_terminal_it_asks_nothing(run: Run, tmp_path: Path) -> None:
    ended = run("init", str(tmp_path / "a"))
    assert (ended.code, ended.err) == (0, "")
    assert engage_file(tmp_path / "a")["timezone"] == "UTC"
    assert "base_url" not in connector(tmp_path / "a", "hubspot")
    assert (tmp_path / "a" / ".env.example").read_text().endswith("\nHUBSPOT_ACCESS_TOKEN=\n")
    assert ".env\n" in (tmp_path / "a" / ".gitignore").read_text()


def test_options_answer_the_questions(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "a"
    crms = ("--crm", "hubspot", "--crm", "salesforce", "--sandbox")
    ended = run("init", str(root), *crms, "--timezone", "Asia/Kolkata", "--events", "s3://bucket/it's #1")
    assert ended.code == 0
    project = load(root, connector_types())
    assert (project.timezone, project.store) == ("Asia/Kolkata", "s3://bucket/it's #1")
    assert connector(root, "hubspot")["base_url"] == "http://127.0.0.1:8090"
    assert connector(root, "salesforce")["auth"] == {
        "login_url": "http://127.0.0.1:8091",
        "client_id": "${SALESFORCE_CLIENT_ID}",
        "client_secret": "${SALESFORCE_CLIENT_SECRET}",
    }
    secrets = dict(
        line.split("=") for line in (root / ".env.example").read_text().splitlines() if not line.startswith("#")
    )
    assert set(secrets) == {"HUBSPOT_ACCESS_TOKEN", "SALESFORCE_CLIENT_ID", "SALESFORCE_CLIENT_SECRET"}
    assert all(secrets.values())


def test_an_address_of_a_real_crm_comes_without_its_secrets(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "a"
    assert run("init", str(root), "--crm", "hubspot", "--base-url", "https://proxy.example.com/hub=1").code == 0
    assert connector(root, "hubspot")["base_url"] == "https://proxy.example.com/hub=1"
    assert (root / ".env.example").read_text().endswith("\nHUBSPOT_ACCESS_TOKEN=\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--timezone", "Berlin"), "did you mean `Europe/Berlin`?"),
        (("--base-url", "http://crm.example.com"), "http:// would send the token in clear to crm.example.com"),
        (
            ("--base-url", "salesforce=https://a.example"),
            "does not say which CRM is there; write --base-url hubspot=URL",
        ),
        (("--events", ""), "--events names no place"),
    ],
)
def test_a_wrong_answer_writes_nothing(run: Run, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    ended = run("init", str(tmp_path / "a"), *arguments)
    assert ended.code == 2
    assert sentence in ended.err
    assert not (tmp_path / "a").exists()


def test_what_is_there_already_stays(run: Run, tmp_path: Path) -> None:
    """A repository's own .gitignore is left alone; any other file that is there refuses the whole."""
    (tmp_path / ".gitignore").write_text("mine\n")
    assert run("init", str(tmp_path)).code == 0
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".env.example").write_text("MINE=1\n")
    assert ".env.example exists already" in run("init", str(tmp_path / "b")).err
    assert [path.name for path in (tmp_path / "b").iterdir()] == [".env.example"]


def test_events_are_a_store_or_files_to_import(run: Run, tmp_path: Path) -> None:
    export, store = tmp_path / "my export", tmp_path / "store"
    export.mkdir()
    (export / "a.jsonl").write_text("{}\n")
    (store / "_delta_log").mkdir(parents=True)
    ended = run("init", str(tmp_path / "a"), "--events", str(export))
    assert f"engage-sync import '{export}'" in ended.out
    assert load(tmp_path / "a", connector_types()).store == "var/events"
    run("init", str(tmp_path / "b"), "--events", str(store))
    assert load(tmp_path / "b", connector_types()).store == str(store)


def test_on_a_terminal_it_asks_and_asks_again(tmp_path: Path) -> None:
    with seated("init", str(tmp_path / "a"), environment={**os.environ, **PLAIN}) as person:
        person.type("pipedrive\nhubspot, salesforce\nsandbox\nnowhere\n\nMars/Base\n\n\n")
        out, err = person.process.communicate(timeout=60)
    assert person.process.returncode == 0, err
    assert "wrote" in out
    for said in ("'pipedrive'; there are hubspot, salesforce", "an address that begins with https://", "Mars/Base"):
        assert said in err
    project = load(tmp_path / "a", connector_types())
    assert [file.name for file in project.connectors] == ["hubspot", "salesforce"]
    assert (project.timezone, project.store) == ("America/Lima", "var/events")
    assert connector(tmp_path / "a", "hubspot")["base_url"] == "http://127.0.0.1:8090"
    assert (
        (tmp_path / "a" / ".env.example")
        .read_text()
        .endswith(
            "HUBSPOT_ACCESS_TOKEN=pat-na1-sandbox\nSALESFORCE_LOGIN_URL=\nSALESFORCE_CLIENT_ID=\nSALESFORCE_CLIENT_SECRET=\n"
        )
    )


def test_ctrl_c_ends_a_question(tmp_path: Path) -> None:
    with seated("init", str(tmp_path / "a"), environment={**os.environ, **PLAIN}) as person:
        person.asked("[hubspot]: ")
        person.type(CTRL_C)
        assert person.process.wait(20) == 130
    assert not (tmp_path / "a").exists()


def test_the_zone_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert machine_timezone(tmp_path, {}) == "UTC"
    (tmp_path / "etc" / "localtime").symlink_to("../usr/share/zoneinfo/America/Argentina/Ushuaia")
    assert machine_timezone(tmp_path, {}) == "America/Argentina/Ushuaia"
    (tmp_path / "etc" / "timezone").write_text("Europe/Berlin\n")
    assert machine_timezone(tmp_path, {"TZ": "CET-1CEST"}) == "Europe/Berlin"
    assert machine_timezone(tmp_path, {"TZ": ":Asia/Tokyo"}) == "Asia/Tokyo"


def test_the_sandbox_writes_no_events_over_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("mine")
    assert "exists already; name a new file" in run("sandbox", "--messages", str(tmp_path / "m.jsonl")).err
    assert run("sandbox", "--empty", "--messages", str(tmp_path / "n.jsonl")).code == 2
    assert (tmp_path / "m.jsonl").read_text() == "mine"
