"""`runs`: what was done, newest first, and one run with every value it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import minute, print_json, say, table

if TYPE_CHECKING:
    from engage_sync.sync.views import JournalAnswer

SHOWN_RUNS = 30
SHOWN_LINES = 100
SIGNALS = ("signal", "phase", "entity", "external_id", "action", "connector", "status", "attempts", "message")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(runs)


def runs(
    run: Annotated[
        int | None, typer.Argument(metavar="[ID]", min=1, max=2**31 - 1, help="One run, with what it wrote.")
    ] = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """List the runs, or show one with what it wrote."""
    from engage_sync.sync import views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        if run is not None:
            one = views.run_with_journal(workspace, run)
            print_json(one) if as_json else _print_one(one)
            return
        answer = views.runs_json(workspace, SHOWN_RUNS)
    if as_json:
        print_json(answer)
        return
    lines = [
        (
            one["run"],
            one["command"],
            minute(one["as_of"]),
            one["status"],
            one["exit"],
            one["calls"]["read"],
            one["calls"]["write"],
        )
        for one in answer
    ]
    columns = ("run", "command", "as of", "status", "exit", "reads", "writes")
    table(None, columns, lines, right=("run", "exit", "reads", "writes"))


def _print_one(answer: JournalAnswer) -> None:
    about = f"{answer['command']} as of {minute(answer['as_of'])} UTC, {answer['status']} (exit {answer['exit']})"
    say(f"Run {answer['run']}: {about}")
    for reason in answer["held"]:
        say(f"  held: {escape(reason)}")
    for name, text in answer["errors"].items():
        say(f"  {name}: {escape(text)}")
    print_lines("Held", ("object", "record", "field", "before", "after", "decision"), answer["held_changes"])
    print_lines("Signals", SIGNALS, answer["deliveries"])
    print_lines(None, ("object", "record", "field", "before", "after", "status", "message"), answer["journal"])


def print_lines(title: str | None, columns: Sequence[str], lines: Sequence[Mapping[str, object]]) -> None:
    """Print the first lines as a table; nothing where there are none."""
    if lines:
        table(title, columns, ([line.get(name) for name in columns] for line in lines[:SHOWN_LINES]))
    if len(lines) > SHOWN_LINES:
        say(f"… and {len(lines) - SHOWN_LINES:,} more (`--json` gives all of them).")
