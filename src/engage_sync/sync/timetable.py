"""When a job is due: the instants of an interval or a cron line in a time zone, and how far each start is put off.

Pure: it is given every instant and asks no clock. APScheduler's triggers are the calculators; none of its threads runs.
Cron lines mean what cron means: days of the week count from Sunday, a day of the month and one of the week are either
of both, and where clocks are put back an hour that a line names comes once. Where they are put forward, what falls into
the missing hour is due as much later.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from engage_sync.config.durations import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Due of a cron line that names no day there is, such as 30 February."""


def following(schedule: str, zone: str, after: datetime) -> datetime:
    """Give the first instant of a schedule after `after`, in UTC. Intervals count from 1970-01-01T00:00Z, so that every
    process finds the same ones."""
    return min(_first(trigger, after, once=once) for trigger, once in _triggers(schedule, zone))


def put_off(name: str, salt: str, due: datetime, most: timedelta) -> timedelta:
    """Give how long a start is put off, at most so long: the same for a name and an instant wherever it is asked, and
    another for each project's salt."""
    drawn = hashlib.sha256(f"{salt} {name} {due.astimezone(UTC).isoformat()}".encode()).digest()
    return most * (int.from_bytes(drawn[:6], "big") / 2**48)


def start_of(name: str, salt: str, due: datetime, after_it: datetime, jitter: timedelta) -> datetime:
    """Give when the job that is due at `due` starts: put off, but never by more than half of the way to the instant
    after it."""
    return due + put_off(name, salt, due, min(jitter, (after_it - due) / 2))


def _first(trigger: CronTrigger | IntervalTrigger, after: datetime, *, once: bool) -> datetime:
    """Give the trigger's first instant after another; `once` leaves out the second time that a wall clock shows."""
    found: datetime | None = after
    while True:
        found = trigger.get_next_fire_time(None, (found or after).astimezone(UTC) + _TICK)
        if found is None:
            return _NEVER
        if not (once and found.fold):
            return found.astimezone(UTC)


@lru_cache(maxsize=256)
def _triggers(schedule: str, zone: str) -> tuple[tuple[CronTrigger | IntervalTrigger, bool], ...]:
    """Give the triggers of which the earliest counts, each with whether an hour that comes twice counts once."""
    parts = schedule.lower().split()
    if len(parts) == 1:
        seconds = int(parse_duration(parts[0]).total_seconds())
        return ((IntervalTrigger(seconds=seconds, start_date=_EPOCH, timezone=UTC), False),)
    minute, hour, day, month, weekday = parts
    days = _days(weekday)
    # As cron has it: where both are restricted, a day that either of them names counts.
    both = not day.startswith("*") and not weekday.startswith("*")
    ways = ((day, "*"), ("*", days)) if both else ((day, days),)
    return tuple(
        (
            CronTrigger(minute=minute, hour=hour, day=day_, month=month, day_of_week=days_, timezone=ZoneInfo(zone)),
            not hour.startswith("*"),
        )
        for day_, days_ in ways
    )


def _days(field: str) -> str:
    """Write the days of the week of a cron line by name, one by one: APScheduler counts them from Monday."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        start = 0 if span == "*" else _day(first)
        end = 6 if span == "*" or (step and not last) else _day(last or first)
        found |= {number % 7 for number in range(start, end + 1, int(step or 1))}
    return ",".join(_DAYS[number] for number in sorted(found))


def _day(text: str) -> int:
    return _DAYS.index(text) if text in _DAYS else int(text)
