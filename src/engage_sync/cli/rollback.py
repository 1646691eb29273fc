"""`rollback`: take back what a run wrote, where nobody changed it since, as a plan that is shown first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.asking import agreed, somebody_there
from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json, say, table
from engage_sync.cli.reporting import SHOWN_CHANGES, drawn, end, print_report

if TYPE_CHECKING:
    from engage_sync.sync.rollback import Confirm, Undone
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
    asking = somebody_there() and not plan

    def show(planned: Undoing) -> bool:
        if not as_json:
            _print_plan(planned)
        return not plan and (not asking or planned.restores().is_empty())

    def carried_out(confirm: Confirm) -> Undone:
        from engage_sync.sync import rollback as undoing  # noqa: PLC0415  start-up: --help needs none of it
        from engage_sync.sync import wiring  # noqa: PLC0415  the same

        with wiring.open_workspace(project) as workspace, drawn(quiet=as_json or asking) as progress:
            return undoing.rollback(workspace, run, clock=clock, confirm=confirm, progress=progress)

    done = carried_out(show)
    if asking:
        done = _asked(done, carried_out, show)
    if as_json:
        print_json(done.json())
    else:
        _print_end(done, planned_only=plan)
    end(done.report)


def _asked(done: Undone, carried_out: Callable[[Confirm], Undone], show: Confirm) -> Undone:
    """Ask a person about what was shown, wherever it is printed to, and carry that out; where it has become another
    plan, ask again. Nothing waits for the answer: the run that showed it has ended, and another one carries it out."""
    while _agreed(done.plan):
        before = done.plan
        done = carried_out(before.restores_as)
        if done.plan.restores_as(before):
            return done
        typer.echo("What is to be restored has changed while you were asked:", err=True)
        show(done.plan)
    return done


def _agreed(planned: Undoing) -> bool:
    """Ask a person, where there is anything to ask about. Ctrl-C ends the command."""
    restores = planned.restores()
    if restores.is_empty():
        return False
    records = restores.select("connector", "object", "record").n_unique()
    return agreed(f"Restore {_counted(restores.height, 'value')} of {_counted(records, 'record')}?")


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
