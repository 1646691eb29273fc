"""The whole steps with the state behind them: pull into the mirror, push with its journal, a second run that writes
nothing, and what it costs to start."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.bench_hubspot import LATENCY, WINDOWS, sandbox
from bench.harness import Row, measured, measured_command

SETUP = """
import os
os.environ["HUBSPOT_KEY"] = TOKEN
from datetime import UTC, datetime
from pathlib import Path
from engage_sync.cli.logs import configure
configure()
from engage_sync.sync import cycle, wiring
ROOT = Path(FOLDER)
AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
clock = lambda: datetime.now(UTC)
opened = wiring.open_workspace(ROOT)
workspace = opened.__enter__()
"""
PULL = """
report = cycle.pull(workspace, None, clock=clock)
RESULT = {"reads": report.reads, "records": workspace.state.records("hubspot", "contacts", ["email"]).height}
"""
SYNC = """
report = cycle.sync(workspace, None, AS_OF, clock=clock, pulling=PULLING)
RESULT = {"writes": report.writes, "exit": report.exit, "buckets": dict(report.connectors["hubspot"]["contacts"])}
"""
COMMAND = str(Path(sys.executable).with_name("engage-sync"))
ENGAGE = "brakes: {max_event_age: 3650d}\n"
CONNECTOR = """connector: hubspot
auth: {{access_token: "${{HUBSPOT_KEY}}"}}
base_url: {base_url}
objects:
  contacts:
    entity: user
    match: {{email: email}}
    read: [{read}]
    write: {{jobtitle: external_id, city: primary_user_type}}
"""
READ = (
    *("firstname", "lastname", "company", "phone", "mobilephone", "country", "state", "zip", "address", "website"),
    *(
        "industry",
        "salutation",
        "lifecyclestage",
        "hs_lead_status",
        "annualrevenue",
        "createdate",
        "associatedcompanyid",
    ),
)


@contextmanager
def project(base_url: str) -> Iterator[Path]:
    """A project whose contacts have twenty properties; the stand-in's people are its users."""
    with tempfile.TemporaryDirectory(prefix="engage-sync-bench-") as name:
        root = Path(name)
        for folder in ("config", "connectors"):
            (root / folder).mkdir()
        (root / "config" / "engage.yaml").write_text(ENGAGE)
        (root / "connectors" / "hubspot.yaml").write_text(CONNECTOR.format(base_url=base_url, read=", ".join(READ)))
        yield root


def write_people(path: Path, people: int, email: str) -> None:
    """Write an identify message for each contact of the stand-in; `email` has the number in it."""
    at = "2026-05-31T00:00:00Z"
    with path.open("w") as file:
        for number in range(people):
            address = email.format(number)
            file.write(
                f'{{"type":"identify","messageId":"i{number}","userId":"u{number}","timestamp":"{at}",'
                f'"traits":{{"email":"{address}"}}}}\n'
            )


def pull_row(contacts: int = 100_000) -> Row:
    """First pull into the state."""
    with sandbox(contacts, 0.0, "unlimited") as server, project(str(server.hello["base_url"])) as root:
        done = measured(PULL, setup=server.fill(SETUP, FOLDER=str(root)))
        found = done.result
        assert isinstance(found, dict)
        pages = contacts // 100
        good = done.cpu <= 5 and done.rss_mb <= 400 and found["records"] == contacts and found["reads"] <= pages + 5
        figure = f"{done.cpu:.2f} s CPU, {done.rss_mb:.0f} MB, {found['reads']} calls"
        reach = f"CPU ≤ 5 s, RSS ≤ 400 MB, {pages} pages"
        return Row(f"first pull of {contacts:,} contacts into the state, 20 properties", figure, reach, "-", good)


def push_rows(contacts: int = 50_000) -> list[Row]:
    """Sync that writes every contact through the real limits, and the one after it."""
    with sandbox(contacts, LATENCY, "limits") as server, project(str(server.hello["base_url"])) as root:
        people = root / "people.jsonl"
        write_people(people, contacts, "person{}@example.com")
        measured_command(COMMAND, "import", str(people), "--project", str(root))
        setup = server.fill(SETUP, FOLDER=str(root))
        measured(PULL, setup=setup)
        first = measured(SYNC.replace("PULLING", "False"), setup=setup)
        report = server.order(report=True)
        second = measured(SYNC.replace("PULLING", "True"), setup=setup)
        assert isinstance(first.result, dict)
        assert isinstance(second.result, dict)
        calls = contacts // 100
        refused = report["statuses"].get("429", 0)  # type: ignore[attr-defined]
        figure = f"{first.wall:.1f} s, {first.cpu:.1f} s CPU, {first.result['writes']} calls, {refused} times 429"
        good = first.result["writes"] == calls and first.result["buckets"]["written"] == contacts and not refused
        nothing = f"{second.result['writes']} write calls, {second.cpu:.1f} s CPU"
        return [
            Row(
                f"compute, plan and push of {contacts:,} contacts with state and journal",
                figure,
                f"{calls} calls",
                f"{WINDOWS:.1f} s of windows",
                good,
            ),
            Row("second sync, nothing changed", nothing, "0 write calls", "-", second.result["writes"] == 0),
        ]


def start_rows() -> list[Row]:
    """What it costs to start: the help, and the heaviest command on an empty project."""
    helped = min((measured_command(COMMAND, "--help") for _ in range(3)), key=lambda one: one.wall)
    with project("http://127.0.0.1:9") as root:
        computed = min(
            (measured_command(COMMAND, "compute", "--project", str(root)) for _ in range(2)),
            key=lambda one: one.cpu,
        )
    return [
        Row("start of --help", f"{helped.wall:.2f} s", "≤ 0.5 s", "-", helped.wall <= 0.5),
        Row("start of compute, no events", f"{computed.cpu:.2f} s CPU", "≤ 4 s CPU", "-", computed.cpu <= 4),
    ]


def rows() -> list[Row]:
    """Give all rows of this file."""
    return [pull_row(), *push_rows(), *start_rows()]
