"""`pull`: mirror what changed in the CRM, and on demand compare the mirror with all that the CRM holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, Only, ProjectFolder, clock
from engage_sync.cli.output import print_json, say, table
from engage_sync.cli.reporting import drawn, end, print_errors

NUMBERS = ("crm", "mirror", "expected", "missing", "extra", "stale", "mended")
SHOWN_IDS = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pull)


def pull(
    connector: Only = None,
    project: ProjectFolder = HERE,
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Compare every record with the CRM; exit 1 if the cursor lost any.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Mirror what changed in the CRM."""
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        report = cycle.pull(workspace, connector, clock=clock, reconciling=reconcile, progress=progress)
    if as_json:
        print_json(views.report_json(report))
    else:
        progress.print_pulled()
        if report.reconciled is not None:
            print_reconciled(report.reconciled)
        print_errors(report)
    end(report)


def print_reconciled(reconciled: Mapping[str, Mapping[str, object]]) -> None:
    """Print what the comparison with the CRM found: a line per object, then the first ids of what was lost."""
    found = [
        (name, object_, one)
        for name, objects in reconciled.items()
        for object_, one in objects.items()
        if isinstance(one, Mapping)
    ]
    lines = [(name, object_, *(one[number] for number in NUMBERS)) for name, object_, one in found]
    columns = ("connector", "object", "in the CRM", "in the mirror", "CRM's count", *NUMBERS[3:])
    table("\nCompared with the CRM", columns, lines, right=columns[2:])
    for name, object_, one in found:
        _print_losses(f"{escape(name)} {escape(object_)}", one)
    if any(objects.values() for objects in reconciled.values()) and not any(map(_lost, (one for *_, one in found))):
        say("The mirror holds what the CRM holds: nothing was lost.")


def _lost(one: Mapping[str, object]) -> bool:
    return any(one[kind] for kind in ("missing", "extra", "stale", "short"))


def _print_losses(where: str, one: Mapping[str, object]) -> None:
    ids = one["ids"]
    for kind, records in ids.items() if isinstance(ids, Mapping) else ():
        if records:
            more = " …" if len(records) > SHOWN_IDS else ""
            say(f"{where}: {kind}: {escape(', '.join(records[:SHOWN_IDS]))}{more}")
    if one["short"]:
        say(f"{where}: the CRM counts {one['short']:,} records more than its list shows: compare it with the CRM's own")
    if one["reload"]:
        say(f"{where}: the next pull loads it from the beginning.")
