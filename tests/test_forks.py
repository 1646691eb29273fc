"""The processes of `tests/forks.py` are what they stand for: nothing of the server or of the test shows in them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.forks import ROOT, fork

STATE = """
import json, os, sys, threading
import structlog
from engage_sync.sync.wiring import connector_classes
print(json.dumps({
    "cwd": os.getcwd(), "argv": sys.argv, "environment": dict(os.environ), "leads": os.getsid(0) == os.getpid(),
    "threads": threading.active_count(), "tests": [name for name in sys.modules if name.startswith("tests")],
    "configured": structlog.is_configured(), "found": connector_classes.cache_info().currsize,
    "streams": sorted(map(int, os.listdir("/proc/self/fd")))[:-1], "used": "duckdb" in sys.modules,
}))
sys.exit(7)
"""


def test_a_child_begins_with_nothing_but_what_it_is_given(tmp_path: Path) -> None:
    process = fork(STATE, "a", "b c", cwd=tmp_path, environment={"ONLY": "this"})
    out, err = process.communicate()
    assert (process.returncode, err) == (7, "")
    assert json.loads(out) == {
        "cwd": str(tmp_path),
        "argv": ["-c", "a", "b c"],
        "environment": {"ONLY": "this"},
        "leads": True,
        "threads": 1,
        "tests": [],
        "configured": False,
        "found": 0,
        "streams": [0, 1, 2],
        "used": False,
    }


def test_children_share_no_seed_and_no_change() -> None:
    code = "import os, random, sys, tempfile; print(random.random(), tempfile.mktemp()); sys.modules['json'].x = 1"
    first, second = (fork(code).communicate()[0].split() for _ in range(2))
    assert set(first).isdisjoint(second)
    assert fork("import json; print(hasattr(json, 'x'))").communicate()[0] == "False\n"


def test_a_child_is_killed_and_an_error_is_an_error() -> None:
    process = fork("print('here', flush=True); import sys; sys.stdin.read()", stdin=True)
    assert process.stdout.readline() == "here\n"
    assert process.poll() is None
    process.kill()
    assert process.wait(60) == process.poll() == -signal.SIGKILL
    failed = fork("raise ValueError('so')")
    assert failed.communicate()[1].endswith("ValueError: so\n")
    assert failed.returncode == 1


def test_nothing_stays_when_the_test_process_is_killed() -> None:
    """The server has inherited the pipe of its maker, and keeps it until it has ended its children."""
    code = (
        "import os, signal; from tests import forks\n"
        "forks._started.append(forks.Server(importing=False))\n"
        "child = forks.fork('import time; print(1, flush=True); time.sleep(600)')\n"
        "child.stdout.readline(); print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    line = [sys.executable, "-c", code]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.stdout.read() == "", "the server holds the pipe until it ends, after its children"
    assert not psutil.pid_exists(child)
