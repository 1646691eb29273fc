"""`rollback`: take back what a run wrote, where nobody changed it since, as a plan that is shown first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json, say, table
from engage_sync.cli.reporting import SHOWN_CHANGES, drawn, end, print_report

if TYPE_CHECKING:
    from engage_sync.sync.rollback import Undone
    from engage_sync.sync.undo_plan import Undoing


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rollback)


def rollback(
    run: Annotated[int, typer.Argument(metavar="RUN", min=1, max=2**31 - 1, help="The run to take back.")],
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be restored; write nothing.")] = False,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Restore the values that a run replaced, where nobody changed them since.

    On a terminal it shows them and asks; without one, as in a script, it goes on.
    """
    from engage_sync.sync import rollback as undoing  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import wiring  # noqa: PLC0415  the same

    def confirm(planned: Undoing) -> bool:
        if not as_json:
            _print_plan(planned)
        return not plan and _agreed(planned)

    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json or sys.stdin.isatty()) as progress:
        done = undoing.rollback(workspace, run, clock=clock, confirm=confirm, progress=progress)
    if as_json:
        print_json(done.json())
    else:
        _print_end(done, planned_only=plan)
    end(done.report)


def _agreed(planned: Undoing) -> bool:
    """Ask a person, wherever the plan is printed to; without a terminal go on. Ctrl-C ends the command."""
    restores = planned.restores()
    if restores.is_empty() or not sys.stdin.isatty():
        return True
    records = restores.select("connector", "object", "record").n_unique()
    try:
        return typer.confirm(
            f"Restore {_counted(restores.height, 'value')} of {_counted(records, 'record')}?", err=True
        )
    except typer.Abort:
        raise KeyboardInterrupt from None


def _print_plan(planned: Undoing) -> None:
    restores = planned.restores()
    left = planned.changes.height - restores.height
    if planned.nothing is not None:
        say(f"{planned.nothing[0].upper()}{planned.nothing[1:]}.")
    elif planned.changes.is_empty():
        say(f"Nothing to restore: every field that run {planned.undone} wrote holds what it held before.")
    else:
        say(f"Run {planned.undone}: {_counted(restores.height, 'value')} to restore, {left:,} left as they are.")
        columns = ("object", "record", "field", "before", "after", "decision", "reason")
        first = planned.changes.sort("decision", descending=True, maintain_order=True).head(SHOWN_CHANGES)
        headings = ("object", "record", "field", "now", "restored", "decision", "reason")
        table(None, headings, first.select(columns).iter_rows())
        if planned.changes.height > SHOWN_CHANGES:
            say(f"… and {planned.changes.height - SHOWN_CHANGES:,} more (`--json` gives all of them).")
    if planned.actions:
        was = "is" if planned.actions == 1 else "are"
        say(f"{_counted(planned.actions, 'action')} of signals of run {planned.undone} {was} not undone.")


def _print_end(done: Undone, *, planned_only: bool) -> None:
    if planned_only or not done.confirmed:
        for name, text in done.report.errors.items():
            say(f"[bold red]{escape(name)}[/bold red]: {escape(text)}")
        if done.plan.restores().height:
            say("Nothing was written." if planned_only else "Nothing was restored.")
        return
    print_report(done.report)
    undone = done.plan.undone
    say(
        f"Restored {_counted(done.restored, 'value')}. Run {undone}'s values are written again when another value is"
        f" wanted, or after `engage-sync approve {undone}`."
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
