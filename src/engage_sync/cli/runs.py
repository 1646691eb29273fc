"""`runs`: what was done, newest first, and one run with every value it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder
from engage_sync.cli.output import minute, print_json, say, table
from engage_sync.cli.pull import print_reconciled
from engage_sync.cli.reporting import held_told, holds_records, print_buckets
from engage_sync.core.holds import NAMED

if TYPE_CHECKING:
    from engage_sync.sync.steps import StepTaken
    from engage_sync.sync.views import JournalAnswer, RunAnswer

SHOWN_RUNS = 30
SHOWN_LINES = 100
DRIFT = ("object", "record", "field", "theirs", "ours", "outcome", "author", "since")
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
            one["status"] + _relation(one),
            one["exit"],
            one["calls"]["read"],
            one["calls"]["write"],
        )
        for one in answer
    ]
    columns = ("run", "command", "as of", "status", "exit", "reads", "writes")
    table(None, columns, lines, right=("run", "exit", "reads", "writes"))


def _print_one(answer: JournalAnswer) -> None:
    code = "" if answer["exit"] is None else f" (exit {answer['exit']})"
    about = f"{answer['command']} as of {minute(answer['as_of'])} UTC, {answer['status']}{code}"
    say(f"Run {answer['run']}: {about}{_relation(answer)}")
    if answer["steps"]:
        say(f"  took {', '.join(map(_took, answer['steps']))}")
    for reason in held_told(answer["holds"]) or answer["held"]:
        say(f"  held: {escape(reason)}")
    _print_held_records(answer["holds"])
    for name, text in answer["errors"].items():
        say(f"  {name}: {escape(text)}")
    if answer["reconciled"] is not None:
        print_reconciled(answer["reconciled"])
    if holds_records(answer["connectors"]):
        print_buckets(answer["connectors"])
    print_lines(
        "Plan" if answer["command"] == "rollback" else "Held",
        ("object", "record", "field", "before", "after", "decision"),
        answer["held_changes"],
    )
    print_lines("Changed by somebody else", DRIFT, [_with_minute(line) for line in answer["drift"]])
    print_lines("Signals", SIGNALS, answer["deliveries"])
    print_lines(None, ("object", "record", "field", "before", "after", "status", "message"), answer["journal"])


def _took(step: StepTaken) -> str:
    """Say how long a step took: `pull hubspot 1.2 s`."""
    about = f" {escape(step['connector'])}" if step["connector"] is not None else ""
    return f"{step['step']}{about} {step['seconds']:,.1f} s"


def _print_held_records(holds: Sequence[Mapping[str, Any]]) -> None:
    """List the records, or users, that the sentences of brakes could not spell out."""
    for hold in holds:
        records, more = hold["records"], hold["count"] - len(hold["records"])
        if hold["count"] > NAMED and records:
            place = " ".join(part for part in (hold["connector"], hold["object"]) if part)
            rest = f" … and {more:,} more" if more else ""
            say(f"  {escape(place)} {hold['kind']}: {escape(', '.join(records))}{rest}")


def _relation(answer: RunAnswer) -> str:
    """Say which held run a run went on with, which run went on with it, or which run it rolled back."""
    if answer["undone"] is not None:
        return f", {'only showing what would undo' if answer['only_shown'] else 'undoing'} run {answer['undone']}"
    if answer["approved_by"] is not None:
        return f", approved by run {answer['approved_by']}"
    return "" if answer["approved"] is None else f", approving run {answer['approved']}"


def _with_minute(line: Mapping[str, object]) -> Mapping[str, object]:
    """Give a line of drift with its instant as a person reads it."""
    return {**line, "since": minute(str(line["since"]))}


def print_lines(title: str | None, columns: Sequence[str], lines: Sequence[Mapping[str, object]]) -> None:
    """Print the first lines as a table; nothing where there are none."""
    if lines:
        table(title, columns, ([line.get(name) for name in columns] for line in lines[:SHOWN_LINES]))
    if len(lines) > SHOWN_LINES:
        say(f"… and {len(lines) - SHOWN_LINES:,} more (`--json` gives all of them).")
