"""What counts as failing, from jobs, snapshots and volumes made by hand (issue 6, alerts)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.core.alerting import Alert, Condition
from engage_sync.core.overview import ConnectorView, Snapshot
from engage_sync.state.jobs import Job
from engage_sync.sync.alerts import RECENT, Sight, Volume, keep_volumes, observe

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
GOOD = Job("pull:crm", "15m", NOW + MINUTE, NOW - MINUTE, NOW - MINUTE, 7, "ok", 0, NOW - MINUTE)
PUSH = replace(GOOD, name="push:crm")


def view(**changes: object) -> ConnectorView:
    found: ConnectorView = {
        "last_pull": "2026-06-01T11:59:00Z",
        "last_push": "2026-06-01T11:59:00Z",
        "failures": 0,
        "held": False,
        "holds": [],
        "drift": {"kept": 0, "overwritten": 0},
        "quota": None,
        "suspended_until": None,
        "records": {"contacts": {"written": 5, "unchanged": 95, "refused": 0, "failed": 0}},
        "linked": {"contacts": 100},
        "cursor_at": {"contacts": None},
        "silent": {},
    }
    return {**found, **changes}  # type: ignore[typeddict-item]


def snapshot(connector: ConnectorView | None = None, at: datetime = NOW) -> Snapshot:
    return {
        "at": at.isoformat(),
        "connectors": {"crm": connector or view()},
        "events": {"newest_at": None},
        "runs": {},
        "calls": {},
        "deliveries": {},
        "recorded": None,
    }


def sight(*jobs: Job, seen: ConnectorView | None = None, active: Sequence[Condition] = ()) -> Sight:
    known = [Alert(one.name, NOW - HOUR, one.sentence) for one in active]
    return Sight(NOW - 24 * HOUR, jobs or (GOOD, PUSH), snapshot(seen), active=known)


def names(found: Sight, now: datetime = NOW) -> list[str]:
    return [condition.name for condition in observe(found, HOUR, now)]


def only(found: Sight, now: datetime = NOW) -> Condition:
    (condition,) = observe(found, HOUR, now)
    return condition


def ended(job: Job, code: int, message: str | None = None) -> Job:
    """Give a job that ended with a code just now, and went well two minutes before."""
    return replace(job, run=9, status="x", exit=code, succeeded_at=NOW - 2 * MINUTE, message=message)


def test_nothing_fails() -> None:
    assert names(sight()) == []
    assert names(Sight(NOW)) == []


@pytest.mark.parametrize(("code", "fails"), [(0, False), (1, False), (2, True), (5, True), (7, True), (70, True)])
def test_a_job_that_fails(code: int, fails: bool) -> None:
    assert names(sight(ended(GOOD, code))) == (["failing:pull:crm"] if fails else [])


def test_its_sentence_says_what_failed_why_and_what_to_do() -> None:
    what, advice = only(sight(ended(PUSH, 7, "odd\nanswer"))).sentence.split("\n")
    assert what == "the push to crm failed (run 9, exit 7): odd answer"
    assert advice.startswith("`engage-sync runs 9` shows the run; it is tried again by itself.")
    compute = Job("compute", "15m", NOW, NOW - MINUTE, NOW, None, "failed", 70, None, "boom")
    assert only(sight(compute)).sentence.startswith(
        "computing failed (exit 70): boom\nthis is a bug: `engage-sync runs`"
    )


@pytest.mark.parametrize("code", [4, 130, 6])
def test_an_end_that_says_nothing_of_the_job_leaves_it_as_it_was(code: int) -> None:
    failing = Condition("failing:pull:crm", "as it was")
    assert failing.name not in names(sight(ended(GOOD, code)))
    assert failing in observe(sight(ended(GOOD, code), active=[failing]), HOUR, NOW)


def test_a_job_that_runs_again_is_still_failing() -> None:
    failing = Condition("failing:pull:crm", "as it was")
    running = replace(ended(GOOD, 5), ended_at=None, run=None)
    assert only(sight(running, active=[failing])) == failing


def test_a_held_run_says_how_to_approve_it() -> None:
    held = ended(PUSH, 3, "31 % of the records would change")
    waiting = sight(GOOD, held, seen=view(held=True, holds=["change_share"]))
    what, advice = only(waiting).sentence.split("\n")
    assert what == "run 9 of crm is held before any write: 31 % of the records would change"
    assert "`engage-sync approve 9`" in advice
    assert names(sight(GOOD, held)) == []  # the snapshot, which is newer, says that it was approved
    newer = replace(held, ended_at=NOW + MINUTE)
    assert names(sight(GOOD, newer)) == ["held:crm"]
    by_hand = only(sight(seen=view(held=True, holds=["change_share"])))
    assert by_hand.sentence.startswith("a run of crm is held before any write (change_share)\n")
    known = Condition("held:crm", "as it was")
    assert only(sight(seen=view(held=True), active=[known])) == known


def test_credentials_are_told_once_for_both_jobs_until_something_goes_well() -> None:
    refused = ended(GOOD, 6, "401"), ended(PUSH, 6, "401")
    found = only(sight(*refused))
    assert found.name == "credentials:crm"
    assert found.sentence.startswith("crm refuses our credentials: 401\n")
    assert "for an environment variable the daemon must be restarted" in found.sentence
    silent = [ended(GOOD, 5), replace(PUSH, ended_at=None, exit=6)]
    assert names(sight(*silent, active=[found])) == ["credentials:crm", "failing:pull:crm"]
    assert names(sight(refused[0], replace(PUSH, ended_at=NOW, exit=0))) == []
    assert names(Sight(NOW, (), snapshot(), active=[Alert(found.name, NOW, found.sentence)])) == []


def test_quota_is_told_instead_of_the_failures_and_the_stall_that_it_causes() -> None:
    suspended = view(suspended_until="2026-06-02T00:00:00Z", last_pull="2026-06-01T08:00:00Z")
    pull = replace(ended(GOOD, 5), status="suspended", succeeded_at=NOW - 4 * HOUR)
    assert only(sight(pull, seen=suspended)).sentence.startswith("crm is asked nothing more until 2026-06-02 00:00 UTC")
    assert names(sight(pull, seen=suspended), NOW + 13 * HOUR) == ["quota:crm", "missed:pull:crm"]
    assert names(sight(ended(GOOD, 7), seen=suspended)) == ["quota:crm", "failing:pull:crm"]
    short = replace(ended(PUSH, 5), status="partial", ended_at=NOW - HOUR)
    assert names(sight(GOOD, short)) == []  # the suspension is over, the next push is to come


@pytest.mark.parametrize(("late", "fails"), [(59 * MINUTE, False), (HOUR, True), (30 * HOUR, True)])
def test_a_job_that_is_late_is_missed(late: timedelta, fails: bool) -> None:
    assert names(sight(replace(GOOD, due=NOW - late), PUSH)) == (["missed:pull:crm"] if fails else [])


def test_nothing_is_late_before_we_could_start_it() -> None:
    long_ago = replace(GOOD, due=NOW - 30 * HOUR)
    assert names(Sight(NOW - 59 * MINUTE, [long_ago], snapshot())) == []
    assert names(Sight(NOW - HOUR, [long_ago], snapshot())) == ["missed:pull:crm"]


def test_a_cursor_that_stands_is_told_beside_the_failure() -> None:
    before = view(last_pull=None)
    pull = replace(ended(GOOD, 5), succeeded_at=NOW - 59 * MINUTE)
    assert names(sight(pull, seen=before)) == ["failing:pull:crm"]
    assert names(sight(pull, seen=before), NOW + MINUTE) == ["stalled:crm", "failing:pull:crm"]
    by_hand = view(last_pull="2026-06-01T11:59:30Z")
    assert names(sight(pull, seen=by_hand), NOW + MINUTE) == ["failing:pull:crm"]
    never = replace(pull, succeeded_at=None)
    stalled, _ = observe(sight(never, seen=before), HOUR, NOW)
    assert stalled.sentence.startswith("no pull from crm has ever gone well\n")
    # Nobody is in the way of a daily schedule.
    assert names(sight(replace(GOOD, started_at=NOW - 20 * HOUR, succeeded_at=NOW - 20 * HOUR), seen=before)) == []


def test_silence_is_told_whether_or_not_the_crm_can_be_asked() -> None:
    silent = {"contacts": {"since": "2026-04-13T08:00:00Z", "usual": 223_200.0}}
    assert names(sight(seen=view(silent=silent))) == ["stalled:crm"]
    suspended = view(silent=silent, suspended_until="2026-06-02T00:00:00Z")
    assert names(sight(seen=suspended)) == ["quota:crm", "stalled:crm"]
    failing = replace(ended(GOOD, 5), succeeded_at=NOW - 2 * HOUR)
    stalled, _ = observe(sight(failing, seen=view(silent=silent, last_pull=None)), HOUR, NOW)
    assert stalled.sentence.startswith("no pull from crm has gone well since")


def test_a_push_of_which_much_is_refused() -> None:
    def seen(written: int, refused: int, failed: int) -> list[str]:
        counts = {"contacts": {"written": written, "refused": refused, "failed": failed}}
        return names(sight(seen=view(records=counts)))

    assert seen(1_000, 50, 49) == []
    assert seen(900, 50, 50) == ["refused:crm"]
    assert seen(0, 9, 0) == []
    assert seen(0, 5, 5) == ["refused:crm"]


def test_the_configuration_and_the_state() -> None:
    wrong = only(Sight(NOW, problems=["connectors/crm.yaml:3: no", "b", "c", "d", "e"]))
    assert wrong.name == "configuration"
    assert "connectors/crm.yaml:3: no; b; c (and 2 more)\n" in wrong.sentence
    silent = Sight(NOW, silent=(NOW - 30 * MINUTE, "the state database x does not answer: gone"))
    assert only(silent).name == "state"
    assert names(silent, NOW - 30 * MINUTE + timedelta(seconds=29)) == []


def test_sentences_stand_still_while_nothing_changes() -> None:
    """A sentence with a running length of time would be kept anew at every look."""
    jobs = (ended(GOOD, 5), replace(ended(PUSH, 7), due=NOW - 9 * HOUR))
    found = replace(sight(*jobs, seen=view(held=True, last_pull=None)), silent=(NOW - HOUR, "gone"), problems=["x"])
    assert observe(found, HOUR, NOW + 3 * HOUR) == observe(found, HOUR, NOW + 3 * HOUR + timedelta(seconds=1))


class Notes:
    def __init__(self) -> None:
        self.kept: dict[str, str | None] = {}
        self.writes = 0

    def note(self, key: str) -> str | None:
        return self.kept.get(key)

    def set_note(self, key: str, value: str | None) -> None:
        self.kept[key] = value
        self.writes += 1


def pushed(notes: Notes, at: datetime, count: int, now: datetime | None = None) -> Volume:
    seen = view(last_push=at.isoformat(), records={"contacts": {"written": count}, "companies": {"written": 0}})
    return keep_volumes(notes, snapshot(seen), now or at + MINUTE)["crm"]


def test_volumes_are_kept_once_for_each_push_and_have_an_end() -> None:
    notes = Notes()
    assert pushed(notes, NOW, 7) == Volume(NOW.isoformat(), 7)
    assert pushed(notes, NOW, 7).recent == ()
    assert notes.writes == 1
    for step in range(1, 200):
        last = pushed(notes, NOW + step * 6 * HOUR, step)
    assert last.recent == tuple(range(199 - RECENT, 199))
    assert len(last.days) == 28
    assert last.days["2026-07-20"] == 197  # the last push of that day, at 18:00; the day after has had one since
    assert len(json.dumps(notes.kept)) < 2_000
    assert keep_volumes(notes, snapshot(view(last_push=None)), NOW) == {}


def test_an_older_push_is_no_new_one_unless_the_clock_was_put_back() -> None:
    notes = Notes()
    pushed(notes, NOW, 50)
    assert pushed(notes, NOW - 24 * HOUR, 900, NOW + HOUR) == Volume(NOW.isoformat(), 50)
    assert pushed(notes, NOW - 24 * HOUR, 60, NOW - 23 * HOUR).newest == 60


def test_a_push_far_above_the_usual() -> None:
    notes = Notes()
    first = [pushed(notes, NOW + step * HOUR, 40_000 if step == 0 else 20) for step in range(8)]
    assert not any(volume.far for volume in first)
    much = pushed(notes, NOW + 8 * HOUR, 30_000)
    assert much.far
    found = replace(sight(), volumes={"crm": much})
    assert only(found).sentence.startswith(
        "the last push to crm wrote far more than usual: 30,000 records, where 20 are"
    )
    assert not pushed(notes, NOW + 9 * HOUR, 20).far
    assert not pushed(notes, NOW + 10 * HOUR, 99).far


def test_what_comes_back_every_midnight_becomes_usual() -> None:
    notes = Notes()
    far = []
    for hour in range(24 * 8):
        volume = pushed(notes, NOW + hour * HOUR, 5_000 if hour % 24 == 12 else 3)
        far += [hour // 24] if volume.far else []
    assert far == [0, 1]  # the first night, and the second; from the third on it is known
    assert pushed(notes, NOW + 24 * 8 * HOUR, 10_001).far


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10, 1_000), min_size=5, max_size=60), st.integers(0, 59), st.integers(0, 10**6))
def test_one_accident_moves_the_bar_for_nobody(usual: list[int], where: int, accident: int) -> None:
    """By a bar that is worked out anew: whatever one push wrote, what is judged far without it is far with it, as long
    as it stays clear of the median."""
    days = {f"2026-05-{number % 28 + 1:02}": 0 for number in range(len(usual))}
    for number, count in enumerate(usual):
        day = f"2026-05-{number % 28 + 1:02}"
        days[day] = max(days[day], count)
    recent = tuple(usual[-RECENT:])
    newest = 5 * max(usual) + 1_001
    assert Volume("x", newest, recent, days).far
    spoilt = {**days, "2026-05-30": accident}
    assert Volume("x", newest, (*recent, accident)[-RECENT:], spoilt).far


def test_the_alerts_of_the_parent_are_light() -> None:
    """Checked in a process of its own, since this one has everything."""
    heavy = "'polars', 'duckdb', 'deltalake', 'pyarrow', 'ibis', 'engage_sync.state', 'engage_sync.connectors.base'"
    code = f"import sys, engage_sync.sync.teller; print([name for name in ({heavy}) if name in sys.modules])"
    source = str(Path(__file__).parents[2] / "src")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=source)
    assert told.stdout.strip() == "[]"
