"""Several commands of the command line in one process of its own: start-up is paid once. `python -m tests.docs.commands
JSON`, with a list of argument lists, prints the list of [exit code, stdout, stderr]."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from engage_sync.cli.main import main
from tests.forks import fork

ROOT = Path(__file__).parents[2]


def run(environment: Mapping[str, str], *commands: Sequence[str]) -> list[tuple[int, str, str]]:
    """Run commands one after another, in one process with that environment."""
    line = [sys.executable, "-m", "tests.docs.commands", json.dumps(commands)]
    done = subprocess.run(line, check=False, cwd=ROOT, env=dict(environment), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return _told(done.stdout)


def forked(environment: Mapping[str, str], *commands: Sequence[str]) -> list[tuple[int, str, str]]:
    """Do the same in a process that begins with everything imported."""
    process = fork(
        "from tests.docs.commands import serve; serve()", json.dumps(commands), cwd=ROOT, environment=environment
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    return _told(out)


def _told(printed: str) -> list[tuple[int, str, str]]:
    return [(code, out, err) for code, out, err in json.loads(printed)]


def _one(arguments: Sequence[str]) -> tuple[int, str, str]:
    sys.argv = ["engage-sync", *arguments]
    out, err = StringIO(), StringIO()
    code: object = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return int(str(code or 0)), out.getvalue(), err.getvalue()


def serve() -> None:
    """Run the commands that the first argument lists, and print how they ended."""
    ended = [_one(arguments) for arguments in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(ended))


if __name__ == "__main__":
    serve()
