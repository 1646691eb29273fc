"""`status`: each connector's last success and what waits, on one screen."""

from __future__ import annotations

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import minute, print_json, say, table
from engage_sync.cli.runs import SIGNALS, print_lines


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Show each connector's last success, its links and failures, and the newest run."""
    from engage_sync.sync import views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        answer = views.status_json(workspace)
    if as_json:
        print_json(answer)
        return
    newest = answer["newest_run"]
    if newest is None:
        say("Nothing has run yet. `engage-sync sync` does everything.")
    else:
        say(
            f"Newest run: {newest['run']} ({newest['command']}) as of {minute(newest['as_of'])} UTC: {newest['status']}"
        )
        for reason in newest["held"]:
            say(f"  held: {escape(reason)}")
        for name, text in newest["errors"].items():
            say(f"  {name}: {escape(text)}")
    lines = [
        (name, minute(one["last_pull"]), minute(one["last_push"]), linked, one["failures"])
        for name, one in answer["connectors"].items()
        for linked in [", ".join(f"{count:,} {object_}" for object_, count in one["linked"].items())]
    ]
    told = [f"{count:,} {name}" for name, count in answer["signals"].items() if count]
    if told:
        say(f"Actions of signals: {', '.join(told)}.")
    print_lines("Signals that wait or failed", SIGNALS, answer["deliveries"])
    table(None, ("connector", "last pull", "last push", "linked", "failures"), lines, right=("failures",))
