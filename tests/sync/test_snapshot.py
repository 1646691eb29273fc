from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engage_sync.core.overview import Snapshot
from engage_sync.errors import Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.limits import Rates
from engage_sync.sync import cycle, snapshot
from engage_sync.sync.shown import stored
from engage_sync.sync.status import status_json
from engage_sync.sync.views import run_with_journal
from tests.server.views import NOTHING_YET

from .command import engage
from .project import BEGIN, Project
from .project import project as started

CLOSED_BRAKES = "{max_event_age: 1h, max_change_share: 1.0, max_clear_share: 1.0, min_records: 1000000}"


def taken(project: Project) -> Snapshot:
    with project.open() as workspace:
        found = snapshot.take(workspace, project.clock())
        assert stored(workspace.state) == json.loads(json.dumps(found)) == found
    return found


def test_a_project_that_has_done_nothing(project: Project) -> None:
    assert taken(project) == {
        "at": "2026-06-01T12:00:00Z",
        "connectors": {
            "hubspot": {
                **NOTHING_YET,
                "linked": {"contacts": 0, "companies": 0},
                "cursor_at": {"contacts": None, "companies": None},
            }
        },
        "events": {"newest_at": None},
        "runs": {},
        "calls": {},
        "deliveries": {"delivered": 0, "pending": 0, "failed": 0, "skipped": 0, "expired": 0},
        "recorded": None,
    }


def test_what_runs_did_is_seen(project: Project) -> None:
    project.contact("ann@acme.example")
    project.contact("stranger@else.example")
    project.tell(*project.person("ann", "ann@acme.example", days=0.5))
    report = project.sync()
    found = taken(project)
    one = found["connectors"]["hubspot"]
    moment = (BEGIN + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    assert (one["last_pull"], one["last_push"]) == (moment, moment)
    assert one["cursor_at"] == {"contacts": moment, "companies": moment}
    assert one["records"] == report.connectors["hubspot"]
    assert one["linked"] == {"contacts": 1, "companies": 0}
    assert found["events"] == {"newest_at": (BEGIN - timedelta(hours=12)).isoformat().replace("+00:00", "Z")}
    assert found["recorded"] == {"run": report.run, "as_of": moment}
    assert found["runs"] == {"sync": {"ok": 1}}
    assert {end for kinds in found["calls"]["hubspot"].values() for end in kinds} == {"ok"}
    assert calls_of(found, "write") == report.writes
    assert sum(calls_of(found, kind) for kind in ("read", "login", "search")) == report.reads > 0


def calls_of(found: Snapshot, kind: str) -> int:
    return sum(found["calls"].get("hubspot", {}).get(kind, {}).values())


def test_the_quota_is_seen(tmp_path: Path) -> None:
    with started(tmp_path, options={"rates": Rates(burst=None, daily=1_000, search=None)}) as project:
        project.sync()
        quota = taken(project)["connectors"]["hubspot"]["quota"]
        assert quota is not None
        assert (quota["limit"], quota["left"]) == (1_000, 500 - quota["used"])  # our share is half of them
        assert quota["used"] > 0


def test_totals_grow_and_tell_how_calls_and_runs_ended(project: Project) -> None:
    """As the stand-in itself counts: two answers 503, one no answer at all, one 429, one refusal."""
    project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    project.crm.faults.add(Fault("unavailable", kind="write", times=2))
    project.sync()
    project.crm.faults.add(Fault("too_many_ten_secondly", kind="read"))
    project.crm.faults.add(Fault("drop_before", kind="read"))
    project.sync()
    project.crm.faults.add(Fault("invalid_token", times=None))
    assert project.sync().exit == 6
    project.crm.faults.clear()
    found = taken(project)
    ends = Counter[str]()
    for kinds in found["calls"]["hubspot"].values():
        ends.update(kinds)
    assert (ends["unavailable"], ends["throttled"], ends["unanswered"]) == (2, 1, 1)
    assert ends["refused"] >= 1
    assert found["runs"] == {"sync": {"ok": 2, "failed": 1}}


def test_a_run_that_raises_and_one_that_dies_are_counted(project: Project) -> None:
    project.tell(*project.person("ann", "ann@acme.example"))
    with project.open() as workspace:
        workspace.state.start_run("push", project.clock(), project.clock())  # and its process is killed
    project.sync()
    file = project.root / "connectors" / "hubspot.yaml"
    good = file.read_text()
    file.write_text(good.replace("${ENGAGE_TEST_TOKEN}", "${ENGAGE_NO_SUCH_VARIABLE}"))
    with pytest.raises(Mistake):
        project.sync()
    file.write_text(good)
    with project.open() as workspace:
        cycle.recompute(workspace, project.clock(), clock=project.clock)
    assert taken(project)["runs"] == {"push": {"unfinished": 1}, "sync": {"ok": 1, "failed": 1}, "compute": {"ok": 1}}


def test_what_waits_is_seen(project: Project) -> None:
    """A brake holds; then the day's calls are used up."""
    config = project.root / "config" / "engage.yaml"
    config.write_text(f"timezone: UTC\nbrakes: {CLOSED_BRAKES}\n")
    project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example", days=2))
    assert project.sync().exit == 3
    one = taken(project)["connectors"]["hubspot"]
    assert (one["held"], one["holds"], one["last_push"]) == (True, ["events_old"], None)
    project.tell(*project.person("ann", "ann@acme.example", days=0))
    project.crm.faults.add(Fault("too_many_daily", times=None))
    assert project.sync().exit == 5
    project.crm.faults.clear()
    one = taken(project)["connectors"]["hubspot"]
    assert one["suspended_until"] == "2026-06-02T00:00:00Z"


def test_a_cursor_that_does_not_come_to_its_end_stays(project: Project) -> None:
    project.contact("ann@acme.example")
    assert project.sync().exit == 0
    before = taken(project)["connectors"]["hubspot"]["cursor_at"]
    project.crm.faults.add(Fault("server_error", path="*companies*", times=None))
    assert project.sync(after=3600).exit == 5
    project.crm.faults.clear()
    after = taken(project)["connectors"]["hubspot"]["cursor_at"]
    assert after["companies"] == before["companies"]
    assert after["contacts"] == (BEGIN + timedelta(seconds=3601)).isoformat().replace("+00:00", "Z")


def test_the_last_push_is_not_forgotten_behind_many_pulls(project: Project) -> None:
    """`status` looks at so many runs only; a project that pulls every minute has more of them than that."""
    project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    project.sync()
    pushed = taken(project)["connectors"]["hubspot"]
    with project.open() as workspace:
        for _ in range(200):
            workspace.state.start_run("pull", project.clock(), project.clock())
    later = taken(project)["connectors"]["hubspot"]
    assert pushed["last_push"] is not None
    for name in ("last_pull", "last_push", "records", "drift"):
        assert later[name] == pushed[name]


def test_status_does_not_lose_the_last_push_behind_many_pulls_without_a_daemon(project: Project) -> None:
    """Nobody has kept a snapshot here."""
    project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    report = project.sync()
    with project.open() as workspace:
        for _ in range(200):
            workspace.state.start_run("pull", project.clock(), project.clock())
        found = status_json(workspace, project.clock())["connectors"]["hubspot"]
    assert found["last_push"] == "2026-06-01T12:00:01Z"
    assert found["records"] == report.connectors["hubspot"]


def test_a_clock_that_is_behind_holds_until_a_push_goes_through(project: Project) -> None:
    """A pull in between says nothing of it."""
    project.tell(*project.person("ann", "ann@acme.example"))
    project.sync()
    with project.open() as workspace:
        before = project.clock() - timedelta(days=1)
        assert cycle.sync(workspace, None, before, clock=lambda: before, clocked=True).exit == 3
        cycle.pull(workspace, None, clock=project.clock)
    held = taken(project)["connectors"]["hubspot"]
    assert (held["held"], held["holds"]) == (True, ["clock_wrong"])
    project.sync()
    free = taken(project)["connectors"]["hubspot"]
    assert (free["held"], free["holds"]) == (False, [])


def test_an_event_store_that_is_away_fails_nothing(project: Project) -> None:
    project.tell(*project.person("ann", "ann@acme.example"))
    before = taken(project)["events"]
    for file in (project.root / "var" / "events" / "_delta_log").glob("*.json"):
        file.write_text("{")
    assert taken(project)["events"] == before != {"newest_at": None}


def test_the_steps_of_a_run_are_kept_with_their_times(project: Project) -> None:
    project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    run = project.sync().run
    with project.open() as workspace:
        steps: list[Any] = run_with_journal(workspace, run)["steps"]
    assert [(one["step"], one["connector"]) for one in steps] == [
        ("pull", "hubspot"),
        ("compute", None),
        ("plan", "hubspot"),
        ("push", "hubspot"),
        ("deliver", None),
    ]
    assert all(0 <= one["seconds"] < 60 for one in steps)
    assert steps[1]["seconds"] > 0
    assert "took pull hubspot 0." in engage(project.root, "runs", str(run))
