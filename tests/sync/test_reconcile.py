"""`pull --reconcile`: what the cursor lost is found, told and mended; what only changed meanwhile is no alarm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engage_sync.sandbox.faults import Fault
from engage_sync.state.database import Database, backend_of
from engage_sync.sync import cycle, views
from engage_sync.sync.progress import SILENT
from engage_sync.sync.pull import Pulled
from engage_sync.sync.reconcile import note_of
from engage_sync.sync.reports import Report
from tests.sync.command import answer, engage
from tests.sync.mortal import Death, Died
from tests.sync.project import Project
from tests.sync.two_crms import Both, both

OBJECTS = {"hubspot": ("contacts", "companies"), "salesforce": ("Contact", "Account", "Lead")}
DAY = 86_400


class Meanwhile:
    """Lets something happen when a list is begun, and after each page that is pulled."""

    def __init__(self, listing: Callable[[], object] = lambda: None, page: Callable[[], object] = lambda: None) -> None:
        self.listing, self.page = listing, page

    def step(self, what: str) -> None:
        if what.startswith("listing"):
            self.listing()

    def pulled(self, pulled: Pulled) -> None:
        self.page()

    def pushed(self, object_: str, done: int, total: int) -> None:
        pass


def reconciled(made: Project, meanwhile: Meanwhile | None = None, *, death: Death | None = None) -> Report:
    with made.open(death=death) as workspace:
        return cycle.pull(workspace, None, clock=made.clock, reconciling=True, progress=meanwhile or SILENT)


def found(report: Report, connector: str, object_: str) -> dict[str, Any]:
    assert report.reconciled is not None
    given = report.reconciled[connector][object_]
    assert isinstance(given, Mapping)
    return dict(given)


def losses(report: Report) -> dict[tuple[str, str], dict[str, list[str]]]:
    """Give the ids that were lost, by connector and object, kinds without any left out."""
    given = {(name, object_): found(report, name, object_)["ids"] for name in OBJECTS for object_ in OBJECTS[name]}
    return {key: kinds for key, ids in given.items() if (kinds := {kind: one for kind, one in ids.items() if one})}


def behind_its_back(root: Path, *statements: tuple[str, ...]) -> None:
    """Change the state as nothing of the product would."""
    database = Database(backend_of(f"sqlite:///{root}/var/engage.db"))
    with database.writing() as transaction:
        for sql, *parameters in statements:
            assert transaction.run(sql, *parameters) == 1
    database.close()


def lose(root: Path, record: str) -> None:
    behind_its_back(root, ("DELETE FROM engage_record WHERE record = ?", record))


def mirrored(made: Project, connector: str, object_: str, field: str) -> dict[str, str | None]:
    with made.remembered() as state:
        rows = state.records(connector, object_, [field])
    return dict(rows.select("record", f"crm.{field}").iter_rows())


def cursors(made: Project) -> list[tuple[object, ...]]:
    with made.remembered() as state, state._database.reading() as transaction:
        return transaction.all("SELECT object, cursor, load, loading FROM engage_object ORDER BY id")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Two CRMs with several pages of records, all pulled and written."""
    with both(tmp_path_factory.mktemp("reconcile")) as made:
        made.crm.store.create_many("contacts", [{"email": f"u{n}@a.example"} for n in range(130)])
        made.org.store.create_many("Contact", [{"LastName": "P", "Email": f"u{n}@a.example"} for n in range(20)])
        made.company("a.example")
        made.tell(*[body for n in range(3) for body in made.person(f"u{n}", f"u{n}@a.example")])
        assert made.sync().exit == 0
        yield made


@pytest.fixture
def world(kept: Both) -> Both:
    """The same world for every test, quiet for days: no increment reaches back to what a test damages."""
    quieten(kept)
    return kept


def quieten(made: Both) -> None:
    """Let days pass around one change in each CRM."""
    made.clock.advance(DAY)
    made.contact(f"late{made.clock.seconds:.0f}@a.example")
    made.sales(f"late{made.clock.seconds:.0f}@a.example")
    with made.open() as workspace:
        assert cycle.pull(workspace, None, clock=made.clock).exit == 0
    made.clock.advance(3 * DAY)


def test_what_is_whole_is_proven_whole(world: Both) -> None:
    before = cursors(world)
    report = reconciled(world)
    assert (report.exit, report.status, losses(report)) == (0, "ok", {})
    whole = {"missing": 0, "extra": 0, "stale": 0, "short": 0, "fresh": 0, "mended": 0, "reload": False}
    nobody = {"missing": [], "extra": [], "stale": []}
    people, sales = len(world.crm.store.ids("contacts")), len(world.org.store.ids("Contact"))
    counted = {"crm": people, "mirror": people, "expected": None, **whole, "ids": nobody}
    assert found(report, "hubspot", "contacts") == counted
    counted |= {"crm": sales, "mirror": sales, "expected": sales}
    assert found(report, "salesforce", "Contact") == counted
    with world.open() as workspace:
        assert views.run_with_journal(workspace, report.run)["reconciled"] == report.reconciled
        assert note_of(workspace, "hubspot") == {
            "at": world.clock().isoformat(),
            "run": report.run,
            "lost": 0,
            "whole": True,
        }
    assert [row[2:] for row in cursors(world)] == [row[2:] for row in before], "no load was begun"


@pytest.mark.lesson(15)
def test_records_lost_behind_the_cursors_back_are_found_and_mended(world: Both) -> None:
    people, sales = world.crm.store.ids("contacts"), world.org.store.ids("Contact")
    older = "UPDATE engage_record SET updated_at = '2020-01-01T00:00:00.000Z' WHERE record = ?"
    newer = "UPDATE engage_record SET updated_at = '2099-01-01T00:00:00.000Z' WHERE record = ?"
    other = (
        "UPDATE engage_record SET properties = json_set(properties, '$.email', 'x', '$.Email', 'x') WHERE record = ?"
    )
    for ids in (people, sales):
        lose(world.root, ids[5])
        behind_its_back(world.root, (older, ids[6]), (newer, ids[7]), (other, ids[8]))
    report = reconciled(world)
    assert (report.exit, report.status) == (1, "partial")
    assert losses(report) == {
        ("hubspot", "contacts"): {"missing": [people[5]], "stale": people[6:9]},
        ("salesforce", "Contact"): {"missing": [sales[5]], "stale": sorted(sales[6:9])},
    }
    assert found(report, "hubspot", "contacts")["mended"] == 4
    for connector, object_, field, ids in (
        ("hubspot", "contacts", "email", people),
        ("salesforce", "Contact", "Email", sales),
    ):
        held = mirrored(world, connector, object_, field)
        assert [held[ids[number]] for number in range(5, 9)] == [f"u{number}@a.example" for number in range(5, 9)]
    again = reconciled(world)
    assert (again.exit, losses(again)) == (0, {})


def test_what_was_deleted_for_good_shows_in_no_increment_and_is_found(world: Both) -> None:
    ghost = world.crm.store.ids("contacts")[1]
    world.crm.store.erase("contacts", ghost)
    with world.open() as workspace:
        cycle.pull(workspace, None, clock=world.clock)
    assert ghost in mirrored(world, "hubspot", "contacts", "email")
    report = reconciled(world)
    assert (report.exit, losses(report)) == (1, {("hubspot", "contacts"): {"extra": [ghost]}})
    assert ghost not in mirrored(world, "hubspot", "contacts", "email")
    assert world.sync().connectors["hubspot"]["contacts"]["gone"] == 1
    assert world.sync().writes == 0


def test_a_merge_that_was_missed_leads_to_the_survivor(world: Both) -> None:
    loser, winner = world.org.store.ids("Contact")[9:11]
    world.org.store.merge("Contact", winner, loser)
    quieten(world)
    behind_its_back(
        world.root,
        ("UPDATE engage_record SET gone = FALSE WHERE record = ?", loser),
        ("DELETE FROM engage_merge WHERE record = ?", loser),
    )
    assert losses(reconciled(world)) == {("salesforce", "Contact"): {"extra": [loser]}}
    with world.remembered() as state:
        assert (loser, winner) in state.gone("salesforce", "Contact").select("record", "moved_to").rows()


def test_what_changes_during_the_list_is_no_alarm(world: Both) -> None:
    """Records come, go, merge and change while the list is read, before and behind the page that is read."""
    store, org = world.crm.store, world.org.store
    people, sales = store.ids("contacts"), org.ids("Contact")
    doings = iter(
        [
            partial(world.contact, "new@a.example"),
            partial(store.archive, "contacts", people[3]),
            partial(store.update, "contacts", people[4], {"jobtitle": "x"}),
            partial(store.merge, "contacts", people[6], people[7]),
            partial(store.archive, "contacts", people[120]),
            partial(store.update, "contacts", people[121], {"jobtitle": "y"}),
            *[None] * 3,
            partial(world.sales, "new@a.example"),
            partial(org.delete, "Contact", sales[3]),
            partial(org.edit, "Contact", sales[4], {"Title": "x"}),
            partial(org.merge, "Contact", sales[6], sales[7]),
        ]
    )

    def happen() -> None:
        world.clock.advance(1)
        for one in islice(doings, 1):
            if one is not None:
                one()

    report = reconciled(world, Meanwhile(listing=happen, page=happen))
    assert next(doings, None) is None, "everything happened while it ran"
    assert (report.exit, losses(report)) == (0, {})


def test_what_an_index_does_not_show_yet_is_not_lost(world: Both) -> None:
    """The search of a CRM trails its records (crm-apis §A6): the list has the new one, no increment can."""
    world.crm.store.lag = 120.0
    record = world.contact("soon@a.example")
    edited = world.crm.store.ids("contacts")[2]
    world.crm.store.update("contacts", edited, {"jobtitle": "Head"})
    report = reconciled(world)
    seen = found(report, "hubspot", "contacts")
    assert (report.exit, losses(report), seen["fresh"], seen["mended"]) == (0, {}, 2, 2)
    assert mirrored(world, "hubspot", "contacts", "jobtitle")[edited] == "Head"
    assert record in mirrored(world, "hubspot", "contacts", "jobtitle")
    world.crm.store.lag = 0.0
    world.clock.advance(120)


FAULTS = {
    "list": Fault("unavailable", method="GET", path="*/objects/contacts", skip=2, times=None),
    "second increment": Fault("unavailable", kind="search", skip=1, times=None),
    "reading again": Fault("unavailable", path="*/batch/read", times=None),
}


def test_a_crm_that_fails_leaves_nothing_half_mended(world: Both) -> None:
    lost = world.crm.store.ids("contacts")[:3]
    for record in lost:
        lose(world.root, record)
    for where, fault in FAULTS.items():
        world.crm.faults.add(fault)
        report = reconciled(world)
        assert (report.exit, report.status) == (5, "failed"), where
        assert report.reconciled is not None
        assert report.reconciled["hubspot"] == {"contacts": None, "companies": None}, where
        assert report.reconciled["salesforce"]["Contact"] is not None, "the other CRM was compared"
        assert not set(lost) & set(mirrored(world, "hubspot", "contacts", "email")), where
        world.crm.faults.clear()
    assert losses(reconciled(world)) == {("hubspot", "contacts"): {"missing": sorted(lost)}}


def test_a_process_that_dies_has_told_of_a_loss_before_it_is_mended(world: Both) -> None:
    """It dies at every step in turn: while the record is lost, any reconciliation can find it; once it is mended, the
    loss stands in the notes."""
    lost = world.crm.store.ids("contacts")[0]
    lose(world.root, lost)
    for steps in range(4, 40):
        with pytest.raises(Died):
            reconciled(world, death=Death(steps))
        if lost in mirrored(world, "hubspot", "contacts", "email"):
            break
    with world.open() as workspace:
        told = note_of(workspace, "hubspot")
        assert told is not None
        assert (told["lost"], told["whole"]) == (1, False)


def test_the_command_tells_and_status_remembers(world: Both) -> None:
    root, lost = world.root, world.crm.store.ids("contacts")[0]
    with world.remembered() as state:
        state.set_note("reconciled.hubspot", None)
    assert answer(root, "status")["connectors"]["hubspot"]["reconciled"] is None
    assert "never" in engage(root, "status")
    lose(root, lost)
    told = answer(root, "pull", "hubspot", "--reconcile", code=1)
    assert told["reconciled"]["hubspot"]["contacts"]["ids"]["missing"] == [lost]
    assert set(told["reconciled"]) == {"hubspot"}
    known = answer(root, "status")["connectors"]["hubspot"]
    assert (known["reconciled"]["lost"], known["reconciled"]["run"]) == (1, told["run"])
    assert known["last_record_at"]["companies"] is not None
    assert answer(root, "runs", str(told["run"]))["reconciled"] == told["reconciled"]
    assert f"missing: {lost}" in engage(root, "runs", str(told["run"]))
    assert "nothing was lost" in engage(root, "pull", "hubspot", "--reconcile")
    assert answer(root, "pull")["reconciled"] is None
