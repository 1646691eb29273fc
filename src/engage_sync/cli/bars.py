"""Draws the health bar and the stage bar for people: blocks that differ in shape as well as in colour, with counts,
shares and MRR. It fits 80 columns and counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from engage_sync.cli.output import OUT, say

if TYPE_CHECKING:
    import polars as pl

    from engage_sync.sync.bars import Bars

BLOCKS: Mapping[str, tuple[str, str]] = {
    "good": ("█", "green"),
    "normal": ("▓", "bright_black"),
    "bad": ("▒", "red"),
    "unknown": ("░", "yellow"),
    "none": ("·", "dim"),
}
LONG, SHORT = 72, 16


def print_health(bars: Bars) -> None:
    """Draw one bar for each entity, and below it what each part of it is."""
    for frame, title in _titled(bars):
        row = frame.row(0, named=True)
        counts = {name: int(row[name]) for name in BLOCKS}
        say(f"[bold]{title}[/bold]")
        OUT.print(_bar(counts, LONG))
        table = _table("", "health", "count", "share", "MRR")
        for name, (block, colour) in BLOCKS.items():
            if counts[name] or name in {"good", "normal", "bad"}:
                share = f"{counts[name] / row['count']:.0%}" if row["count"] else "–"
                mark = Text(block * 2, style=colour)
                table.add_row(mark, name, f"{counts[name]:,}", share, _money(row[f"{name}_mrr"]))
        OUT.print(table)
        if row["count"] and counts["none"] == row["count"]:
            say("Nobody has a health; `health` in config/model.yaml declares it.")


def print_stages(bars: Bars) -> None:
    """Draw one bar for each stage, as long as its share of the largest."""
    for frame, title in _titled(bars):
        say(f"[bold]{title}[/bold]")
        largest = max(int(count) for count in frame["count"]) or 1
        shown = [name for name in BLOCKS if name in {"good", "normal", "bad"} or int(frame[name].sum())]
        table = _table("stage", "health", "count", "MRR", *shown)
        for row in frame.iter_rows(named=True):
            counts = {name: int(row[name]) for name in BLOCKS}
            if row["stage"] is None and not row["count"]:
                continue
            width = -(-SHORT * row["count"] // largest)
            stage = Text("no stage", style="dim") if row["stage"] is None else Text(row["stage"])
            figures = (f"{counts[name]:,}" for name in shown)
            table.add_row(stage, _bar(counts, width), f"{row['count']:,}", _money(row["mrr"]), *figures)
        OUT.print(table)
        if not frame["stage"].count():
            say("The model has no stages; `stages` in config/model.yaml declares them.")
        OUT.print()
    OUT.print(Text("  ").join(Text(f"{block} {name}", style=colour) for name, (block, colour) in BLOCKS.items()))


def _titled(bars: Bars) -> list[tuple[pl.DataFrame, str]]:
    where = f"run {bars.run}" if bars.run is not None else "not recorded"
    when = f"as of {bars.as_of:%Y-%m-%d %H:%M} UTC ({where})"
    return [
        (frame, f"{int(frame['count'].sum()):,} {entity.value}s {when}, MRR {_money(_known_sum(frame))}")
        for entity, frame in bars.frames.items()
    ]


def _known_sum(frame: pl.DataFrame) -> float | None:
    known = frame["mrr"].drop_nulls()
    return float(known.sum()) if len(known) else None


def _table(*columns: str) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        left = column in {"", "stage", "health"}
        # Only names of stages give way where there is no room.
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "stage", overflow="fold")
    return table


def _bar(counts: Mapping[str, int], width: int) -> Text:
    bar = Text()
    for (block, colour), cells in zip(BLOCKS.values(), _cells(list(counts.values()), width), strict=True):
        bar.append(block * cells, style=colour)
    return bar


def _cells(counts: Sequence[int], width: int) -> list[int]:
    """Share out cells by count, largest remainder first; whoever counts at all gets one, as far as they reach."""
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    width = max(width, sum(1 for count in counts if count))
    cells = [max(1, width * count // total) if count else 0 for count in counts]
    by_need = sorted(range(len(counts)), key=lambda place: width * counts[place] / total - cells[place])
    while (spare := width - sum(cells)) != 0:
        place = by_need[-1] if spare > 0 else next(place for place in by_need if cells[place] > 1)
        cells[place] += 1 if spare > 0 else -1
        by_need.sort(key=lambda one: width * counts[one] / total - cells[one])
    return cells


def _money(mrr: float | None) -> str:
    return "–" if mrr is None else f"{mrr:,.2f}".removesuffix(".00")
