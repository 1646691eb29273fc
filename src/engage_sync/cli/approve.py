"""`approve`: go on with a run that brakes held."""

from __future__ import annotations

from typing import Annotated

import typer

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json
from engage_sync.cli.reporting import drawn, end, print_report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(approve)


def approve(
    run: Annotated[int, typer.Argument(metavar="RUN", min=1, max=2**31 - 1, help="The run that was held.")],
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that brakes held, at its own instant, or write again what `rollback` took back.

    Only the connectors that still wait are pulled and pushed: what people typed since is respected as ever. What the
    run was held for no longer holds it; another reason, other records, or a share that has grown by more than a tenth
    since, does. Of a run that was rolled back, only the values taken back are written. One that was held because a
    clock had been ahead goes on as of now, and what was recorded for later is forgotten.
    """
    from engage_sync.sync import approval, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        report = approval.approve(workspace, run, clock=clock, progress=progress)
    if as_json:
        print_json(views.report_json(report))
    else:
        print_report(report)
    end(report)
