"""Printing: one JSON document on stdout for machines, tables for people, progress and messages on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDE = 160
"""Columns to print where there is no terminal to ask: a table in a file is not folded into 80."""

FOLDED = 18
"""Columns that a folded text needs at least."""


class Outlet(Console):
    """A console whose reader may go away, as `head` does: the command goes on, and ends with its own exit code."""

    def on_broken_pipe(self) -> None:
        """Let the rest go nowhere; `Console` would end the process with 1, within a run, too."""
        leave(self.file)


OUT = Outlet(highlight=False, width=None if sys.stdout.isatty() else WIDE)
ERR = Outlet(stderr=True, highlight=False)


def leave(stream: IO[str]) -> None:
    """Let what is printed from now on, and what waits to be, go nowhere: its reader has gone, or there is no room."""
    with suppress(OSError), open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), stream.fileno())


def write(text: str) -> None:
    """Print a text as it is; a reader that has gone is no error."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        leave(sys.stdout)


def flush() -> None:
    """Print what waits to be."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        leave(sys.stdout)


def print_json(document: object) -> None:
    """Print one JSON document."""
    write(json.dumps(document, ensure_ascii=False, default=str) + "\n")


def say(text: str) -> None:
    """Print a line of an answer for people. Rich markup is understood; escape what comes from data."""
    OUT.print(text)


def table(
    title: str | None,
    columns: Sequence[str],
    lines: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    cut: Sequence[str] = (),
) -> None:
    """Print a table for people; None is shown as –. `right` names the columns that hold numbers.

    `cut` names columns that are shortened so that each row stays on one line; without any, long texts are folded, and
    where the terminal is too narrow even for that, each row is printed as a block of lines.
    """
    rows = [["–" if cell is None else str(cell) for cell in line] for line in lines]
    if cut:
        rows = _shortened(rows, columns, cut)
    elif _room_needed(rows, columns) > OUT.width:
        _blocks(title, columns, rows)
        return
    drawn = Table(
        title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        number = column in right
        drawn.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=bool(cut) or number)
    for row in rows:
        drawn.add_row(*map(escape, row))
    OUT.print(drawn)


def _room_needed(rows: list[list[str]], columns: Sequence[str]) -> int:
    """Give the width below which a folded table is no longer one that a person reads."""
    widths = [max([len(column), *(len(row[number]) for row in rows)]) for number, column in enumerate(columns)]
    return sum(min(width, FOLDED) + 2 for width in widths) - 2


def _blocks(title: str | None, columns: Sequence[str], rows: list[list[str]]) -> None:
    """Print each row as lines of `column  text`, without the empty ones, and a blank line after it."""
    if title is not None:
        OUT.print(escape(title), style="italic")
    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="bold", no_wrap=True)
    drawn.add_column(overflow="fold")
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            if cell != "–":
                drawn.add_row(escape(column), escape(cell))
        drawn.add_row("", "")
    OUT.print(drawn)


def _shortened(rows: list[list[str]], columns: Sequence[str], cut: Sequence[str]) -> list[list[str]]:
    """Shorten the `cut` columns to the room that the others leave, each to its share but never below its heading."""
    widths = [max([len(column), *(len(row[number]) for row in rows)]) + 2 for number, column in enumerate(columns)]
    room = OUT.width - sum(width for width, column in zip(widths, columns, strict=True) if column not in cut)
    limits = [
        max(len(column), room // len(cut) - 2) if column in cut else width
        for width, column in zip(widths, columns, strict=True)
    ]
    return [
        [cell if len(cell) <= limit else f"{cell[: limit - 1]}…" for cell, limit in zip(row, limits, strict=True)]
        for row in rows
    ]


def minute(instant: str | None) -> str | None:
    """Shorten an ISO instant to what a person reads: `2026-08-22 09:30`."""
    return None if instant is None else instant[:16].replace("T", " ")


@contextmanager
def status(text: str, *, quiet: bool) -> Iterator[None]:
    """Show a spinner on the terminal while a step without a count runs."""
    if quiet or not ERR.is_terminal:
        yield
        return
    with ERR.status(escape(text)):
        yield
