"""`check`: read the files, log in, and list what an admin must do before a first write succeeds."""

from __future__ import annotations

import typer

from engage_sync.cli.logs import configure
from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import print_json, say, table
from engage_sync.errors import Mistake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Read the files, log in, compare declared with existing fields and permissions; an admin's to-do list."""
    from engage_sync.sync import doctor, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    configure()
    try:
        with wiring.open_workspace(project) as workspace:
            gaps, code = doctor.check(workspace)
            connectors = [file.name for file in workspace.project.connectors]
    except Mistake as mistake:
        if as_json:
            print_json(views.mistake_json(mistake))
            raise typer.Exit(mistake.exit_code) from None
        raise
    if as_json:
        print_json(views.check_json(gaps))
    elif not gaps:
        say(f"Every field that {', '.join(connectors) or 'the project'} needs is there and can hold its value.")
    else:
        lines = [(f"{gap.file}:{gap.line}" if gap.line else gap.file, gap.problem, gap.todo) for gap in gaps]
        table(f"{len(gaps)} things to do", ("where", "problem", "to do"), lines)
    if code:
        raise typer.Exit(code)
