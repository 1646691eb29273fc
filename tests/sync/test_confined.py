"""An object that names a segment (decision 0012): only the records of its members are written, and nothing is lost of
the others, neither what stands in the CRM nor what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engage_sync.core.definitions import Entity
from engage_sync.sandbox.faults import Fault
from engage_sync.sync import cycle, views
from engage_sync.sync.cycle import Report
from engage_sync.sync.explain import explain
from engage_sync.sync.status import status_json
from tests.sync.project import CONNECTOR, MODEL, Project
from tests.sync.project import project as begin

SEGMENTS = """\
segments:
  pilot: {entity: user, where: "reports >= 2"}
  large: {entity: account, where: "seats > 10"}
signals:
  keen: {entity: user, when: "reports >= 1", cooldown: 1d, actions: [{crm_task: "Say hello"}]}
"""
NINE = {"written", "unchanged", "drift_kept", "ambiguous", "unlinked", "gone", "refused", "held", "failed"}
PILOT = "    read: [jobtitle]\n", "    read: [jobtitle]\n    only: pilot\n"
CONFINED = CONNECTOR.replace(*PILOT)
ALL_FIELDS = ("engage_user_types", "engage_user_type", "engage_reports", "engage_last_active", "engage_external_id")
MANY, FEW = 3, 1
"""Reports of a member of the pilot, and of somebody else."""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Project]:
    """A project that names a segment of users, and one of the pilot (`in`) beside somebody who is not (`out`)."""
    with begin(tmp_path, model=MODEL + SEGMENTS, connector=CONFINED) as found:
        for name, reports in (("in", MANY), ("out", FEW)):
            found.contact(f"{name}@a.example")
            found.tell(*found.person(name, f"{name}@a.example"), *reporting(found, name, reports))
        yield found


def reporting(made: Project, user: str, times: int, *, days: float = 1) -> list[dict[str, object]]:
    return [made.track(user, "report_run", days=days + number / 1000) for number in range(times)]


def declare(made: Project, text: str) -> None:
    """Save another connector file."""
    (made.root / "connectors" / "hubspot.yaml").write_text(text.replace("BASE_URL", made.crm.base_url))


def widen(made: Project) -> None:
    declare(made, CONNECTOR)


def narrow_with_a_brake(made: Project) -> None:
    """Write both, then name the segment again, with a brake at 60 % of the records; the member has news."""
    widen(made)
    made.sync()
    declare(made, CONFINED)
    engage = made.root / "config" / "engage.yaml"
    engage.write_text(
        engage.read_text().replace("max_change_share: 1.0", "max_change_share: 0.6").replace("1000000", "1")
    )
    made.tell(*reporting(made, "in", 2, days=0))


def record_of(made: Project, user: str) -> str:
    (found,) = [one for one in made.crm.store.ids("contacts") if made.values(one)["email"] == f"{user}@a.example"]
    return found


def shown(made: Project, user: str) -> dict[str, str | None]:
    """Give what our fields hold on a user's contact."""
    held = made.values(record_of(made, user))
    return {name: held.get(name) or None for name in ALL_FIELDS}


def contacts(report: Report) -> dict[str, int]:
    return dict(report.connectors["hubspot"]["contacts"])


def test_only_its_members_are_written_until_all_are(made: Project) -> None:
    made.contact("nobody@a.example")
    first = made.sync()
    assert (first.exit, contacts(first)) == (
        0,
        dict.fromkeys(NINE, 0) | {"outside": 1, "written": 1, "unlinked": 1},
    )
    assert set(first.connectors["hubspot"]["companies"]) == NINE
    with made.open() as workspace:
        begun = cycle.pull(workspace, None, clock=made.clock).connectors["hubspot"]
    assert (set(begun["contacts"]), set(begun["companies"])) == ({*NINE, "outside"}, NINE), (
        "also where nothing is planned"
    )
    assert shown(made, "in")["engage_reports"] == "3"
    assert set(shown(made, "out").values()) == {None}
    again = made.sync()
    assert (contacts(again)["unchanged"], contacts(again)["outside"], again.writes) == (1, 1, 0)
    with made.open() as workspace:
        told = status_json(workspace, made.clock())["connectors"]["hubspot"]["records"]["contacts"]
        assert (
            told == contacts(again) == views.run_with_journal(workspace, again.run)["connectors"]["hubspot"]["contacts"]
        )
    says_why(made)
    widen(made)
    last = made.sync()
    assert (last.exit, set(contacts(last)), contacts(last)["written"], contacts(last)["unchanged"]) == (0, NINE, 1, 1)
    assert shown(made, "out")["engage_reports"] == "1"


def says_why(made: Project) -> None:
    """`explain` and `plan` give the reason, and neither says a word of the member, whose record is as it should be."""
    with made.open() as workspace:
        (out,) = explain(workspace, Entity.USER, "out", None, now=made.clock()).places
        (inside,) = explain(workspace, Entity.USER, "in", None, now=made.clock()).places
    why = "the user is not in the segment pilot; `objects.contacts.only` lets nothing else be written"
    told = {(one.decision, one.reason) for one in out.fields}
    assert {("outside", why)} <= told <= {("outside", why), ("unchanged", None)}
    assert {one.decision for one in inside.fields} == {"unchanged"}
    planned = made.plan()
    assert made.buckets(planned)["outside"] == 1
    found = planned.changes.filter(object="contacts").select("record", "decision", "reason").unique().rows()
    assert found == [(record_of(made, "out"), "outside", why)]


def test_who_leaves_keeps_what_was_written_and_is_taken_up_again(made: Project) -> None:
    made.sync()
    before = shown(made, "in")
    made.clock.advance(4.5 * 86_400)  # the reports fall out of their five days, the logins stay within ten
    left = made.sync()
    assert (left.exit, contacts(left)["outside"], contacts(left)["written"]) == (0, 2, 0)
    assert shown(made, "in") == before
    widen(made)
    taken_up = made.sync()
    assert contacts(taken_up)["written"] == 2
    assert shown(made, "in")["engage_reports"] == "0"
    assert made.sync().writes == 0


def test_a_record_of_nobody_any_more_is_left_and_still_known_to_hold_our_values(made: Project) -> None:
    made.sync()
    record, before = record_of(made, "in"), shown(made, "in")
    made.lose_link(record)
    with made.crm.store.lock:
        made.crm.store.update("contacts", record, {"email": "new@a.example", "engage_external_id": ""})
    unmatched = made.sync()
    assert contacts(unmatched)["unlinked"] == 1
    assert made.values(record)["engage_reports"] == before["engage_reports"]
    widen(made)
    made.sync()
    assert not made.values(record).get("engage_reports")


def test_a_refused_value_of_somebody_outside_is_no_failure(made: Project) -> None:
    """Nor does a retry take up what the CRM refused before the file named a segment."""
    widen(made)
    out = record_of(made, "out")
    made.crm.faults.add(Fault("batch_refused", kind="write", contains=f'"{out}"', times=None))
    assert made.sync().exit == 1
    declare(made, CONFINED)
    calm = made.sync()
    assert (calm.exit, contacts(calm)["outside"], contacts(calm)["refused"]) == (0, 1, 0)


def test_an_id_that_a_record_outside_holds_is_not_given_up_there(made: Project) -> None:
    """So a member cannot get it, which is said before any call, as of any id that another record holds. What somebody
    set there stays as well."""
    widen(made)
    made.sync()
    inside, out = record_of(made, "in"), record_of(made, "out")
    made.crm.store.update("contacts", inside, {"engage_external_id": ""})
    made.crm.store.update("contacts", out, {"engage_external_id": "in", "engage_reports": "77"})
    declare(made, CONFINED)
    report = made.sync()
    refused = report.changes.filter(decision="refused").select("record", "field", "reason").rows()
    assert refused == [(inside, "engage_external_id", f"record {out} holds this id already")]
    assert (made.values(out)["engage_external_id"], made.values(out)["engage_reports"]) == ("in", "77")


def test_tasks_of_signals_wait_for_those_outside(made: Project) -> None:
    """Both are keen; the task of who is outside is made when the file names no segment any more."""
    first = made.sync()
    assert (first.signals["delivered"], first.signals["pending"]) == (1, 1)
    with made.open() as workspace:
        (told,) = workspace.state.pending_deliveries().select("external_id", "message").rows()
    assert told == ("out", "it waits for a record in hubspot that may be written")
    widen(made)
    later = made.sync()
    assert (later.signals["delivered"], later.signals["pending"]) == (1, 0)


def test_the_shares_of_brakes_are_those_of_the_records_that_may_be_written(made: Project) -> None:
    """Of two records written before only the member's is weighed: all of them would change."""
    narrow_with_a_brake(made)
    made.clock.advance(4.5 * 86_400)
    report = made.sync()
    assert report.status == "held"
    assert contacts(report)["outside"] == 1


def test_a_record_outside_that_is_as_wanted_waters_no_share_down(made: Project) -> None:
    """Of two records written before only the member's counts, which changes; nothing else is wanted of the other."""
    narrow_with_a_brake(made)
    report = made.sync()
    assert (report.status, contacts(report)["outside"]) == ("held", 0)


def test_a_value_that_stood_there_already_makes_no_record_one_of_ours(made: Project) -> None:
    """Else widening would look to the brakes like a change of what was written before."""
    made.crm.store.update("contacts", record_of(made, "out"), {"engage_reports": "1"})
    made.sync()
    with made.remembered() as state:
        assert state.written("hubspot", "contacts", ["engage_reports"])["record"].to_list() == [record_of(made, "in")]
    widen(made)
    assert contacts(made.sync())["written"] == 1


def test_accounts_have_segments_of_their_own(tmp_path: Path) -> None:
    connector = CONNECTOR.replace("entity: account\n", "entity: account\n    only: large\n")
    with begin(tmp_path, model=MODEL + SEGMENTS, connector=connector) as made:
        for name, seats in (("big", 20), ("small", 2)):
            made.company(f"{name}.example")
            made.tell(
                *made.person(f"u-{name}", f"u@{name}.example"),
                made.group(f"u-{name}", name, domain=f"{name}.example", seats=seats),
            )
        report = made.sync()
        found = {made.crm.store.values("companies", one)["domain"]: one for one in made.crm.store.ids("companies")}
        assert report.connectors["hubspot"]["companies"]["outside"] == 1
        assert made.values(found["big.example"], "companies")["engage_external_id"] == "big"
        assert not made.values(found["small.example"], "companies").get("engage_external_id")
