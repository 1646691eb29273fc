"""What reading back showed, in sentences: which records do not hold what the CRM said it wrote, and how many were read.
Used by every command that writes to a CRM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from engage_sync.cli.output import say

if TYPE_CHECKING:
    from engage_sync.sync.readback import Verified
    from engage_sync.sync.reports import Report


def print_verified(report: Report) -> None:
    """Print what reading back the written records showed; nothing where nothing was written or read."""
    every = [
        (f"{name} {object_}", one) for name, objects in report.verified.items() for object_, one in objects.items()
    ]
    for place, one in every:
        _print_wrong(escape(place), one)
    checked = sum(one.checked for _, one in every)
    if checked:
        well = sum(one.held for _, one in every)
        holds = "all hold" if well == checked else f"{well:,} hold what was written"
        say(f"{checked:,} of {sum(one.written for _, one in every):,} written records were read back: {holds}.")


def _print_wrong(place: str, one: Verified) -> None:
    of = f"{one.checked:,} records read back"
    if one.not_held:
        say(
            f"[bold red]{place}[/bold red]: the CRM answered that it wrote {one.not_held:,} of the {of},"
            " and they still hold the old values. They count as failed."
        )
    if one.overruled:
        say(f"{place}: {one.overruled:,} of the {of} were changed at once by somebody, or by a workflow.")
    if one.error is not None:
        say(f"[bold]{place}[/bold]: what was written could not be read back: {escape(one.error)}")
