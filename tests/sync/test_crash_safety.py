"""Whatever happens to the state or the line: one sentence, the right exit code, and the next run puts everything right.
What we wrote in a run that was cut short stays ours."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engage_sync.connectors.base import Connector
from engage_sync.connectors.halt import Halt
from engage_sync.connectors.wrappers import Observed
from engage_sync.errors import EngageError, Mistake, Unreachable
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.store import INTEGRATION, PERSON
from engage_sync.state.database import Database
from engage_sync.state.sqlite import SQLite
from engage_sync.state.store import State
from engage_sync.sync import cycle, ingest, views
from engage_sync.sync.pull import Pulled
from engage_sync.sync.reports import Report
from engage_sync.sync.wiring import Workspace
from tests.sync.command import answer
from tests.sync.mortal import Death, Died
from tests.sync.project import Project, decisions
from tests.sync.two_crms import both

RESPECTED = "engage_user_type"
THERE = "Engage_User_Type__c"
LATER = 20 * 86_400


class Happens:
    """Lets something happen once: when the first page is pulled, or the first answers to a push have come."""

    def __init__(self, when: str, what: Callable[[], object]) -> None:
        self.when, self.what = when, what

    def _now(self, when: str) -> None:
        if when == self.when:
            self.when = ""
            self.what()

    def step(self, what: str) -> None:
        self._now(what)

    def pulled(self, pulled: Pulled) -> None:
        self._now("pulled")

    def pushed(self, object_: str, done: int, total: int) -> None:
        self._now("pushed")


def cut_short(made: Project) -> None:
    """Sync, and die right after the CRM has answered the first write: nothing of it is recorded."""
    made.clock.advance(1)
    before = made.crm.calls.count("write")
    death = Death(0, armed=lambda: made.crm.calls.count("write") > before)
    with pytest.raises(Died), made.open(death=death) as workspace:
        cycle.sync(workspace, None, made.clock(), clock=made.clock)


def unanswered(made: Project) -> None:
    """Sync while every write takes effect and no answer comes."""
    made.crm.faults.add(Fault("drop_after", kind="write", times=None))
    assert made.sync().exit == 5
    made.crm.faults.clear()


def overtaken(made: Project) -> str:
    """Sync while no write gets through; then she is gone, and a run clears her fields. Give what the first meant."""
    made.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert made.sync().exit == 5
    made.crm.faults.clear()
    with made.remembered() as state:
        meant = state.intents("hubspot", "contacts").filter(field=RESPECTED)["value"].item()
    made.tell(made.identify("ann", email="ann@a.example", deactivatedAt=made.at()))
    assert made.sync().exit == 0
    return str(meant)


CUTS = {"the process died": cut_short, "no answer came": unanswered}


@pytest.fixture
def ann(project: Project) -> str:
    """A contact whose user is a zombie, written once; meanwhile she has become active."""
    record = project.contact("ann@a.example")
    project.tell(project.identify("ann", email="ann@a.example"))
    project.sync()
    assert project.values(record)[RESPECTED] == "zombie"
    project.tell(project.track("ann"))
    return record


@pytest.mark.parametrize("cut", CUTS)
def test_what_a_run_without_an_answer_wrote_is_ours(project: Project, ann: str, cut: str) -> None:
    """Else the value would pass for a person's, and a respected field would keep it for ever."""
    CUTS[cut](project)
    ours = project.values(ann)[RESPECTED]
    assert ours != "zombie", "the CRM has the value, and the state does not know"
    report = project.sync(after=LATER)
    assert (report.exit, "drift_kept" in {decision for *_, decision in decisions(report)}) == (0, False)
    assert "drift_written" not in {decision for *_, decision in decisions(report)}
    assert project.values(ann)[RESPECTED] == "inactive"
    assert project.sync().writes == 0
    with project.remembered() as state:
        assert state.intents("hubspot", "contacts").is_empty()


@pytest.mark.parametrize("cut", CUTS)
def test_what_a_person_typed_after_it_is_theirs(project: Project, ann: str, cut: str) -> None:
    CUTS[cut](project)
    project.crm.store.update("contacts", ann, {RESPECTED: "influencer"})
    for _ in range(2):
        report = project.sync(after=LATER)
        assert (ann, RESPECTED, "inactive", "drift_kept") in decisions(report)
        assert project.values(ann)[RESPECTED] == "influencer"


@pytest.mark.parametrize("cut", CUTS)
def test_what_somebody_changed_beside_it_leaves_it_ours(project: Project, ann: str, cut: str) -> None:
    """The record was changed after the run, and the CRM tells that it was another field."""
    CUTS[cut](project)
    project.clock.advance(3_600)
    project.crm.store.update("contacts", ann, {"firstname": "Ann"}, source=PERSON)
    report = project.sync(after=LATER)
    assert "drift_kept" not in {decision for *_, decision in decisions(report)}
    assert project.values(ann)[RESPECTED] == "inactive"


def test_a_crm_that_does_not_tell_at_once_is_asked_again(project: Project, ann: str) -> None:
    """Until then the value stands, whoever set it."""
    unanswered(project)
    ours = project.values(ann)[RESPECTED]
    project.clock.advance(3_600)
    project.crm.store.update("contacts", ann, {"firstname": "Ann"}, source=PERSON)
    project.crm.faults.add(Fault("drop_before", path="*/batch/read", times=None))
    project.tell(project.identify("ann", email="ann@a.example", deactivatedAt=project.at()))
    report = project.sync()
    assert (ann, RESPECTED, None, "drift_kept") in decisions(report)
    assert project.values(ann)[RESPECTED] == ours
    project.crm.faults.clear()
    project.sync(after=3_600)
    assert RESPECTED not in project.values(ann)


def test_what_it_did_not_tell_at_once_is_still_the_runs_that_wrote_it(project: Project, ann: str) -> None:
    """Else a rollback of that run would leave it, although it is as wanted all the time."""
    project.crm.faults.add(Fault("drop_after", kind="write", times=None))
    written = project.sync()
    project.crm.faults.clear()
    with project.remembered() as state:
        meant = set(state.intents("hubspot", "contacts").filter(run=written.run)["field"])
    assert RESPECTED in meant
    project.clock.advance(3_600)
    project.crm.store.update("contacts", ann, {"firstname": "Ann"}, source=PERSON)
    project.crm.faults.add(Fault("drop_before", path="*/batch/read", times=None))
    project.sync()
    project.crm.faults.clear()
    project.sync(after=3_600)
    with project.remembered() as state:
        journal = state.journal_around(written.run)
        assert set(journal.filter(run=written.run)["field"]) == meant


def test_a_person_who_types_right_after_what_a_run_had_meant_keeps_it(project: Project, ann: str) -> None:
    """Its write never got through; the clocks may differ by more than that, but the CRM tells who it was."""
    project.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert project.sync().exit == 5
    project.crm.faults.clear()
    with project.remembered() as state:
        meant = state.intents("hubspot", "contacts").filter(field=RESPECTED)["value"].item()
    project.clock.advance(10)
    project.crm.store.update("contacts", ann, {RESPECTED: meant}, source=PERSON)
    project.sync(after=LATER)
    assert project.values(ann)[RESPECTED] == meant


def test_a_person_who_types_what_an_overtaken_run_had_meant_keeps_it(project: Project, ann: str) -> None:
    """It comes ten minutes after that run at most, but after another one had its answer for the field."""
    meant = overtaken(project)
    project.clock.advance(300)
    project.crm.store.update("contacts", ann, {RESPECTED: meant}, source=PERSON)
    for _ in range(2):
        project.sync(after=3_600)
        assert project.values(ann)[RESPECTED] == meant


@pytest.mark.parametrize("tracked", [True, False])
def test_the_field_history_of_salesforce_tells_it_too(tmp_path: Path, tracked: bool) -> None:
    """An org that does not track the field cannot tell: then the value stands."""
    with both(tmp_path) as made:
        file = made.root / "connectors" / "salesforce.yaml"
        text = file.read_text()
        file.write_text(
            text.replace(f"{THERE}: primary_user_type", f"{THERE}: {{from: primary_user_type, on_drift: respect}}")
        )
        shelf = made.org.store.shelf("Contact")
        if tracked:
            shelf.type.tracked.add(THERE)
        record = made.sales("ann@a.example")
        made.tell(made.identify("ann", email="ann@a.example"))
        made.sync()
        made.tell(made.track("ann"))
        made.org.faults.add(Fault("drop_after", kind="write", times=None))
        assert made.sync().exit == 5
        made.org.faults.clear()
        made.clock.advance(3_600)
        made.org.store.edit("Contact", record, {"FirstName": "Ann"})
        made.sync(after=LATER)
        shown = made.org.store.text("Contact", record)[THERE]
        assert (shown == "inactive") is tracked


def test_what_was_never_written_does_not_claim_a_persons_value(project: Project, ann: str) -> None:
    """A person types, later, just what a run without effect was about to write."""
    project.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert project.sync().exit == 5
    project.crm.faults.clear()
    project.tell(project.track("ann", "report_run"))
    with project.remembered() as state:
        meant = state.intents("hubspot", "contacts").filter(field=RESPECTED)["value"].item()
    assert project.sync(after=LATER).exit == 0
    with project.remembered() as state:
        assert state.intents("hubspot", "contacts").is_empty()
    assert project.values(ann)[RESPECTED] != meant
    project.crm.store.update("contacts", ann, {RESPECTED: meant})
    report = project.sync(after=60)
    assert "drift_kept" in {decision for _, name, _, decision in decisions(report) if name == RESPECTED}
    assert project.values(ann)[RESPECTED] == meant


@dataclass
class Whole(Project):
    """A project whose CRM takes every push whole, and may work on it for an hour."""

    def hardened(self, connector: Connector, *, read_only: bool, daily_share: float, halt: Halt) -> Observed:
        vars(connector)["limits"] = replace(connector.limits, whole_above=0, whole_lasts=3_600.0)
        return super().hardened(connector, read_only=read_only, daily_share=daily_share, halt=halt)


@pytest.mark.parametrize("whole", [False, True])
def test_what_takes_effect_long_after_the_run(project: Project, ann: str, whole: bool) -> None:
    """Of what was handed over whole it is ours as long as the CRM may work on it; else a person set it by then."""
    made = Whole(project.root, project.crm, project.clock, project.files) if whole else project
    made.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert made.sync().exit == 5
    made.crm.faults.clear()
    with made.remembered() as state:
        meant = state.intents("hubspot", "contacts").filter(field=RESPECTED)["value"].item()
    made.clock.advance(40 * 60)
    made.crm.store.update("contacts", ann, {RESPECTED: meant}, source=INTEGRATION)
    found = {decision for _, name, _, decision in decisions(made.sync(after=LATER)) if name == RESPECTED}
    assert found == {"write" if whole else "drift_kept"}


def test_what_lands_after_the_next_run_has_written_is_ours(project: Project, ann: str) -> None:
    """A write that hung takes effect when another run has had its answer for the same record."""
    meant = overtaken(project)
    assert RESPECTED not in project.values(ann)
    project.crm.store.update("contacts", ann, {RESPECTED: meant}, source=INTEGRATION)
    assert project.sync(after=3_600).exit == 0
    assert RESPECTED not in project.values(ann)


def test_cut_short_twice_with_different_values(project: Project, ann: str) -> None:
    """The second run without an answer meant something else; the CRM still holds what the first one wrote."""
    cut_short(project)
    project.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert project.sync(after=LATER).exit == 5
    project.crm.faults.clear()
    assert project.sync().exit == 0
    assert project.values(ann)[RESPECTED] == "inactive"


def test_a_record_that_is_not_matched_any_more_loses_what_a_cut_run_wrote(project: Project, ann: str) -> None:
    project.tell(project.track("ann", "report_run"))
    cut_short(project)
    held = project.values(ann)
    project.tell(project.identify("ann", email="ann@a.example", deactivatedAt=project.at()))
    assert project.sync(after=60).exit == 0
    left = {name: text for name, text in project.values(ann).items() if name.startswith("engage_")}
    assert held["engage_reports"] == "1"
    assert left == {}


# --- the state ---


def trouble(made: Project, happens: Happens, state: State | None = None) -> EngageError | Report:
    """Sync while something happens; give the error that ended it, or the report."""
    made.clock.advance(1)
    try:
        with made.open() as workspace:
            here: Workspace = workspace if state is None else replace(workspace, state=state)
            return cycle.sync(here, None, made.clock(), clock=made.clock, progress=happens)
    except EngageError as error:
        return error


def told(ended: EngageError | Report) -> tuple[int, str]:
    if isinstance(ended, Report):
        return ended.exit, " ".join(ended.errors.values())
    return ended.exit_code, str(ended)


@pytest.fixture
def crowd(project: Project) -> Project:
    """Several pages and batches."""
    project.crm.store.create_many("contacts", [{"email": f"user{n}@a.example"} for n in range(230)])
    project.tell(*[body for n in range(230) for body in project.person(f"user{n}", f"user{n}@a.example", events=n % 3)])
    return project


def all_is_right(made: Project) -> None:
    """Check that the next run does the rest, that nothing was written twice, and that the one after it rests."""
    report = made.sync()
    assert report.exit == 0, report.errors
    for record in made.crm.store.ids("contacts"):
        held = made.values(record)
        assert held["engage_external_id"] == held["email"].partition("@")[0]
        edits = Counter(edit.property for edit in made.crm.store.edits("contacts", record))
        assert set(edits.values()) == {1}, "nothing is doubled"
    again = made.sync(after=0)
    assert (again.writes, again.exit) == (0, 0)


def unfinished(made: Project) -> None:
    """Check that the newest run does not say success."""
    with made.open() as workspace:
        newest = views.runs_json(workspace, 1)[0]
    assert (newest["status"], newest["exit"]) in {("unfinished", None), ("failed", 5)}


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond `room` bytes: writes fail where they would on a full disk. What is logged meanwhile goes
    to no file, which may be longer than that already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with capture_logs():
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(crowd: Project) -> None:
    """More and more room, until the run gets through: it fails in the pull, while it records and while it pushes."""
    points, before = set(), crowd.crm.calls.count("write")
    for room in range(300_000, 3_000_000, 150_000):
        with full_disk(room):
            code, text = told(trouble(crowd, Happens("", lambda: None)))
        if code == 0:
            break
        points.add(crowd.crm.calls.count("write") > before)
        assert (code, "var/engage.db" in text, "room" in text) == (5, True, True)
        unfinished(crowd)
    assert points == {False, True}, "before the first write to the CRM, and after it"
    all_is_right(crowd)


def test_a_disk_that_is_full_while_messages_are_imported(project: Project) -> None:
    file = project.root / "many.jsonl"
    lines = [json.dumps(project.track(f"u{n}", f"e{n}", messageId=f"m{n}")) + "\n" for n in range(3_000)]
    file.write_text("".join(lines))
    with full_disk(4_000), pytest.raises(Unreachable, match="event store"):
        ingest.import_files(project.root, [file], now=project.clock(), progress=lambda *_: None)
    done = answer(project.root, "import", str(file))
    assert (done["imported"], done["duplicates"]) == (3_000, 0)


def test_an_answer_that_cannot_be_kept_is_told_all_the_same(project: Project) -> None:
    (project.root / "var" / "reports").write_text("in the way")
    project.crm.faults.add(Fault("html_200", times=None))
    report = project.sync()
    assert report.exit == 7
    assert "could not be kept" in report.errors["hubspot"]


@pytest.mark.parametrize("when", ["pulled", "pushed"])
def test_a_database_that_is_taken_away(crowd: Project, when: str) -> None:
    """Nothing goes on into the file that is gone, and none is made in its place; a backup serves again."""
    file, backup = crowd.root / "var" / "engage.db", crowd.root / "backup"
    shutil.copy(file, backup)
    code, text = told(trouble(crowd, Happens(when, crowd.lose_state)))
    assert (code, "was deleted or replaced" in text, "run the command again" in text) == (5, True, True)
    assert not file.exists()
    shutil.copy(backup, file)
    all_is_right(crowd)


def test_a_database_that_is_lost_for_good_costs_a_pull(crowd: Project) -> None:
    code, _ = told(trouble(crowd, Happens("pushed", crowd.lose_state)))
    assert code == 5
    all_is_right(crowd)


def test_a_database_that_something_else_replaces(crowd: Project) -> None:
    file = crowd.root / "var" / "engage.db"

    def spoil() -> None:
        crowd.lose_state()
        file.write_bytes(b"notes about nothing\n" * 10_000)

    code, text = told(trouble(crowd, Happens("computing", spoil)))
    assert (code, "was deleted or replaced" in text) == (5, True)
    assert file.read_bytes().startswith(b"notes"), "what stands there now is not ours to write on"
    code, text = told(trouble(crowd, Happens("", lambda: None)))
    assert (code, "is not an SQLite database" in text) == (Mistake.exit_code, True)
    crowd.lose_state()
    all_is_right(crowd)


BLOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("when", ["pulled", "pushed"])
def test_a_database_that_another_program_keeps_locked(crowd: Project, when: str) -> None:
    path = crowd.root / "var" / "engage.db"
    blockers: list[subprocess.Popen[str]] = []

    def block() -> None:
        line = [sys.executable, "-c", BLOCKER, str(path)]
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        blockers.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

    hasty = State(Database(SQLite(path, busy_seconds=0.05)), crowd.root / "var" / "memory.key")
    code, text = told(trouble(crowd, Happens(when, block), hasty))
    hasty.close()
    blockers[0].communicate("")
    assert (code, "another program keeps it locked" in text) == (5, True)
    unfinished(crowd)
    all_is_right(crowd)


# --- the line ---

LINES = ("drop_before", "drop_after", "reset_after")


@pytest.mark.parametrize("fault", LINES)
def test_a_connection_that_ends_around_a_write(tmp_path: Path, fault: str) -> None:
    """In both CRMs, before and after the write took effect: repeated in the same run, and nothing is doubled."""
    with both(tmp_path) as made:
        records = [made.contact("ann@a.example")], [made.sales("ann@a.example")]
        made.tell(*made.person("ann", "ann@a.example"))
        made.crm.faults.add(Fault(fault, kind="write"))
        made.org.faults.add(Fault(fault, method="PATCH", path="*/composite/sobjects*"))
        report = made.sync()
        assert (report.exit, report.errors) == (0, {})
        assert (made.crm.faults.struck, made.org.faults.struck) == (1, 1)
        assert made.values(records[0][0])["engage_external_id"] == "ann"
        assert made.held(records[1][0])["Engage_External_Id__c"] == "ann"
        assert {*Counter(edit.property for edit in made.crm.store.edits("contacts", records[0][0])).values()} == {1}
        assert {*Counter(edit.field for edit in made.org.store.edits("Contact", records[1][0])).values()} == {1}
        assert made.sync().writes == 0


def test_what_was_meant_for_an_object_that_left_the_file_is_dropped(project: Project) -> None:
    """Nobody would ever look what became of it. Not before a day has passed: the file may be put back."""
    project.company("a.example")
    project.tell(*project.person("ann", "ann@a.example"), project.group("ann", "acme", domain="a.example"))
    project.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert project.sync().exit == 5
    project.crm.faults.clear()
    file = project.root / "connectors" / "hubspot.yaml"
    file.write_text(file.read_text().partition("  companies:")[0])
    for seconds, left in ((60, 1), (86_400, 0)):
        project.clock.advance(seconds)
        assert project.sync().exit == 0
        with project.remembered() as state:
            assert state.intents("hubspot", "companies")["record"].n_unique() == left
