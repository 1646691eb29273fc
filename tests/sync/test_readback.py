"""Reading back what was written: "200 and nothing happened" is caught on both CRMs, in collections and Bulk jobs, the
value stays dirty and the next run writes it. A read that fails fails nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from engage_sync.connectors.base import Change, Connector, Kind, Outcome
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.wrappers import Observed, Wrapper
from engage_sync.core.values import SEPARATOR
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.cycle import Report
from engage_sync.sync.readback import Verified, sample
from tests.sync.project import CONNECTOR, Project, decisions
from tests.sync.project import project as begin
from tests.sync.two_crms import Both, both

FIELD = "engage_reports"
PRETENDED = Fault("pretended", kind="write")


@pytest.fixture
def crms(tmp_path: Path) -> Iterator[Both]:
    with both(tmp_path) as made:
        yield made


def told(report: Report, name: str = "hubspot", object_: str = "contacts") -> Verified:
    return report.verified[name][object_]


def people(made: Project, count: int) -> list[str]:
    made.tell(*(made.identify(f"u{n}", email=f"u{n}@a.example") for n in range(count)))
    return made.crm.store.create_many("contacts", [{"email": f"u{n}@a.example"} for n in range(count)])


@pytest.mark.lesson(20)
def test_nothing_happened_on_either_crm(crms: Both) -> None:
    """The answer says written, the record says no: failed, dirty, and written by the next run."""
    ann, sold = crms.contact("ann@a.example"), crms.sales("ann@a.example")
    crms.tell(crms.identify("ann", email="ann@a.example"))
    assert told(crms.sync()) == Verified(written=1, checked=1, held=1)
    crms.tell(crms.track("ann", "report_run"))
    crms.crm.faults.add(PRETENDED)
    crms.org.faults.add(Fault("pretended", method="PATCH"))
    report = crms.sync()
    assert (report.exit, report.status) == (1, "partial")
    for name, object_, record in (("hubspot", "contacts", ann), ("salesforce", "Contact", sold)):
        assert told(report, name, object_) == Verified(written=1, checked=1, not_held=1)
        assert crms.counts(report, name, object_) == {"failed": 1}
        with crms.remembered() as state:
            failure = state.failures().filter(record=record).row(0, named=True)
            assert (failure["code"], failure["status"]) == ("NOT_HELD", "failed")
            assert failure["message"] == "the CRM answered that it wrote this, but it still holds the old value"
    assert (crms.values(ann)[FIELD], crms.held(sold)["Engage_Reports__c"]) == ("0", "0")

    mended = crms.sync(pulling=False)  # it is the memory that must say it, not the next pull
    assert {decision for *_, decision in decisions(mended)} == {"write"}, "neither drift nor settled"
    assert (mended.exit, crms.values(ann)[FIELD], crms.held(sold)["Engage_Reports__c"]) == (0, "1", "1")
    with crms.remembered() as state:
        assert state.failures().is_empty()
    assert crms.sync(after=0).writes == 0


def test_a_first_write_that_did_not_happen_leaves_no_trace(project: Project) -> None:
    record = project.contact("ann@a.example", engage_user_type="power")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.crm.faults.add(PRETENDED)
    assert project.buckets(project.sync()) == {"failed": 1}
    with project.remembered() as state:
        written = state.written("hubspot", "contacts", ["engage_user_types", "engage_user_type"])
        held = state.records("hubspot", "contacts", ["engage_user_types", "engage_user_type"])
    assert (written.height, held.select("crm.engage_user_types", "crm.engage_user_type").row(0)) == (0, (None, "power"))
    found = {name: decision for _, name, _, decision in decisions(project.sync(pulling=False))}
    assert (found["engage_user_types"], found["engage_user_type"]) == ("write", "drift_kept")
    assert project.values(record)["engage_user_types"] == "zombie"


def test_one_that_does_not_hold_makes_it_all(project: Project) -> None:
    """Of 150 records the last 50 were not written; the sample of 100 meets some, and then all are looked at."""
    records = people(project, 150)
    project.crm.faults.add(replace(PRETENDED, contains=f'"{records[-1]}"'))
    report = project.sync()
    assert told(report) == Verified(written=150, checked=150, held=100, not_held=50)
    assert (report.exit, project.buckets(report)) == (1, {"written": 100, "failed": 50})
    mended = project.sync()
    assert told(mended) == Verified(written=50, checked=50, held=50)
    assert all(project.values(one)[FIELD] == "0" for one in records)


def test_bulk_jobs(tmp_path: Path) -> None:
    """A job that is complete and did nothing; the limit above which a push is a job is lowered for it."""
    with both(tmp_path, bulk_delay_polls=0) as made:
        few = Few(**{name: getattr(made, name) for name in ("root", "crm", "clock", "org")}, files=made.files)
        records = [few.sales(f"u{n}@a.example") for n in range(5)]
        few.tell(*(few.identify(f"u{n}", email=f"u{n}@a.example") for n in range(5)))
        few.org.faults.add(Fault("pretended", path="*/jobs/ingest/*"))
        report = few.sync()
        assert [job.state for job in few.org.org.jobs.values()] == ["JobComplete"]
        assert told(report, "salesforce", "Contact") == Verified(written=5, checked=5, not_held=5)
        assert (report.exit, few.counts(report, "salesforce", "Contact")) == (1, {"failed": 5})
        assert few.sync().exit == 0
        assert {few.held(one)["Engage_User_Type__c"] for one in records} == {"zombie"}


@dataclass
class Few(Both):
    """A project whose Salesforce takes more than three records as a Bulk job."""

    def hardened(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        if connector.name == "salesforce":
            vars(connector)["limits"] = replace(connector.limits, whole_above=3)
        return super().hardened(connector, read_only=read_only, daily_share=daily_share, halt=halt)


class Meddled(Wrapper):
    """A CRM in which something happens right after each push."""

    def __init__(self, inner: Connector, happen: Callable[[], object]) -> None:
        super().__init__(inner)
        self._happen = happen

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        yield from self.inner.push(kind, changes)
        if changes:
            self._happen()


@dataclass
class Workflow(Project):
    """A project in whose CRM something happens right after each push."""

    happen: Callable[[], object] = field(default=lambda: None)

    def hardened(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        meddled = Meddled(connector, self.happen)
        return super().hardened(meddled, read_only=read_only, daily_share=daily_share, halt=halt)


def test_a_workflow_that_overrules_is_no_failure(project: Project) -> None:
    record, lost = project.contact("ann@a.example"), project.contact("bob@a.example")
    made = Workflow(project.root, project.crm, project.clock)
    made.tell(*(made.identify(name, email=f"{name}@a.example") for name in ("ann", "bob")))

    def happen() -> None:
        made.crm.store.update("contacts", record, {FIELD: "77"})
        made.crm.store.archive("contacts", lost)

    made.happen = happen
    report = made.sync()
    assert told(report) == Verified(written=2, checked=1, overruled=1), "one is gone meanwhile, which is nothing"
    assert (report.exit, made.buckets(report)) == (0, {"written": 2})
    made.happen = lambda: None
    assert (record, FIELD, "0", "drift_written") in decisions(made.sync(pulling=False)), "the mirror knows already"


def test_the_same_value_in_another_notation_holds(project: Project) -> None:
    record = project.contact("ann@a.example")
    made = Workflow(project.root, project.crm, project.clock)
    made.tell(*made.person("ann", "ann@a.example"))
    turned = {FIELD: "0.0", "engage_user_types": SEPARATOR.join(("power", "active"))}
    made.happen = lambda: made.crm.store.update("contacts", record, turned)
    assert told(made.sync()) == Verified(written=1, checked=1, held=1)


def test_a_read_that_fails_is_told_and_fails_nothing(project: Project) -> None:
    record = project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.crm.faults.add(Fault("missing_scopes", path="*/batch/read", times=None))
    report = project.sync()
    assert (report.exit, report.status, project.buckets(report)) == (0, "ok", {"written": 1})
    assert told(report).checked == 0
    assert told(report).error
    assert project.values(record)["engage_user_type"] == "zombie"
    project.crm.faults.clear()
    assert project.sync(after=0).verified == {}, "nothing is written, so nothing is read"


def reads(made: Project) -> int:
    return sum(call.path.endswith("/batch/read") for call in made.crm.calls.all())


@pytest.mark.parametrize(("setting", "checked", "calls"), [("all", 120, 2), ("none", 0, 0)])
def test_the_setting(tmp_path: Path, setting: str, checked: int, calls: int) -> None:
    connector = CONNECTOR.replace("objects:", f"limits: {{verify: {setting}}}\nobjects:")
    with begin(tmp_path, connector=connector) as made:
        people(made, 120)
        before = reads(made)
        report = made.sync()
        assert reads(made) - before == calls
        assert report.verified == (
            {"hubspot": {"contacts": Verified(written=120, checked=checked, held=checked)}} if checked else {}
        )


@pytest.mark.parametrize("count", [1, 99, 100, 101, 199, 250, 5_000])
def test_the_sample_is_spread_and_moves_on(count: int) -> None:
    records = [str(n) for n in range(count)]
    for run in range(8):
        found = sample(records, run)
        assert len(set(found)) == len(found) == min(count, 100)
        assert found == sample(records, run)
        places = sorted(int(one) for one in found)
        assert all(after - before <= count // 100 + 1 for before, after in pairwise(places))
    if count >= 200:
        assert not set(sample(records, 0)) & set(sample(records, 1))
