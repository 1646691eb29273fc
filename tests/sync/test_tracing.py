from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from engage_sync.sandbox.faults import Fault
from engage_sync.sync import tracing
from tests.forks import fork

from .collector import attributes, collecting
from .project import Project

Logged = list[dict[str, object]]


def point(project: Project, endpoint: str) -> None:
    """Give a project a collector."""
    file = project.root / "config" / "engage.yaml"
    file.write_text(f'{file.read_text()}telemetry: {{endpoint: "{endpoint}"}}\n')


def sent() -> None:
    """Wait for what is on its way to the collectors."""
    for line in tracing._lines.values():
        line.finish()


def test_a_run_is_a_trace_with_a_span_for_each_step(project: Project) -> None:
    record = project.contact("ann@acme.example")
    project.tell(*project.person("ann", "ann@acme.example"))
    with collecting() as collector:
        point(project, collector.url)
        report = project.sync()
        sent()
    assert [path for path, _, _ in collector.got] == ["/v1/traces"]
    assert collector.service() == "engage-sync"
    spans = collector.spans()
    assert [span.name for span in spans] == ["pull", "compute", "plan", "push", "deliver", "engage-sync sync"]
    run = spans[-1]
    assert {span.trace_id for span in spans} == {run.trace_id}
    assert {span.parent_span_id for span in spans[:-1]} == {run.span_id}
    assert run.parent_span_id == b""
    told = attributes(run)
    assert (told["engage_sync.run"], told["engage_sync.command"], told["engage_sync.status"]) == (
        report.run,
        "sync",
        "ok",
    )
    steps = {span.name: attributes(span) for span in spans[:-1]}
    assert {name: one.get("engage_sync.connector") for name, one in steps.items()} == {
        **dict.fromkeys(("pull", "plan", "push"), "hubspot"),
        "compute": None,
        "deliver": None,
    }
    assert (told["engage_sync.calls.read"], told["engage_sync.calls.write"]) == (report.reads, report.writes)
    assert all(int(one["engage_sync.calls.read"]) > 0 for name, one in steps.items() if name in {"pull", "plan"})
    assert steps["push"]["engage_sync.calls.write"] == report.writes > 0
    assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert project.values(record)["engage_external_id"] == "ann"


def test_what_went_wrong_is_told_by_its_kind_only(project: Project) -> None:
    project.tell(*project.person("ann", "ann@acme.example"))
    project.crm.faults.add(Fault("invalid_token", times=None))
    with collecting() as collector:
        point(project, collector.url)
        report = project.sync()
        sent()
        project.crm.faults.clear()
    assert report.exit == 6
    run, pull = collector.spans()[-1], collector.spans()[0]
    assert run.status.code == pull.status.code == Status.STATUS_CODE_ERROR
    assert attributes(pull)["error.type"] == "TokenRefused"
    assert attributes(run)["engage_sync.status"] == "failed"
    assert all(project.crm.token.encode() not in body for _, _, body in collector.got)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://ann:hunter2@127.0.0.1:9/away?key=hunter2", "the collector did not take the traces of a run"),
        ("http://ann:${ENGAGE_NO_SUCH_VARIABLE}@127.0.0.1:9", "no traces are sent"),
        ("127.0.0.1:4318", "no traces are sent"),
    ],
)
def test_a_collector_that_is_away_or_wrong_costs_a_warning(
    project: Project, logged: Callable[[], Logged], endpoint: str, said: str
) -> None:
    project.tell(*project.person("ann", "ann@acme.example"))
    point(project, endpoint)
    assert project.sync().exit == 0
    sent()
    lines = [one for one in logged() if one["event"] == said]
    assert [one["level"] for one in lines] == ["warning"]
    assert "hunter2" not in str(lines)


def test_a_collector_that_refuses_costs_a_warning(project: Project, logged: Callable[[], Logged]) -> None:
    with collecting(status=400) as collector:
        point(project, collector.url)
        assert project.sync().exit == 0
        sent()
    (line,) = [one for one in logged() if "collector" in str(one["event"])]
    assert (line["endpoint"], line["spans"]) == (collector.url, 6)
    assert isinstance(line["run"], int)


def test_nobody_waits_for_a_collector_that_hangs(project: Project) -> None:
    """The run ends, and lets go of its lock, while the collector has not answered; the process waits a little."""
    with collecting(hanging=True) as collector:
        point(project, collector.url)
        assert project.sync().exit == 0
        assert collector.asked.wait(10)
        assert project.sync().exit == 0
        began = time.monotonic()
        tracing._lines[collector.url].finish(0.05)
        assert time.monotonic() - began < 2
        assert not collector.free.is_set()


def test_without_a_collector_nothing_is_loaded(project: Project) -> None:
    code = (
        "import sys, pathlib\n"
        "from engage_sync.sync import cycle, wiring\n"
        "from engage_sync.cli.options import clock\n"
        "with wiring.open_workspace(pathlib.Path(sys.argv[1])) as workspace:\n"
        "    assert cycle.pull(workspace, None, clock=clock).exit == 0\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'google'}), 'opentelemetry.sdk' in sys.modules)\n"
    )
    child = fork(code, str(project.root))
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out.splitlines()[-1:]) == (0, ["[] False"]), err


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://h:4318", "http://h:4318/v1/traces"),
        ("http://h:4318/", "http://h:4318/v1/traces"),
        ("https://h/otlp", "https://h/otlp/v1/traces"),
        ("https://h/otlp/v1/traces", "https://h/otlp/v1/traces"),
        ("https://u:p@h/otlp/v1/traces/?a=b", "https://u:p@h/otlp/v1/traces?a=b"),
    ],
)
def test_traces_are_posted_below_the_endpoint(endpoint: str, url: str) -> None:
    assert tracing.traces_url(endpoint) == url
