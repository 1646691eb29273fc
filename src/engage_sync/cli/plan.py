"""`plan`: the cycle stopped before the push, printed."""

from __future__ import annotations

import typer

from engage_sync.cli.options import HERE, AsJson, AsOf, Only, ProjectFolder, clock, instant_or_now
from engage_sync.cli.output import print_json
from engage_sync.cli.reporting import drawn, end, print_plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plan)


def plan(connector: Only = None, as_of: AsOf = None, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Pull, compute and plan; writes nothing anywhere but the mirror."""
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    at = instant_or_now(as_of)
    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        report = cycle.plan(workspace, connector, at, clock=clock, clocked=as_of is None, progress=progress)
    if as_json:
        print_json(views.plan_json(report))
    else:
        print_plan(report)
    end(report)
