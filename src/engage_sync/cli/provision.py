"""`provision`: show, then create, the CRM fields and options that the project declares and the CRM lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from engage_sync.cli.logs import configure
from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import print_json, say, status, table
from engage_sync.errors import EXIT_PARTIAL


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(provision)


def provision(
    apply: Annotated[bool, typer.Option("--apply", help="Create them; without it they are only listed.")] = False,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show, then create, the missing CRM fields, options and field permissions."""
    from engage_sync.sync import doctor, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    configure()
    with wiring.open_workspace(project) as workspace, status("comparing fields", quiet=as_json):
        done = doctor.provision(workspace, apply=apply)
    if as_json:
        print_json(views.provision_json(done, applied=apply))
    else:
        lines = [(one.connector, one.object, one.field, one.type, one.result, one.message) for one in done]
        table(None, ("connector", "object", "field", "type", "result", "note"), lines)
        waiting = sum(one.result in {"missing", "options missing"} for one in done)
        if waiting:
            say(f"\n{waiting} to create: run `engage-sync provision --apply`.")
    if any(one.result == "refused" for one in done):
        raise typer.Exit(EXIT_PARTIAL)
