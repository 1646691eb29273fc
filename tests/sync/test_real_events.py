"""The real events through the real command line equal the oracle, whether an instant is recorded or looked back at."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracle import messages as reading
from tests.oracle import verdicts
from tests.sync.command import answer, engage, rows

REAL = Path(__file__).parents[1] / "data" / "oss-usage"
FILES = ("users.jsonl.gz", "events.jsonl.gz")
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
    cpp: {count: "*", where: "properties.area = 'cpp'", window: 90d}
    least: {min: properties.area, window: 365d}
    last_event: {last: "*"}
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
    """Forwards every instant is recorded; backwards the second and third are looks back, which are not."""
    recorded = None
    for moment in moments:
        found = answer(project, "compute", "--as-of", moment)
        assert (found["run"] is None) == (recorded is not None and moment < recorded)
        recorded = max(recorded or moment, moment)
        check(project, told, moment)
    newest = [row["external_id"] for row in rows(project, "users")]
    assert newest == [row["external_id"] for row in rows(project, "users", MOMENTS[-1])]


def check(project: Path, told: list[dict[str, Any]], moment: str) -> None:
    as_of = datetime.fromisoformat(moment)
    for what, oracle in (("users", verdicts.users), ("accounts", verdicts.accounts)):
        expected = oracle(told, yaml.safe_load(MODEL), as_of, "America/New_York")
        shown = rows(project, what, moment)
        assert len(shown) == len(expected) > 0
        for mine, theirs in zip(shown, expected, strict=True):
            assert differences(mine, theirs) == [], mine["external_id"]


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
