"""Prints one timeline for people: what changed and when, newest first, in the project's time zone, and each score as a
row of small bars. It reads nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.markup import escape

from engage_sync.cli.output import say, table

if TYPE_CHECKING:
    from engage_sync.sync.link_history import Link
    from engage_sync.sync.timeline import Change, Interval, Timeline

LEVELS = "▁▂▃▄▅▆▇█"
DAYS = 60
"""Days that a row of bars shows at most: the newest."""
CHANGES = 50


def print_timeline(found: Timeline) -> None:
    """Print it."""
    zone = ZoneInfo(found.timezone)
    days = found.scores
    say(f"[bold]{found.entity.value} {escape(found.external_id)}[/bold]  {days[0].day} to {days[-1].day}")
    say(f"[dim]times are in {found.timezone}[/dim]")
    for title, intervals in (("stages", found.stages), ("segments", found.segments), ("signals", found.signals)):
        if intervals:
            say("")
            table(title, ("", "entered", "left"), (_interval(one, zone) for one in reversed(intervals)))
    if found.links:
        say("")
        table("links", ("when", "what"), list(_link_lines(found.links, zone))[::-1])
    if rows := list(_score_rows(found)):
        say("")
        table("scores", ("", "newest", "band", "by day"), rows, right=("newest",))
    say("")
    if not found.transitions:
        say("Nothing has changed since the first recorded run.")
        return
    newest = found.transitions[: -CHANGES - 1 : -1]
    table("changes", ("when", "run", "what", "why"), (_change(one, zone) for one in newest), right=("run",))
    if len(found.transitions) > CHANGES:
        say(f"The newest {CHANGES} of {len(found.transitions):,} changes are shown; `--json` gives all.")


def _interval(one: Interval, zone: ZoneInfo) -> tuple[str, str, str]:
    return one.name, _local(one.entered_at, zone), "still" if one.left_at is None else _local(one.left_at, zone)


def _link_lines(links: Sequence[Link], zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """Give a line for each beginning and end of a link, oldest first. Where a merge moved it, that is one line."""
    moved = {(one.connector, one.object, one.moved_to, one.until) for one in links if one.moved_to}
    lines = []
    for one in links:
        if (one.connector, one.object, one.record, one.since) not in moved:
            lines.append((one.since, f"linked to {one.object} {one.record} ({one.connector})"))
        if one.until is not None and one.moved_to:
            lines.append((one.until, f"{one.object} {one.record} moved to {one.moved_to}: merged ({one.connector})"))
        elif one.until is not None:
            lines.append((one.until, f"no longer linked: {one.object} {one.record} {one.end} ({one.connector})"))
    for instant, text in sorted(lines):
        yield _local(instant, zone), text


def _change(one: Change, zone: ZoneInfo) -> tuple[str, int, str, str]:
    name = one.kind if one.name in {"", one.kind} else f"{one.kind} {one.name}"
    return _local(one.at, zone), one.run, f"{name}: {one.before or '–'} → {one.after or '–'}", "; ".join(one.reasons)


def _score_rows(found: Timeline) -> Iterator[tuple[str, object, object, str]]:
    shown = found.scores[-DAYS:]
    for name in dict.fromkeys(name for day in shown for name in day.scores):
        values = [day.scores.get(name) for day in shown]
        yield name, _number(values[-1]), shown[-1].bands.get(name), sparkline(values)


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def sparkline(values: Sequence[object]) -> str:
    """Draw scores from 0 to 100 as bars of eight heights; a day without a score is a space."""
    steps = len(LEVELS) - 1
    return "".join(
        LEVELS[round(steps * min(max(value, 0), 100) / 100)] if isinstance(value, (int, float)) else " "
        for value in values
    )


def _local(instant: datetime, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M}"
