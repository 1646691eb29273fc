"""The daemon as systemd starts it: real processes, a real port, real signals. What it tells systemd is what the tests
wait for."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from engage_sync.sandbox.server import Sandbox
from engage_sync.sync.children import GRACE, Process
from engage_sync.sync.notify_systemd import Systemd
from tests.cli.conftest import Run
from tests.forks import fork

PROGRAM = Path(sys.executable).with_name("engage-sync")
PATIENCE = 90.0


class Watched:
    """A daemon that runs, and the socket on which it tells how it is."""

    def __init__(self, project: Path, place: Path) -> None:
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.systemd.bind(str(place))
        self.systemd.settimeout(PATIENCE)
        self.log = (project / "daemon.log").open("w+", encoding="utf-8")
        line = [str(PROGRAM), "daemon", "--project", str(project)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "500000"}
        self.process = subprocess.Popen(line, stderr=self.log, stdin=subprocess.DEVNULL, env=environment)

    def hears(self, beginning: str) -> str:
        """Wait until it tells something that begins so."""
        end = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < end, f"it never told {beginning}"
            told = self.systemd.recv(4096).decode()
            for line in told.splitlines():
                if line.startswith(beginning):
                    return line

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.systemd.close()
        self.log.close()


@contextmanager
def watched(project: Path) -> Iterator[Watched]:
    made = Watched(project, project / "notify")
    try:
        yield made
    finally:
        made.close()


ENGAGE = """\
brakes: {{max_event_age: }}
server: {{host: 127.0.0.1, port: {port}}}
daemon: {{jitter: 0s, lease: 2s}}
"""


def configure(project: Path, port: int) -> None:
    """Have it answer on a port, begin at once, and pull every other second."""
    (project / "config" / "engage.yaml").write_text(ENGAGE.format(port=port))
    file = project / "connectors" / "hubspot.yaml"
    file.write_text(
        re.sub(r"^schedule:.*\n( +.*\n)*", "schedule: {pull: 2s, push: 24h}\n", file.read_text(), flags=re.M)
    )


def test_it_works_tells_how_it_is_and_ends_in_time(run: Run, project: Path, crm: Sandbox) -> None:
    here = ("--project", str(project))
    assert run("provision", "--apply", *here).code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    configure(project, port)
    with watched(project) as daemon:
        daemon.hears("READY=1")
        daemon.hears("STATUS=working: sync:hubspot")
        daemon.hears("WATCHDOG=1")
        daemon.hears("STATUS=working: pull:hubspot")  # so the sync has ended
        values = [crm.store.values("contacts", record) for record in crm.store.ids("contacts")]
        linked = {one["email"]: one.get("engage_external_id") for one in values}
        assert linked == {"ada@acme.example": "u1", "bo@acme.example": "u2", "stranger@else.example": None}
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            assert answer.status == 200
        told = run("status", *here).out
        assert f"(process {daemon.process.pid}) schedules" in told
        ended = run("status", "--json", *here).json
        assert {job["name"]: job["exit"] for job in ended["jobs"]}["push:hubspot"] == 0
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.hears("RELOADING=1")
        daemon.hears("READY=1")
        began = time.monotonic()
        os.kill(daemon.process.pid, signal.SIGTERM)
        assert daemon.process.wait(30) == 0
        assert time.monotonic() - began < 10
        daemon.hears("STOPPING=1")
    assert run("status", "--json", *here).json["leases"] == []
    assert "No daemon runs" in run("status", *here).out


def test_a_broken_configuration_is_told_and_nothing_starts(run: Run, project: Path) -> None:
    file = project / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().replace("objects:", "objekts:"))
    ended = run("daemon", "--project", str(project))
    assert ended.code == 2
    assert "connectors/hubspot.yaml" in ended.err
    assert "did you mean `objects`?" in ended.err


def test_a_port_that_is_taken_is_told(run: Run, project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        configure(project, port)
        ended = run("daemon", "--project", str(project))
    assert ended.code == 2
    assert f"127.0.0.1:{port}" in ended.err


STUBBORN = "import os, signal; signal.signal(15, signal.SIG_IGN); os.write(2, b'deaf'); signal.pause()"


def test_a_child_that_does_not_end_is_ended() -> None:
    """On a clock of its own: asked to end, it has eight seconds."""
    now = [0.0]
    child = Process([sys.executable, "-S", "-c", STUBBORN], clock=lambda: now[0])
    while not child.log:
        os.sched_yield()
    child.stop()
    now[0] = GRACE - 0.1
    assert child.ended() is None
    now[0] = GRACE
    while (ended := child.ended()) is None:
        os.sched_yield()
    assert ended.worked is None
    assert "SIGKILL" in ended.why


ENDLESS = """
import signal, threading
from engage_sync.cli.work import end_with_the_daemon
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
threading.Thread(target=end_with_the_daemon, args=(0.1,), daemon=True).start()
print("works", flush=True)
asked.wait()
print("asked", flush=True)
threading.Event().wait()
"""


def test_a_child_whose_daemon_is_gone_ends_whatever_it_does() -> None:
    child = fork(ENDLESS, stdin=True)
    assert child.stdout.readline() == "works\n"
    assert child.stdin is not None
    child.stdin.close()
    assert child.stdout.readline() == "asked\n"
    assert child.wait(30) == -signal.SIGKILL


def test_the_id_of_a_child_that_has_ended_is_left_alone() -> None:
    """It may be another's by now."""
    child = Process([sys.executable, "-S", "-c", "print('{}')"])
    while (ended := child.ended()) is None:
        os.sched_yield()
    with subprocess.Popen(["sleep", "100"], start_new_session=True) as another:
        child._process.pid = another.pid
        child.stop()
        assert child.ended() is ended
        another.terminate()
        assert another.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os; os.write(2, b'first\\nno memory\\n'); os._exit(9)", "exit code 9 and no answer: no memory"),
        ("print('{')", "exit code 0 and no answer"),
        ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL and no answer"),
        ("while True: print('x' * 65536)", "an answer of more than 16 MB, not with one that can be read"),
    ],
)
def test_a_child_without_an_answer_is_told_with_its_last_word(program: str, why: str) -> None:
    child = Process([sys.executable, "-S", "-c", program])
    while (ended := child.ended()) is None:
        os.sched_yield()
    assert (ended.worked, ended.why) == (None, f"the child ended with {why}")


def test_nothing_is_told_where_no_systemd_listens(tmp_path: Path) -> None:
    """Neither to nobody, nor to somebody who was not named."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "notify"))
        for environment in ({"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1"}, {"WATCHDOG_USEC": "1"}):
            quiet = Systemd(environment)
            quiet.ready("works")
            quiet.alive()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
        named = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        named.stopping()
        assert other.recv(100) == b"STOPPING=1\nSTATUS=ending"
