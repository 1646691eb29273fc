"""Every record of a run stands in exactly one bucket, and the faces show them (semantics §9)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from engage_sync.core.plan import Bucket, ObjectPlan, plan_object
from engage_sync.sandbox.faults import Fault
from engage_sync.sync import views
from engage_sync.sync.buckets import Miscounted, miscounts
from engage_sync.sync.compute import compute
from engage_sync.sync.planning import Prepared
from engage_sync.sync.reports import running
from engage_sync.sync.status import status_json
from engage_sync.sync.wiring import Workspace
from tests.sync.command import answer, engage
from tests.sync.project import Project
from tests.sync.two_crms import both


def total(buckets: dict[str, int]) -> int:
    assert set(buckets) == {bucket.value for bucket in Bucket} - {"outside"}
    return sum(buckets.values())


@pytest.mark.lesson(25)
def test_every_bucket_of_one_run_adds_up_to_what_was_read(project: Project) -> None:
    """Some contacts, each of which ends in its own way."""
    names = ("written", "kept", "gone", "refused", "again", "quiet")
    records = {name: project.contact(f"{name}@a.example") for name in names}
    project.tell(*(one for name in names for one in project.person(name, f"{name}@a.example", days=3)))
    project.sync()
    project.contact("nobody@a.example")
    project.contact("twice@a.example")
    project.shared_email("TWICE@a.example")
    project.crm.store.update("contacts", records["kept"], {"engage_user_type": "power"})
    project.crm.store.archive("contacts", records["gone"])
    used = ("written", "refused", "again")
    project.tell(
        *project.person("twice", "twice@a.example", days=3), *(project.track(one, "report_run") for one in used)
    )
    project.crm.faults.add(Fault("batch_refused", kind="write", contains=f'"{records["refused"]}"', times=None))
    report = project.sync()
    found = report.connectors["hubspot"]["contacts"]
    assert total(dict(found)) == 8 + 1
    with project.open() as workspace:
        assert workspace.state.records("hubspot", "contacts", ()).height == 8
    assert project.buckets(report)["refused"] == 1
    assert project.buckets(report)["gone"] == 1
    assert (found["ambiguous"], found["unlinked"]) == (2, 1)
    assert report.exit == 1
    kept = json.loads(json.dumps(views.report_json(report)))["connectors"]["hubspot"]["contacts"]
    assert kept == dict(found)
    with project.open() as workspace:
        answers = views.run_with_journal(workspace, report.run), status_json(workspace, project.clock())
    assert answers[0]["connectors"]["hubspot"]["contacts"] == dict(found)
    assert answers[1]["connectors"]["hubspot"]["records"]["contacts"] == dict(found)


def test_held_records_add_up_too(tmp_path: Path) -> None:
    with both(tmp_path, real_time=True) as project:
        sales = [project.sales(f"u{number}@a.example") for number in range(3)]
        project.tell(*(one for n in range(3) for one in project.person(f"u{n}", f"u{n}@a.example")))
        engage(tmp_path, "sync")
        text = engage(tmp_path, "status")
        assert "Contact" in text
        assert "3 written" in text
        run = answer(tmp_path, "status")["newest_run"]["run"]
        assert "3 written" in engage(tmp_path, "runs", str(run))
        project.org.store.delete("Contact", sales[0])
        assert "2 unchanged, 1 gone" in engage(tmp_path, "plan")


def unlinked_plan(workspace: Workspace, records: pl.DataFrame) -> ObjectPlan:
    """Plan contacts that nobody is linked to."""
    (contacts,) = [one for one in workspace.project.connectors[0].objects if one.object == "contacts"]
    nobody = pl.DataFrame(schema={"record": pl.String, "external_id": pl.String})
    written = pl.DataFrame(schema={"record": pl.String, "ever": pl.Boolean})
    return plan_object(
        contacts, nobody.drop("record"), nobody, nobody, records, written, nobody, limits=None, datetime_digits=3
    )


def test_a_sum_that_does_not_agree_ends_the_run_as_a_bug(project: Project) -> None:
    for number in range(3):
        project.contact(f"u{number}@a.example")
    project.sync()
    with project.open() as workspace:
        computed = compute(workspace, project.clock())
        plan = unlinked_plan(workspace, computed.records["hubspot", "contacts"])
        right = dict.fromkeys((bucket.value for bucket in plan.told), 0) | {"unlinked": 3}
        assert list(miscounts("hubspot", {"contacts": plan}, {"contacts": right}, computed.records)) == []
        names = plan.buckets
        twice = replace(plan, buckets=pl.concat([names.head(1), names.head(1), names.slice(2)]))
        (told,) = miscounts("hubspot", {"contacts": twice}, {"contacts": right}, computed.records)
        assert told == (
            "hubspot contacts: 3 records (3 in the mirror, 0 gone) were to be counted, 3 were, 1 of them twice"
            " (unlinked 3)"
        )
        met = Miscounted()
        try:
            with (
                running(workspace, "push", project.clock(), project.clock) as current,
                current.opened(None) as sessions,
            ):
                sessions[0].prepared = Prepared("hubspot", {"contacts": plan}, ())
                sessions[0].buckets = {"contacts": right | {"unlinked": 2}}
                current.finish(computed)
        except Miscounted as error:
            met = error
        assert "3 records (3 in the mirror, 0 gone) were to be counted, 2 were, 0 of them twice" in str(met)
        run = views.runs_json(workspace, 1)[0]
        assert (met.exit_code, run["exit"], run["status"], run["errors"]) == (70, 70, "failed", {"run": str(met)})
        assert run["connectors"]["hubspot"]["contacts"]["unlinked"] == 2
