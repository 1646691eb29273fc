"""`provision`: show, then create, the CRM fields and options that the project declares and the CRM lacks."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from engage_sync.cli.check import print_advice
from engage_sync.cli.logs import configure
from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import ERR, print_json, say, status, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(provision)


def provision(
    apply: Annotated[bool, typer.Option("--apply", help="Create them; without it they are only listed.")] = False,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show, then create, the missing CRM fields, options and field permissions."""
    from engage_sync.sync import provisioning, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    configure()
    with wiring.open_workspace(project) as workspace, status("comparing fields", quiet=as_json):
        made = provisioning.provide(workspace, apply=apply)
    error = made.error()
    if error is not None and len(made.errors) == 1 and not made.fields:
        raise error
    if as_json:
        print_json(views.provision_json(made, applied=apply))
        raise typer.Exit(made.exit)
    lines = [(one.connector, one.object, one.field, one.type, one.result, one.message) for one in made.fields]
    table(None, ("connector", "object", "field", "type", "result", "note"), lines)
    waiting = sum(one.result in provisioning.WAITING for one in made.fields)
    if waiting:
        say(f"\n{waiting} to create or mend: run `engage-sync provision --apply`.")
    print_advice(made.advice)
    for name, sentence in made.sentences.items():
        ERR.print(f"{escape(name)}: {escape(sentence)}", soft_wrap=True)
    if made.exit:
        raise typer.Exit(made.exit)
