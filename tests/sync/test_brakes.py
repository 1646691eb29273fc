"""The brakes over whole cycles: held leaves the CRM untouched, and the sentence has the numbers (architecture §6)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engage_sync.core.definitions import Entity
from engage_sync.errors import Held, Mistake
from engage_sync.sandbox.faults import Fault
from engage_sync.sync import approval, cycle
from engage_sync.sync.cycle import Report
from engage_sync.sync.documents import read_fields
from engage_sync.sync.holding import kept_inactive
from engage_sync.sync.reports import known_run
from engage_sync.sync.status import status_json
from tests.sync.project import Clock, Project, project

PEOPLE = 20
TIGHT = "{max_event_age: 24h, max_change_share: 0.3, max_clear_share: 0.1, min_records: 20}"


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Project]:
    """Twenty linked users, written once."""
    with project(tmp_path, brakes=TIGHT) as made:
        for number in range(PEOPLE):
            made.contact(f"user{number}@a.example")
        made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE)])
        report = made.sync()
        assert (report.exit, made.buckets(report)) == (0, {"written": PEOPLE})
        yield made


def held(made: Project) -> str:
    """Check that a plan and a cycle are held and change nothing; give the reason."""
    before = [made.values(record) for record in made.crm.store.ids("contacts")]
    made.crm.calls.clear()
    planned, report = made.plan(), made.sync(after=0)
    assert (planned.exit, report.exit, report.status) == (Held.exit_code, Held.exit_code, "held")
    assert made.crm.calls.count("write") == 0
    assert before == [made.values(record) for record in made.crm.store.ids("contacts")]
    assert "written" not in made.buckets(report)
    (reason,) = report.held
    assert reason.startswith(("hubspot: ", "hubspot contacts: "))
    return reason


def use(made: Project, users: int) -> None:
    made.tell(*[made.track(f"user{number}") for number in range(users)])


def test_a_share_at_its_limit_goes(crowd: Project) -> None:
    use(crowd, 6)
    report = crowd.sync()
    assert (report.exit, crowd.buckets(report)) == (0, {"written": 6, "unchanged": 14})


def test_too_many_changes_are_held(crowd: Project) -> None:
    use(crowd, 7)
    reason = held(crowd)
    assert "7 of 20" in reason
    assert "30 %" in reason
    assert "max_change_share" in reason


def test_what_is_held_is_counted_and_still_waits(crowd: Project) -> None:
    use(crowd, 7)
    for _ in range(2):
        assert crowd.buckets(crowd.sync()) == {"held": 7, "unchanged": 13}


def test_too_many_cleared_are_held(crowd: Project) -> None:
    crowd.tell(*[crowd.identify(f"user{number}", deactivatedAt=crowd.at()) for number in range(3)])
    reason = held(crowd)
    assert "3 of 20" in reason
    assert "max_clear_share" in reason


def test_first_writes_count_in_no_share(crowd: Project) -> None:
    for number in range(PEOPLE, 3 * PEOPLE):
        crowd.contact(f"user{number}@a.example")
    crowd.tell(*[crowd.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE, 3 * PEOPLE)])
    report = crowd.sync()
    assert (report.exit, crowd.buckets(report)) == (0, {"written": 40, "unchanged": 20})


def test_few_records_are_not_held(crowd: Project) -> None:
    crowd.crm.store.archive("contacts", crowd.crm.store.ids("contacts")[-1])
    use(crowd, 10)
    assert crowd.sync().exit == 0


def test_old_events_hold(crowd: Project) -> None:
    crowd.clock.advance(24 * 3_600 + 60)
    reason = held(crowd)
    assert "max_event_age" in reason
    crowd.tell(crowd.track("user1"))
    assert crowd.sync().exit == 0


def test_no_message_at_all_holds(tmp_path: Path) -> None:
    with project(tmp_path, brakes=TIGHT) as made:
        made.contact("ann@a.example")
        assert "no message" in held(made)


@pytest.mark.lesson("emptied")
def test_events_that_are_gone_clear_nothing(crowd: Project) -> None:
    """The folder of the events is emptied: nobody is known any more, and what the CRM holds of them stays."""
    before = {record: crowd.values(record) for record in crowd.crm.store.ids("contacts")}
    shutil.rmtree(crowd.root / "var" / "events")
    crowd.crm.calls.clear()
    for _ in range(2):
        report = crowd.sync()
        assert (report.exit, kinds(report)) == (3, ["events_old", "clear_share"])
    assert (report.writes, crowd.crm.calls.count("write")) == (0, 0)
    assert {record: crowd.values(record) for record in crowd.crm.store.ids("contacts")} == before


DAY = 86_400.0
LONG = "{max_event_age: 24h, max_change_share: 1.0, max_clear_share: 1.0, min_records: 10}"
QUIET = "{max_event_age: , max_change_share: 1.0, max_clear_share: 1.0, min_records: 10}"


def kinds(report: Report) -> list[str]:
    return [hold.kind.value for hold in report.holds]


def approve(made: Project, run: int) -> Report:
    with made.open() as workspace:
        return approval.approve(workspace, run, clock=made.clock)


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Project]:
    """A user with eight logins and eight pings in each of the fifteen newest days, written once."""
    with project(tmp_path, brakes=LONG) as made:
        made.contact("ann@a.example")
        made.tell(made.identify("ann", email="ann@a.example"))
        made.tell(*[body for day in range(15) for event in ("login", "ping") for body in eight(made, event, day)])
        assert made.sync().exit == 0
        yield made


def eight(made: Project, event: str, day: int) -> list[dict[str, Any]]:
    return [made.track("ann", event, days=day + 0.1 * (number + 1)) for number in range(8)]


def next_day(made: Project, *events: str) -> Report:
    """Let a day pass in which only these events come, and run a cycle."""
    made.clock.advance(DAY)
    made.tell(*[body for event in events for body in eight(made, event, 0)])
    return made.sync(after=0)


@pytest.mark.lesson(15)
def test_a_silent_event_holds_until_it_comes_again(feed: Project) -> None:
    last = feed.clock() - timedelta(days=0.1, seconds=1)
    for _ in range(3):  # a day later it is no longer regular in the days before, and silent it is all the same
        report = next_day(feed, "ping")
        assert kinds(report) == ["event_silent"]
    assert (
        f"1 event is silent although others go on (brakes.max_event_age): track login (usually 8 in 24.0 h, the last at"
        f" {last.isoformat()})" in report.held[0]
    )
    assert report.holds[0].subjects == ("track login",)
    assert next_day(feed, "ping", "login").exit == 0


def test_a_silent_event_that_is_approved_holds_no_more(feed: Project) -> None:
    held = next_day(feed, "ping")
    assert approve(feed, held.run).exit == 0
    assert feed.sync(after=3_600).exit == 0
    assert next_day(feed, "ping").exit == 0


def test_an_event_that_was_silent_before_the_first_push_holds_nothing(tmp_path: Path) -> None:
    with project(tmp_path, brakes=LONG) as made:
        made.tell(*[body for day in range(16) for body in eight(made, "ping", day)])
        made.tell(*[body for day in range(1, 16) for body in eight(made, "login", day)])
        assert made.sync().exit == 0
        assert made.sync(after=3_600).exit == 0


def test_a_feed_that_stopped_is_no_silent_event(feed: Project) -> None:
    feed.clock.advance(DAY)
    assert kinds(feed.sync()) == ["events_old"]


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Project]:
    """Twenty linked users, each with a login half the window ago, written once; nothing holds but what has changed."""
    with project(tmp_path, brakes=QUIET) as made:
        for number in range(PEOPLE):
            made.contact(f"user{number}@a.example")
        made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example") for n in range(PEOPLE)])
        made.tell(*[made.track(f"user{n}", days=5) for n in range(PEOPLE)])
        assert made.sync().exit == 0
        yield made


def test_a_pull_that_shrank_holds_until_the_records_are_back(quiet: Project) -> None:
    ids = quiet.crm.store.ids("contacts")
    for record in ids[:2]:
        quiet.crm.store.archive("contacts", record)
    assert quiet.sync().exit == 0
    for record in ids[2:5]:
        quiet.crm.store.archive("contacts", record)
    for _ in range(2):
        report = quiet.sync()
        assert kinds(report) == ["pull_shrank"]
    assert report.holds[0].records == tuple(ids[2:5])
    assert "3 of the 18 records of the last push are gone (16.7 %), more than the 10 % of brakes" in report.held[0]
    quiet.crm.store.restore("contacts", ids[2])
    quiet.crm.store.restore("contacts", ids[3])
    assert quiet.sync().exit == 0


def test_merged_records_are_not_gone(quiet: Project) -> None:
    ids = quiet.crm.store.ids("contacts")
    for record in ids[:3]:
        quiet.crm.store.merge("contacts", ids[9], record)
    assert "pull_shrank" not in kinds(quiet.sync())


def test_a_shrunk_pull_that_is_approved_is_the_new_baseline(quiet: Project) -> None:
    for record in quiet.crm.store.ids("contacts")[:3]:
        quiet.crm.store.archive("contacts", record)
    assert approve(quiet, quiet.sync().run).exit == 0
    assert quiet.sync().exit == 0


def later(made: Project, still: int) -> None:
    """Let six days pass, after which only so many users have an activity within the window."""
    made.clock.advance(6 * DAY)
    made.tell(*[made.track(f"user{number}", days=0.5) for number in range(still)])


def test_too_many_inactive_hold_however_often_it_is_computed(quiet: Project) -> None:
    later(quiet, 13)
    for _ in range(2):
        report = quiet.sync()
        assert kinds(report) == ["inactive_share"]
    with quiet.open() as workspace:
        quiet.clock.advance(1)
        cycle.recompute(workspace, quiet.clock(), clock=quiet.clock)
    assert kinds(quiet.sync()) == ["inactive_share"]
    assert "7 of 20 users that were active with run 1 would be inactive (35.0 %)" in report.held[0]
    assert report.holds[0].records == tuple(sorted(f"user{number}" for number in range(13, PEOPLE)))
    quiet.tell(quiet.track("user13"))
    assert quiet.sync().exit == 0


def cut(made: Project, run: int) -> None:
    """Leave one of the ids that are kept with a run, as of more than 1,000 only the first are."""
    with made.open() as workspace:
        holds = known_run(workspace, run).summary["holds"]
        holds[0]["records"] = holds[0]["records"][:1]
        workspace.state.add_to_summary(run, {"holds": holds})


@pytest.mark.parametrize("planned", [True, False])
def test_however_many_are_inactive_one_approval_does(quiet: Project, *, planned: bool) -> None:
    later(quiet, 13)
    held = quiet.plan() if planned else quiet.sync()
    assert kinds(held) == ["inactive_share"]
    cut(quiet, held.run)
    assert approve(quiet, held.run).exit == 0
    with quiet.open() as workspace:
        assert kept_inactive(workspace, "hubspot", held.run) is None


def test_users_that_are_deactivated_are_not_inactive(quiet: Project) -> None:
    later(quiet, 13)
    quiet.tell(quiet.identify("user19", deactivatedAt=quiet.at()))
    report = quiet.sync()
    assert report.exit == 3
    assert "6 of 19 users" in report.held[0]
    quiet.tell(quiet.identify("user18", deactivatedAt=quiet.at()))
    assert quiet.sync().exit == 0


def test_a_whole_window_later_nothing_is_said_about_the_inactive(quiet: Project) -> None:
    quiet.clock.advance(4 * DAY)
    later(quiet, 0)
    assert quiet.sync().exit == 0


@pytest.mark.lesson(25)
def test_a_field_that_is_gone_holds_what_would_be_written(quiet: Project) -> None:
    definitions = quiet.crm.store.type("contacts")
    definitions.archive("engage_reports")
    quiet.crm.calls.clear()
    quiet.tell(quiet.track("user1"))
    for _ in range(2):
        report = quiet.sync()
        assert kinds(report) == ["schema_changed"]
    assert "hubspot contacts: since the last push the field engage_reports is gone" in report.held[0]
    assert quiet.crm.calls.count("write") == 0
    approved = approve(quiet, report.run)
    assert (approved.exit, quiet.buckets(approved)) == (1, {"refused": PEOPLE})
    quiet.tell(quiet.track("user2"))
    assert "schema_changed" not in kinds(quiet.sync())


def test_a_changed_field_waits_for_something_to_write(quiet: Project) -> None:
    kept = quiet.crm.store.type("contacts").properties
    kept["engage_link"] = replace(kept["engage_link"], read_only=True)
    assert quiet.sync().exit == 0
    quiet.tell(quiet.track("user1"))
    report = quiet.sync()
    assert kinds(report) == ["schema_changed"]
    assert "the field engage_link is read-only" in report.held[0]
    kept["engage_link"] = replace(kept["engage_link"], read_only=False)
    assert quiet.sync().exit == 0


def test_a_clock_that_is_behind_holds(quiet: Project) -> None:
    ahead = quiet.sync()
    quiet.clock.advance(-60)
    with quiet.open() as workspace:
        at = quiet.clock()
        report = cycle.sync(workspace, None, at, clock=quiet.clock, clocked=True)
        planned = cycle.plan(workspace, None, at, clock=quiet.clock, clocked=True)
        with pytest.raises(Mistake, match="look back"):
            cycle.sync(workspace, None, at, clock=quiet.clock)
    assert (report.exit, kinds(report), report.counts) == (3, ["clock_wrong"], {})
    assert (planned.exit, kinds(planned)) == (3, ["clock_wrong"])
    assert f"before the newest recorded run ({ahead.run}," in report.held[0]
    assert report.connectors["hubspot"]["contacts"]["held"] == 0
    quiet.clock.advance(60)
    with quiet.open() as workspace, pytest.raises(Mistake, match="held by the clock, which is past what is recorded"):
        approval.approve(workspace, report.run, clock=quiet.clock)


def clocked(made: Project) -> Report:
    with made.open() as workspace:
        return cycle.sync(workspace, None, made.clock(), clock=made.clock, clocked=True)


def test_a_clock_that_was_ahead_and_was_set_right_is_got_over_by_approving(tmp_path: Path) -> None:
    """The CRM's clock was right all the time, so what was recorded for later was not written."""
    theirs = Clock()
    with project(tmp_path, brakes=QUIET, options={"clock": theirs}) as made:
        record = made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        right = clocked(made)
        made.clock.now += timedelta(days=60)
        ahead = clocked(made)
        assert (ahead.exit, kinds(ahead)) == (3, ["clock_wrong"])
        assert verdict_of(made, "ann") == "inactive"
        made.clock.now -= timedelta(days=60, seconds=-60)
        held, again = clocked(made), clocked(made)
        assert f"`engage-sync approve {again.run}` goes on as of now and forgets" in again.held[0]
        with made.open() as workspace:
            (waits,) = (told := status_json(workspace, made.clock()))["waiting"]
            assert (waits["run"], waits["held"], told["held"]) == (again.run, [*again.held], waits)
        went = approve(made, held.run)  # the older one, as an alert may name it
        assert (went.exit, went.as_of, went.approved) == (0, made.clock(), held.run)
        assert made.values(record)["engage_user_type"] == "power" == verdict_of(made, "ann")
        with made.open() as workspace:
            stood = {run.id: (run.recorded, run.replaced_by) for run in workspace.state.runs(9)}
            assert status_json(workspace, made.clock())["waiting"] == []
        assert (stood[right.run], stood[ahead.run]) == ((True, None), (True, went.run))
        made.clock.advance(1)
        assert clocked(made).exit == 0


def test_what_is_recorded_is_not_forgotten_where_the_crms_clock_says_that_it_is_not_now(tmp_path: Path) -> None:
    theirs = Clock()
    with project(tmp_path, brakes=QUIET, options={"clock": theirs}) as made:
        made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        right = clocked(made)
        made.clock.now -= timedelta(days=1)
        held = clocked(made)
        unsure = approve(made, held.run)
        assert (unsure.exit, kinds(unsure)) == (3, ["clock_wrong"])
        assert "24.0 h behind the clock of hubspot" in unsure.held[0]
        assert f"set the clock right, then `engage-sync approve {unsure.run}`" in unsure.held[0]
        made.crm.faults.add(Fault("server_error", times=None))
        assert approve(made, held.run).exit == 5
        made.crm.faults.clear()
        with made.open() as workspace:
            assert workspace.state.newest_recorded().id == right.run  # type: ignore[union-attr]
        made.clock.now += timedelta(days=1)
        assert clocked(made).exit == 0


def test_a_run_of_a_clock_that_was_ahead_goes_on_as_of_now_itself(tmp_path: Path) -> None:
    """`status` names it before anything else was held."""
    with project(tmp_path, brakes=QUIET, options={"clock": Clock()}) as made:
        record = made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        clocked(made)
        made.clock.now += timedelta(days=60)
        ahead = clocked(made)
        made.clock.now -= timedelta(days=60, seconds=-60)
        with made.open() as workspace:
            (waits,) = status_json(workspace, made.clock())["waiting"]
        assert (waits["run"], waits["held"]) == (ahead.run, [*ahead.held])
        went = approve(made, ahead.run)
        assert (went.exit, went.as_of) == (0, made.clock())
        assert made.values(record)["engage_user_type"] == "power" == verdict_of(made, "ann")


LAPSED = """
signals:
  lapsed:
    entity: user
    when: "days_since_active > 20"
    actions: [webhook: {url: "https://hooks.example.com"}]
    clear_actions: [webhook: {url: "https://hooks.example.com"}]
"""


def test_what_a_signal_told_of_an_instant_that_is_forgotten_ends_once(tmp_path: Path) -> None:
    with project(tmp_path, brakes=QUIET, options={"clock": Clock()}) as made:
        model = made.root / "config" / "model.yaml"
        model.write_text(model.read_text(encoding="utf-8") + LAPSED, encoding="utf-8")
        made.contact("ann@a.example")
        made.tell(*made.person("ann", "ann@a.example"))
        with made.open() as workspace:
            cycle.recompute(workspace, made.clock(), clock=made.clock)
            cycle.recompute(workspace, made.clock() + timedelta(days=60), clock=made.clock)
            (on,) = workspace.state.deliveries()["key"]
            workspace.state.note_attempts([on], made.clock())
        made.clock.advance(1)
        held_run = clocked(made)
        made.clock.advance(1)
        forgets = approve(made, held_run.run)
        made.clock.advance(1)
        clocked(made)
        with made.open() as workspace:
            told = workspace.state.deliveries().filter(phase="off")
        assert told.select("external_id", "run").rows() == [("ann", forgets.run)]


def test_nothing_held_goes_on_while_something_is_recorded_for_later(crowd: Project) -> None:
    use(crowd, 7)
    crowd.clock.advance(1)
    held_run = clocked(crowd)
    assert kinds(held_run) == ["change_share"]
    with crowd.open() as workspace:
        cycle.recompute(workspace, crowd.clock() + timedelta(days=60), clock=crowd.clock)
    with pytest.raises(Mistake, match="recorded a run for an instant still to come"):
        approve(crowd, held_run.run)
    crowd.clock.advance(1)
    over = approve(crowd, clocked(crowd).run)
    assert (over.exit, kinds(over)) == (3, ["change_share"])
    assert approve(crowd, over.run).exit == 0


def verdict_of(made: Project, user: str) -> str:
    with made.open() as workspace:
        stood = read_fields(workspace.state.verdicts(Entity.USER.value), {"primary_user_type": pl.String()})
    return str(stood.filter(external_id=user)["primary_user_type"].item())


@pytest.mark.parametrize(("seconds", "held"), [(599, []), (660, ["clock_wrong"])])
def test_a_clock_that_is_not_the_crms_holds(tmp_path: Path, seconds: float, held: list[str]) -> None:
    theirs = Clock()
    theirs.advance(-seconds)
    with project(tmp_path, brakes=QUIET, options={"clock": theirs}) as made:
        with made.open() as workspace:
            report = cycle.sync(workspace, None, made.clock(), clock=made.clock, clocked=True)
        assert kinds(report) == held
        assert made.sync().exit == 0


def test_a_first_push_is_recognised(tmp_path: Path) -> None:
    """With the brakes as they come: 120 records, most of them inactive, a silent event, and values already there."""
    with project(tmp_path, brakes="{}") as made:
        for number in range(120):
            made.contact(f"user{number}@a.example", engage_user_type="power")
        made.tell(*[made.identify(f"user{n}", email=f"user{n}@a.example", days=60) for n in range(120)])
        made.tell(*[made.track(f"user{n}", days=50) for n in range(120)])
        made.tell(*[body for day in range(1, 15) for body in eight(made, "login", day)], *eight(made, "ping", 0))
        report = made.sync()
        assert (report.exit, report.holds, made.buckets(report)) == (0, (), {"written": 120})
        assert made.sync().exit == 0
