"""Lines of JSON as strings and what stands between them, found for a whole block at once, and the shape of each line:
a hash of everything in it but the text of its values. Lines of one shape are the same JSON with other values. Lines
with a backslash, a control byte or broken UTF-8 are left out; whether a shape is valid JSON is found elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from engage_sync.events.numbers import Numbers, read_numbers
from engage_sync.events.schema import KINDS
from engage_sync.events.slices import Flags, Ints, Slices, Words

_LONGEST: Final = 64
"""Bytes of a key, and of what stands between two strings, that take part in a shape; a longer one leaves it out."""
_MOST: Final = 4096
"""Strings in a line."""

# Drawn anew in each process: no file can be made to give two shapes one hash.
_KEYS: Final[Words] = np.random.default_rng().integers(2**63, 2**64, size=16, dtype=np.uint64) | np.uint64(1)
_PLACES: Final[Words] = np.random.default_rng().integers(2**63, 2**64, size=_MOST, dtype=np.uint64) | np.uint64(1)

_TYPE: Final = np.uint64(int.from_bytes(b"type", "little"))
_KIND_WORDS: Final = np.array([int.from_bytes(kind.encode(), "little") for kind in KINDS], dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The strings of the lines `rows`, line after line; line `i` has `count[i]` of them from `first[i]` on.

    String `t` stands at `start[t]:end[t]`, and is a key where a colon follows it at once. The value
    of a key begins at `value_at[t]`; it is a number where `number[t]` is not negative (then its place in `numbers`),
    and what follows the string or the number begins at `tail[t]`.
    """

    rows: Ints
    first: Ints
    count: Ints
    start: Ints
    end: Ints
    is_key: Flags
    value_at: Ints
    tail: Ints
    number: Ints
    numbers: Numbers
    shape: Words
    sound: Flags


def tokenise(slices: Slices, starts: Ints, ends: Ints) -> Tokens:
    """Find the strings of all lines that can be read this way."""
    rows, count, quotes = _quotes(slices, starts, ends)
    first = np.cumsum(count) - count
    start, end = quotes[0::2] + 1, np.ascontiguousarray(quotes[1::2])
    follow = end + 1
    gap_end = np.empty_like(end)
    gap_end[:-1] = start[1:] - 1
    gap_end[first + count - 1] = ends[rows]
    size = gap_end - follow
    gap = slices.masked_words(follow, size)
    chars = gap.view(np.uint8).reshape(-1, 8)
    is_key = chars[:, 0] == ord(":")
    spaced = is_key & (chars[:, 1] == ord(" "))
    lead = np.where(spaced, chars[:, 2], chars[:, 1])
    value_at = follow + 1 + spaced
    numeric = np.flatnonzero(is_key & ((lead - np.uint8(ord("0")) <= 9) | (lead == ord("-"))))
    numbers = read_numbers(slices, value_at[numeric])
    number = np.full(len(start), -1, dtype=np.int64)
    number[numeric] = np.arange(len(numeric))
    tail = follow
    tail[numeric] = numbers.ends
    size[numeric] = gap_end[numeric] - numbers.ends
    gap[numeric] = slices.masked_words(numbers.ends, size[numeric])
    mixed = gap * _KEYS[0]
    mixed[numeric] += np.where(spaced[numeric], _KEYS[11], _KEYS[12])
    keys = np.flatnonzero(is_key)
    long = np.flatnonzero(size > 8)
    longest, types = _mix_keys(slices, mixed, start, end, keys)
    broken = [
        numeric[~numbers.sound],
        longest,
        _mix_rest(slices, mixed, long, tail[long], size[long]),
    ]
    _mix_kinds(slices, mixed, start, end, types[gap_end[types] == value_at[types]], first)
    sound = count <= _MOST
    sound[np.searchsorted(first, np.concatenate(broken), side="right") - 1] = False
    shape = _over_lines(mixed, first, count)
    return Tokens(rows, first, count, start, end, is_key, value_at, tail, number, numbers, shape, sound)


def _over_lines(mixed: Words, first: Ints, count: Ints) -> Words:
    """Mix the hashes of the strings of each line, in their order."""
    if not len(first):
        return mixed
    mixed ^= mixed >> np.uint64(32)
    mixed *= _KEYS[1]
    mixed ^= mixed >> np.uint64(29)
    place = np.arange(len(mixed)) - np.repeat(first, count)
    if count.max() > _MOST:
        place = np.minimum(place, _MOST - 1)
    mixed *= _PLACES[place]
    return np.add.reduceat(mixed, first)


def _quotes(slices: Slices, starts: Ints, ends: Ints) -> tuple[Ints, Ints, Ints]:
    """Give the lines that begin with `{"` and have paired quotes, the strings of each, and their quotes."""
    data = slices.bytes
    quotes = np.flatnonzero(data == ord('"'))
    place = np.searchsorted(quotes, starts)
    count = np.diff(place, append=len(quotes))
    keep = ~_unsimple(slices, starts, ends) & (ends > starts + 1) & (count > 0) & (count % 2 == 0)
    keep &= (data[starts] == ord("{")) & (data[starts + 1] == ord('"'))
    if not keep.all():
        quotes = quotes[np.repeat(keep, count)]
    rows = np.flatnonzero(keep)
    return rows, count[rows] // 2, quotes


def _unsimple(slices: Slices, starts: Ints, ends: Ints) -> Flags:
    """Tell lines that hold a backslash, a control byte, or, in a block that is not UTF-8, a byte beyond ASCII."""
    answer = np.zeros(len(starts), dtype=bool)
    if not len(starts):
        return answer
    size = int(ends[-1])
    data = slices.bytes[:size]
    suspects = [data == ord("\\")]
    control = data < ord(" ")
    if np.count_nonzero(control) > len(starts) - 1:  # more than the breaks between the lines
        suspects.append(control)
    if (data >= 0x80).any() and not _is_utf8(slices.data, size):
        suspects.append(data >= 0x80)
    for suspect in suspects:
        places = np.flatnonzero(suspect)
        lines = np.searchsorted(starts, places, side="right") - 1
        answer[lines[places < ends[lines]]] = True
    return answer


def _is_utf8(data: bytes, size: int) -> bool:
    bounds = pa.py_buffer(np.array([0, size], dtype=np.int32))
    try:
        pa.Array.from_buffers(pa.string(), 1, [None, bounds, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _mix(words: Words, key: np.uint64) -> Words:
    mixed: Words = (words + key) * _KEYS[3]
    mixed ^= mixed >> np.uint64(32)
    mixed *= _KEYS[4]
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _mix_rest(slices: Slices, mixed: Words, tokens: Ints, begin: Ints, size: Ints) -> Ints:
    """Mix in what texts of more than eight bytes hold beyond them, and give the strings with one over _LONGEST."""
    done = 8
    while len(tokens) and done < _LONGEST:
        more = slices.masked_words(begin + done, size - done)
        mixed[tokens] = _mix(mixed[tokens] ^ _mix(more, _KEYS[5]), _KEYS[6])
        done += 8
        longer = size > done
        tokens, begin, size = tokens[longer], begin[longer], size[longer]
    return tokens


def _mix_keys(slices: Slices, mixed: Words, start: Ints, end: Ints, keys: Ints) -> tuple[Ints, Ints]:
    """Mix in the keys, and give those over _LONGEST and those that are `type`."""
    begin = start[keys]
    size = end[keys] - begin
    words = slices.masked_words(begin, size)
    types = keys[words == _TYPE]
    words *= _KEYS[7]
    words ^= words >> np.uint64(32)
    mixed[keys] += words
    long = np.flatnonzero(size > 8)
    return _mix_rest(slices, mixed, keys[long], begin[long], size[long]), types


def _mix_kinds(slices: Slices, mixed: Words, start: Ints, end: Ints, keys: Ints, first: Ints) -> None:
    """Let the value of a key `type` take part where it is one of the six kinds, so that a shape has one kind. `keys`
    are those directly before a string, or the last of a broken line, which would lead to the next line's first."""
    values = keys[keys + 1 < len(start)] + 1
    lengths = end[values] - start[values]
    words = slices.masked_words(start[values], lengths)
    kinds = (lengths <= 8) & np.isin(words, _KIND_WORDS)
    values, words = values[kinds], words[kinds]
    within = first[np.minimum(np.searchsorted(first, values), len(first) - 1)] != values
    mixed[values[within]] = _mix(mixed[values[within]] ^ _mix(words[within], _KEYS[9]), _KEYS[10])
