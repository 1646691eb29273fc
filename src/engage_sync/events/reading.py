"""Blocks of JSON lines as messages: what the import takes in from one block, and what it refuses. Lines of a shape that
is plainly simple are read together; every other line goes through the exact way, whose answer decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from engage_sync.events.columns import from_messages, merged
from engage_sync.events.fast import Shapes, read_together
from engage_sync.events.identity import Hashes, hashes, with_ids
from engage_sync.events.instants import EPOCH, MICROSECOND
from engage_sync.events.lines import Block
from engage_sync.events.message import Message, Refused, read_line
from engage_sync.events.rejects import Reject, shown
from engage_sync.events.slices import as_arrow, as_numpy

_BLANKS: Final = b" \t\r"


@dataclass(frozen=True, slots=True)
class Reading:
    """One block, read: messages as MESSAGES with all ids, their hashes, the refused lines, and how far the file is.
    `read` counts messages and refusals, not blank lines."""

    messages: pa.Table
    hashes: tuple[Hashes, Hashes]
    rejects: list[Reject]
    bytes_done: int

    @property
    def read(self) -> int:
        """Count the lines that held something."""
        return int(self.messages.num_rows) + len(self.rejects)


def read_block(block: Block, shapes: Shapes, latest: datetime) -> Reading:
    """Read a block of JSON lines. A message later than `latest` is refused."""
    together, left = read_together(block, shapes)
    exact, rejects = read_exactly(block, left.tolist())
    return settle(
        merged([together, exact]),
        [*block.rejects, *rejects],
        latest,
        block.bytes_done,
        lambda row: Reject(block.first_line + row, "", shown(block.line(row))),
    )


def settle(
    messages: pa.Table, rejects: list[Reject], latest: datetime, bytes_done: int, place: Callable[[int], Reject]
) -> Reading:
    """Finish a block: refuse what is ahead of the clock, derive missing ids. `place` tells line and text of a row."""
    ahead = as_numpy(messages.column("timestamp")) > (latest - EPOCH) // MICROSECOND
    if ahead.any():
        for row in messages.filter(as_arrow(ahead)).select(["row", "timestamp"]).to_pylist():
            where = place(row["row"])
            reason = f"is more than 24 hours ahead of the clock: {row['timestamp'].isoformat()}"
            rejects.append(Reject(where.line, reason, where.text))
        messages = messages.filter(as_arrow(~ahead))
    rejects.sort(key=lambda reject: reject.line or 0)
    messages = with_ids(messages)
    return Reading(messages, hashes(messages.column("message_id")), rejects, bytes_done)


def read_exactly(block: Block, rows: Iterable[int]) -> tuple[pa.Table, list[Reject]]:
    """Read some lines of a block one by one: MESSAGES, and what is refused; blank lines are neither."""
    messages: list[Message] = []
    kept: list[int] = []
    rejects: list[Reject] = []
    for row in rows:
        line = block.line(row)
        try:
            message = read_line(line)
        except Refused as refused:
            if line.strip(_BLANKS):
                rejects.append(Reject(block.first_line + row, str(refused), shown(line)))
            continue
        messages.append(message)
        kept.append(row)
    return from_messages(messages, kept), rejects
