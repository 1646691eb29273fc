"""JSON numbers of a block, read together: which are written as semantics §2 writes them, which are plain whole numbers,
and which are no JSON. A number written otherwise gets its text one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from engage_sync.events.message import number_text
from engage_sync.events.slices import Bytes, Flags, Ints, Slices, Words

_WIDTH: Final = 24
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGIT, _DOT, _OTHER = 1, 2, 4
_CLASSES: Final[Bytes] = np.zeros(256, dtype=np.uint8)
_CLASSES[ord("0") : ord("9") + 1] = _DIGIT
_CLASSES[ord(".")] = _DOT
_CLASSES[[ord(sign) for sign in "+-eE"]] = _OTHER

_ZEROS: Final = np.uint64(0x3030303030303030)
_TO_SIGN_BIT: Final = np.uint64(0x7676767676767676)
_SIGN_BITS: Final = np.uint64(0x8080808080808080)
_SIGN_BIT: Final = np.array([1 << (8 * place + 7) for place in range(8)], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers as they stand at `starts` up to `ends`. `text_starts` and `text_ends` bound the text that the law gives
    them; `whole` tells plain whole numbers, `sound` those that are JSON and short enough to be judged here."""

    starts: Ints
    ends: Ints
    text_starts: Ints
    text_ends: Ints
    whole: Flags
    sound: Flags


def read_numbers(slices: Slices, starts: Ints) -> Numbers:
    """Read the numbers that begin at `starts`, each with a digit or a minus sign."""
    lengths, whole = _short_wholes(slices.words(starts))
    sound = whole.copy()
    others = np.flatnonzero(~whole)
    lengths[others], whole[others], sound[others], short = _others(slices, starts[others])
    ends = starts + lengths
    text_starts, text_ends = starts.copy(), ends.copy()
    odd = others[short & ~sound[others]]
    if len(odd):
        texts = [_text(slices.data[starts[row] : ends[row]]) for row in odd]
        good = odd[[text is not None for text in texts]]
        sound[good] = True
        text_starts[good], text_ends[good] = slices.add([text for text in texts if text is not None])
    return Numbers(starts, ends, text_starts, text_ends, whole, sound)


def _short_wholes(words: Words) -> tuple[Ints, Flags]:
    """Give the lengths of whole numbers of up to seven digits, and which numbers are such, from their first eight
    bytes. A byte that is no digit gets its highest bit set; a carry spoils only bytes after the first of them."""
    marks = words ^ _ZEROS
    marks = ((marks + _TO_SIGN_BIT) | marks) & _SIGN_BITS
    first = marks & (~marks + np.uint64(1))
    lengths = np.searchsorted(_SIGN_BIT, first)
    after = (words >> (lengths * 8).astype(np.uint64)) & np.uint64(0xFF)
    found = (marks != 0) & (lengths > 0) & (_CLASSES[after] == 0)
    found &= ((words & np.uint64(0xFF)) != ord("0")) | (lengths == 1)
    return lengths, found


def _others(slices: Slices, starts: Ints) -> tuple[Ints, Flags, Flags, Flags]:
    """Give length, whole, sound and short (all of it was seen) of numbers of any form."""
    chars = slices.matrix(starts, _WIDTH)
    classes = _CLASSES[chars]
    lengths = np.argmin(classes != 0, axis=1)
    short = lengths > 0  # the first character is one of a number; 0 means that all are
    classes *= np.arange(_WIDTH) < lengths[:, None]
    whole, decimal = _plain(chars, classes, lengths)
    return lengths, whole & short, (whole | decimal) & short, short


def _plain(chars: Bytes, classes: Bytes, lengths: Ints) -> tuple[Flags, Flags]:
    """Tell whole and decimal numbers whose text is already the shortest: up to 15 digits determine a double and come
    back from it as they are, unless it is written with an exponent (below 0.0001) or ends with a zero."""
    negative = chars[:, 0] == ord("-")
    first = np.where(negative, chars[:, 1], chars[:, 0])
    second = np.where(negative, chars[:, 2], chars[:, 1])
    digits = (classes == _DIGIT).sum(axis=1)
    few = (digits >= 1) & (digits <= 15)
    leading_zero = first == ord("0")
    whole = few & (digits == lengths - negative) & (~leading_zero | ((digits == 1) & ~negative))
    last = chars[np.arange(len(chars)), np.maximum(lengths - 1, 0)]
    dots = (classes == _DOT).sum(axis=1)
    decimal = few & (dots == 1) & (digits == lengths - negative - 1) & (last != ord("0")) & (last != ord("."))
    decimal &= (first != ord(".")) & (~leading_zero | (second == ord(".")))
    unsigned = np.where(negative[:, None], chars[:, 3:7], chars[:, 2:6])
    decimal &= ~(leading_zero & (unsigned == ord("0")).all(axis=1))
    return whole, decimal


def _text(raw: bytes) -> bytes | None:
    if not _NUMBER.fullmatch(raw):
        return None
    return number_text(int(raw) if raw.lstrip(b"-").isdigit() else float(raw)).encode()
