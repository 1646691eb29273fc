"""`pull`: mirror what changed in the CRM."""

from __future__ import annotations

import typer

from engage_sync.cli.options import HERE, AsJson, Only, ProjectFolder, clock
from engage_sync.cli.output import print_json
from engage_sync.cli.reporting import drawn, end, print_errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pull)


def pull(connector: Only = None, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Mirror what changed in the CRM."""
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        report = cycle.pull(workspace, connector, clock=clock, progress=progress)
    if as_json:
        print_json(views.report_json(report))
    else:
        progress.print_pulled()
        print_errors(report)
    end(report)
