"""Instants of a block, read together where they are written in one of the usual ISO 8601 forms; any other form goes one
by one to `message.read_instant`, whose answer is the law."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np

from engage_sync.events.message import read_instant
from engage_sync.events.slices import Bytes, Flags, Ints, Slices

EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
MICROSECOND: Final = timedelta(microseconds=1)
_FORMS: Final = {19: (0, 0), 20: (0, 1), 24: (3, 1), 27: (6, 1), 25: (0, 6), 29: (3, 6), 32: (6, 6)}
"""Length of the text → digits of the fraction, length of the zone (none, Z, or ±hh:mm) after YYYY-MM-DDThh:mm:ss."""
_SEPARATORS: Final = ((4, "-"), (7, "-"), (13, ":"), (16, ":"))
_FIELDS: Final = ((0, 4, 2, 9998), (5, 2, 1, 12), (8, 2, 1, 31), (11, 2, 0, 23), (14, 2, 0, 59), (17, 2, 0, 59))
"""Place, digits, least and greatest of year, month, day, hour, minute and second."""


def read_instants(slices: Slices, starts: Ints, ends: Ints) -> tuple[Ints, Flags]:
    """Give microseconds since 1970 UTC, and which texts are instants at all."""
    lengths = ends - starts
    micros = np.zeros(len(starts), dtype=np.int64)
    known = np.zeros(len(starts), dtype=bool)
    for length, (digits, zone) in _FORMS.items():
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            values, good = _read_form(slices.matrix(starts[rows], 32), digits, zone)
            micros[rows[good]] = values[good]
            known[rows[good]] = True
    for row in np.flatnonzero(~known):
        instant = read_instant(slices.data[starts[row] : ends[row]].decode())
        if instant is not None:
            micros[row] = (instant - EPOCH) // MICROSECOND
            known[row] = True
    return micros, known


def _read_form(chars: Bytes, digits: int, zone: int) -> tuple[Ints, Flags]:
    good = (chars[:, 10] == ord("T")) | (chars[:, 10] == ord(" "))
    for place, char in _SEPARATORS:
        good &= chars[:, place] == ord(char)
    numbers = []
    for place, size, least, greatest in _FIELDS:
        number = _number(chars, place, size, good)
        good &= (number >= least) & (number <= greatest)
        numbers.append(number)
    year, month, day, hour, minute, second = numbers
    months = (np.where(good, year, 1970) - 1970) * 12 + np.where(good, month, 1) - 1
    start = months.astype("datetime64[M]").astype("datetime64[D]")
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    good &= day <= (after - start).astype(np.int64)
    seconds = (start.astype(np.int64) + day - 1) * 86_400 + hour * 3600 + minute * 60 + second
    end = 19
    fraction = np.zeros(len(chars), dtype=np.int64)
    if digits:
        good &= chars[:, end] == ord(".")
        fraction = _number(chars, end + 1, digits, good) * 10 ** (6 - digits)
        end += 1 + digits
    if zone == 1:
        good &= chars[:, end] == ord("Z")
    elif zone:
        seconds -= _offset(chars, end, good)
    return seconds * 1_000_000 + fraction, good


def _offset(chars: Bytes, place: int, good: Flags) -> Ints:
    """Give the zone's seconds east of UTC; rows with another sign or out of range lose `good`."""
    east = chars[:, place] == ord("+")
    hours, minutes = _number(chars, place + 1, 2, good), _number(chars, place + 4, 2, good)
    good &= (east | (chars[:, place] == ord("-"))) & (chars[:, place + 3] == ord(":")) & (hours <= 23) & (minutes <= 59)
    seconds: Ints = np.where(east, 1, -1) * (hours * 3600 + minutes * 60)
    return seconds


def _number(chars: Bytes, place: int, size: int, good: Flags) -> Ints:
    """Read `size` digits; rows with another character lose `good`."""
    value = np.zeros(len(chars), dtype=np.int64)
    for column in range(place, place + size):
        digit = chars[:, column] - np.uint8(ord("0"))
        good &= digit <= 9
        value = value * 10 + digit
    return value
