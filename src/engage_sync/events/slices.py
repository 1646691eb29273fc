"""Slices of a block's bytes as arrays: eight bytes at any place as one number, and many slices as one Arrow text array.
It moves bytes and knows nothing of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

PADDING: Final = 64
"""Bytes that must follow the last one that is looked at."""

_MASKS: Final = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)


def as_arrow(values: npt.NDArray[np.generic], valid: Flags | None = None) -> pa.Array:
    """Make an Arrow array of numbers or truth values without a copy of numbers; `pa.array` would import pandas."""
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    if values.dtype == np.bool_:
        bits = pa.py_buffer(np.packbits(values.astype(bool), bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), len(values), [mask, bits])
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [mask, pa.py_buffer(values)])


def as_numpy(column: pa.ChunkedArray) -> Ints:
    """Give the 64-bit values of a column without nulls; `to_numpy` would import pandas."""
    parts = [np.frombuffer(c.buffers()[1], np.int64, len(c), 8 * c.offset) for c in column.chunks if len(c)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def texts_as_arrow(texts: Sequence[str]) -> pa.Array:
    """Make an Arrow array of texts; `pa.array` would import pandas."""
    raw = [text.encode() for text in texts]
    bounds = np.cumsum([0, *map(len, raw)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(raw), [None, pa.py_buffer(bounds), pa.py_buffer(b"".join(raw))])


class Slices:
    """The bytes of a block, followed by PADDING, with room for texts that are made while it is read."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data
        self.bytes: Final[Bytes] = np.frombuffer(data, dtype=np.uint8)
        self._words: Final = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
        self._extras: list[bytes] = []
        self._size = len(data)
        self._joined = data

    def words(self, starts: Ints) -> Words:
        """Give the eight bytes from each place on, the first one lowest."""
        return self._words[starts]

    def masked_words(self, starts: Ints, lengths: Ints) -> Words:
        """Give up to eight bytes of each slice; what is beyond its end is zero."""
        return np.asarray(self._words[starts] & _MASKS[np.minimum(lengths, 8)])

    def matrix(self, starts: Ints, width: int) -> Bytes:
        """Give `width` bytes (a multiple of 8) from each place on, one row each."""
        rows = np.empty((len(starts), width // 8), dtype=np.uint64)
        for column in range(width // 8):
            rows[:, column] = self._words[starts + 8 * column]
        return rows.view(np.uint8)

    def add(self, texts: list[bytes]) -> tuple[Ints, Ints]:
        """Add texts that are not in the block and give their starts and ends."""
        ends = self._size + np.cumsum([len(text) for text in texts], dtype=np.int64)
        self._extras += texts
        starts = np.concatenate([[self._size], ends[:-1]]).astype(np.int64)[: len(texts)]
        self._size = int(ends[-1]) if len(texts) else self._size
        return starts, ends

    def gather(self, starts: Ints, ends: Ints, valid: Flags | None = None) -> pa.Array:
        """Make a text array of slices; where `valid` is false it has null. The bytes must be UTF-8."""
        count = len(starts)
        if not count:
            return texts_as_arrow([])
        if len(self._joined) < self._size:
            self._joined = b"".join([self.data, *self._extras])
        # Every other element of an array over interleaved bounds is a slice; take() copies those and never looks at
        # the rest, so the bounds need not ascend. The last bound only tells take() how much room to reserve.
        bounds = np.empty(2 * count + 1, dtype=np.int32)
        bounds[0:-1:2] = starts
        bounds[1::2] = ends
        bounds[-1] = min(int(bounds[0]) + 2 * int((ends - starts).sum()), self._size)
        array = pa.Array.from_buffers(pa.string(), 2 * count, [None, pa.py_buffer(bounds), pa.py_buffer(self._joined)])
        places = as_arrow(np.arange(0, 2 * count, 2, dtype=np.int64), valid)
        return pc.take(array, places, boundscheck=False)
