"""Taking a run back: what it replaced returns where nobody changed it since, everything else stays and is named, and no
later run brings the undone values back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engage_sync.cli.main import app
from engage_sync.errors import Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sync.approval import approve
from engage_sync.sync.reports import Report
from engage_sync.sync.rollback import Undone, rollback
from engage_sync.sync.undo_plan import Undoing
from tests.sync.command import answer, engage
from tests.sync.mortal import Death, Died
from tests.sync.project import CONNECTOR, Project, decisions
from tests.sync.project import project as begin
from tests.sync.test_crash_safety import CUTS
from tests.sync.two_crms import both

FIELD = "engage_reports"
ONE_FIELD = (
    CONNECTOR.partition("      engage_user_types")[0].replace(", on_drift: respect", "") + f"      {FIELD}: reports\n"
)
"""A project that writes one field, so that a test can name all that happens."""
RESPECTED = ONE_FIELD.replace(f"{FIELD}: reports", f"{FIELD}: {{from: reports, on_drift: respect}}")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Project]:
    """A project that writes the number of reports alone; Ann's contact has a number that a person typed."""
    with begin(tmp_path, connector=ONE_FIELD) as made:
        yield made


def undo(made: Project, run: int, *, confirm: Callable[[Undoing], bool] = lambda _: True, after: float = 1.0) -> Undone:
    made.clock.advance(after)
    with made.open() as workspace:
        return rollback(workspace, run, clock=made.clock, confirm=confirm)


def released(made: Project, run: int) -> Report:
    made.clock.advance(1.0)
    with made.open() as workspace:
        return approve(workspace, run, clock=made.clock)


def reports(made: Project, count: int, user: str = "ann") -> int:
    """Let a user run so many more reports, and sync; give the run."""
    made.tell(*(made.track(user, "report_run", days=n / 1000) for n in range(count)))
    return made.sync().run


def shown(done: Undone) -> list[tuple[Any, ...]]:
    return sorted(done.plan.changes.select("record", "field", "before", "after", "decision", "reason").rows())


def ann(made: Project, **values: str) -> str:
    record = made.contact("ann@a.example", **values)
    made.tell(made.identify("ann", email="ann@a.example"))
    return record


STANDS = "run 1 wrote it, and nobody changed it since"


def test_what_a_run_replaced_comes_back(small: Project) -> None:
    record, other = ann(small, **{FIELD: "3"}), small.contact("bob@a.example", **{FIELD: "8"})
    small.tell(small.identify("bob", email="bob@a.example"))
    small.sync()
    small.crm.store.update("contacts", other, {FIELD: "9"})
    done = undo(small, 1)
    assert shown(done) == [
        (record, FIELD, "0", "3", "restore", STANDS),
        (other, FIELD, "9", "8", "left", "somebody changed it since"),
    ]
    assert (small.values(record)[FIELD], small.values(other)[FIELD]) == ("3", "9")
    assert (done.report.exit, done.restored, small.buckets(done.report)) == (0, 1, {"written": 1, "drift_kept": 1})
    told = done.json()
    assert [told[name] for name in ("run", "undone", "status", "restored", "left")] == [2, 1, "ok", 1, 1]
    with small.remembered() as state:
        kept = state.plan(2)
        assert kept is not None
        assert kept.equals(done.plan.changes)
        assert state.journal(run=2).select("record", "before", "after", "status").rows() == [
            (record, "0", "3", "written")
        ]


def test_the_next_sync_does_not_bring_it_back_by_itself(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    small.sync()
    undo(small, 1)
    for pulling in (True, False):
        report = small.sync(pulling=pulling)
        assert decisions(report) == [(record, FIELD, "0", "rolled_back")]
        again = "written again when another value is wanted, or after `engage-sync approve 1`"
        assert report.changes["reason"].to_list() == [f"run 1 was rolled back (run 2); {again}"]
        assert (report.exit, report.writes, small.buckets(report)) == (0, 0, {"drift_kept": 1})
    reports(small, 5)
    assert small.values(record)[FIELD] == "5", "another value is wanted"
    small.sync(after=86_400 * 6)
    assert small.values(record)[FIELD] == "0", "and the old one is wanted again, which is news"


def test_a_persons_correction_stays(small: Project) -> None:
    """Whether it was made of what the rollback put back, or of what the run had written, before the rollback."""
    record, other, back = (small.contact(f"{name}@a.example", **{FIELD: "3"}) for name in ("ann", "bob", "cyd"))
    small.tell(*(small.identify(name, email=f"{name}@a.example") for name in ("ann", "bob", "cyd")))
    small.sync()
    small.crm.store.update("contacts", other, {FIELD: "9"})
    small.crm.store.update("contacts", back, {FIELD: "3"})
    assert undo(small, 1).restored == 1
    small.crm.store.update("contacts", record, {FIELD: "7"})
    for _ in range(2):
        report = small.sync()
        assert (report.writes, {decision for *_, decision in decisions(report)}) == (0, {"rolled_back"})
        assert [small.values(one)[FIELD] for one in (record, other, back)] == ["7", "9", "3"]
    small.crm.store.update("contacts", other, {FIELD: "0"})
    small.sync()
    assert small.values(other)[FIELD] == "0", "what a person types is nothing that the rollback still has to put back"


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_rollback_without_an_answer_is_carried_out_by_the_next_run(small: Project, fault: str) -> None:
    """Also by a push on the mirror as it was; and a person's value that it puts back is never taken for ours."""
    record = ann(small, **{FIELD: "3"})
    small.sync()
    small.crm.faults.add(Fault(fault, kind="write", times=None))
    assert undo(small, 1).report.exit == 5
    assert small.sync(pulling=False).exit == 5
    with small.remembered() as state:
        assert (state.failures()["record"].to_list(), state.intents("hubspot", "contacts").height) == ([record], 0)
    small.crm.faults.clear()
    assert small.sync(pulling=False).exit == 0
    assert small.values(record)[FIELD] == "3"
    assert decisions(small.sync()) == [(record, FIELD, "0", "rolled_back")]
    with small.remembered() as state:
        assert state.failures().is_empty()
    small.crm.store.update("contacts", record, {"email": ""})
    small.lose_link(record)
    small.sync()
    assert small.values(record)[FIELD] == "3"


def test_a_merge_after_a_rollback(small: Project) -> None:
    record, other = ann(small, **{FIELD: "3"}), small.contact("ann2@a.example")
    small.sync()
    undo(small, 1)
    survivor = str(small.crm.store.merge("contacts", record, other))
    for _ in range(2):
        assert decisions(small.sync()) == [(survivor, FIELD, "0", "rolled_back")]
        assert small.values(survivor)[FIELD] == "3"


def test_what_a_run_wrote_without_an_answer_can_be_taken_back(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    small.crm.faults.add(Fault("drop_after", kind="write", times=None))
    assert small.sync().exit == 5
    small.crm.faults.clear()
    assert small.sync().writes == 0
    assert undo(small, 1).restored == 1
    assert small.values(record)[FIELD] == "3"


def test_released_it_is_written_again(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    small.sync()
    undo(small, 1)
    with pytest.raises(Mistake, match="run 2 was not held"):
        released(small, 2)
    report = released(small, 1)
    assert decisions(report) == [(record, FIELD, "0", "drift_written")], "a person typed the 3"
    assert small.values(record)[FIELD] == "0"
    with pytest.raises(Mistake, match="run 1 was not held"):
        released(small, 1)
    assert small.sync().changes.is_empty()


def test_what_a_person_typed_stays_a_persons(small: Project) -> None:
    """Nothing that later becomes of the user takes away the 3 that a person typed, though it was we who put it back."""
    record = ann(small, **{FIELD: "3"})
    small.sync()
    undo(small, 1)
    small.crm.store.update("contacts", record, {"email": ""})
    small.lose_link(record)
    assert small.sync().changes.is_empty()
    assert small.values(record)[FIELD] == "3"


def test_what_we_had_written_before_stays_ours(small: Project) -> None:
    """Run 2 wrote 5 over the 0 of run 1: put back, the 0 is ours, and goes when the record is not matched any more."""
    record = ann(small)
    small.sync()
    done = undo(small, reports(small, 5))
    assert shown(done) == [(record, FIELD, "5", "0", "restore", "run 2 wrote it, and nobody changed it since")]
    assert decisions(small.sync()) == [(record, FIELD, "5", "rolled_back")]
    small.crm.store.update("contacts", record, {"email": ""})
    small.lose_link(record)
    assert decisions(small.sync()) == [(record, FIELD, None, "clear")]
    assert FIELD not in small.values(record)


def test_what_a_run_cleared_comes_back_and_stays(small: Project) -> None:
    record = ann(small)
    first = reports(small, 4)
    small.tell(small.identify("ann", deactivatedAt=small.at()))
    cleared = small.sync().run
    assert FIELD not in small.values(record)
    done = undo(small, cleared)
    assert shown(done) == [
        (record, FIELD, None, "4", "restore", f"run {cleared} wrote it, and nobody changed it since")
    ]
    assert decisions(small.sync()) == [(record, FIELD, None, "rolled_back")]
    assert (first, small.values(record)[FIELD]) == (1, "4")


def test_an_unmatched_record_that_was_cleared(small: Project) -> None:
    """What is put back on a record that shows nobody stays until the rollback is released; then it is cleared again."""
    record = ann(small)
    reports(small, 4)
    small.crm.store.update("contacts", record, {"email": ""})
    small.lose_link(record)
    cleared = small.sync().run
    undo(small, cleared)
    for _ in range(2):
        report = small.sync()
        assert (decisions(report), small.buckets(report)) == ([(record, FIELD, None, "rolled_back")], {"unlinked": 1})
    assert decisions(released(small, cleared)) == [(record, FIELD, None, "clear")]
    assert FIELD not in small.values(record)


def test_runs_are_taken_back_one_after_the_other(small: Project) -> None:
    """3 by a person, then ours: 0, 2, 5. What a later run wrote bars an earlier one until it is taken back itself."""
    record = ann(small, **{FIELD: "3"})
    one, two, three = small.sync().run, reports(small, 2), reports(small, 3)
    barred = undo(small, two)
    assert shown(barred) == [(record, FIELD, "5", "0", "left", f"run {three} wrote this field since")]
    assert (barred.restored, barred.report.writes, barred.report.exit) == (0, 0, 0)
    for run, value in ((three, "2"), (two, "0"), (one, "3")):
        assert undo(small, run).restored == 1
        assert small.values(record)[FIELD] == value
    again = undo(small, three)
    assert again.plan.nothing == f"run {three} was rolled back already, by run 5: nothing is left of it to take back"
    assert (again.report.exit, again.plan.changes.height) == (0, 0)
    assert decisions(small.sync()) == [(record, FIELD, "5", "rolled_back")], "5 is what was taken back first"
    assert small.values(record)[FIELD] == "3"


def test_a_rollback_can_be_taken_back_itself(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    run = reports(small, 5)
    back = undo(small, run)
    assert small.values(record)[FIELD] == "3"
    assert undo(small, back.plan.run).restored == 1
    assert small.values(record)[FIELD] == "5"
    assert small.sync(after=0).changes.is_empty(), "it is what is wanted"
    assert undo(small, run).restored == 1, "and the run counts again"
    assert small.values(record)[FIELD] == "3"


def test_what_was_ours_without_a_row_in_the_journal_stays_ours(tmp_path: Path) -> None:
    """Remembered after the state was lost, because it was what is wanted; or carried over by a merge to a new id."""
    with begin(tmp_path, connector=RESPECTED, options={"merge_mints_id": True}) as made:
        record, other = ann(made), made.contact("ann2@a.example")
        reports(made, 2)
        made.lose_state()
        assert made.sync().writes == 0
        undo(made, reports(made, 1))
        assert made.values(record)[FIELD] == "2"
        assert decisions(made.plan()) == [(record, FIELD, "3", "rolled_back")]
        reports(made, 1)
        assert made.values(record)[FIELD] == "4", "another value is wanted"
        survivor = str(made.crm.store.merge("contacts", record, other))
        made.sync()
        undo(made, reports(made, 1))
        made.tell(made.identify("ann", deactivatedAt=made.at()))
        made.sync(after=60)
        assert FIELD not in made.values(survivor)


@pytest.mark.parametrize("twice", [False, True])
def test_a_repeated_rollback_keeps_what_is_ours(tmp_path: Path, twice: bool) -> None:
    with begin(tmp_path, connector=RESPECTED) as made:
        record = ann(made)
        reports(made, 1)
        run = reports(made, 1)
        made.crm.faults.add(Fault("drop_after", kind="write", times=None))
        assert undo(made, run).report.exit == 5
        made.crm.faults.clear()
        if twice:
            again = undo(made, run)
            assert (
                again.plan.nothing == f"run {run} was rolled back already, by run 3: nothing is left of it to take back"
            )
        assert decisions(made.sync()) == [(record, FIELD, "2", "rolled_back")]
        reports(made, 1)
        assert made.values(record)[FIELD] == "3"


def test_rolling_back_an_older_run_does_not_give_todays_value_away(tmp_path: Path) -> None:
    """Somebody else set the very value that is wanted: it is ours, as the next run found."""
    with begin(tmp_path, connector=RESPECTED) as made:
        record = ann(made)
        reports(made, 1)
        run = reports(made, 1)
        made.tell(made.track("ann", "report_run"))
        made.crm.store.update("contacts", record, {FIELD: "3"})
        assert made.sync().writes == 0
        asked: list[int] = []
        done = undo(made, run, confirm=lambda plan: bool(asked.append(plan.restores().height)) or True)
        why = "it holds another value since, which is what a later run wanted there"
        assert (shown(done), asked) == ([(record, FIELD, "3", "1", "left", why)], [0])
        reports(made, 1)
        assert made.values(record)[FIELD] == "4"


@pytest.mark.parametrize("before", ["3", None])
def test_what_a_person_put_back_before_the_rollback_is_no_more_to_be_put_back(
    small: Project, before: str | None
) -> None:
    """The run had cleared it; whether that was a person's, or ours. Then they empty it, and it stays empty."""
    record, other = ann(small), small.contact("bob@a.example")
    small.tell(small.identify("bob", email="bob@a.example"), small.track("bob", "report_run"))
    reports(small, 3)
    if before is not None:
        small.crm.store.update("contacts", record, {FIELD: before + "7"})
    small.tell(*(small.identify(name, deactivatedAt=small.at()) for name in ("ann", "bob")))
    run = small.sync().run
    assert FIELD not in small.values(record)
    small.crm.store.update("contacts", record, {FIELD: "3" if before is None else before + "7"})
    assert undo(small, run).restored == 1
    assert small.values(other)[FIELD] == "1"
    small.crm.store.update("contacts", record, {FIELD: ""})
    assert (small.sync().writes, FIELD in small.values(record)) == (0, False)


def test_one_that_restores_nothing_changes_nothing(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    small.sync()
    small.crm.store.update("contacts", record, {FIELD: "9"})
    done = undo(small, 1)
    assert (done.restored, done.confirmed, done.plan.changes.height) == (0, False, 1)
    with small.remembered() as state:
        assert state.undone("hubspot", "contacts").is_empty()
    assert decisions(small.sync()) == [(record, FIELD, "0", "drift_written")]


@pytest.mark.parametrize("cut", CUTS)
def test_right_after_a_run_that_was_cut_short(small: Project, cut: str) -> None:
    """What it wrote without an answer is found by the rollback itself, and by that of the rollback."""
    record = ann(small)
    first = small.sync().run
    small.tell(small.track("ann", "report_run"))
    CUTS[cut](small)
    assert small.values(record)[FIELD] == "1"
    done = undo(small, first + 1)
    assert (done.restored, small.values(record)[FIELD]) == (1, "0")
    small.crm.faults.add(Fault("drop_after", kind="write", times=None))
    assert undo(small, first).report.exit == 5
    small.crm.faults.clear()
    assert FIELD not in small.values(record)
    assert undo(small, done.plan.run + 1).restored == 1, "the rollback that had no answer is taken back itself"
    assert small.values(record)[FIELD] == "0"


def test_what_nobody_can_tell_yet_is_named(small: Project) -> None:
    """The run had no answer, and the CRM does not hold what it meant: that may still be on its way."""
    record = ann(small, **{FIELD: "3"})
    small.crm.faults.add(Fault("drop_before", kind="write", times=None))
    assert small.sync().exit == 5
    small.crm.faults.clear()
    why = "no answer came for what run 1 was to write, and whether it did cannot be told yet"
    done = undo(small, 1)
    assert (shown(done), done.plan.nothing) == ([(record, FIELD, "3", "3", "left", why)], None)
    later = undo(small, 1, after=1_200)
    assert (later.plan.changes.height, later.plan.nothing) == (
        0,
        "run 1 wrote nothing to a CRM: there is nothing to take back",
    )


def test_gone_and_merged_records(small: Project) -> None:
    names = ("ann", "bob", "cyd")
    records = [small.contact(f"{name}@a.example") for name in names]
    small.tell(*(small.identify(name, email=f"{name}@a.example") for name in names))
    small.sync()
    store = small.crm.store
    store.archive("contacts", records[0])
    survivor = store.merge("contacts", records[1], records[2])
    done = undo(small, 1)
    assert {record: reason for record, *_, reason in shown(done)} == {
        records[0]: "the record is gone from the CRM",
        records[1]: f"the record was merged into {survivor}",
        records[2]: f"the record was merged into {survivor}",
    }
    assert (small.buckets(done.report), done.report.writes) == ({"gone": 3}, 0)


def test_fields_that_cannot_be_written_any_more(small: Project) -> None:
    record = ann(small)
    small.sync()
    small.crm.store.type("contacts").properties.pop(FIELD)
    assert shown(undo(small, 1)) == [(record, FIELD, None, None, "left", f"contacts has no field {FIELD} any more")]


def test_values_that_stand_as_before_are_nothing(small: Project) -> None:
    record = ann(small, **{FIELD: "3"})
    small.sync()
    small.crm.store.update("contacts", record, {FIELD: "3.0"})
    done = undo(small, 1)
    assert (done.plan.changes.height, done.plan.nothing, small.buckets(done.report)) == (0, None, {"unchanged": 1})


def test_runs_that_cannot_be_taken_back(small: Project) -> None:
    ann(small)
    with pytest.raises(Mistake, match="there is no run 7; there are no runs yet"):
        undo(small, 7)
    run = small.plan().run
    assert undo(small, run).plan.nothing == "run 1 wrote nothing to a CRM: there is nothing to take back"
    with pytest.raises(Mistake, match="there is no run 7; the newest is run 2"):
        undo(small, 7)


def test_what_is_refused_or_not_answered(small: Project) -> None:
    """A rollback ends as a push does, and what it could not do a second one does."""
    record = ann(small, **{FIELD: "3"})
    small.sync()
    small.crm.faults.add(Fault("unavailable", kind="write", times=None))
    done = undo(small, 1)
    assert (done.report.exit, done.restored, small.values(record)[FIELD]) == (5, 0, "0")
    small.crm.faults.clear()
    small.crm.faults.add(Fault("pretended", kind="write"))
    done = undo(small, 1)
    assert (done.report.exit, done.restored, small.values(record)[FIELD]) == (1, 0, "0")
    small.crm.faults.add(Fault("invalid_token", times=None))
    done = undo(small, 1)
    small.crm.faults.clear()
    assert (done.report.exit, done.plan.restores().height) == (6, 0)
    assert done.plan.changes["reason"].to_list()[0].startswith("hubspot could not be asked: ")
    assert undo(small, 1).restored == 1
    assert small.values(record)[FIELD] == "3"


@pytest.mark.parametrize("fault", ["missing_result", "accepted_202_after"])
def test_what_the_answer_leaves_out_is_looked_after(small: Project, fault: str) -> None:
    """As in a push: the values are back, and the answer does not say so, however often it is asked."""
    records = [small.contact(f"{name}@a.example", **{FIELD: "3"}) for name in ("ann", "bob")]
    small.tell(*(small.identify(name, email=f"{name}@a.example") for name in ("ann", "bob")))
    small.sync()
    small.crm.faults.add(Fault(fault, kind="write", times=None))
    done = undo(small, 1)
    assert (done.report.exit, done.restored, small.buckets(done.report)) == (0, 2, {"written": 2})
    small.crm.faults.clear()
    with small.remembered() as state:
        assert state.failures().is_empty()
    after = small.sync()
    assert (after.writes, {decision for *_, decision in decisions(after)}) == (0, {"rolled_back"})
    assert [small.values(one)[FIELD] for one in records] == ["3", "3"]


def test_an_object_that_the_rollback_does_not_reach(project: Project) -> None:
    """The first object ends the connector's part: nothing of the second was written, and the counts say so."""
    person, firm = project.contact("ann@a.example"), project.company("acme.example", engage_external_id="acme")
    project.tell(project.identify("ann", email="ann@a.example"), project.group("ann", "acme"))
    project.sync()
    before = (dict(project.values(person)), dict(project.values(firm, "companies")))
    project.crm.faults.add(Fault("unavailable", kind="write", times=None))
    done = undo(project, 1)
    assert (done.report.exit, done.restored, done.plan.restores()["object"].n_unique()) == (5, 0, 2)
    assert [project.buckets(done.report, name) for name in ("contacts", "companies")] == [{"failed": 1}] * 2
    assert (project.values(person), project.values(firm, "companies")) == before
    project.crm.faults.clear()
    project.sync()
    assert "engage_reports" not in project.values(person), "the next run carries it out"
    assert "engage_events" not in project.values(firm, "companies")


def test_other_records_keep_their_failures(small: Project) -> None:
    ann(small)
    run = small.sync().run
    other = small.contact("bob@a.example")
    small.tell(small.identify("bob", email="bob@a.example"))
    small.crm.faults.add(Fault("unavailable", kind="write", times=None))
    small.sync()
    small.crm.faults.clear()
    undo(small, run)
    with small.remembered() as state:
        assert state.failures()["record"].to_list() == [other]


def test_both_crms(tmp_path: Path) -> None:
    with both(tmp_path) as made:
        here, there = ann(made), made.sales("ann@a.example", Engage_Reports__c=3.0, Engage_Lapsed__c=True)
        made.sync()
        assert made.held(there)["Engage_Lapsed__c"] == "false"
        done = undo(made, 1)
        assert (done.report.exit, done.plan.changes["decision"].unique().to_list()) == (0, ["restore"])
        assert not [name for name in made.values(here) if name.startswith("engage_")]
        held = {name: value for name, value in made.held(there).items() if name.startswith("Engage_") and value}
        assert held == {"Engage_Reports__c": "3", "Engage_Lapsed__c": "true"}
        after = made.sync()
        assert (after.writes, set(after.changes["decision"])) == (0, {"rolled_back"})


def test_a_process_that_dies_anywhere(small: Project) -> None:
    """What is taken back is noted before the first write: done again the rollback ends, and nothing brings it back."""
    record = ann(small)
    small.sync()
    seen: set[tuple[bool, bool]] = set()
    for steps in (2, 3, 8, 11):
        before = small.values(record)[FIELD]
        run = reports(small, 1)
        after = small.values(record)[FIELD]
        assert before != after
        assert dies(small, run, steps), "a step is a transaction begun or ended after the plan was shown"
        stands = small.values(record)[FIELD]
        assert stands in {before, after}
        with small.remembered() as state:
            known = state.undone("hubspot", "contacts").filter(undone=run).height == 1
        seen.add((known, stands == before))
        undo(small, run)
        assert small.values(record)[FIELD] == before
        assert (small.sync().writes, small.values(record)[FIELD]) == (0, before)
    assert seen == {(False, False), (True, False), (True, True)}


def dies(made: Project, run: int, steps: int) -> bool:
    """Take a run back, dying so many steps after the plan was shown; tell whether it came to that."""
    was_shown = False

    def confirm(_: Undoing) -> bool:
        nonlocal was_shown
        was_shown = True
        return True

    made.clock.advance(1)
    try:
        with made.open(death=Death(steps, armed=lambda: was_shown)) as workspace:
            rollback(workspace, run, clock=made.clock, confirm=confirm)
    except Died:
        return True
    return False


def test_the_command(small: Project) -> None:
    """Without a terminal it goes on; with `--plan` it stops after showing."""
    record = ann(small, **{FIELD: "3"})
    small.sync()
    shown_only = engage(small.root, "rollback", "1", "--plan")
    assert "Run 1: 1 value to restore, 0 left as they are." in shown_only
    assert shown_only.rstrip().endswith("Nothing was written.")
    planned = answer(small.root, "rollback", "1", "--plan")
    assert (planned["planned"], planned["restored"], planned["calls"]["write"]) == (1, 0, 0)
    assert small.values(record)[FIELD] == "0"
    with small.remembered() as state:
        run = state.run(2)
        assert run is not None
        assert (run.command, run.status, state.undone("hubspot", "contacts").height) == ("rollback", "ok", 0)
    done = answer(small.root, "rollback", "1")
    assert {"run", "undone", "status", "exit", "restored", "left", "changes", "connectors", "calls", "errors"} <= set(
        done
    )
    assert (done["run"], done["exit"], done["restored"], done["changes"]) == (4, 0, 1, planned["changes"])
    assert small.values(record)[FIELD] == "3"
    again = engage(small.root, "rollback", "1")
    assert again.strip() == "Run 1 was rolled back already, by run 4: nothing is left of it to take back."
    assert "there is no run 9" in str(answer_of_mistake(small, "9"))
    assert answer(small.root, "runs", "4")["command"] == "rollback"


def answer_of_mistake(made: Project, run: str) -> BaseException | None:
    return CliRunner().invoke(app, ["rollback", run, "--project", str(made.root)]).exception
