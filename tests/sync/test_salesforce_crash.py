"""Real processes, really killed, while Salesforce is written: `kill -9` during a Bulk job and during a push by
collections. The next run finishes, nothing is lost or doubled, no job is left open, and the one after it has nothing to
do."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engage_sync.sandbox.faults import Fault
from tests.forks import Forked
from tests.sync.command import answer, begin, begin_from_nothing
from tests.sync.two_crms import Both, both

FEW, MANY = 450, 2_100
PATIENCE = 60.0


@pytest.fixture
def org(tmp_path: Path) -> Iterator[Both]:
    """A project with Salesforce alone."""
    with both(tmp_path, real_time=True) as made:
        (tmp_path / "connectors" / "hubspot.yaml").unlink()
        model = tmp_path / "config" / "model.yaml"
        model.write_text(model.read_text().replace("title: crm.hubspot.jobtitle, ", ""), encoding="utf-8")
        model.write_text(model.read_text().replace(" or title ilike '%head%'", ""), encoding="utf-8")
        yield made


def people(made: Both, count: int) -> None:
    """Create contacts and the users who stand behind them."""
    rows = [{"LastName": f"P{n}", "Email": f"user{n}@a.example"} for n in range(count)]
    made.org.store.create_many("Contact", rows)
    made.tell(*(body for n in range(count) for body in made.person(f"user{n}", f"user{n}@a.example")))


def killed_at(made: Both, fault: Fault, start: Callable[..., Forked | subprocess.Popen[str]] = begin) -> None:
    """Sync, and kill it while it waits for the answer to the call that the fault strikes."""
    struck = made.org.faults.struck
    made.org.faults.add(fault)
    process = start(made.root, "sync")
    try:
        end = time.monotonic() + PATIENCE
        while made.org.faults.struck == struck:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the call that should hang was not made"
            made.org.stopping.wait(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()
    made.org.faults.clear()


def writes_after_finishing(made: Both, count: int) -> int:
    """Check that the next run does the rest; give the write calls of the one after it."""
    report = answer(made.root, "sync")
    buckets = report["connectors"]["salesforce"]["Contact"]
    assert buckets["written"] + buckets["unchanged"] == sum(buckets.values()) == count
    for record in made.org.store.ids("Contact"):
        held = made.held(record)
        assert held["Engage_External_Id__c"] == (held["Email"] or "").partition("@")[0]
        edits = Counter(edit.field for edit in made.org.store.edits("Contact", record))
        assert set(edits.values()) == {1}
    states = Counter(job.state for job in made.org.org.jobs.values())
    assert not {"Open", "UploadComplete", "InProgress"} & states.keys(), states
    return int(answer(made.root, "sync")["calls"]["write"])


JOB = "*/jobs/ingest"
BULK_POINTS = {
    "made, answer lost": Fault("hang_after", method="POST", path=JOB),
    "filled": Fault("hang_after", method="PUT", path=f"{JOB}/*"),
    "closed": Fault("hang_after", method="PATCH", path=f"{JOB}/*"),
    "waiting": Fault("hang", method="GET", path=f"{JOB}/*"),
}


@pytest.mark.parametrize("point", BULK_POINTS)
def test_killed_during_a_bulk_job(org: Both, point: str) -> None:
    people(org, MANY)
    killed_at(org, BULK_POINTS[point])
    assert writes_after_finishing(org, MANY) == 0


def test_killed_during_a_push_by_collections(org: Both) -> None:
    people(org, FEW)
    killed_at(org, Fault("hang_after", path="*/composite/sobjects", skip=1), begin_from_nothing)
    assert writes_after_finishing(org, FEW) == 0
