"""Three real people explained: what `explain` says of each is counted here once more, from the lines of the file."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engage_sync.core.definitions import Entity
from engage_sync.sync import cycle, ingest
from engage_sync.sync.explain import explain, explanation_json
from engage_sync.sync.wiring import Workspace, open_workspace
from tests.sync.test_real_events import FILES, LATER, MODEL, REAL

AS_OF = datetime(2020, 6, 30, 12, tzinfo=UTC)
BEFORE = AS_OF - timedelta(days=30)
ZONE = ZoneInfo("America/New_York")
WEIGHTS = {"python changed": 30, "cpp*": 25, "docs*": 0, "*": 1}
"""Ten times those of the model."""
EXCLUDED = ("docs *", "*license*")

Lines = dict[str, list[tuple[datetime, str]]]


@pytest.fixture(scope="module")
def lines() -> Lines:
    """Give every event's instant and name, by user."""
    found: Lines = {}
    with gzip.open(REAL / FILES[1], "rt", encoding="utf-8") as file:
        for body in map(json.loads, file):
            found.setdefault(body["userId"], []).append((datetime.fromisoformat(body["timestamp"]), body["event"]))
    return found


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("people")
    (root / "config").mkdir()
    (root / "config" / "engage.yaml").write_text("timezone: America/New_York\n")
    (root / "config" / "model.yaml").write_text(MODEL)
    ingest.import_files(root, [REAL / name for name in FILES], now=LATER, progress=lambda *_: None)
    with open_workspace(root) as opened:
        for moment in (BEFORE, AS_OF):
            cycle.recompute(opened, moment, clock=lambda: LATER)
        yield opened


def within(told: list[tuple[datetime, str]], days: int) -> list[tuple[datetime, str]]:
    return [(moment, name) for moment, name in told if AS_OF - timedelta(days=days) <= moment <= AS_OF]


def reach(told: list[tuple[datetime, str]]) -> int:
    """Give ten times the weighted events of 90 days."""
    exact = WEIGHTS["python changed"]
    globs = {glob: weight for glob, weight in WEIGHTS.items() if glob != "python changed"}
    return sum(
        exact if name == "python changed" else next(w for glob, w in globs.items() if fnmatchcase(name, glob))
        for _, name in within(told, 90)
    )


def benchmark(lines: Lines) -> Fraction:
    """Give ten times the 90th percentile of those who have any."""
    ordered = sorted(raw for raw in map(reach, lines.values()) if raw > 0)
    place = Fraction(9 * (len(ordered) - 1), 10)
    low = int(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def told_of(workspace: Workspace, user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found: Any = json.loads(json.dumps(explanation_json(explain(workspace, Entity.USER, user, None))))
    return found, {node["verdict"]: node for node in found["tree"]}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("user_00021", {"stage": "core", "health": "bad", "scores.reach": 100, "segments.stars": True}),
        ("user_00041", {"stage": "core", "health": "bad", "scores.reach": 100, "signals.cooling": True}),
        ("user_00295", {"stage": "regular", "health": "good", "scores.pulse": 0, "signals.cooling": True}),
    ],
)
def test_three_people(workspace: Workspace, lines: Lines, user: str, expected: dict[str, Any]) -> None:
    found, nodes = told_of(workspace, user)
    assert {verdict: nodes[verdict]["value"] for verdict in expected} == expected
    mine = lines[user]
    days = len({moment.astimezone(ZONE).date() for moment, _ in within(mine, 90)})
    earlier = [one for one in mine if AS_OF - timedelta(days=180) <= one[0] < AS_OF - timedelta(days=90)]
    names = {name for _, name in within(mine, 365)}
    rules = {rule["rule"]: rule for rule in nodes["stage"]["rules"]}
    core = rules["days_90d >= 20 and names_1y >= 3"]
    assert core["values"] == {"days_90d": days, "names_1y": len(names)}
    assert core["matched"] == (days >= 20 and len(names) >= 3)
    (falling,) = [rule for rule in nodes["health"]["rules"] if rule["part"] == "bad"]
    assert falling["values"] == {"before": len(earlier), "days_90d": days}
    assert falling["matched"] == (expected["health"] == "bad") == (len(earlier) > 2 * days)
    raw, mark = reach(mine), benchmark(lines)
    assert nodes["scores.reach"]["why"].startswith(f"100 × {raw / 10:.10g} ÷ {float(mark / 10):.10g}, ")
    assert nodes["scores.reach"]["value"] == min(100, max(1, int(100 * raw / mark + Fraction(1, 2))))
    active = [name for _, name in within(mine, 30) if not any(fnmatchcase(name, glob) for glob in EXCLUDED)]
    assert found["verdicts"]["metrics"]["events"] == len(active)
    counted = Counter(name for _, name in within(mine, 30))
    assert len(found["events"]) == min(10, len(counted))
    assert {line["event"]: line["count"] for line in found["events"]}.items() <= counted.items()
    newest = sorted((one[0], arrival, one[1]) for arrival, one in enumerate(mine) if one[0] <= AS_OF)[:-6:-1]
    assert [line["event"] for line in found["newest"]] == [name for _, _, name in newest]


def test_what_changed_since_the_month_before(workspace: Workspace) -> None:
    """The signal went on between the runs, for a reason that names the fall, and the benchmark of the score moved."""
    found, _ = told_of(workspace, "user_00295")
    changes = {change["name"]: change for change in found["changes"]}
    assert (changes["primary_user_type"]["before"], changes["primary_user_type"]["after"]) == ("active", "inactive")
    assert changes["signals"]["after"] == ["cooling"]
    assert "benchmark" in changes["scores.pulse"]["why"][0]
