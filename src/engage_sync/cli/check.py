"""`check`: read the files, log in, and list what an admin must do before a first write succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.logs import configure
from engage_sync.cli.options import HERE, AsJson, Only, ProjectFolder, clock
from engage_sync.cli.output import OUT, print_json, say, status
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engage_sync.sync.acceptance import Accepted
    from engage_sync.sync.doctor import Gap


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    connector: Only = None,
    accept_account: Annotated[
        bool,
        typer.Option("--accept-account", help="The connector shall work with another CRM account: forget the former."),
    ] = False,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Read the files, log in, compare declared with existing fields and permissions; an admin's to-do list."""
    from engage_sync.sync import acceptance, doctor, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    configure()
    accepted: Accepted | None = None
    try:
        with wiring.open_workspace(project) as workspace, status("asking the CRMs", quiet=as_json):
            if accept_account:
                if connector is None:
                    raise Mistake("--accept-account needs the connector: `engage-sync check NAME --accept-account`")
                accepted = acceptance.accept_account(workspace, connector, clock=clock)
                tell_accepted(accepted, quiet=as_json)
            found = doctor.examine(workspace, connector)
            connectors = [file.name for file in workspace.connector_files(connector)]
    except Mistake as mistake:
        if as_json:
            print_json(views.mistake_json(mistake))
            raise typer.Exit(mistake.exit_code) from None
        raise
    if as_json:
        print_json(views.check_json(found, accepted))
    else:
        if found.gaps:
            print_gaps(found.gaps)
        else:
            named = escape(", ".join(connectors)) or "the project"
            say(f"Every declared field of {named} is there and can hold its value.")
        print_advice(found.advice)
        if found.mistakes:
            raise Mistake(found.mistakes)
    if found.exit:
        raise typer.Exit(found.exit)


def tell_accepted(accepted: Accepted, *, quiet: bool) -> None:
    """Say what became of the confirmation."""
    if quiet:
        return
    name = escape(accepted.connector)
    account = (
        "an account that it does not name" if accepted.account is None else f"the account {escape(accepted.account)}"
    )
    if accepted.changed:
        former = escape(accepted.former or "")
        say(f"{name} works with {account} now; what was known of {former} is forgotten.")
    else:
        say(f"{name} reaches {account}, as before: there was nothing to confirm.")


def print_gaps(gaps: Sequence[Gap]) -> None:
    """Print a numbered to-do list for each connector file: what to do, and below it every place that asks for it."""
    for file in dict.fromkeys(gap.file for gap in gaps):
        todos: dict[str, list[Gap]] = {}
        for gap in gaps:
            if gap.file == file:
                todos.setdefault(gap.todo, []).append(gap)
        things = "1 thing" if len(todos) == 1 else f"{len(todos)} things"
        say(f"[bold]{escape(file)}[/bold]: {things} to do, in this order")
        for number, (todo, asking) in enumerate(todos.items(), start=1):
            OUT.print(f"{number:>3}. {escape(todo)}", soft_wrap=True)
            for gap in asking:
                place = f"{gap.file}:{gap.line}" if gap.line else gap.file
                OUT.print(f"       [dim]{escape(place)}[/dim]  {escape(gap.problem)}", soft_wrap=True)


def print_advice(advice: Mapping[str, Sequence[str]]) -> None:
    """Print what an admin may do besides: nothing waits for it."""
    for name, sentences in advice.items():
        if sentences:
            say(f"\n[bold]{escape(name)}[/bold]: nothing waits for this, but people will ask for it")
            for sentence in sentences:
                OUT.print(f"  - {escape(sentence)}", soft_wrap=True)
