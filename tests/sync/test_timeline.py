"""The timeline of one user or account, against a slow reading of every run, and by hand where the law is exact."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from engage_sync.core.definitions import Entity
from engage_sync.errors import Mistake
from engage_sync.state.store import State
from engage_sync.sync.timeline import timeline, timeline_json
from engage_sync.sync.wiring import Workspace, event_store, load_project

BEGIN = datetime(2026, 3, 28, 12, tzinfo=UTC)
Documents = Mapping[str, Mapping[str, Any]]
NO_DELIVERIES = pl.DataFrame(
    schema=dict.fromkeys(
        ("key", "signal", "entity", "external_id", "episode", "phase", "action", "connector", "payload"), pl.String
    )
    | {"number": pl.Int64}
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One project for the module: each test has accounts and instants of its own."""
    root = tmp_path_factory.mktemp("project")
    (root / "config").mkdir()
    (root / "config" / "engage.yaml").write_text("timezone: Europe/Berlin\n")
    (root / "config" / "model.yaml").write_text("activity: {window: 10d}\n")
    project = load_project(root)
    with State.open(project.database_url(), key_file=root / "key") as state:
        yield Workspace(project, state, event_store(project))


@pytest.fixture
def begin(workspace: Workspace) -> datetime:
    """An instant after all that is recorded, at noon."""
    newest = workspace.state.newest_recorded()
    return BEGIN if newest is None else newest.as_of.replace(hour=12, minute=0) + timedelta(days=10)


def record(workspace: Workspace, at: datetime, documents: Documents, changes: Sequence[Mapping[str, Any]] = ()) -> int:
    """Record a run of accounts, and what changed with it."""
    state = workspace.state
    last = state.previous(at)
    run = state.start_run("compute", at, at)
    rows = [(key, json.dumps({"external_id": key, **value})) for key, value in documents.items()]
    state.save_population(
        run,
        pl.DataFrame(schema={"external_id": pl.String, "email": pl.String, "name": pl.String, "deactivated": bool}),
        pl.DataFrame(
            [(key, key, None) for key in documents],
            schema=dict.fromkeys(("external_id", "name", "domain"), pl.String),
            orient="row",
        ),
        pl.DataFrame(schema={"user": pl.String, "account": pl.String, "entered_at": pl.Datetime("us", "UTC")}),
    )
    state.save_verdicts(
        run, "account", pl.DataFrame(rows, schema={"external_id": pl.String, "document": pl.String}, orient="row")
    )
    names = ("entity", "external_id", "kind", "name", "before", "after", "reasons")
    rows_of = [dict.fromkeys(names) | {"reasons": "[]"} | change for change in changes]
    told = pl.DataFrame(rows_of, schema=dict.fromkeys(names, pl.String))
    state.save_history(run, since=None if last is None else last.id, transitions=told, deliveries=NO_DELIVERIES)
    state.mark_recorded(run)
    return run


def answer(workspace: Workspace, external_id: str, as_of: datetime | None = None) -> Any:
    return timeline_json(timeline(workspace, Entity.ACCOUNT, external_id, as_of))


def text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def test_intervals_open_and_close_with_the_first_run_that_says_so(workspace: Workspace, begin: datetime) -> None:
    days = [begin + timedelta(days=number) for number in range(5)]
    record(workspace, days[0], {"hand": {"stage": "trial", "segments": ["new"], "signals": []}})
    record(workspace, days[1], {"hand": {"stage": "trial", "segments": ["at_risk", "new"], "signals": ["drop"]}})
    record(workspace, days[2], {"hand": {"stage": "customer", "segments": ["at_risk"], "signals": []}})
    record(workspace, days[3], {"hand": {"stage": None, "segments": [], "signals": []}})
    record(workspace, days[4], {"hand": {"stage": "trial", "segments": [], "signals": ["drop"]}})
    found = answer(workspace, "hand")
    on = [text(day) for day in days]
    assert found["entity"] == "account"
    assert found["external_id"] == "hand"
    assert found["stages"] == [
        {"stage": "trial", "entered_at": on[0], "left_at": on[2]},
        {"stage": "customer", "entered_at": on[2], "left_at": on[3]},
        {"stage": "trial", "entered_at": on[4], "left_at": None},
    ]
    assert found["segments"] == [
        {"segment": "new", "entered_at": on[0], "left_at": on[2]},
        {"segment": "at_risk", "entered_at": on[1], "left_at": on[3]},
    ]
    assert found["signals"] == [
        {"signal": "drop", "entered_at": on[1], "left_at": on[2]},
        {"signal": "drop", "entered_at": on[4], "left_at": None},
    ]
    then = answer(workspace, "hand", days[1])
    assert then["stages"] == [{"stage": "trial", "entered_at": on[0], "left_at": None}]
    assert [day["day"] for day in then["scores"]] == [on[0][:10], on[1][:10]]


def test_a_replaced_run_and_one_that_was_never_recorded_leave_no_trace(workspace: Workspace, begin: datetime) -> None:
    later = begin + timedelta(days=1)
    first = record(workspace, begin, {"twice": {"stage": "trial", "segments": ["wrong"]}})
    moved = {"entity": "account", "external_id": "twice", "kind": "stage", "name": "", "after": "customer"}
    record(workspace, later, {"twice": {"stage": "wrong"}}, [moved | {"before": "trial", "after": "wrong"}])
    died = workspace.state.start_run("compute", later, later)
    assert died > first
    change = moved | {"before": "trial", "reasons": json.dumps(["mrr above 0 (mrr 5)"])}
    last = record(workspace, later, {"twice": {"stage": "customer", "segments": ["wrong"]}}, [change])
    found = answer(workspace, "twice")
    assert found["stages"] == [
        {"stage": "trial", "entered_at": text(begin), "left_at": text(later)},
        {"stage": "customer", "entered_at": text(later), "left_at": None},
    ]
    assert found["segments"] == [{"segment": "wrong", "entered_at": text(begin), "left_at": None}]
    assert found["transitions"] == [
        {
            "at": text(later),
            "run": last,
            "kind": "stage",
            "name": "",
            "from": "trial",
            "to": "customer",
            "reasons": ["mrr above 0 (mrr 5)"],
        }
    ]


def test_scores_are_the_last_of_each_local_day(workspace: Workspace, begin: datetime) -> None:
    evening = begin.replace(hour=23, minute=30)  # the next day in Berlin
    high = {"scores.use": 80, "scores.use_band": "high", "scores.use_trend": 5, "scores.use_heat": "steady"}
    low = {"scores.use": 10, "scores.use_band": "minimal", "scores.use_trend": None, "scores.use_sum": 30}
    record(workspace, begin - timedelta(hours=3), {"daily": low})
    record(workspace, begin, {"daily": high})
    record(workspace, evening, {"daily": low})
    record(workspace, begin + timedelta(days=1), {"daily": low})
    record(workspace, begin + timedelta(days=4), {"daily": low})
    days = [(begin + timedelta(days=number)).date().isoformat() for number in (0, 1, 4)]
    assert answer(workspace, "daily")["scores"] == [
        {"day": days[0], "scores": {"use": 80}, "bands": {"use": "high"}},
        {"day": days[1], "scores": {"use": 10}, "bands": {"use": "minimal"}},
        {"day": days[2], "scores": {"use": 10}, "bands": {"use": "minimal"}},
    ]


def test_it_agrees_with_reading_every_run(workspace: Workspace, begin: datetime) -> None:
    """Accounts come, change, go and come back through runs of which some are replaced."""
    chance = random.Random(4)
    names = [f"r{number}" for number in range(8)]
    counted: dict[datetime, Documents] = {}
    at = begin
    for _ in range(30):
        at += chance.choice([timedelta(0), timedelta(hours=5), timedelta(days=1)])
        documents = {name: random_document(chance) for name in names if chance.random() < 0.8}
        record(workspace, at, documents)
        counted[at] = documents
    for name in names:
        found = answer(workspace, name)
        for kind, key in (("stage", "stages"), ("segment", "segments"), ("signal", "signals")):
            assert found[key] == slow_intervals(counted, name, kind, key), (name, key)
        assert found["scores"] == slow_days(counted, name)


def random_document(chance: random.Random) -> dict[str, Any]:
    return {
        "stage": chance.choice(["trial", "customer", None]),
        "segments": [name for name in "ab" if chance.random() < 0.6],
        "signals": [name for name in "cd" if chance.random() < 0.4],
        "scores.use": chance.choice([None, 1, 2]),
        "scores.use_band": chance.choice([None, "low"]),
    }


def slow_intervals(counted: Mapping[datetime, Documents], name: str, kind: str, key: str) -> list[dict[str, Any]]:
    found = []
    values = {"stages": ["trial", "customer"], "segments": ["a", "b"], "signals": ["c", "d"]}[key]
    for value in values:
        since = None
        for at in sorted(counted):
            document = counted[at].get(name, {})
            holds = document.get("stage") == value if kind == "stage" else value in document.get(key, [])
            if holds and since is None:
                since = at
            elif not holds and since is not None:
                found.append((since, value, text(at)))
                since = None
        if since is not None:
            found.append((since, value, None))
    ordered = sorted(found, key=lambda one: one[:2])
    return [{kind: value, "entered_at": text(since), "left_at": left} for since, value, left in ordered]


def slow_days(counted: Mapping[datetime, Documents], name: str) -> list[dict[str, Any]]:
    days = {}
    for at in sorted(counted):
        if name in counted[at]:
            document = counted[at][name]
            day = at.astimezone(ZoneInfo("Europe/Berlin")).date().isoformat()
            scores, bands = {"use": document["scores.use"]}, {"use": document["scores.use_band"]}
            days[day] = {"day": day, "scores": scores, "bands": bands}
    return list(days.values())


def test_an_unknown_id_is_refused_with_the_nearest(workspace: Workspace, begin: datetime) -> None:
    record(workspace, begin, {"acme-corp": {"stage": None}})
    with pytest.raises(Mistake, match=r"there is no account 'acme-crop'; did you mean acme-corp\?"):
        timeline(workspace, Entity.ACCOUNT, "acme-crop")
    with pytest.raises(Mistake, match=r"there is no account 'acme-corp' as of 20.+Z"):
        timeline(workspace, Entity.ACCOUNT, "acme-corp", begin - timedelta(days=1))
