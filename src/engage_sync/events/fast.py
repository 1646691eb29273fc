"""Lines of one shape read together: the columns of a whole block from the places of its values. A line that is not
plainly a good message is left to the exact way, so nothing is refused here and both ways give the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engage_sync.events.columns import MESSAGES, no_messages
from engage_sync.events.instants import read_instants
from engage_sync.events.lines import Block
from engage_sync.events.message import NAMED_KINDS
from engage_sync.events.schema import INSTANT, KINDS, PROPERTIES, TRAIT
from engage_sync.events.shapes import NOTHING, Mode, Role, Sample, Shape, Texts, meaning
from engage_sync.events.slices import Flags, Ints, Slices, as_arrow, texts_as_arrow
from engage_sync.events.tokens import Tokens, tokenise

_WORTH: Final = 4
"""Lines of a new shape in one block from which on finding its meaning costs less than reading them one by one."""
_MOST_SHAPES: Final = 20_000
_NAMED: Final = np.array([kind in NAMED_KINDS for kind in KINDS])
_IDS: Final = frozenset({Role.MESSAGE_ID, Role.USER, Role.GROUP, Role.CONTEXT_GROUP, Role.PREVIOUS})
_TRACK, _ALIAS = KINDS.index("track"), KINDS.index("alias")


class Shapes:
    """The shapes met so far in an import, safe for threads. Number 0 is the shape without meaning."""

    def __init__(self) -> None:
        self.texts: Final = Texts()
        self._numbers: dict[int, int] = {}
        self._meanings: list[Shape] = [NOTHING]
        self._lock: Final = Lock()

    def numbers(self, tokens: Tokens, block: Block) -> Ints:
        """Give the number of each line's shape."""
        hashes = np.where(tokens.sound, tokens.shape, np.uint64(0))
        distinct, samples, places, counts = np.unique(
            hashes, return_index=True, return_inverse=True, return_counts=True
        )
        with self._lock:
            numbers = [
                self._number(int(shape), int(count), tokens, int(line), block)
                for shape, line, count in zip(distinct, samples, counts, strict=True)
            ]
        return np.array(numbers, dtype=np.int64)[places]

    def known(self, number: int) -> Shape:
        """Give the meaning of a shape."""
        return self._meanings[number]

    def _number(self, shape: int, count: int, tokens: Tokens, line: int, block: Block) -> int:
        number = self._numbers.get(shape)
        if number is None:
            if not shape or count < _WORTH or len(self._meanings) > _MOST_SHAPES:
                return 0
            found = meaning(_sample(tokens, line, block), self.texts)
            number = len(self._meanings) if found else 0
            if found:
                self._meanings.append(found)
            self._numbers[shape] = number
        return number


def _sample(tokens: Tokens, line: int, block: Block) -> Sample:
    row = tokens.rows[line]
    begin = int(block.starts[row])
    own = slice(int(tokens.first[line]), int(tokens.first[line] + tokens.count[line]))
    return Sample(
        line=block.line(int(row)),
        start=(tokens.start[own] - begin).tolist(),
        end=(tokens.end[own] - begin).tolist(),
        is_key=tokens.is_key[own].tolist(),
        number=(tokens.number[own] >= 0).tolist(),
        value_at=(tokens.value_at[own] - begin).tolist(),
        tail=(tokens.tail[own] - begin).tolist(),
    )


def read_together(block: Block, shapes: Shapes) -> tuple[pa.Table, Ints]:
    """Read what can be read together: MESSAGES, and the rows that are left."""
    if not len(block.starts):
        return no_messages(), block.starts
    slices = Slices(block.data)
    tokens = tokenise(slices, block.starts, block.ends)
    if not len(tokens.rows):
        return no_messages(), np.arange(len(block.starts))
    table, good = _Application(slices, tokens, shapes, shapes.numbers(tokens, block)).table()
    left = np.ones(len(block.starts), dtype=bool)
    left[tokens.rows[good]] = False
    return table, np.flatnonzero(left)


class _Column:
    """A text of each line: where it is, and whether there is one."""

    def __init__(self, size: int) -> None:
        self.start: Ints = np.zeros(size, dtype=np.int64)
        self.end: Ints = np.zeros(size, dtype=np.int64)
        self.given: Flags = np.zeros(size, dtype=bool)

    def filled(self) -> Flags:
        """Tell where the text is given and not empty."""
        return self.given & (self.end > self.start)


@dataclass(frozen=True, slots=True)
class _Bag:
    """The properties or traits of all lines: `offsets` cuts the other arrays into lines."""

    offsets: pa.Array
    keys: pa.Array
    paths: pa.Array
    texts: pa.Array


class _Application:
    """The meanings of shapes applied to the lines of a block."""

    def __init__(self, slices: Slices, tokens: Tokens, shapes: Shapes, numbers: Ints) -> None:
        self.slices: Final = slices
        self.tokens: Final = tokens
        self.texts: Final = shapes.texts
        self.size: Final = len(tokens.rows)
        used, own = _distinct(numbers)
        known = [shapes.known(int(number)) for number in used]
        self.own: Final = own
        self.good: Flags = numbers > 0
        self.kind: Final[Ints] = np.array([shape.kind for shape in known])[own]
        self.misshapen: Final[Flags] = np.array([shape.misshapen for shape in known])[own]
        self.single: Final[Ints] = np.stack([shape.single for shape in known])
        self.bags: Final = [shape.bag for shape in known]

    def table(self) -> tuple[pa.Table, Flags]:
        """Build MESSAGES of the lines that turned out good, and tell which they are."""
        columns = {role: self._column(role) for role in Role}
        user, account = columns[Role.USER], _first(columns[Role.GROUP], columns[Role.CONTEXT_GROUP])
        previous, event = columns[Role.PREVIOUS], columns[Role.EVENT]
        self.good &= user.filled() | account.filled()
        self.good &= (self.kind != _ALIAS) | (user.filled() & previous.filled())
        self.good &= (self.kind != _TRACK) | event.filled()
        timestamp, received = self._instants(columns[Role.TIMESTAMP], columns[Role.RECEIVED])
        kind = texts_as_arrow(KINDS).take(as_arrow(self.kind))
        unnamed = texts_as_arrow(KINDS).take(as_arrow(self.kind, _NAMED[self.kind]))
        properties, traits = self._bag(_NAMED[self.kind]), self._bag(~_NAMED[self.kind])
        arrays = [
            self._texts(columns[Role.MESSAGE_ID]),
            kind,
            pc.coalesce(self._texts(event), unnamed),
            self._texts(user),
            self._texts(account),
            self._texts(previous),
            timestamp,
            received,
            pa.MapArray.from_arrays(properties.offsets, properties.paths, properties.texts, type=PROPERTIES),
            pa.ListArray.from_arrays(
                traits.offsets,
                pa.StructArray.from_arrays([traits.keys, traits.paths, traits.texts], fields=list(TRAIT)),
            ),
            *(self._texts(columns[role], empty=True) for role in (Role.SOURCE, Role.MEDIUM, Role.NAME)),
            as_arrow(self.misshapen),
            as_arrow(self.tokens.rows),
        ]
        table = pa.Table.from_arrays(arrays, schema=MESSAGES)
        return (table if self.good.all() else table.filter(as_arrow(self.good))), self.good

    def _column(self, role: Role) -> _Column:
        column = _Column(self.size)
        slots = self.single[:, role]
        if (slots[:, 0] < 0).all():
            return column
        lines = np.flatnonzero(slots[self.own, 0] >= 0)
        slots = slots[self.own[lines]]
        found = self.tokens.first[lines] + slots[:, 0]
        column.start[lines], column.end[lines], column.given[lines] = self._locate(found, slots)
        if role in _IDS:
            numeric = np.flatnonzero(self.tokens.number[found] >= 0)
            whole = self.tokens.numbers.whole[self.tokens.number[found[numeric]]]
            self.good[lines[numeric[~whole]]] = False
        return column

    def _bag(self, wanted: Flags) -> _Bag:
        """Read the properties or traits of the lines that are wanted."""
        counts = np.array([len(bag) for bag in self.bags])[self.own] * wanted
        ends = np.cumsum(counts)
        begins = np.cumsum([0, *(len(bag) for bag in self.bags[:-1])])
        every = np.repeat(begins[self.own] - ends + counts, counts) + np.arange(ends[-1])
        slots = np.concatenate(self.bags)[every]
        start, end, given = self._locate(np.repeat(self.tokens.first, counts) + slots[:, 0], slots)
        return _Bag(
            offsets=as_arrow(np.concatenate([[0], ends]).astype(np.int32)),
            keys=self._dictionary(slots[:, 4]),
            paths=self._dictionary(slots[:, 5]),
            texts=self.slices.gather(start, end, None if given.all() else given),
        )

    def _locate(self, found: Ints, slots: Ints) -> tuple[Ints, Ints, Flags]:
        """Find the texts of the values of some keys: start, end, and whether there is one."""
        tokens, modes = self.tokens, slots[:, 1]
        after = np.minimum(found + 1, len(tokens.start) - 1)
        start, end = tokens.start[after], tokens.end[after]
        given = np.ones(len(found), dtype=bool)
        if not modes.any():
            return start, end, given
        numeric = np.flatnonzero(modes == Mode.NUMBER)
        own = tokens.number[found[numeric]]
        start[numeric], end[numeric] = tokens.numbers.text_starts[own], tokens.numbers.text_ends[own]
        shared = np.flatnonzero(modes == Mode.SHARED)
        if len(shared):
            given[shared] = slots[shared, 2] >= 0
            start[shared], end[shared] = self._shared(slots[shared, 2])
        arrays = np.flatnonzero(modes >= Mode.ARRAY)
        if len(arrays):
            start[arrays] = tokens.value_at[found[arrays]]
            end[arrays] = tokens.tail[found[arrays] + slots[arrays, 2]] + slots[arrays, 3]
            anew = np.flatnonzero(modes == Mode.ARRAY_ANEW)
            texts = [_compact(self.slices.data[start[row] : end[row]]) for row in anew]
            start[anew], end[anew] = self.slices.add(texts)
        return start, end, given

    def _shared(self, numbers: Ints) -> tuple[Ints, Ints]:
        distinct, places = _distinct(np.maximum(numbers, 0))
        starts, ends = self.slices.add([self.texts.all[number].encode() for number in distinct])
        return starts[places], ends[places]

    def _dictionary(self, numbers: Ints) -> pa.Array:
        distinct, places = _distinct(np.maximum(numbers, 0))
        return texts_as_arrow([self.texts.all[number] for number in distinct]).take(as_arrow(places))

    def _texts(self, column: _Column, *, empty: bool = False) -> pa.Array:
        valid = column.given if empty else column.filled()
        if not valid.any():
            return pa.nulls(self.size, pa.string())
        return self.slices.gather(column.start, column.end, None if valid.all() else valid)

    def _instants(self, timestamp: _Column, received: _Column) -> tuple[pa.Array, pa.Array]:
        given, given_good = self._read_instants(timestamp)
        arrived, arrived_good = self._read_instants(received)
        self.good &= np.where(timestamp.given, given_good, arrived_good)
        instants = np.where(timestamp.given, given, arrived)
        return as_arrow(instants).cast(INSTANT), as_arrow(arrived, arrived_good).cast(INSTANT)

    def _read_instants(self, column: _Column) -> tuple[Ints, Flags]:
        micros, good = np.zeros(self.size, dtype=np.int64), np.zeros(self.size, dtype=bool)
        lines = np.flatnonzero(column.given)
        if len(lines):
            micros[lines], good[lines] = read_instants(self.slices, column.start[lines], column.end[lines])
        return micros, good


def _first(one: _Column, other: _Column) -> _Column:
    """Take the one where it holds something, else the other."""
    column = _Column(len(one.given))
    filled = one.filled()
    column.start, column.end = np.where(filled, one.start, other.start), np.where(filled, one.end, other.end)
    column.given = filled | other.given
    return column


def _distinct(numbers: Ints) -> tuple[Ints, Ints]:
    """Give the distinct numbers and the place of each among them, as `unique` does but without sorting; the numbers are
    small."""
    if not len(numbers):
        return numbers, numbers
    used = np.zeros(int(numbers.max()) + 1, dtype=bool)
    used[numbers] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[numbers]


def _compact(array: bytes) -> bytes:
    return json.dumps(json.loads(array), ensure_ascii=False, separators=(",", ":")).encode()
