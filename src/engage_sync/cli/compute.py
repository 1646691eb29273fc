"""`compute`: match, measure and assess on the mirror as it is."""

from __future__ import annotations

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, AsOf, ProjectFolder, clock, instant_or_now
from engage_sync.cli.output import print_json, say, table
from engage_sync.cli.reporting import drawn

NAMED = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compute)


def compute(as_of: AsOf = None, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Match, measure and assess on the mirror as it is; needs no connector, network or secret."""
    from engage_sync.sync import cycle, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    at = instant_or_now(as_of)
    with wiring.open_workspace(project) as workspace, drawn(quiet=as_json) as progress:
        run, computed = cycle.recompute(workspace, at, clock=clock, progress=progress)
    answer = views.computed_json(run, computed)
    if as_json:
        print_json(answer)
        return
    recorded = f"run {run}" if run is not None else "a look back: not recorded"
    say(f"Computed as of {answer['as_of']} ({recorded}): {answer['users']:,} users, {answer['accounts']:,} accounts.")
    if computed.newest_message_at is None:
        say("The event store holds no message: `engage-sync import FILE` fills it, or `events.store` names another.")
    table(None, ("type", "users"), answer["user_types"].items(), right=("users",))
    for name, count in answer["counts"].items():
        if count and name not in {*answer["user_types"], "users", "accounts", "power_limit"}:
            say(f"  {name.replace('_', ' ')}: {count:,}")
    for gap in answer["unreadable"][:NAMED]:
        where = f"{gap['entity']} {gap['external_id']}"
        say(f"  {escape(where)}: {gap['property']} is {escape(repr(gap['value']))}, which cannot be read as its type")
    for name, switched in answer["signals"].items():
        say(f"  signal {name}: {switched['on']:,} fired, {switched['off']:,} cleared")
