"""Lengths of time and schedules as a project writes them: `30d`, `15m`, `*/10 6-20 * * mon-fri`.

Turns text into values or a sentence; never asks the clock and never runs a schedule.
"""

from __future__ import annotations

import re
from datetime import timedelta

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
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CRON_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)


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
    parts = text.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ValueError(f"`{text}` is neither an interval like 15m nor a cron line of five fields like `0 6 * * mon`")
    for part, (name, low, high, names) in zip(parts, _CRON_FIELDS, strict=True):
        if not all(_cron_item(item, low, high, names) for item in part.lower().split(",")):
            raise ValueError(f"`{part}` is no {name} of a cron line ({low} to {high})")


def _cron_item(item: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    span, slash, step = item.partition("/")
    if slash and not (re.fullmatch("[0-9]{1,2}", step) and int(step)):
        return False
    if span == "*":
        return True
    first, dash, last = span.partition("-")
    start = _cron_number(first, names)
    end = _cron_number(last, names) if dash else start
    return low <= start <= end <= high


def _cron_number(text: str, names: tuple[str, ...]) -> int:
    """Give the number of a cron name or of digits, -1 for anything else."""
    if text in names:
        return names.index(text) + 1
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else -1
