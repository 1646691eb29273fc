"""Salesforce record ids: 15 case-sensitive characters, or 18 with a suffix that tells the case (crm-apis §B12). Ids
grow: a later record's id sorts after an earlier one's, byte by byte. Knows no record."""

from __future__ import annotations

import string
from functools import lru_cache

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SUFFIX = string.ascii_uppercase + "012345"
_CASES = str.maketrans(_DIGITS, "0" * 10 + "1" * 26 + "0" * 26)
_PAIRS = [one + two for one in _DIGITS for two in _DIGITS]
INSTANCE = "5g0"
"""The org's own part of every id, after the three characters that name the object."""


def full(short: str) -> str:
    """Give the 18-character form of a 15-character id."""
    return short + _letter(short[:5]) + _letter(short[5:10]) + _case(short[10:])


def normal(text: str) -> str | None:
    """Give the 18-character form of an id of either length; None when it is no id or its suffix is wrong."""
    if not (text.isascii() and text.isalnum()):
        return None
    if len(text) == 15:
        return full(text)
    return text if len(text) == 18 and full(text[:15]) == text else None


def mint(prefix: str, number: int) -> str:
    """Give the 18-character id of an object's record by its number."""
    return full(f"{prefix}{INSTANCE}{_high(number // 3844)}{_PAIRS[number % 3844]}")


@lru_cache(maxsize=64)
def _high(number: int) -> str:
    digits = ""
    for _ in range(7):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits


def _case(part: str) -> str:
    return _SUFFIX[int(part.translate(_CASES)[::-1], 2)]


_letter = lru_cache(maxsize=1024)(_case)
