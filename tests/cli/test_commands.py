"""The commands as a user runs them: answers, JSON keys, exit codes, and what they say when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import socket
from pathlib import Path

import pytest

from engage_sync.sandbox.server import Sandbox
from tests.cli.conftest import NOW, Run

BUCKETS = {"written", "unchanged", "drift_kept", "ambiguous", "unlinked", "gone", "refused", "held", "failed"}
USER_KEYS = {
    *(
        "external_id",
        "email",
        "name",
        "user_types",
        "primary_user_type",
        "lapsed_influencer",
        "last_active_at",
        "health",
    ),
    *("stage", "scores", "score_trends", "score_bands", "segments", "signals", "metrics", "properties", "mrr"),
    *("renewal_date", "accounts", "links"),
}
ACCOUNT_KEYS = {
    *("external_id", "name", "domain", "active", "users", "active_users", "active_share", "seat_use", "users_by_type"),
    *("mrr", "renewal_date", "health", "stage", "scores", "score_trends", "score_bands", "score_sums", "segments"),
    *("signals", "metrics", "properties", "links"),
}


def test_the_whole_way_from_nothing_to_a_true_crm(run: Run, project: Path, crm: Sandbox) -> None:
    here = ("--project", str(project), "--json")
    found = run("check", *here)
    assert found.code == 1
    assert found.json["ok"] is False
    assert {"file", "line", "object", "field", "problem", "todo"} == set(found.json["problems"][0])
    first = next(item for item in found.json["problems"] if item["field"] == "engage_user_types")
    assert first["file"] == "connectors/hubspot.yaml"
    assert "engage_user_types" in (project / first["file"]).read_text().splitlines()[first["line"] - 1]

    listed = run("provision", *here)
    assert listed.code == 0
    assert {field["result"] for field in listed.json["fields"]} == {"missing"}
    assert {field["result"] for field in run("provision", "--apply", *here).json["fields"]} == {"created"}
    assert {field["result"] for field in run("provision", *here).json["fields"]} == {"exists"}
    assert run("check", *here).json == {"ok": True, "problems": []}

    planned = run("plan", "--as-of", NOW, *here)
    assert planned.code == 0
    assert {"run", "as_of", "held", "calls", "changes"} <= set(planned.json)
    change = next(item for item in planned.json["changes"] if item["field"] == "engage_user_type")
    assert {"connector", "object", "record", "entity", "field", "before", "after", "decision", "reason"} <= set(change)
    assert planned.json["calls"]["write"] == 2
    assert crm.store.values("contacts", change["record"]).get("engage_user_type") is None

    synced = run("sync", "--as-of", NOW, *here)
    assert synced.code == 0
    assert {"run", "as_of", "status", "exit", "connectors", "no_record", "calls"} <= set(synced.json)
    contacts = synced.json["connectors"]["hubspot"]["contacts"]
    assert set(contacts) == BUCKETS
    assert contacts == dict.fromkeys(BUCKETS, 0) | {"written": 2, "unlinked": 1}
    ada = crm.store.values("contacts", crm.store.find("contacts", "email", "ada@acme.example") or "")
    assert ada["engage_user_types"] == "active;influencer;power"
    assert ada["engage_external_id"] == "u1"
    assert ada["engage_link"] == "https://console.example.com/users/u1"
    assert ada["engage_last_active"].startswith("2026-05-31T13:00:00")
    bo = crm.store.values("contacts", crm.store.find("contacts", "email", "bo@acme.example") or "")
    assert bo["engage_user_type"] == "zombie"

    again = run("sync", "--as-of", NOW, *here)
    assert again.json["calls"]["write"] == 0
    assert again.json["connectors"]["hubspot"]["contacts"]["unchanged"] == 2


def test_show_gives_every_key_of_the_contract(run: Run, folder: Path) -> None:
    here = ("--project", str(folder))
    computed = run("compute", "--as-of", NOW, "--json", *here)
    assert computed.json["user_types"] == {"power": 1, "influencer": 0, "active": 1, "inactive": 0, "zombie": 1}
    users = [json.loads(line) for line in run("show", "users", "--format", "jsonl", *here).out.splitlines()]
    assert [user["external_id"] for user in users] == ["u1", "u2"]
    assert set(users[0]) == USER_KEYS
    assert users[0]["email"] == "ada@acme.example"
    assert users[0]["user_types"] == ["active", "power"]
    assert users[0]["last_active_at"] == "2026-05-31T13:00:00Z"
    assert users[0]["accounts"] == ["acme"]
    assert users[0]["metrics"]["events"] == 2
    assert users[0]["metrics"]["age_days"] == 31
    [account] = [json.loads(line) for line in run("show", "accounts", "--format", "jsonl", *here).out.splitlines()]
    assert set(account) == ACCOUNT_KEYS
    assert account["users_by_type"] == {"power": 1, "influencer": 0, "active": 1, "inactive": 0, "zombie": 0}
    assert run("show", "users", "--json", *here).json == users


def test_show_gives_the_same_rows_as_csv(run: Run, folder: Path) -> None:
    run("compute", "--as-of", NOW, "--project", str(folder))
    rows = list(csv.DictReader(io.StringIO(run("show", "users", "--format", "csv", "--project", str(folder)).out)))
    assert [(row["external_id"], row["primary_user_type"], row["user_types"]) for row in rows] == [
        ("u1", "power", "active;power"),
        ("u2", "zombie", "zombie"),
    ]


def test_a_look_back_is_shown_but_not_recorded_and_never_pushed(run: Run, project: Path) -> None:
    here = ("--project", str(project), "--json")
    run("provision", "--apply", *here)
    assert run("sync", "--as-of", NOW, *here).code == 0
    before = run("compute", "--as-of", "2026-05-31T12:30:00Z", *here)
    assert before.json["run"] is None
    then = run("show", "users", "--as-of", "2026-05-31T12:30:00Z", *here).json
    assert then[0]["metrics"]["events"] == 1
    refused = run("sync", "--as-of", "2026-05-31T12:30:00Z", *here)
    assert refused.code == 2
    assert "look back" in refused.err
    assert run("show", "users", *here).json[0]["metrics"]["events"] == 2


def test_explain_says_why_and_what_would_be_written(run: Run, project: Path) -> None:
    here = ("--project", str(project))
    run("provision", "--apply", *here)
    run("pull", *here)
    run("compute", "--as-of", NOW, *here)
    found = run("explain", "user", "u1", "--json", *here).json
    reasons = {reason["verdict"]: reason for reason in found["reasons"]}
    assert reasons["power"]["holds"] is True
    assert "1 active user has events ≥ 2, within ceil(0.1 × 1 active users) = 1" in reasons["power"]["why"]
    assert "jobtitle = 'Head of Data'" in reasons["influencer"]["why"]
    [place] = found["records"]
    assert place["why"].startswith("matched by e-mail")
    fields = {field["field"]: field for field in place["fields"]}
    assert fields["engage_user_type"]["wanted"] == "power"
    assert fields["engage_user_type"]["decision"] == "write"
    assert "matched by e-mail" in run("explain", "user", "u1", *here).out


def test_status_and_runs(run: Run, project: Path) -> None:
    here = ("--project", str(project))
    assert "Nothing has run yet" in run("status", *here).out
    run("provision", "--apply", *here)
    run("sync", "--as-of", NOW, *here)
    status = run("status", "--json", *here).json
    assert status["newest_run"]["status"] == "ok"
    assert status["connectors"]["hubspot"]["linked"] == {"contacts": 2, "companies": 1}
    [only] = run("runs", "--json", *here).json
    assert only["command"] == "sync"
    journal = run("runs", str(only["run"]), "--json", *here).json["journal"]
    assert {"field", "before", "after", "status"} <= set(journal[0])
    assert run("runs", "99", *here).code == 2


def test_import_counts_and_rejects(run: Run, folder: Path, tmp_path: Path) -> None:
    lines = tmp_path / "more.jsonl"
    lines.write_text(
        '{"type":"track","userId":"u1","event":"x","timestamp":"2026-05-01"}\n{"type":"track"}\nnot json\n'
    )
    ended = run("import", str(lines), "--json", "--project", str(folder))
    assert ended.code == 1
    assert {key: ended.json[key] for key in ("read", "imported", "duplicates", "refused")} == {
        "read": 3,
        "imported": 1,
        "duplicates": 0,
        "refused": 2,
    }
    rejects = Path(ended.json["rejects_file"]).read_text().splitlines()
    assert [json.loads(line)["line"] for line in rejects] == [2, 3]
    assert run("import", str(lines), "--json", "--project", str(folder)).json["duplicates"] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "segments"), "show takes users, accounts, health, stages or timeline, not 'segments'"),
        (("explain", "person", "u1"), "explain takes user or account, not 'person'"),
        (("compute", "--as-of", "yesterday"), "--as-of 'yesterday' is not an ISO 8601 instant"),
        (("show", "users"), "nothing has been computed yet"),
        (("schema", "modell"), "there is no file kind 'modell'"),
        (("pull", "salesforce"), "there is no connector named 'salesforce' in this project (connectors: hubspot)"),
        (("import", "nowhere.jsonl"), "nowhere.jsonl"),
        (("import", ""), "a path is empty; for this folder write `.`"),
        (("compact", "--keep", "long"), "--keep"),
        (("compact", "--keep", "0d"), "--keep: the retention must be longer than zero"),
        (("daemon", "--test-alert"), "config/engage.yaml: no channel is configured: give `alerts.webhook`"),
        (("daemon", "--test-alert", "--once"), "--test-alert only sends a test; leave out --once"),
        (("synk",), "No such command 'synk'"),
        (("runs", "first"), "Invalid value for '[ID]'"),
        (("sync", "--fast"), "No such option: --fast"),
        (("runs", "1"), "there is no run 1; there are no runs yet"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_2(run: Run, folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    project = () if arguments[0] in {"schema", "synk"} else ("--project", str(folder))
    ended = run(*arguments, *project)
    assert ended.code == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err


def test_json_answers_stay_json_when_something_is_wrong(run: Run, folder: Path) -> None:
    ended = run("show", "users", "--json", "--project", str(folder))
    assert ended.json["exit"] == 2
    assert "nothing has been computed yet" in ended.json["error"]


def test_explain_names_the_nearest_ids(run: Run, folder: Path) -> None:
    run("compute", "--as-of", NOW, "--project", str(folder))
    assert "did you mean u1" in run("explain", "user", "U1", "--project", str(folder)).err
    assert "did you mean u1" in run("explain", "user", "ada@acme.example", "--project", str(folder)).err


def test_outside_a_project(run: Run, tmp_path: Path) -> None:
    ended = run("status", "--project", str(tmp_path))
    assert ended.code == 2
    assert "engage-sync init" in ended.err


def test_init_overwrites_nothing_and_knows_its_crms(run: Run, folder: Path, tmp_path: Path) -> None:
    assert run("init", str(folder)).code == 2
    ended = run("init", str(tmp_path / "new"), "--crm", "pipedrive")
    assert ended.code == 2
    assert "hubspot" in ended.err


def test_an_unset_secret_stops_only_what_needs_it(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN", raising=False)
    ended = run("check", "--project", str(folder))
    assert ended.code == 2
    assert "HUBSPOT_ACCESS_TOKEN" in ended.err
    assert run("compute", "--as-of", NOW, "--project", str(folder)).code == 0
    assert run("show", "users", "--project", str(folder)).code == 0


def test_a_wrong_token_is_exit_6_and_is_not_shown(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", "pat-secret-and-wrong")
    for command in ("check", "sync", "pull"):
        ended = run(command, "--project", str(project))
        assert ended.code == 6
        assert "pat-secret-and-wrong" not in ended.out + ended.err


def test_an_old_feed_holds_the_run_and_leaves_the_crm_alone(run: Run, project: Path, crm: Sandbox) -> None:
    here = ("--project", str(project), "--json")
    run("provision", "--apply", *here)
    ended = run("sync", "--as-of", "2026-06-05T00:00:00Z", *here)
    assert ended.code == 3
    assert ended.json["status"] == "held"
    assert ended.json["calls"]["write"] == 0
    assert ended.json["connectors"]["hubspot"]["contacts"]["held"] == 2
    kept = run("runs", str(ended.json["run"]), *here).json["held_changes"]
    assert {"engage_user_type", "engage_external_id"} <= {change["field"] for change in kept}
    assert "Held" in run("runs", str(ended.json["run"]), "--project", str(project)).out
    assert run("plan", "--as-of", "2026-06-05T00:00:00Z", *here).code == 3


def test_the_sandbox_says_when_its_port_is_taken(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "choose another --port" in ended.err


def test_a_database_that_is_a_folder_is_a_sentence(run: Run, folder: Path) -> None:
    (folder / "var" / "engage.db").unlink(missing_ok=True)
    (folder / "var" / "engage.db").mkdir(parents=True)
    ended = run("status", "--project", str(folder))
    assert ended.code in {2, 5}
    assert "Traceback" not in ended.err


def test_every_command_answers_help(run: Run) -> None:
    for command in (
        "init",
        "demo",
        "check",
        "schema",
        "provision",
        "import",
        "pull",
        "compute",
        "plan",
        "push",
        "sync",
    ):
        assert run(command, "--help").code == 0
