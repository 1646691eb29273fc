"""When a job is due: the instants of an interval or a cron line in a time zone, and how far each start is put off.

Pure: it is given every instant and asks no clock. APScheduler's triggers are the calculators; none of its threads runs.
Cron lines mean what cron means: days of the week count from Sunday, a day of the month and one of the week are either
of both, and where clocks are put back an hour that a line names comes once. Where they are put forward, what falls into
the missing hour is due as much later.
"""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from engage_sync.config.durations import DAYS, Cron, parse_cron, parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_LEAP = 2000
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Due of a cron line that names no day there is, such as 30 February."""


def following(schedule: str, zone: str, after: datetime) -> datetime:
    """Give the first instant of a schedule after `after`, in UTC. Intervals count from 1970-01-01T00:00Z, so that every
    process finds the same ones."""
    after = after.astimezone(UTC)
    if " " in schedule.strip():
        return _first_shown(schedule, ZoneInfo(zone), after)
    found = _interval(schedule).get_next_fire_time(None, after + _TICK)
    return _NEVER if found is None else found.astimezone(UTC)


def put_off(name: str, salt: str, due: datetime, most: timedelta) -> timedelta:
    """Give how long a start is put off, at most so long: the same for a name and an instant wherever it is asked, and
    another for each project's salt."""
    drawn = hashlib.sha256(f"{salt} {name} {due.astimezone(UTC).isoformat()}".encode()).digest()
    return most * (int.from_bytes(drawn[:6], "big") / 2**48)


def start_of(name: str, salt: str, due: datetime, after_it: datetime, jitter: timedelta) -> datetime:
    """Give when the job that is due at `due` starts: put off, but never by more than half of the way to the instant
    after it."""
    return due + put_off(name, salt, due, min(jitter, (after_it - due) / 2))


def _first_shown(schedule: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Give the first instant after another at which clocks show what a cron line names. Around a change, what they show
    and the instants differ in order: all is looked at that lies so near.

    `shown` is what clocks show, as if it were UTC, so that the triggers know of no change."""
    found = _NEVER
    cron = _cron(schedule)
    for trigger in _triggers(cron):
        shown = trigger.get_next_fire_time(None, after + min(_offsets(zone, after)))
        while shown is not None:
            found = min([found, *(one for one in _instants(shown, zone, twice=cron.hourly) if one > after)])
            if shown >= found + max(_offsets(zone, found)):
                break
            shown = trigger.get_next_fire_time(None, shown + _TICK)
    return found


def _offsets(zone: ZoneInfo, instant: datetime) -> list[timedelta]:
    """Give how far clocks are from UTC at about an instant."""
    if instant == _NEVER:
        return [timedelta()]
    return [zone.utcoffset(near.astimezone(zone)) or timedelta() for near in (instant - _DAY, instant, instant + _DAY)]


def _instants(shown: datetime, zone: ZoneInfo, *, twice: bool) -> list[datetime]:
    """Give when clocks show this, in UTC: in an hour that is missing as much later; in one that comes twice the first
    time, or both."""
    first, second = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return [first, second] if twice and second > first else [first]


_cron = lru_cache(maxsize=256)(parse_cron)


@lru_cache(maxsize=256)
def _interval(schedule: str) -> IntervalTrigger:
    seconds = int(parse_duration(schedule.strip()).total_seconds())
    return IntervalTrigger(seconds=seconds, start_date=_EPOCH, timezone=UTC)


@lru_cache(maxsize=256)
def _triggers(cron: Cron) -> tuple[CronTrigger, ...]:
    """Give the triggers of which the earliest counts."""
    days = _written(cron.days, 31)
    weekdays = _written(cron.weekdays, len(DAYS), DAYS)  # by name: APScheduler counts them from Monday
    ways = [(days, "*"), ("*", weekdays)] if cron.either else [(days, weekdays)]
    if all(monthrange(_LEAP, month)[1] < cron.days[0] for month in cron.months):
        ways = ways[1:]  # it would be sought for until the year 9999
    return tuple(
        CronTrigger(
            minute=_written(cron.minutes, 60),
            hour=_written(cron.hours, 24),
            day=day,
            month=_written(cron.months, 12),
            day_of_week=weekday,
            timezone=UTC,
        )
        for day, weekday in ways
    )


def _written(numbers: tuple[int, ...], count: int, names: Sequence[str] = ()) -> str:
    """Write numbers for APScheduler; of all there are, `*` is the fastest."""
    if len(numbers) == count:
        return "*"
    return ",".join(names[number] if names else str(number) for number in numbers)
