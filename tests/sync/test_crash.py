"""Real processes, really killed: `kill -9` while a call to the CRM hangs, or in the middle of an import. The next run
finishes the work, nothing is doubled, and the one after it has nothing to do."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.server import Options
from engage_sync.sync.wiring import event_store, load_project
from tests.forks import Forked
from tests.sync.command import answer, begin, begin_from_nothing
from tests.sync.project import Project, project

PEOPLE = 230
PATIENCE = 60.0

Process = Forked | subprocess.Popen[str]
Start = Callable[..., Process]


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Project]:
    """Several pages of contacts and several batches of writes, with the real clock: the process has no other."""
    now = Options().clock
    with project(tmp_path, options={"clock": now}) as made:
        made.clock.now = now()
        made.crm.store.create_many("contacts", [{"email": f"user{n}@a.example"} for n in range(PEOPLE)])
        made.company("a.example")
        told = [body for n in range(PEOPLE) for body in made.person(f"user{n}", f"user{n}@a.example", events=n % 3)]
        made.tell(*told, made.group("user1", "acme", domain="a.example"))
        yield made


@contextmanager
def running(made: Project, *arguments: str, start: Start = begin) -> Iterator[Process]:
    """Start a command; whatever happens, it does not stay."""
    process = start(made.root, *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_struck(made: Project, process: Process, faults: int = 1) -> None:
    """Wait until so many calls hang."""
    end = time.monotonic() + PATIENCE
    while made.crm.faults.struck < faults:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "the call that should hang was not made"
        made.crm.stopping.wait(0.01)


def killed_at(made: Project, fault: Fault, *arguments: str) -> None:
    """Run a command and kill it while it waits for the answer to the call that the fault strikes."""
    struck = made.crm.faults.struck
    made.crm.faults.add(fault)
    with running(made, *(arguments or ("sync",))) as process:
        until_struck(made, process, struck + 1)
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    made.crm.faults.clear()


def writes_after_finishing(made: Project) -> int:
    """Check that the next run does the rest, writing nothing twice; give the write calls of the one after it."""
    made.crm.calls.clear()
    report = answer(made.root, "sync")
    buckets = report["connectors"]["hubspot"]["contacts"]
    assert sum(buckets.values()) == PEOPLE
    assert buckets["written"] + buckets["unchanged"] == PEOPLE
    for record in made.crm.store.ids("contacts"):
        held = made.values(record)
        assert held["engage_external_id"] == held["email"].partition("@")[0]
        edits = [edit.property for edit in made.crm.store.edits("contacts", record)]
        assert len(edits) == len(set(edits))
    made.crm.calls.clear()
    told = answer(made.root, "sync")["calls"]["write"]
    made_calls = made.crm.calls.count("write")
    assert told == made_calls
    return made_calls


POINTS = {
    "describing": Fault("hang", path="*/properties/contacts"),
    "third page": Fault("hang", path="*/objects/contacts", method="GET", skip=2),
    "recycle bin": Fault("hang", path="*/objects/companies", skip=1),
    "first write": Fault("hang", kind="write"),
    "second write, done": Fault("hang_after", kind="write", skip=1),
    "last write, done": Fault("hang_after", path="*/companies/batch/update"),
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_syncing(crowd: Project, point: str) -> None:
    killed_at(crowd, POINTS[point])
    assert writes_after_finishing(crowd) == 0


def test_killed_again_and_again(crowd: Project) -> None:
    for point in ("third page", "first write", "last write, done"):
        killed_at(crowd, POINTS[point])
    assert writes_after_finishing(crowd) == 0


def test_two_at_once(crowd: Project) -> None:
    """The second ends at once and says who is at work; the lock ends with the process that held it."""
    crowd.crm.faults.add(POINTS["describing"])
    with running(crowd, "sync", start=begin_from_nothing) as process:
        until_struck(crowd, process)
        second = begin(crowd.root, "sync")
        printed, _ = second.communicate(timeout=PATIENCE)
        assert second.returncode == 4
        assert str(process.pid) in json.loads(printed)["error"]
    crowd.crm.faults.clear()
    assert writes_after_finishing(crowd) == 0


def reads(process: Process, file: Path) -> bool:
    """Tell whether a process has a file open."""
    return any(Path(opened.path) == file for opened in psutil.Process(process.pid).open_files())


def test_killed_while_importing(tmp_path: Path) -> None:
    """An import is one commit: killed on its way, nothing of it shows, and it can be repeated as it is."""
    with project(tmp_path, provisioned=False) as made:
        made.clock.now = Options().clock()
        file = tmp_path / "many.jsonl"
        count = 300_000
        line = json.dumps(made.track("user%d", messageId="m%d")) + "\n"
        with file.open("w") as lines:
            lines.writelines(line % (number % 1000, number) for number in range(count))
        store = event_store(load_project(tmp_path))
        with running(made, "import", str(file), start=begin_from_nothing) as process:
            end = time.monotonic() + PATIENCE
            while not reads(process, file) and time.monotonic() < end:
                made.crm.stopping.wait(0.002)
            process.send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
        assert not store.exists()
        assert answer(tmp_path, "import", str(file))["imported"] == count
        again = answer(tmp_path, "import", str(file))
        assert (again["imported"], again["duplicates"]) == (0, count)
        assert answer(tmp_path, "compute")["users"] == 1000
        shown = json.loads(begin_from_nothing(tmp_path, "show", "users").communicate(timeout=PATIENCE)[0])
        assert sum(row["metrics"]["events"] for row in shown) == count
