"""`status`: each connector's last success and what waits, on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from engage_sync.cli.causes import causes, held_sentences, one_line, read_before
from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import minute, print_json, say, table
from engage_sync.cli.reporting import held_told, holds_records, print_buckets
from engage_sync.cli.runs import SIGNALS, print_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engage_sync.cli.causes import Cause
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
    found = causes(answer["alerts"], answer["jobs"])
    _print_newest(answer, found)
    print_held(answer)
    _print_holders(answer)
    print_causes(found, held_sentences(answer))
    newest = answer["newest_run"]
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
    print_lines("Signals that wait, failed or expired", SIGNALS, answer["deliveries"])
    _print_connectors(answer)


def _print_newest(answer: StatusAnswer, found: Sequence[Cause]) -> None:
    """Say what ran last, and what went wrong there, but for what is told as a cause below."""
    newest = answer["newest_run"]
    if newest is None:
        say("Nothing has run yet. `engage-sync sync` does everything.")
        return
    what = f"{newest['run']} ({newest['command']}) as of {minute(newest['as_of'])} UTC: {newest['status']}"
    say(f"Newest run: {what}")
    for name, text in newest["errors"].items():
        if not any(one_line(f"{name}: {text}") in cause.why for cause in found):
            say(f"  {name}: {escape(text)}")


def _print_connectors(answer: StatusAnswer) -> None:
    """Print a line for each connector."""
    dues = _dues(answer)
    lines = [
        (
            *(name, minute(one["last_pull"]), minute(one["last_push"]), dues.get(name)),
            _reconciled(one["reconciled"]),
            ", ".join(f"{count:,} {object_}" for object_, count in one["linked"].items()),
            *(drift_told(one["drift"]), one["failures"]),
        )
        for name, one in answer["connectors"].items()
    ]
    columns = ("connector", "last pull", "last push", "next run", "reconciled", "linked", "changed by others")
    table(None, (*columns, "failures"), lines, right=("failures",))


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


def _dues(answer: StatusAnswer) -> dict[str, str | None]:
    """Give when the daemon begins with each connector next, and with what; nothing where no daemon schedules."""
    if not any(one["name"] == "daemon" for one in answer["leases"]):
        return {}
    found: dict[str, str | None] = {}
    for one in sorted(answer["jobs"], key=lambda job: job["due"], reverse=True):
        if one["connector"] is not None:
            found[one["connector"]] = f"{minute(one['due'])} {one['name'].partition(':')[0]}"
    return found


def _print_holders(answer: StatusAnswer) -> None:
    """Say who schedules and who writes now."""
    for one in answer["leases"]:
        does = "schedules" if one["name"] == "daemon" else "writes now"
        who = f"{one['holder']} on {one['host']} (process {one['pid']})"
        say(f"{escape(who)} {does}, since {minute(one['since'])} UTC.")
    if answer["jobs"] and not any(one["name"] == "daemon" for one in answer["leases"]):
        say("No daemon runs, or none that can write to the database; `engage-sync daemon` starts one.")


def print_causes(found: Sequence[Cause], before: Sequence[str]) -> None:
    """Say what the daemon found failing, since when, and what to do, and which of its jobs did not go well last time;
    each cause once, and not again what was said `before`."""
    for one in found:
        if one.alerts or one.jobs:
            failing = "[bold]Failing[/bold] " if one.alerts else ""
            say(f"{failing}{escape(one.told(known=read_before(one.why, before)))}")
        for advice in one.advice:
            say(f"  {escape(advice)}")


def _reconciled(found: dict[str, object] | None) -> str:
    """Say when the mirror was last compared with the CRM, and what had been lost."""
    if found is None:
        return "never"
    lost = f", {found['lost']:,} lost" if found["lost"] else ""
    return f"{minute(str(found['at']))}{lost}{'' if found['whole'] else ', cut short'}"
