"""`failures`: the records that a CRM refused or did not answer for, and `failures retry`, which tries them now."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from engage_sync.cli.options import HERE, AsJson, Only, ProjectFolder, clock
from engage_sync.cli.output import minute, print_json, say, table
from engage_sync.cli.reporting import drawn, end, print_report

SHOWN = 100


def register(app: typer.Typer) -> None:
    """Add the command and the one below it."""
    group = typer.Typer(invoke_without_command=True, rich_markup_mode=None, help=failures.__doc__)
    group.callback()(failures)
    group.command()(retry)
    app.add_typer(group, name="failures")


def failures(context: typer.Context, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """List the records that a CRM refused or did not answer for. Ends with 0 whether there are any or not.

    A refused record is left alone for 15 minutes, then 1 hour, 4 hours and 24 hours, unless other values are wanted or
    the CRM describes the fields differently. One that was not answered for is tried by the next run.
    """
    if context.invoked_subcommand is not None:
        return
    from engage_sync.sync import failures as failing  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        found = failing.failures_json(workspace, clock())
    if as_json:
        print_json(found)
    elif not found:
        say("No record is refused or failing: every CRM took what was written to it.")
    else:
        _print(found)


def retry(
    context: typer.Context,
    connector: Only = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Try the failed and refused records now, whatever they wait for, and write nothing else.

    It computes as of now, or as of the newest recorded run where that lies ahead, without a pull. Brakes hold it as
    they hold a push, and it answers and exits as a push does. What else is to be written counts as held and waits for
    the next run, as do the actions of signals: left out on purpose, it changes no exit code.
    """
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import failures as failing  # noqa: PLC0415  start-up: --help needs none of it

    given = {} if context.parent is None else context.parent.params
    as_json = as_json or given.get("as_json", False)
    project = given.get("project", HERE) if project == HERE else project
    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        at = failing.instant_of_retry(workspace.state, clock())
        report = cycle.sync(workspace, connector, at, clock=clock, pulling=False, retrying=True, progress=progress)
    if as_json:
        print_json(views.report_json(report))
    else:
        print_report(report)
    end(report)


def _print(found: list[dict[str, object]]) -> None:
    names = ("connector", "object", "record", "external_id", "status", "code", "message", "request", "attempts")
    columns = (
        "connector",
        "object",
        "record",
        "of",
        "status",
        "code",
        "message",
        "request",
        "attempts",
        "next attempt",
    )
    lines = [(*(one[name] for name in names), _next(one)) for one in found[:SHOWN]]
    table(None, columns, lines, right=("attempts",))
    if len(found) > SHOWN:
        say(f"… and {len(found) - SHOWN:,} more (`--json` gives all of them).")
    if any(one["status"] == "refused" for one in found):
        say("`engage-sync failures retry` tries all of them now; `--json` shows the values that are wanted.")


def _next(one: Mapping[str, object]) -> str:
    """Say when a record is tried again: an instant, the next run, or what has to change before."""
    waits_for = one["waits_for"]
    return f"{minute(str(one['next_attempt']))} UTC" if waits_for is None else str(waits_for)
