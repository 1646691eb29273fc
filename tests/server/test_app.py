from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from engage_sync.core.overview import DaemonView
from engage_sync.server.app import create
from engage_sync.server.serving import Served, serving

from .asking import ask
from .views import BEGUN, FULL, SNAPSHOT

NOON = 1_780_315_200
"""2026-06-01 12:00 UTC, in seconds since 1970 (by `date -d`)."""


class Shown:
    """What is shown now: a view, or an error that looking meets."""

    view: DaemonView | Exception = FULL

    def __call__(self) -> DaemonView:
        if isinstance(self.view, Exception):
            raise self.view
        return self.view


@pytest.fixture(scope="module")
def shown() -> Shown:
    return Shown()


@pytest.fixture(scope="module")
def server(shown: Shown) -> Iterator[Served]:
    with serving(create(shown), "127.0.0.1", 0) as served:
        yield served


@pytest.fixture
def face(server: Served, shown: Shown) -> Served:
    shown.view = FULL
    return server


def samples(face: Served) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Scrape, and read it as Prometheus does."""
    answer = ask(face, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = [one for family in text_string_to_metric_families(answer.body.decode()) for one in family.samples]
    told = {(one.name.removeprefix("engage_sync_"), frozenset(one.labels.items())): one.value for one in found}
    assert len(told) == len(found), "a sample is told twice"
    return told


def test_the_process_lives_whatever_is_wrong(face: Served, shown: Shown) -> None:
    for view in (FULL, BEGUN, RuntimeError("the database has gone")):
        shown.view = view
        answer = ask(face, "/healthz")
        assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_ready_and_why_not(face: Served, shown: Shown) -> None:
    answer = ask(face, "/readyz")
    assert answer.status == 200
    assert answer.json == {"ready": True, "reasons": [], "leader": True, "lease": FULL.lease, "version": "1.2.3"}
    shown.view = BEGUN
    answer = ask(face, "/readyz")
    assert answer.status == 503
    assert answer.json == {
        "ready": False,
        "reasons": BEGUN.why_not_ready,
        "leader": False,
        "lease": None,
        "version": "1.2.3",
    }


@pytest.mark.parametrize("path", ["/", "/healthz/", "/metrics/x", "/docs", "/openapi.json", "/..%2fetc/passwd", "//"])
def test_there_is_nothing_else(face: Served, path: str) -> None:
    answer = ask(face, path)
    assert answer.status == 404
    assert answer.json == {"error": "there is nothing here; there are /healthz, /readyz, /metrics"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_takes_nothing(face: Served, method: str) -> None:
    answer = ask(face, "/readyz", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.json == {"error": "only GET and HEAD are answered"}


def test_a_bug_is_answered_without_its_details(face: Served, shown: Shown) -> None:
    shown.view = RuntimeError("postgresql://ann:hunter2@db/engage")
    for path in ("/metrics", "/readyz"):
        answer = ask(face, path)
        assert (answer.status, answer.json) == (500, {"error": "this is a bug; the log has the details"})
    shown.view = FULL
    assert ask(face, "/readyz").status == 200


def test_every_number_of_the_view_is_told(face: Served) -> None:
    def labelled(metric: str, value: float, /, **labels: str) -> tuple[tuple[str, frozenset[tuple[str, str]]], float]:
        return (metric, frozenset(labels.items())), value

    eu, new = {"connector": "hs-eu"}, {"connector": "new"}
    contacts = {**eu, "object": "contacts"}
    assert samples(face) == dict(
        [
            labelled("up", 1),
            labelled("build_info", 1, version="1.2.3"),
            labelled("start_timestamp_seconds", NOON - 4 * 3600),
            labelled("leader", 1),
            labelled("lease_held", 1, holder='daemon "a"\\1'),
            labelled("alert_active", 1, alert="held:hs-eu"),
            labelled("job_due_timestamp_seconds", NOON + 900, name="pull:hs-eu"),
            labelled("job_succeeded_timestamp_seconds", NOON, name="pull:hs-eu"),
            labelled("snapshot_timestamp_seconds", NOON - 60),
            labelled("runs_total", 11, command="sync", status="ok"),
            labelled("runs_total", 2, command="sync", status="failed"),
            labelled("runs_total", 40, command="pull", status="ok"),
            labelled("calls_total", 500, **eu, kind="read", outcome="ok"),
            labelled("calls_total", 6, **eu, kind="read", outcome="throttled"),
            labelled("calls_total", 70, **eu, kind="write", outcome="ok"),
            labelled("calls_total", 1, **eu, kind="write", outcome="unanswered"),
            labelled("events_newest_timestamp_seconds", NOON - 90),
            labelled("recorded_timestamp_seconds", NOON - 3600),
            labelled("deliveries", 9, status="delivered"),
            labelled("deliveries", 1, status="pending"),
            labelled("deliveries", 0, status="failed"),
            labelled("deliveries", 0, status="skipped"),
            labelled("deliveries", 0, status="expired"),
            labelled("records", 7, **contacts, bucket="written"),
            labelled("records", 90, **contacts, bucket="unchanged"),
            labelled("records", 0, **contacts, bucket="held"),
            labelled("linked_records", 97, **contacts),
            labelled("linked_records", 0, **new, object="Account"),
            labelled("cursor_timestamp_seconds", NOON - 900, **contacts),
            labelled("quota_calls", 1000, **eu, which="limit"),
            labelled("quota_calls", 700, **eu, which="used"),
            labelled("quota_calls", 100, **eu, which="left"),
            labelled("drift_fields", 4, **eu, outcome="kept"),
            labelled("drift_fields", 5, **eu, outcome="overwritten"),
            labelled("drift_fields", 0, **new, outcome="kept"),
            labelled("drift_fields", 0, **new, outcome="overwritten"),
            labelled("last_pull_timestamp_seconds", NOON - 900, **eu),
            labelled("last_push_timestamp_seconds", NOON - 3599.5, **eu),
            labelled("failures", 3, **eu),
            labelled("failures", 0, **new),
            labelled("held", 1, **eu),
            labelled("held", 0, **new),
            labelled("suspended_until_timestamp_seconds", NOON + 12 * 3600, **eu),
        ]
    )


def test_a_process_that_has_just_begun_tells_what_it_knows(face: Served, shown: Shown) -> None:
    shown.view = BEGUN
    told = {name: value for (name, _), value in samples(face).items()}
    assert told == {"up": 0, "build_info": 1, "start_timestamp_seconds": NOON, "leader": 0, "lease_held": 0}
    shown.view = replace(BEGUN, snapshot={**SNAPSHOT, "connectors": {}, "recorded": None})
    assert ("runs_total", frozenset({("command", "pull"), ("status", "ok")})) in samples(face)


def test_names_follow_the_practice(face: Served) -> None:
    """Base units, `_total` for what only grows, a help text for each, and no label that a target has itself."""
    families = list(text_string_to_metric_families(ask(face, "/metrics").body.decode()))
    assert all(family.name.startswith("engage_sync_") for family in families)
    assert all(family.documentation.endswith((".", "name")) for family in families), [f.documentation for f in families]
    for family in families:
        names = {sample.name for sample in family.samples}
        assert family.type == ("counter" if any(name.endswith("_total") for name in names) else "gauge")
        assert not {"job", "instance"} & {label for sample in family.samples for label in sample.labels}
        assert not any(math.isnan(sample.value) for sample in family.samples)


def test_open_metrics_where_it_is_asked_for(face: Served) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    answer = ask(face, "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(answer.body.decode())}
    assert families["engage_sync_runs"].type == "counter"


def test_serving_stays_light() -> None:
    """What serves loads nothing of what works: no frames, no engine, no CRM, no database."""
    code = "import sys, engage_sync.server.serving, engage_sync.server.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"polars", "pyarrow", "duckdb", "deltalake", "ibis", "numpy", "sqlalchemy", "requests", "hubspot", "yaml"}
    assert heavy.isdisjoint(loaded)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("engage_sync.")}
    assert rooms == {"core", "errors", "server"}
