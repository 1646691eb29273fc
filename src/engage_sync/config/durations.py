"""Lengths of time and schedules as a project writes them: `30d`, `15m`, `*/10 6-20 * * mon-fri`.

Turns text into values or a sentence; never asks the clock and never runs a schedule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

_DURATION = re.compile(r"([0-9]{1,12})([smhdw])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
LONGEST = timedelta(days=36_525)
"""A hundred years: no window reaches before the first instant that can be written."""

DURATION_PATTERN = "^[0-9]{1,12}[smhdw]$"

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Field(NamedTuple):
    """One field of a cron line: from `low` to `high`, with so many numbers that differ."""

    name: str
    low: int
    high: int
    size: int
    names: Mapping[str, int] = MappingProxyType({})


_CRON_FIELDS = (
    _Field("minute", 0, 59, 60),
    _Field("hour", 0, 23, 24),
    _Field("day of the month", 1, 31, 31),
    _Field("month", 1, 12, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of the week", 0, 7, 7, {name: number for number, name in enumerate(DAYS)}),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line: the numbers that each of its fields names, in order; Sunday is day 0 of the week."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool
    """Whether a day counts that one of the two kinds of days names; else both must name it."""
    hourly: bool
    """Whether its hours are any that pass, and none that a clock on the wall must show."""


def parse_duration(text: str) -> timedelta:
    """Read `10s`, `30m`, `12h`, `30d` (24 h each) or `2w` (semantics §1). Raises ValueError with a sentence."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no duration; write a whole number and a unit, like 10s, 30m, 12h, 30d or 2w")
    try:
        duration = int(match[1]) * _UNITS[match[2]]
    except OverflowError:
        duration = timedelta.max
    if duration > LONGEST:
        raise ValueError(f"`{text}` is longer than 100 years")
    return duration


def duration_text(duration: timedelta) -> str:
    """Write a duration in the largest unit of which it has at least two, or which it is: 30d, 24h, 90s."""
    for unit in ("d", "h", "m"):
        count, rest = divmod(duration, _UNITS[unit])
        if not rest and count >= 2:
            return f"{count}{unit}"
    return f"{int(duration.total_seconds())}s"


def check_schedule(text: str) -> None:
    """Accept an interval above zero or a cron line of five fields. Raises ValueError with a sentence."""
    if " " not in text.strip():
        if not parse_duration(text):
            raise ValueError(f"`{text}` is no interval; it must be more than zero, like 15m")
        return
    parse_cron(text)


def parse_cron(text: str) -> Cron:
    """Read a cron line of five fields; all that it accepts names at least one number in each. Raises ValueError with a
    sentence."""
    parts = text.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(f"`{text}` is neither an interval like 15m nor a cron line of five fields like `0 6 * * mon`")
    minutes, hours, days, months, week = (
        _cron_numbers(part, field) for part, field in zip(parts, _CRON_FIELDS, strict=True)
    )
    weekdays = sorted({number % 7 for number in week})
    # As cron has it: where both are restricted, a day that either of them names counts.
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return Cron(minutes, hours, days, months, tuple(weekdays), either=either, hourly=parts[1].startswith("*"))


def _cron_numbers(part: str, field: _Field) -> tuple[int, ...]:
    found = [_cron_item(item, field) for item in part.lower().split(",")]
    if not all(found):
        raise ValueError(f"`{part}` is no {field.name} of a cron line ({field.low} to {field.high})")
    return tuple(sorted({number for numbers in found for number in numbers}))


def _cron_item(item: str, field: _Field) -> range:
    """Give the numbers of `*`, `5`, `5-9`, and each with a step such as `*/10`; none for anything else. A step that is
    longer than the whole field cannot do what it says (`*/90` minutes would be every hour), so it is none."""
    span, slash, step = item.partition("/")
    by = _cron_number(step, {}) if slash else 1
    if not 1 <= by <= field.size:
        return range(0)
    if span == "*":
        return range(field.low, field.high + 1, by)
    first, dash, last = span.partition("-")
    start = _cron_number(first, field.names)
    end = _cron_number(last, field.names) if dash else field.high if slash else start
    if last == DAYS[0] and start > 0:
        end = 7  # `sat-sun`: a week ends with the day that it begins with
    return range(start, end + 1, by) if field.low <= start <= end <= field.high else range(0)


def _cron_number(text: str, names: Mapping[str, int]) -> int:
    """Give the number of a cron name or of digits, -1 for anything else."""
    return names.get(text, int(text) if re.fullmatch("[0-9]{1,2}", text) else -1)
