"""`status`: each connector's last success and what waits, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import minute, print_json, say, table
from engage_sync.cli.reporting import held_told, holds_records, print_buckets
from engage_sync.cli.runs import SIGNALS, print_lines

if TYPE_CHECKING:
    from engage_sync.sync.drift_answers import Counts
    from engage_sync.sync.status import ConnectorAnswer, StatusAnswer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Show each connector's last success, its links and failures, and the newest run."""
    from engage_sync.sync import status as answering  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        answer = answering.status_json(workspace, clock())
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
        for name, text in newest["errors"].items():
            say(f"  {name}: {escape(text)}")
    print_held(answer)
    lines = [
        (name, minute(one["last_pull"]), minute(one["last_push"]), proven, linked, changed, one["failures"])
        for name, one in answer["connectors"].items()
        for proven, changed in [(_reconciled(one["reconciled"]), drift_told(one["drift"]))]
        for linked in [", ".join(f"{count:,} {object_}" for object_, count in one["linked"].items())]
    ]
    if newest is not None and holds_records(newest["connectors"]):
        print_buckets(newest["connectors"], title=f"Records of run {newest['run']}")
    else:
        pushed = {name: one["records"] for name, one in answer["connectors"].items() if one["records"]}
        print_buckets(pushed, title="Records of the last push")
    for name, one in answer["connectors"].items():
        _print_quota(name, one)
    told = [f"{count:,} {name}" for name, count in answer["signals"].items() if count]
    if told:
        say(f"Actions of signals: {', '.join(told)}.")
    print_lines("Signals that wait or failed", SIGNALS, answer["deliveries"])
    columns = ("connector", "last pull", "last push", "reconciled", "linked", "changed by others", "failures")
    table(None, columns, lines, right=("failures",))


def drift_told(counts: Counts) -> str | None:
    """Say how many values of others the last push kept and overwrote; nothing where there were none."""
    return ", ".join(f"{counts[name]:,} {name}" for name in ("kept", "overwritten") if counts[name]) or None


def _print_quota(name: str, one: ConnectorAnswer) -> None:
    """Say until when nothing is asked of a CRM, and what is left of its day, where that is known."""
    suspended, quota = one["suspended"], one["quota"]
    if suspended is not None:
        say(f"[bold]{escape(name)}[/bold] {escape(suspended['told'])}")
    if quota is not None:
        used = f"{quota['used']:,} of the day's {quota['limit']:,} calls were used by all integrations"
        left = f"{quota['left']:,} were left to our {100 * quota['share']:g} %"
        say(f"{escape(name)}: {used} at {minute(quota['at'])} UTC, {left}.")


def print_held(answer: StatusAnswer) -> None:
    """Say which held runs wait, and why; else what held the newest run."""
    waiting, newest = answer["waiting"], answer["newest_run"]
    for one in waiting:
        say(f"[bold]Held[/bold]: run {one['run']} waits; `engage-sync approve {one['run']}` goes on with it:")
        for reason in held_told(one["holds"]):
            say(f"  held: {escape(reason)}")
    if newest is not None and not waiting:
        for reason in held_told(newest["holds"]) or newest["held"]:
            say(f"  held: {escape(reason)}")


def _reconciled(found: dict[str, object] | None) -> str:
    """Say when the mirror was last compared with the CRM, and what had been lost."""
    if found is None:
        return "never"
    lost = f", {found['lost']:,} lost" if found["lost"] else ""
    return f"{minute(str(found['at']))}{lost}{'' if found['whole'] else ', cut short'}"
