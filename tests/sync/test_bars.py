"""The health bar and the stage bar, counted by hand and, for many, by a slow loop."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from engage_sync.core.definitions import Entity
from engage_sync.state.store import State
from engage_sync.sync import bars
from engage_sync.sync.wiring import Workspace, event_store, load_project

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
MODEL = """\
properties:
  account: {mrr: {from: traits.mrr, type: number}}
stages:
  account: [{name: trial, when: "mrr = 0"}, {name: customer, when: "mrr > 0"}, {name: champion, when: "mrr > 1000"}]
  user: [{name: new, when: "age_days < 7"}]
health:
  account: {default: {good: ["active_users > 0"], bad: ["active_users = 0"]}}
"""
Documents = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("project")
    (root / "config").mkdir()
    (root / "config" / "engage.yaml").write_text("timezone: UTC\n")
    (root / "config" / "model.yaml").write_text(MODEL)
    project = load_project(root)
    with State.open(project.database_url(), key_file=root / "key") as state:
        yield Workspace(project, state, event_store(project))


def record(workspace: Workspace, accounts: Documents, users: Documents) -> int:
    """Record a run with these verdicts, later than all before."""
    state = workspace.state
    newest = state.newest_recorded()
    at = AS_OF if newest is None else newest.as_of + timedelta(days=1)
    run = state.start_run("compute", at, at)
    for entity, documents in ((Entity.ACCOUNT, accounts), (Entity.USER, users)):
        rows = [(key, json.dumps({"external_id": key, **value})) for key, value in documents.items()]
        schema = {"external_id": pl.String, "document": pl.String}
        state.save_verdicts(run, entity, pl.DataFrame(rows, schema=schema, orient="row"))
    state.mark_recorded(run)
    return run


def account(stage: str | None, health: str | None, mrr: float | None) -> dict[str, Any]:
    return {"stage": stage, "health": health, "mrr": mrr}


def test_by_hand(workspace: Workspace) -> None:
    accounts = {
        "a": account("customer", "good", 100),
        "b": account("customer", "bad", None),
        "c": account("trial", "bad", None),
        "d": account("customer", "good", 50.5),
        "e": account(None, "unknown", 7),
        "f": account(None, None, None),
    }
    users = {"u1": {"stage": "new", "mrr": 150.5}, "u2": {"stage": None, "mrr": 100}, "gone": {"deactivated": True}}
    run = record(workspace, accounts, users)
    health: Any = bars.health_json(bars.health(workspace, None))
    assert health == {
        "run": run,
        "as_of": "2026-06-01T00:00:00Z",
        "accounts": {
            "good": {"count": 2, "mrr": 150.5},
            "normal": {"count": 0, "mrr": None},
            "bad": {"count": 2, "mrr": None},
            "unknown": {"count": 1, "mrr": 7},
            "none": {"count": 1, "mrr": None},
        },
        "users": None,
    }
    stages: Any = bars.stages_json(bars.stages(workspace, None))
    figures = {"good": 0, "normal": 0, "bad": 0, "unknown": 0, "none": 0}
    assert stages["accounts"] == [
        {"stage": "trial", "count": 1, "mrr": None, **figures, "bad": 1},
        {"stage": "customer", "count": 3, "mrr": 150.5, **figures, "good": 2, "bad": 1},
        {"stage": "champion", "count": 0, "mrr": None, **figures},
        {"stage": None, "count": 2, "mrr": 7, **figures, "unknown": 1, "none": 1},
    ]
    assert stages["users"] == [
        {"stage": "new", "count": 1, "mrr": 150.5, **figures, "none": 1},
        {"stage": None, "count": 1, "mrr": 100, **figures, "none": 1},
    ]
    assert bars.stages(workspace, None, everyone=True).frames[Entity.USER]["count"].to_list() == [1, 2]


def test_nobody_at_all(workspace: Workspace) -> None:
    record(workspace, {}, {})
    health: Any = bars.health_json(bars.health(workspace, None))
    assert {json.dumps(figures) for figures in health["accounts"].values()} == {'{"count": 0, "mrr": null}'}
    stages: Any = bars.stages_json(bars.stages(workspace, None))
    assert [row["stage"] for row in stages["accounts"]] == ["trial", "customer", "champion", None]
    assert bars.health_rows(bars.health(workspace, None)).height == 5
    assert bars.stage_rows(bars.stages(workspace, None)).height == 6


def test_many_are_counted_as_a_loop_counts_them(workspace: Workspace) -> None:
    chance = random.Random(8)
    health = [*bars.HEALTH, None]
    stages = ["trial", "customer", "champion", None, "former"]
    accounts = {
        f"a{number}": account(chance.choice(stages), chance.choice(health), chance.choice([None, 0, 12.5, 300]))
        for number in range(500)
    }
    record(workspace, accounts, {})
    found: Any = bars.health_json(bars.health(workspace, None))
    for name in health:
        mine = [one for one in accounts.values() if one["health"] == name]
        assert found["accounts"][name or "none"] == {"count": len(mine), "mrr": known_sum(mine)}
    rows: Any = bars.stages_json(bars.stages(workspace, None))
    assert [row["stage"] for row in rows["accounts"]] == ["trial", "customer", "champion", "former", None]
    for row in rows["accounts"]:
        mine = [one for one in accounts.values() if one["stage"] == row["stage"]]
        by_health = {name or "none": sum(one["health"] == name for one in mine) for name in (*bars.HEALTH, None)}
        assert row == {"stage": row["stage"], "count": len(mine), "mrr": known_sum(mine), **by_health}


def known_sum(accounts: list[dict[str, Any]]) -> float | None:
    known = [one["mrr"] for one in accounts if one["mrr"] is not None]
    return sum(known) if known else None
