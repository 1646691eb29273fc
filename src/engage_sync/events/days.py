"""Calendar days of a project's time zone as integers, so that days can be counted as bits of a few words. The zone's
offsets are looked up once; no engine needs to know time zones, and daylight saving is exact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.types as ir

from engage_sync.events.functions import microseconds

WORD: Final = 63
"""Bits used of an int64: the sign bit stays free."""

_FIRST_CHANGES: Final = datetime(1840, 1, 1, tzinfo=UTC)
_RULES: Final = datetime(2100, 1, 1, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)
_DAY: Final = 86_400_000_000


def epoch(instant: datetime) -> int:
    """Give microseconds since 1970 UTC, exactly."""
    return (instant - _EPOCH) // _US


@lru_cache(maxsize=64)
def offsets(timezone: str, start: datetime, end: datetime) -> Sequence[tuple[datetime, timedelta]]:
    """Give the zone's offsets from `start` to `end`: each with the instant from which it holds, the first from `start`.

    Two changes within one step of each other that cancel out would be missed: within a day no zone has had them, and
    far ahead the known rules change twice a year. Before the first change of any zone nothing is looked up.
    """
    zone = ZoneInfo(timezone)
    samples = [
        start,
        *_steps(max(start, _FIRST_CHANGES), min(end, _RULES), 1),
        *_steps(max(start, _RULES), end, 28),
        end,
    ]
    found = [(start, _offset(zone, start))]
    for early, late in pairwise(samples):
        if _offset(zone, early) != _offset(zone, late):
            found.append((_change(zone, early, late), _offset(zone, late)))
    return found


def day_index(instants: ir.TimestampValue, timezone: str, start: datetime, end: datetime) -> ir.IntegerValue:
    """Give the calendar day of instants in [start, end] as an integer from 0.

    Only integers are used: relative to a midnight, minus the remainder, the division by a day is exact. That midnight
    is a day before the first, because a clock put back just after `start` may show the day before.
    """
    known = offsets(timezone, start, end)
    first = epoch(start) + known[0][1] // _US
    midnight = first - first % _DAY - _DAY
    shifts = [(epoch(since), offset // _US - midnight) for since, offset in known]
    us = microseconds(instants)
    local = us + _piecewise(us, shifts)
    return ((local - local % _DAY) / _DAY).cast("int64")


def day_count(timezone: str, start: datetime, end: datetime) -> int:
    """Give a number above every `day_index` of [start, end]."""
    known = offsets(timezone, start, end)
    low = epoch(start) + known[0][1] // _US
    high = epoch(end) + max(offset for _, offset in known) // _US
    return high // _DAY - low // _DAY + 2


def _piecewise(us: ir.IntegerValue, shifts: Sequence[tuple[int, int]]) -> ir.IntegerValue:
    """Choose the shift that holds at an instant, by halves: at most log2 comparisons for each row."""
    if len(shifts) == 1:
        return ibis.literal(shifts[0][1], type="int64")
    middle = len(shifts) // 2
    return ibis.ifelse(us < shifts[middle][0], _piecewise(us, shifts[:middle]), _piecewise(us, shifts[middle:]))


def _steps(start: datetime, end: datetime, days: int) -> list[datetime]:
    return [start + timedelta(days=day) for day in range(0, (end - start).days, days)]


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    """Give the offset, at the edges of the calendar too, where the local time may lie outside of it."""
    try:
        return instant.astimezone(zone).utcoffset() or timedelta(0)
    except OverflowError:
        inside = instant + timedelta(days=2) if instant.year == 1 else instant - timedelta(days=2)
        return inside.astimezone(zone).utcoffset() or timedelta(0)


def _change(zone: ZoneInfo, early: datetime, late: datetime) -> datetime:
    """Find the second at which the offset becomes that of `late`."""
    wanted = _offset(zone, late)
    low, high = epoch(early) // 1_000_000, -(-epoch(late) // 1_000_000)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, _EPOCH + timedelta(seconds=middle)) == wanted:
            high = middle
        else:
            low = middle
    return _EPOCH + timedelta(seconds=high)
