"""Running the command line as a user does, in this process: what it printed and the code it ended with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from engage_sync.cli.main import main
from engage_sync.sandbox import server
from engage_sync.sandbox.seed import Seed
from engage_sync.sandbox.server import Sandbox

NOW = "2026-06-01T00:00:00Z"
MAY = "2026-05-01T00:00:00Z"
ADA = {"email": "Ada@acme.example", "name": "Ada", "title": "Head of Data"}
ACME = {"name": "Acme", "domain": "acme.example"}
MESSAGES = [
    {"type": "identify", "messageId": "i1", "userId": "u1", "timestamp": MAY, "traits": ADA},
    {"type": "identify", "messageId": "i2", "userId": "u2", "timestamp": MAY, "traits": {"email": "bo@acme.example"}},
    {"type": "group", "messageId": "g1", "userId": "u1", "groupId": "acme", "timestamp": MAY, "traits": ACME},
    {"type": "track", "messageId": "t1", "userId": "u1", "event": "login", "timestamp": "2026-05-31T12:00:00Z"},
    {"type": "track", "messageId": "t2", "userId": "u1", "event": "report_run", "timestamp": "2026-05-31T13:00:00Z"},
]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run `engage-sync ARGUMENTS…`. The logging that a command sets up for its process is taken back."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["engage-sync", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    yield call
    structlog.reset_defaults()


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A HubSpot stand-in: two contacts that are users, a stranger, a company; its token is in the environment."""
    seed = Seed(
        contacts=[
            {"email": "ada@acme.example", "firstname": "Ada", "jobtitle": "Head of Data"},
            {"email": "bo@acme.example", "firstname": "Bo"},
            {"email": "stranger@else.example", "firstname": "Cy"},
        ],
        companies=[{"name": "Acme", "domain": "acme.example"}],
    )
    with server.start(seed=seed) as sandbox:
        monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", sandbox.token)
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path, run: Run) -> Path:
    """A new project from `init`, with the messages imported."""
    assert run("init", str(tmp_path / "acme"), "--crm", "hubspot").code == 0
    messages = tmp_path / "messages.jsonl"
    messages.write_text("".join(json.dumps(message) + "\n" for message in MESSAGES))
    assert run("import", str(messages), "--project", str(tmp_path / "acme")).code == 0
    return tmp_path / "acme"


@pytest.fixture
def project(folder: Path, crm: Sandbox) -> Path:
    """The same project, with its connector pointed at the stand-in."""
    file = folder / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text() + f"\nbase_url: {crm.base_url}\n")
    return folder
