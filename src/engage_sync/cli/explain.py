"""`explain`: one user or account, every verdict with its why, and what a push would write where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, AsOf, ProjectFolder, instant
from engage_sync.cli.output import print_json, say, table
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    from engage_sync.sync.explain import Explanation

MARKS = {True: "[green]✓[/green]", False: "[dim]✗[/dim]", None: " "}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    entity: Annotated[str, typer.Argument(metavar="user|account")],
    external_id: Annotated[str, typer.Argument(metavar="ID")],
    as_of: AsOf = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Explain one user or account: which verdicts, why, and what would be written where."""
    if entity not in {"user", "account"}:
        raise Mistake(f"explain takes user or account, not {entity!r}")
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import explain as explaining  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        found = explaining.explain(workspace, Entity(entity), external_id, instant(as_of))
    if as_json:
        print_json(explaining.explanation_json(found))
    else:
        _print(found)


def _print(found: Explanation) -> None:
    row = found.row
    about = " · ".join(escape(str(row[key])) for key in ("name", "email", "domain") if row.get(key))
    recorded = f"run {found.run}" if found.run is not None else "not recorded"
    say(f"[bold]{found.entity.value} {escape(found.external_id)}[/bold]{'  ' + about if about else ''}")
    say(f"as of {found.as_of:%Y-%m-%d %H:%M:%S} UTC ({recorded})\n")
    if row.get("primary_user_type"):
        say(f"[bold]{row['primary_user_type']}[/bold] ({', '.join(row['user_types'])})")  # type: ignore[arg-type]
    for reason in found.reasons:
        say(f"  {MARKS[reason.holds]} [bold]{reason.verdict}[/bold]: {escape(reason.why)}")
    for place in found.places:
        where = f"record {place.record}, " if place.record else ""
        say(f"\n[bold]{escape(place.connector)} {escape(place.object)}[/bold]: {where}{escape(place.why)}")
        if place.fields:
            lines = [(one.field, one.source, one.wanted, one.seen, one.decision) for one in place.fields]
            table(None, ("field", "from", "wanted", "in the CRM", "decision"), lines)
    if found.newest:
        say("\n[bold]newest messages[/bold]")
        columns = ("timestamp", "kind", "event", "account")
        table(None, columns, ([line.get(name) for name in columns] for line in found.newest))
