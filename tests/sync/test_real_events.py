"""The real events under a model with every kind of verdict equal the oracle, recorded or looked back at."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from engage_sync.core.definitions import Entity
from engage_sync.sync import cycle, views
from engage_sync.sync.wiring import Workspace, open_workspace
from tests.oracle import messages as reading
from tests.oracle.runs import runs
from tests.sync.command import answer, engage, rows

REAL = Path(__file__).parents[1] / "data" / "oss-usage"
FILES = ("users.jsonl.gz", "events.jsonl.gz")
LATER = datetime(2026, 8, 23, tzinfo=UTC)
MOMENTS = ("2016-03-01T00:00:00Z", "2020-06-30T12:00:00Z", "2026-08-22T00:00:00Z")

MODEL = """\
activity: {exclude: ["docs *", "*license*"], window: 30d}
properties:
  user: {mail: traits.email}
  account: {host: traits.domain}
user_types:
  power: {share: 0.07, measure: days_90d}
metrics:
  user:
    days_90d: {active_days: "*", window: 90d}
    areas: {distinct: properties.area}
    names_1y: {distinct: event, window: 365d}
    first_python: {first: "python*"}
    last_changed: {last: "* changed"}
    before: {count: "*", window: 90d, offset: 90d}
    no_numbers: {sum: properties.area, event: "* changed", window: 365d}
    some: {count: "*", where: "properties.area ilike 'R%' or event = 'python changed'"}
  account:
    users_7d: {active_users: "*", window: 7d}
    users_90d: {active_users: "*changed", window: 90d}
    users_1y: {active_users: "*", window: 365d}
    cpp: {count: "*", where: "properties.area = 'cpp'", window: 90d}
    least: {min: properties.area, window: 365d}
    last_event: {last: "*"}
stages:
  account:
    - {name: new, when: "age_days >= 0"}
    - {name: settled, when: "age_days >= 180"}
    - {name: wide, when: "users >= 5 and active_users >= 1"}
  user:
    monotonic: true
    steps:
      - {name: newcomer, when: "days_90d >= 1"}
      - {name: regular, when: "days_90d >= 10"}
      - {name: core, when: "days_90d >= 20 and names_1y >= 3"}
health:
  account:
    grace: 30d
    confirm: 2
    default: {good: ["active_users >= 2"], bad: ["active_users = 0", "users_90d < 0.5 * users_1y"]}
    stages: {wide: {good: ["active_share >= 0.2"], bad: ["users_7d = 0"]}}
  user:
    precedence: bad_first
    default: {good: ["days_90d >= 5"], bad: ["before > 2 * days_90d"]}
scores:
  reach: {entity: user, kind: weighted, window: 90d, weights: {"python changed": 3, "cpp*": 2.5, "docs*": 0, "*": 0.1}}
  pulse: {entity: user, kind: weighted, weights: {"*": 1}}
  depth:
    entity: user
    kind: rules
    rules:
      - {name: often, when: "days_90d >= 10", weight: 2}
      - {name: broad, when: "names_1y >= 3", weight: 1.5}
      - {name: began in python, when: "first_python < '2017-01-01'"}
      - {name: rising, when: "scores.reach_trend > 0"}
  team:
    entity: account
    kind: rules
    rules: [{name: people, when: "active_users >= 3"}, {name: lively, when: "scores.pulse >= 30", weight: 3}]
segments:
  bus_factor: {entity: account, where: "users >= 3 and active_users = 1"}
  strong: {entity: account, where: "scores.reach_sum >= 100 or scores.team_band = 'high'"}
  stars: {entity: user, where: "types.power and scores.reach >= 75"}
  starless: {entity: user, where: "not segments.stars and account.active_users = 1"}
signals:
  quiet: {entity: account, when: "health = 'bad' and stage <> 'new'", cooldown: 30d}
  cooling: {entity: user, when: "scores.pulse_heat = 'cold' or scores.reach_trend <= -10"}
"""


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    return reading.read([REAL / name for name in FILES]).messages


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "engage.yaml").write_text("timezone: America/New_York\n")
    (tmp_path / "config" / "model.yaml").write_text(MODEL)
    imported = answer(tmp_path, "import", *(str(REAL / name) for name in FILES))
    assert (imported["read"], imported["imported"], imported["refused"]) == (25_211, 25_211, 0)
    return tmp_path


@pytest.mark.parametrize("moments", [MOMENTS, MOMENTS[::-1]], ids=["forwards", "backwards"])
def test_real_events(project: Path, told: list[dict[str, Any]], moments: tuple[str, ...]) -> None:
    """Forwards every instant is recorded and remembers the one before; backwards the second and third are looks back,
    which are not recorded."""
    expected = runs(told, yaml.safe_load(MODEL), moments, "America/New_York")
    recorded = moments[0]
    with open_workspace(project) as workspace:
        for moment, theirs in zip(moments, expected, strict=True):
            as_of = datetime.fromisoformat(moment)
            run, _ = cycle.recompute(workspace, as_of, clock=lambda: LATER)
            assert (run is None) == (moment < recorded)
            recorded = max(recorded, moment)
            check(workspace, as_of, theirs)
    newest = [row["external_id"] for row in rows(project, "users")]
    assert newest == [row["external_id"] for row in rows(project, "users", MOMENTS[-1])]


def check(workspace: Workspace, as_of: datetime, expected: dict[str, list[dict[str, Any]]]) -> None:
    for entity in Entity:
        shown = views.json_rows(workspace, views.show(workspace, entity, as_of, everyone=False)).to_list()
        theirs = expected[f"{entity.value}s"]
        assert len(shown) == len(theirs) > 0
        for mine, other in zip(map(json.loads, shown), theirs, strict=True):
            assert differences(mine, other) == [], mine["external_id"]


def differences(mine: Any, theirs: Any, at: str = "") -> list[str]:
    """Say where two JSON values differ. Doubles may differ by the order in which they were added."""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        return [line for key in mine for line in differences(mine[key], theirs[key], f"{at}.{key}")]
    if isinstance(mine, float) and isinstance(theirs, int | float) and not isinstance(theirs, bool):
        return [] if math.isclose(mine, theirs, rel_tol=1e-12) else [f"{at}: {mine} is not {theirs}"]
    return (
        []
        if mine == theirs and isinstance(mine, bool) == isinstance(theirs, bool)
        else [f"{at}: {mine!r} is not {theirs!r}"]
    )


def test_import_again_changes_nothing(project: Path) -> None:
    again = answer(project, "import", str(REAL))
    assert (again["imported"], again["duplicates"]) == (0, 25_211)
    engage(project, "compact")
    assert answer(project, "import", str(REAL))["imported"] == 0
