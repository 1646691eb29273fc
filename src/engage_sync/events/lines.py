"""Files as blocks of complete lines, plain or gzip, in flat memory whatever a file holds: a line over the limit is
passed over, not read in. It finds where lines start and end and never looks into them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from engage_sync.errors import Mistake
from engage_sync.events.rejects import Reject, shown
from engage_sync.events.slices import PADDING

Positions = npt.NDArray[np.int64]

LONGEST_LINE: Final = 16 * 1024 * 1024
BLOCK_BYTES: Final = 4 * 1024 * 1024
_STEP: Final = 1024 * 1024
_KEPT_OF_LONG: Final = 400
_NEWLINE, _RETURN = 10, 13
_ZEROS: Final = bytes(PADDING)


@dataclass(frozen=True, slots=True)
class Block:
    """Complete lines of one file. Line `row` is `data[starts[row]:ends[row]]` and has the number `first_line + row`;
    PADDING zero bytes follow the last one.
    `bytes_done` is the place in the file as it is stored, after this block."""

    data: bytes
    starts: Positions
    ends: Positions
    first_line: int
    bytes_done: int
    rejects: list[Reject] = field(default_factory=list)

    def line(self, row: int) -> bytes:
        """Give the bytes of one line."""
        return self.data[self.starts[row] : self.ends[row]]


class ByteSource:
    """The bytes of a file, unpacked where its name ends in `.gz`. After the end `damage` says what broke a gzip file;
    everything before the damage has been given. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.damage: str | None = None
        self._path: Final = path
        self._packed: Final = path.suffix.lower() == ".gz"
        self._inflate = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._begun = False
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise Mistake(f"{path} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def position(self) -> int:
        """Tell how many bytes of the stored file have been read."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Give up to about `size` bytes; nothing at the end or at the damage."""
        if not self._packed:
            return self._read_file(size)
        parts: list[bytes] = []
        have = 0
        while have < size and self.damage is None:
            part = self._unpack()
            if part is None:
                break
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def _read_file(self, size: int) -> bytes:
        try:
            return self._file.read(size) or b""
        except OSError as error:
            raise Mistake(f"{self._path} cannot be read: {error.strerror}") from error

    def _unpack(self) -> bytes | None:
        """Give the next unpacked bytes, possibly none; None at the end of the file."""
        packed = self._waiting or self._read_file(_STEP // 4)
        if not packed:
            if self._begun or self.position() == 0:
                self.damage = "the gzip file ends in the middle"
            return None
        self._waiting = b""
        if not self._begun:
            packed = packed.lstrip(b"\0") if self.position() > len(packed) else packed
            if not packed:
                return b""
            self._begun = True
        before = self._inflate.copy()
        try:
            data = self._inflate.decompress(packed, _STEP)
        except zlib.error as error:
            self.damage = f"the gzip file is damaged ({error})"
            return _up_to_damage(before, packed)
        self._waiting = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._waiting = self._inflate.unused_data
            self._inflate = zlib.decompressobj(wbits=31)
            self._begun = False
        return data


def _up_to_damage(inflate: zlib._Decompress, packed: bytes) -> bytes:
    """Unpack byte by byte what comes before the damage."""
    parts: list[bytes] = []
    have = 0
    try:
        for place in range(len(packed)):
            parts.append(inflate.decompress(packed[place : place + 1]))
            have += len(parts[-1])
            if have > _STEP:
                break
    except zlib.error:
        pass
    return b"".join(parts)


def read_blocks(path: Path) -> Iterator[Block]:
    """Cut a file into blocks. A line over LONGEST_LINE and the damage of a gzip file come as rejects of a block."""
    with ByteSource(path) as source:
        line = 1
        carry = b""
        skipped = 0
        first = True
        while chunk := source.read(BLOCK_BYTES):
            if first:
                chunk, first = chunk.removeprefix(b"\xef\xbb\xbf"), False
            if skipped:
                cut = chunk.find(b"\n")
                skipped += len(chunk) if cut < 0 else cut
                if cut < 0:
                    continue
                yield _rejecting(line, source.position(), _too_long(line, skipped, carry))
                chunk, carry, skipped, line = chunk[cut + 1 :], b"", 0, line + 1
            cut = chunk.rfind(b"\n")
            if cut < 0:
                carry += chunk
                if len(carry) > LONGEST_LINE + 1:
                    skipped, carry = len(carry), carry[:_KEPT_OF_LONG]
                continue
            block = _block(b"".join([carry, memoryview(chunk)[:cut], _ZEROS]), line, source.position())
            carry = chunk[cut + 1 :]
            line += len(block.starts)
            yield block
        yield _last(source, line, carry, skipped)


def _last(source: ByteSource, line: int, carry: bytes, skipped: int) -> Block:
    """Give what follows the last line break."""
    if source.damage:
        reason = f"{source.damage}; everything before this line has been read"
        return _rejecting(line, source.position(), Reject(line, reason, shown(carry)))
    if skipped:
        return _rejecting(line, source.position(), _too_long(line, skipped, carry))
    if carry:
        return _block(carry + _ZEROS, line, source.position())
    return _rejecting(line, source.position())


def _block(data: bytes, line: int, bytes_done: int) -> Block:
    size = len(data) - PADDING
    view = np.frombuffer(data, dtype=np.uint8)[:size]
    breaks = np.flatnonzero(view == _NEWLINE)
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [size]])
    filled = ends > starts
    returned = np.zeros(len(ends), dtype=bool)
    returned[filled] = view[ends[filled] - 1] == _RETURN
    ends = ends - returned
    rejects = []
    for row in np.flatnonzero(ends - starts > LONGEST_LINE):
        rejects.append(_too_long(line + int(row), int(ends[row] - starts[row]), data[starts[row] :][:_KEPT_OF_LONG]))
        ends[row] = starts[row]
    return Block(data, starts, ends, line, bytes_done, rejects)


def _rejecting(line: int, bytes_done: int, *rejects: Reject) -> Block:
    none = np.zeros(0, dtype=np.int64)
    return Block(b"", none, none, line, bytes_done, list(rejects))


def _too_long(line: int, size: int, begin: bytes) -> Reject:
    reason = f"the line has {size:,} bytes; a line may have {LONGEST_LINE:,}"
    return Reject(line, reason, shown(begin[:_KEPT_OF_LONG]))
