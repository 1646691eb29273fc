"""`sync` and `push`: the whole cycle, with and without the pull."""

from __future__ import annotations

from pathlib import Path

import typer

from engage_sync.cli.options import HERE, AsJson, AsOf, Only, ProjectFolder, clock, instant_or_now
from engage_sync.cli.output import print_json
from engage_sync.cli.reporting import drawn, end, print_report


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(push)
    app.command()(sync)


def sync(connector: Only = None, as_of: AsOf = None, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Pull, compute, plan and push."""
    _run(connector, as_of, project, as_json=as_json, pulling=True)


def push(connector: Only = None, as_of: AsOf = None, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Compute, plan and push, without a pull."""
    _run(connector, as_of, project, as_json=as_json, pulling=False)


def _run(connector: str | None, as_of: str | None, project: Path, *, as_json: bool, pulling: bool) -> None:
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    at = instant_or_now(as_of)
    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        report = cycle.sync(
            workspace, connector, at, clock=clock, pulling=pulling, clocked=as_of is None, progress=progress
        )
    if as_json:
        print_json(views.report_json(report))
    else:
        print_report(report)
    end(report)
