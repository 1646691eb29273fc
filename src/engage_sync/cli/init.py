"""`init`: start a project from the ready-made files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engage_sync.cli.options import HERE, AsJson
from engage_sync.cli.output import print_json, say
from engage_sync.errors import Mistake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", show_default="the current folder")] = HERE,
    crm: Annotated[
        list[str] | None, typer.Option("--crm", help="A CRM to connect; may be given several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a project: commented configuration, a ready-made model, one file per CRM."""
    from engage_sync.sync import project_files  # noqa: PLC0415  start-up: --help needs none of it

    chosen = crm or _asked(project_files.crms())
    try:
        written = project_files.init(folder, chosen)
    except OSError as error:
        raise Mistake(f"cannot write the project into {folder}: {error.strerror or error}") from None
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {path}")
    say(
        "\nNext: put what the connectors/*.yaml files read as ${…} into the environment (docs/connect-hubspot.md and"
        " docs/connect-salesforce.md say where to find it), then run `engage-sync check`."
    )


def _asked(known: list[str]) -> list[str]:
    """Ask a person which CRM to connect; without a terminal take the first."""
    if len(known) > 1 and sys.stdin.isatty():
        answer = typer.prompt(f"Which CRM ({', '.join(known)})?", default=known[0])
        return [name.strip() for name in answer.split(",") if name.strip()]
    return known[:1]
