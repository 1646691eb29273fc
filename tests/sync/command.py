"""The command line as a user runs it: in this process where only its answer matters, in one of its own to be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from engage_sync.cli.main import app
from engage_sync.errors import EngageError
from tests.forks import Forked
from tests.forks import engage as engage_sync

PROGRAM = Path(sys.executable).with_name("engage-sync")


def engage(root: Path, *arguments: str, code: int = 0) -> str:
    """Run a command in a project, check its exit code and give what it printed."""
    done = CliRunner().invoke(app, [*arguments, "--project", str(root)])
    found = done.exception.exit_code if isinstance(done.exception, EngageError) else done.exit_code
    assert found == code, (arguments, found, done.exception, done.stdout[-2000:])
    return done.stdout


def answer(root: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command with `--json` and give its answer."""
    found: dict[str, Any] = json.loads(engage(root, *arguments, "--json", code=code))
    return found


def rows(root: Path, what: str, as_of: str | None = None) -> list[dict[str, Any]]:
    """Give the rows of `show`."""
    moment = () if as_of is None else ("--as-of", as_of)
    return [json.loads(line) for line in engage(root, "show", what, "--format", "jsonl", *moment).splitlines()]


def begin(root: Path, *arguments: str) -> Forked:
    """Start a command in a project, in a process that begins with everything imported, and do not wait for it."""
    return engage_sync(*arguments, "--project", str(root), "--json")


def begin_from_nothing(root: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it as a user does."""
    line = [str(PROGRAM), *arguments, "--project", str(root), "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
