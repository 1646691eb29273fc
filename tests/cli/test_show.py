"""`show` for bars, timelines and the table, and `test`, as a user runs them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from engage_sync.cli import bars as drawing
from engage_sync.cli.main import main
from engage_sync.cli.timeline import sparkline
from tests.cli.conftest import Run

MODEL = """\
properties:
  account: {mrr: {from: traits.mrr, type: number}}
metrics:
  account: {logins: {count: login, window: 7d}}
stages:
  account: [{name: trial, when: "mrr is null"}, {name: customer, when: "mrr > 0"}]
health:
  account: {default: {good: ["logins >= 2"], bad: ["logins = 0"]}}
scores:
  engagement: {entity: user, kind: weighted, weights: {login: 1}, window: 30d}
segments:
  quiet: {entity: account, where: "logins = 0"}
signals:
  silence: {entity: account, when: "logins = 0"}
"""
FIRST, SECOND = "2026-06-01T22:30:00Z", "2026-06-10T12:00:00Z"


def group(user: str, account: str, **traits: Any) -> dict[str, Any]:
    stamp = "2026-05-01T00:00:00Z"
    return {"type": "group", "userId": user, "groupId": account, "timestamp": stamp, "traits": traits}


def login(user: str, day: str) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": "login", "timestamp": day}


MESSAGES = [
    group("u1", "acme", mrr=1000),
    group("u2", "beta", mrr=200.5),
    group("u3", "new"),
    login("u1", "2026-05-30T10:00:00Z"),
    login("u1", "2026-05-31T10:00:00Z"),
    login("u2", "2026-05-31T10:00:00Z"),
    login("u2", "2026-06-08T10:00:00Z"),
    login("u2", "2026-06-09T10:00:00Z"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A project with two recorded runs, nine days apart; `acme` has gone quiet in between. Nothing here changes it."""
    root = tmp_path_factory.mktemp("acme")
    (root / "config").mkdir()
    (root / "config" / "engage.yaml").write_text("timezone: Europe/Berlin\n")
    (root / "config" / "model.yaml").write_text(MODEL)
    (root / "m.jsonl").write_text("".join(json.dumps(message) + "\n" for message in MESSAGES))
    folder = ("--project", str(root))
    done = [("import", str(root / "m.jsonl")), *(("compute", "--as-of", at) for at in (FIRST, SECOND))]
    with pytest.MonkeyPatch.context() as patch:
        for arguments in done:
            patch.setattr("sys.argv", ["engage-sync", *arguments, *folder])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, arguments
    structlog.reset_defaults()
    return folder


def test_bars_of_health(run: Run, here: tuple[str, str]) -> None:
    none = {"count": 0, "mrr": None}
    found = run("show", "health", "--json", *here).json
    assert found["users"] is None
    assert found["as_of"] == SECOND
    assert found["accounts"] == {
        "good": {"count": 1, "mrr": 200.5},
        "normal": none,
        "bad": {"count": 2, "mrr": 1000},
        "unknown": none,
        "none": none,
    }
    then = run("show", "health", "--json", "--as-of", FIRST, *here).json["accounts"]
    assert [then[name]["count"] for name in ("good", "normal", "bad")] == [1, 1, 1]
    drawn = run("show", "health", *here).out.splitlines()
    assert drawn[0] == "3 accounts as of 2026-06-10 12:00 UTC (run 2), MRR 1,200.50"
    assert (drawn[1].count("█"), drawn[1].count("▒")) == (24, 48)
    assert [line.split() for line in drawn[3:]] == [
        ["██", "good", "1", "33%", "200.50"],
        ["▓▓", "normal", "0", "0%", "–"],
        ["▒▒", "bad", "2", "67%", "1,000"],
    ]
    assert max(map(len, drawn)) <= 80
    rows = list(csv.DictReader(io.StringIO(run("show", "health", "--format", "csv", *here).out)))
    assert rows[0] == {"entity": "account", "health": "good", "count": "1", "mrr": "200.5"}


def test_bars_of_stages(run: Run, here: tuple[str, str]) -> None:
    found = run("show", "stages", "--json", *here).json
    assert [(row["stage"], row["count"], row["mrr"], row["bad"]) for row in found["accounts"]] == [
        ("trial", 1, None, 1),
        ("customer", 2, 1200.5, 1),
        (None, 0, None, 0),
    ]
    lines = [json.loads(line) for line in run("show", "stages", "--format", "jsonl", *here).out.splitlines()]
    assert lines == [{"entity": "account", **row} for row in found["accounts"]]
    drawn = run("show", "stages", *here).out
    assert "customer  ████████▒▒▒▒▒▒▒▒      2  1,200.50" in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_timeline_of_an_account(run: Run, here: tuple[str, str]) -> None:
    found = run("show", "timeline", "account", "acme", "--json", *here).json
    assert found["stages"] == [{"stage": "customer", "entered_at": FIRST, "left_at": None}]
    assert found["segments"] == [{"segment": "quiet", "entered_at": SECOND, "left_at": None}]
    assert found["signals"] == [{"signal": "silence", "entered_at": SECOND, "left_at": None}]
    changes = {(one["kind"], one["name"]): one for one in found["transitions"]}
    health = changes["health", ""]
    assert (health["at"], health["run"], health["from"], health["to"]) == (SECOND, 2, "good", "bad")
    assert "logins" in health["reasons"][0]
    assert [(day["day"], day["scores"], day["bands"]) for day in found["scores"]] == [
        ("2026-06-02", {"engagement": 100}, {"engagement": "high"}),
        ("2026-06-10", {"engagement": 69}, {"engagement": "medium"}),
    ]
    printed = run("show", "timeline", "account", "acme", *here).out
    assert "customer  2026-06-02 00:30  still" in printed
    assert "health: good → bad" in printed
    assert "█▆" in printed


def test_what_cannot_be_shown_and_the_tables(run: Run, here: tuple[str, str]) -> None:
    for arguments, said in (
        (("healths",), "did you mean health?"),
        (("timeline", "acount", "acme"), "did you mean account?"),
        (("timeline", "account"), "show timeline account acme"),
        (("timeline", "account", "acmee"), "there is no account 'acmee'; did you mean acme?"),
        (("users", "u1"), "explain user ID"),
        (("timeline", "account", "acme", "--format", "csv"), "`--json` gives all of it"),
    ):
        refused = run("show", *arguments, *here)
        assert (refused.code, said in refused.err) == (2, True), refused
    accounts = run("show", "accounts", *here).out
    assert "stage" in accounts
    assert "1,000" in accounts
    users = run("show", "users", *here).out
    assert "engagement" in users
    assert "health" not in users


def test_scores_are_drawn_from_nothing_to_everything() -> None:
    assert sparkline([0, 50, 100, None, 14]) == "▁▅█ ▂"


@pytest.mark.parametrize(
    ("counts", "width", "cells"),
    [
        ([1, 1, 1], 72, [24, 24, 24]),
        ([1000, 1, 0], 10, [9, 1, 0]),
        ([1, 1, 1], 2, [1, 1, 1]),
        ([2, 1, 0], 10, [7, 3, 0]),
        ([0, 0, 0], 10, [0, 0, 0]),
        ([998, 1, 1], 10, [8, 1, 1]),
    ],
)
def test_a_bar_is_shared_out_whole(counts: list[int], width: int, cells: list[int]) -> None:
    assert drawing._cells(counts, width) == cells


def test_the_models_tests_as_a_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "engage.yaml").write_text("timezone: UTC\n")
    model = tmp_path / "config" / "model.yaml"
    here = ("--project", str(tmp_path))
    model.write_text("activity: {window: 10d}\n")
    none = run("test", *here)
    assert none.code == 0
    assert "There are no tests" in none.out
    assert run("test", "--json", *here).json == {"passed": 0, "failed": 0, "tests": []}
    model.write_text(none.out.split("\n\n", 1)[1].replace("\n  ", "\n").removeprefix("  "))
    assert run("test", *here).out == "✓ a login makes the account active\n1 passed, 0 failed\n"
    model.write_text(model.read_text().replace("active_users: 1", "active_users: 2"))
    failed = run("test", *here)
    assert failed.code == 1
    assert failed.out.splitlines() == [
        "✗ a login makes the account active  config/model.yaml:2",
        "    account acme: active_users: expected 2, got 1",
        "0 passed, 1 failed",
    ]
    model.write_text(model.read_text().replace("active_users: 2", "active_usres: 2"))
    assert run("test", *here).code == 2
