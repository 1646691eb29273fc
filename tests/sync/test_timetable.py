"""Expected instants are worked out by hand from the rules of Europe/Berlin: clocks go forward on 2026-03-29 at 01:00
UTC (02:00 becomes 03:00) and back on 2026-10-25 at 01:00 UTC (03:00 becomes 02:00)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage_sync.config.durations import check_schedule
from engage_sync.state.jobs import Job
from engage_sync.sync.agenda import choose, combined, planned, resumed
from engage_sync.sync.timetable import following, put_off, start_of
from engage_sync.sync.worked import Settings

BERLIN = "Europe/Berlin"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


def instants(schedule: str, after: str, count: int, zone: str = BERLIN) -> list[str]:
    """Give the next instants in UTC, as `03-29T01:30`."""
    found, now = [], at(after)
    for _ in range(count):
        now = following(schedule, zone, now)
        found.append(now.isoformat()[5:16])
    return found


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # Forward: half past two does not exist, and is due an hour later; the day before and after as ever.
        ("30 2 * * *", "03-27T12:00", ["03-28T01:30", "03-29T01:30", "03-30T00:30"]),
        ("15 3 * * *", "03-28T12:00", ["03-29T01:15", "03-30T01:15"]),
        ("0 * * * *", "03-28T23:30", ["03-29T00:00", "03-29T01:00", "03-29T02:00"]),
        # Back: half past two comes twice and counts once; an hourly line goes by hours that pass.
        ("30 2 * * *", "10-24T12:00", ["10-25T00:30", "10-26T01:30"]),
        ("0,30 2 * * *", "10-24T12:00", ["10-25T00:00", "10-25T00:30", "10-26T01:00"]),
        ("0 * * * *", "10-24T23:30", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),
        ("*/30 * * * *", "10-25T00:20", ["10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00"]),
        # Intervals know no zone and count from 1970.
        ("15m", "03-29T00:50", ["03-29T01:00", "03-29T01:15"]),
        ("24h", "03-28T12:00", ["03-29T00:00", "03-30T00:00"]),
        # Days of the week count from Sunday, by number and by name; 7 is Sunday, too.
        ("0 12 * * 0", "06-01T00:00", ["06-07T10:00", "06-14T10:00"]),
        ("0 12 * * 7", "06-01T00:00", ["06-07T10:00"]),
        ("0 12 * * 5-7", "06-01T00:00", ["06-05T10:00", "06-06T10:00", "06-07T10:00", "06-12T10:00"]),
        ("0 12 * * mon-wed", "06-01T12:00", ["06-02T10:00", "06-03T10:00", "06-08T10:00"]),
        ("0 12 * * */3", "06-01T00:00", ["06-03T10:00", "06-06T10:00", "06-07T10:00"]),
        # Where both days are restricted, either counts: the 13th, and Fridays.
        ("0 12 13 * fri", "06-08T00:00", ["06-12T10:00", "06-13T10:00", "06-19T10:00"]),
        ("0 12 13 * *", "06-08T00:00", ["06-13T10:00", "07-13T10:00"]),
        ("0 12 * * sat-sun", "06-01T00:00", ["06-06T10:00", "06-07T10:00", "06-13T10:00"]),
        ("0 12 * * sun-mon", "06-02T00:00", ["06-07T10:00", "06-08T10:00", "06-14T10:00"]),
        ("0 12 30 2 fri", "06-08T00:00", ["02-05T11:00"]),
        # A step as long as its field, or longer than its span, names the first number alone.
        ("*/60 8-10/4 * * *", "06-01T00:00", ["06-01T06:00", "06-02T06:00"]),
        ("5/55 0 */31 */12 *", "06-01T00:00", ["12-31T23:05"]),
        ("5 0 1 jan,JUL *", "06-08T00:00", ["06-30T22:05"]),
    ],
)
def test_instants(schedule: str, after: str, expected: list[str]) -> None:
    assert instants(schedule, after, len(expected)) == expected


def test_a_day_that_never_comes_is_never_due() -> None:
    assert following("0 0 30 2 *", BERLIN, at("01-01T00:00")).year == 9999


_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "jan", "jul", "dec")
_NUMBER = st.one_of(st.integers(0, 61).map(str), st.sampled_from(_NAMES))
_ITEM = st.tuples(
    st.one_of(st.just("*"), _NUMBER, st.tuples(_NUMBER, _NUMBER).map("-".join)),
    st.one_of(st.just(""), st.integers(1, 61).map(lambda step: f"/{step}")),
).map("".join)
_FIELD = st.one_of(st.just("*"), _ITEM, st.lists(_ITEM, min_size=1, max_size=3).map(",".join))


@settings(max_examples=200, deadline=None)
@given(st.lists(_FIELD, min_size=5, max_size=5).map(" ".join), st.integers(0, 3_000_000))
def test_every_line_that_is_accepted_can_be_calculated(line: str, minutes: int) -> None:
    try:
        check_schedule(line)
    except ValueError:
        return
    begin = at("01-01T00:00") + timedelta(minutes=minutes, seconds=7)
    found = following(line, "UTC", begin)
    assert found > begin
    assert found == following(line, "UTC", found - timedelta(seconds=1))
    assert (found.second, found.microsecond) == (0, 0)
    assert found.year == 9999 or following(line, BERLIN, begin) > begin


@cache
def changing_zones() -> dict[str, list[datetime]]:
    """Give the zones whose clocks change in 2026, one of each kind, with the first instant of the UTC days of it."""
    days = [at("01-01T00:00") + timedelta(days=number) for number in range(366)]
    found = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        offsets = tuple(zone.utcoffset(day.replace(tzinfo=zone)) for day in days)
        if len(set(offsets)) > 1:
            changes = [day for day, before, then in zip(days, offsets, offsets[1:], strict=False) if before != then]
            found[offsets] = (name, changes)
    return dict(found.values())


@pytest.mark.parametrize("clock", ["0 0", "30 0", "30 2", "45 23"])
def test_every_day_has_its_run_in_every_zone(clock: str) -> None:
    """Around each change of the year, where alone a day can differ: nowhere do clocks change by more than two hours."""
    for name, changes in changing_zones().items():
        for change in changes:
            now = following(f"{clock} * * *", name, change - timedelta(days=1))
            for _ in range(3):
                then = following(f"{clock} * * *", name, now)
                assert abs(then - now - timedelta(days=1)) <= timedelta(hours=2), f"{name} {then}"
                now = then
    assert len(changing_zones()) > 20


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(changing_zones().items())), st.integers(0, 23), st.sampled_from(["0", "20", "*/30"]))
def test_an_hour_that_passes_has_its_run(zone: tuple[str, list[datetime]], hour: int, minute: str) -> None:
    """What goes by the hour never waits longer than an hour and what clocks were put forward by."""
    name, changes = zone
    now = changes[0] + timedelta(hours=hour)
    for _ in range(8):
        then = following(f"{minute} * * * *", name, now)
        assert now < then <= now + timedelta(hours=1, minutes=30 * (name == "Australia/Lord_Howe"))
        now = then


def test_the_instant_itself_does_not_follow_itself() -> None:
    noon = following("0 12 * * *", "UTC", at("06-01T00:00"))
    assert following("0 12 * * *", "UTC", noon) == noon + timedelta(days=1)
    assert following("15m", "UTC", noon) == noon + timedelta(minutes=15)


def test_a_start_is_put_off_alike_everywhere_and_differently_for_others() -> None:
    due, most = at("06-01T00:00"), timedelta(seconds=10)
    drawn = {put_off(name, salt, due, most) for name in ("a", "b", "c") for salt in ("x", "y", "z")}
    assert len(drawn) == 9
    assert all(timedelta() <= one < most for one in drawn)
    assert put_off("a", "x", due, most) == put_off("a", "x", due.astimezone(), most)
    spread = [put_off("a", "x", due + timedelta(minutes=15 * n), most) / most for n in range(400)]
    assert 0.4 < sum(spread) / len(spread) < 0.6
    assert start_of("a", "x", due, due + timedelta(seconds=2), timedelta(days=1)) < due + timedelta(seconds=1)


def project(*, pull: str = "15m", push: str = "1h", jitter: float = 10.0, **daemon: object) -> Settings:
    """Give the settings of a project with two connectors."""
    section = {"lease": 15.0, "jitter": jitter, "compute": 900.0, "reconcile": "15 3 * * *", "compact": None}
    return {  # type: ignore[typeddict-item]  # the schedule asks for no more
        "timezone": BERLIN,
        "connectors": {name: {"pull": pull, "push": push} for name in ("hubspot", "salesforce")},
        "daemon": {**section, "keep": None, "time_limit": 7200.0, **daemon},
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 5_000), min_size=20, max_size=80),
    st.sampled_from(["7m", "1h", "*/20 * * * *", "30 2 * * *", "0 */3 * * 1-5"]),
    st.sampled_from(["03-28T20:00", "10-24T20:00", "06-01T00:00"]),
)
def test_however_ticks_fall_every_instant_is_done_once(pauses: list[int], schedule: str, begin: str) -> None:
    """Against a count by hand: after each instant of the schedule there is a start before the tick after next, and
    there is never more than one start for an instant."""
    declared = project(pull=schedule, push=schedule, reconcile=None, compute=10**9)
    now = at(begin)
    jobs = planned(declared, [], now)
    jobs = {name: Job(name, job.schedule, following(schedule, BERLIN, now)) for name, job in jobs.items()}
    begun, ticks = now, []
    starts: list[datetime] = []
    for pause in pauses:
        now += timedelta(seconds=pause)
        ticks.append(now)
        jobs = planned(declared, jobs.values(), now)
        while (batch := choose(declared, jobs, now, salt="s")) is not None:
            if batch.jobs == ("sync:hubspot",):
                starts.append(now)
            for name in batch.covered:
                jobs[name] = Job(
                    name, jobs[name].schedule, following(schedule, BERLIN, now), started_at=now, ended_at=now
                )
    due, instant = [], following(schedule, BERLIN, begun)
    while instant <= now:
        due.append(instant)
        instant = following(schedule, BERLIN, instant)
    # What is due in one gap between ticks is one start, at the first tick past the longest that it may be put off.
    expected: list[datetime] = []
    free = begun
    for one in due:
        if one <= free:
            continue
        start = next((tick for tick in ticks if tick >= one + put(one, schedule)), None)
        if start is None:
            break
        expected.append(start)
        free = start
    assert starts == expected


def put(due: datetime, schedule: str) -> timedelta:
    """Give how long a start is put off."""
    return start_of("hubspot", "s", due, following(schedule, BERLIN, due), timedelta(seconds=10)) - due


def test_a_new_project_begins_at_once_and_a_changed_schedule_counts_from_now() -> None:
    now = at("06-01T12:01")
    jobs = planned(project(), [], now)
    assert {name for name, job in jobs.items() if job.due == now} == {
        *("pull:hubspot", "push:hubspot", "pull:salesforce", "push:salesforce", "compute")
    }
    assert jobs["reconcile:hubspot"].due == at("06-02T01:15")
    later = {name: Job(name, job.schedule, at("06-01T13:00"), now, now) for name, job in jobs.items()}
    again = planned(project(pull="5m", reconcile=None), later.values(), now)
    assert again["pull:hubspot"].due == at("06-01T12:05")
    assert again["push:hubspot"].due == at("06-01T13:00")
    assert "reconcile:hubspot" not in again


def test_what_is_late_stays_due_when_its_schedule_changes() -> None:
    late = Job("pull:hubspot", "15m", at("06-01T12:00"))
    assert planned(project(pull="24h"), [late], at("06-01T12:07"))["pull:hubspot"].due == at("06-01T12:00")


def test_a_clock_that_was_put_back_a_day_does_not_stop_the_work() -> None:
    done = Job("pull:hubspot", "15m", at("06-02T12:15"), at("06-02T12:00"), at("06-02T12:01"))
    assert planned(project(), [done], at("06-01T12:00"))["pull:hubspot"].due == at("06-01T12:15")
    corrected = at("06-02T11:59")  # by half a minute: what was done for noon is not done again
    assert planned(project(), [done], corrected)["pull:hubspot"].due == at("06-02T12:15")


def test_a_clock_that_was_wrong_when_a_job_was_planned_does_not_keep_it_from_ever_beginning() -> None:
    """Nothing says so but the due: the job has never begun."""
    wrong = Job("reconcile:hubspot", "15 3 * * * Europe/Berlin", datetime(2031, 1, 1, 2, 15, tzinfo=UTC))
    assert planned(project(reconcile="15 3 * * *"), [wrong], at("06-01T12:00"))[wrong.name].due == at("06-02T01:15")


def test_what_a_job_did_by_a_clock_that_was_put_back_is_not_newer_than_what_comes() -> None:
    done = Job(
        "pull:hubspot", "15m", at("06-02T12:15"), at("06-02T12:00"), at("06-02T12:01"), succeeded_at=at("06-02T12:00")
    )
    now = at("06-01T12:00")
    found = planned(project(), [done], now)["pull:hubspot"]
    assert (found.started_at, found.ended_at, found.succeeded_at) == (now, now, now)


def test_what_a_daemon_was_cut_off_at_is_due_again() -> None:
    now = at("06-01T12:03")
    cut = Job("push:hubspot", "1h", at("06-01T13:00"), at("06-01T12:00"))
    done = Job("pull:hubspot", "15m", at("06-01T12:15"), at("06-01T12:00"), at("06-01T12:01"))
    failed = replace(cut, name="push:salesforce", exit=6)  # the run before
    found = [(job.name, job.due, job.status, job.exit) for job in resumed([cut, done, failed], now)]
    assert found == [("push:hubspot", now, "stopped", 130), ("push:salesforce", now, "stopped", 130)]


@pytest.mark.parametrize(
    ("due", "done"),
    [
        (["pull:a", "push:a"], ["sync:a"]),
        (["pull:a"], ["pull:a"]),
        (["push:a"], ["push:a"]),
        (["pull:a", "reconcile:a"], ["reconcile:a"]),
        (["pull:a", "push:a", "reconcile:a"], ["reconcile:a", "push:a"]),
        (["compute"], ["compute"]),
        (["compact"], ["compact"]),
    ],
)
def test_due_jobs_of_a_connector_are_done_together(due: list[str], done: list[str]) -> None:
    batch = combined(due, project())
    assert list(batch.jobs) == done
    assert batch.covered == set(due)


def test_a_project_without_a_crm_delivers_its_webhooks_too() -> None:
    assert combined(["compute"], {**project(), "connectors": {}}).jobs == ("sync",)


def test_connectors_come_by_how_long_they_wait_then_what_needs_none() -> None:
    declared, now = project(), at("06-01T12:00")
    jobs = {
        name: Job(name, "15m", at(due))
        for name, due in (
            ("compute", "06-01T10:00"),
            ("pull:hubspot", "06-01T11:30"),
            ("pull:salesforce", "06-01T11:15"),
        )
    }
    chosen = choose(declared, jobs, now, salt="s")
    assert chosen is not None
    assert chosen.jobs == ("pull:salesforce",)
    chosen = choose(declared, jobs, now, salt="s", barred={"salesforce"})
    assert chosen is not None
    assert chosen.jobs == ("pull:hubspot",)
    assert choose(declared, jobs, now, salt="s", barred={"salesforce", "hubspot"}) is None
    chosen = choose(declared, {"compute": jobs["compute"]}, now, salt="s")
    assert chosen is not None
    assert chosen.jobs == ("compute",)
    assert choose(declared, jobs, at("06-01T09:00"), salt="s") is None
