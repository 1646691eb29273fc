"""`explain`: one user or account, every verdict with its why, and what a push would write where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, AsOf, ProjectFolder, instant
from engage_sync.cli.output import print_json, say, table
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    from engage_sync.sync.explain import Explanation
    from engage_sync.sync.explain_tree import Node
    from engage_sync.sync.places import Place

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
        now = datetime.now(UTC)
        found = explaining.explain(workspace, Entity(entity), external_id, instant(as_of), now=now)
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
    if found.model_changed:
        say(
            f"[bold]The model has changed since run {found.run}[/bold]: the verdicts are that run's, the rules are"
            " today's. Run `engage-sync compute`.\n"
        )
    if row.get("primary_user_type"):
        say(f"[bold]{row['primary_user_type']}[/bold] ({', '.join(row['user_types'])})")  # type: ignore[arg-type]
    for reason in found.reasons:
        say(f"  {MARKS[reason.holds]} [bold]{reason.verdict}[/bold]: {escape(reason.why)}")
    for node in found.tree:
        if node.value is not False:
            _print_node(node)
    _print_others([node for node in found.tree if node.value is False])
    _print_changes(found)
    for place in found.places:
        _print_place(place)
    _print_links(found)
    if found.deliveries:
        columns = ("signal", "phase", "episode", "action", "connector", "status", "message")
        say("\n[bold]what its signals asked for[/bold]")
        table(None, columns, ([line.get(name) for name in columns] for line in found.deliveries))
    _print_events(found)


def _print_changes(found: Explanation) -> None:
    if found.changes:
        say(f"\n[bold]since run {found.since}[/bold]")
    for change in found.changes:
        why = f"  [dim]{escape('; '.join(change.why))}[/dim]" if change.why else ""
        say(f"  {escape(change.name)}: {escape(_shown(change.before))} → {escape(_shown(change.after))}{why}")


def _print_links(found: Explanation) -> None:
    """Print which records stood for it, where that is more than the places above say."""
    if all(link.until is None for link in found.links):
        return
    say("\n[bold]links through time[/bold]")
    lines = [
        (
            f"{link.connector} {link.object} {link.record}",
            _shown(link.since),
            "still" if link.until is None else _shown(link.until),
            link.end,
        )
        for link in found.links
    ]
    table(None, ("record", "since", "until", ""), lines)


def _print_events(found: Explanation) -> None:
    if found.counts:
        say("\n[bold]events in the activity window[/bold]")
        table(
            None,
            ("event", "count", "last at"),
            ([line[name] for name in ("event", "count", "last_at")] for line in found.counts),
            right=["count"],
        )
    if found.newest:
        say("\n[bold]newest messages[/bold]")
        columns = ("timestamp", "kind", "event", "account")
        table(None, columns, ([line.get(name) for name in columns] for line in found.newest))


def _print_node(node: Node) -> None:
    """Print one verdict, and under it the rules that were asked."""
    said = MARKS[node.value] if isinstance(node.value, bool) else f"[bold]{escape(_shown(node.value))}[/bold]"
    say(f"\n[bold]{escape(node.verdict)}[/bold] {said}{'  ' + escape(node.why) if node.why else ''}")
    for marker in node.rules:
        part = f"{marker.part}: " if node.verdict in {"health", "stage"} else ""
        weight = f" [dim](weight {marker.weight:g})[/dim]" if marker.weight is not None else ""
        values = ", ".join(f"{name} = {_shown(value)}" for name, value in marker.values.items())
        unknown = " [dim]unknown[/dim]" if marker.matched is None else ""
        named = f"{marker.name}: " if marker.name not in {marker.rule, marker.part} else ""
        rule = escape(part + named + marker.rule)
        say(f"  {MARKS[bool(marker.matched)]} {rule}{weight}{unknown}  [dim]{escape(values)}[/dim]")


def _print_others(nodes: Sequence[Node]) -> None:
    """Print the segments and signals that do not hold, a line each."""
    if nodes:
        say("\n[bold]does not hold[/bold]")
    for node in nodes:
        values = ", ".join(f"{name} = {_shown(value)}" for rule in node.rules for name, value in rule.values.items())
        rule = node.rules[0].rule if node.rules else ""
        say(f"  {MARKS[False]} {escape(node.verdict)}: {escape(rule)}  [dim]{escape(values)}[/dim]")


def _print_place(place: Place) -> None:
    where = f"record {place.record}, " if place.record else ""
    say(f"\n[bold]{escape(place.connector)} {escape(place.object)}[/bold]: {escape(where + place.why)}")
    if place.url:
        say(f"[dim]{escape(place.url)}[/dim]")
    if place.fields:
        lines = [(one.field, one.source, one.wanted, one.seen, one.decision) for one in place.fields]
        table(None, ("field", "from", "wanted", "in the CRM", "decision"), lines)
    for one in place.fields:
        if one.reason is not None:
            say(f"  [dim]{escape(one.field)}: {escape(one.reason)}[/dim]")


def _shown(value: object) -> str:
    """Write a value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "–"
    return "–" if value is None else str(value)
