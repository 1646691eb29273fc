"""`daemon`: keep the project's schedules in the background, or once do all that is due."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli import logs
from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json, say
from engage_sync.errors import Mistake, Unreachable

if TYPE_CHECKING:
    from engage_sync.server.serving import Door
    from engage_sync.sync.service import Signals
    from engage_sync.sync.worked import JobDone, Settings

LAST_MESSAGES = 0.5
"""Seconds that alerts under way have when the daemon ends."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(daemon)


def daemon(
    once: Annotated[bool, typer.Option("--once", help="Do all that is due, then end.")] = False,
    test_alert: Annotated[bool, typer.Option("--test-alert", help="Send a test to who is told of failures.")] = False,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Pull, compute and push as scheduled, in the background."""
    if test_alert and once:
        raise Mistake("--test-alert only sends a test; leave out --once")
    if test_alert:
        _test_alert(project.resolve(), as_json=as_json)
        return
    from engage_sync.sync.service import Signals  # noqa: PLC0415  start-up: --help needs none of it

    logs.configure()
    signals = Signals()
    with signals.heard():
        if not once:
            _in_background(project.resolve(), signals)
            return
        code, done = _once(project.resolve(), signals)
    if as_json:
        print_json({"exit": code, "jobs": done})
    else:
        for one in done:
            run = "" if one["run"] is None else f", run {one['run']}"
            say(escape(f"{one['job']}: {one['status']}{run}{'' if not one['message'] else ': ' + one['message']}"))
        if not done:
            say("Nothing was due.")
    if code:
        raise typer.Exit(code)


def _test_alert(root: Path, *, as_json: bool) -> None:
    """Send a test through each channel, and say how that went."""
    from engage_sync.sync.teller import try_channels  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.wiring import load_project  # noqa: PLC0415  as above
    from engage_sync.sync.work import settings_of  # noqa: PLC0415  as above

    found = try_channels(settings_of(load_project(root))["alerts"], root.name)
    if as_json:
        print_json([{"told": told, "sentence": sentence} for sentence, told in found])
    else:
        for sentence, _ in found:
            say(escape(sentence))
    if not all(told for _, told in found):
        raise typer.Exit(Unreachable.exit_code)


def _in_background(root: Path, signals: Signals) -> None:
    """Work until a signal ends it."""
    from engage_sync.server.app import create  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.server.serving import Door  # noqa: PLC0415  as above
    from engage_sync.sync import service  # noqa: PLC0415  as above
    from engage_sync.sync.children import Children  # noqa: PLC0415  as above
    from engage_sync.sync.daemon import Daemon  # noqa: PLC0415  as above
    from engage_sync.sync.notify_systemd import Systemd  # noqa: PLC0415  as above
    from engage_sync.sync.watching import Watching  # noqa: PLC0415  as above

    watching = Watching(root, clock(), ticks=time.monotonic)
    door = Door(create(watching.view))
    running = Daemon(root, Children(root), observer=watching, adopting=partial(_adopt, door))
    with ExitStack() as stack:
        stack.callback(running.close)
        stack.callback(door.close)
        service.begin(running, signals, clock)
        if door.served is None:
            return  # ended before it had begun
        stack.callback(watching.settle, LAST_MESSAGES)
        service.keep_going(running, signals, clock, Systemd(), at=door.served.url)


def _adopt(door: Door, settings: Settings) -> None:
    """Log, and answer over HTTP, as the settings say. Raises Mistake where no port can be had."""
    logs.configure(settings["logs"]["format"], settings["logs"]["level"])
    before, server = door.served, settings["server"]
    if door.at(server["host"], server["port"]) and before is not None and door.served is not None:
        import structlog  # noqa: PLC0415  as above

        structlog.get_logger("engage_sync.daemon").info("the address has moved", at=door.served.url, was=before.url)


def _once(root: Path, signals: Signals) -> tuple[int, list[JobDone]]:
    """Do what is due; give the exit code and how the jobs went."""
    from engage_sync.sync import service  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.children import Children  # noqa: PLC0415  as above
    from engage_sync.sync.daemon import Daemon  # noqa: PLC0415  as above
    from engage_sync.sync.watching import Watching  # noqa: PLC0415  as above

    watching = Watching(root, clock(), ticks=time.monotonic)
    running = Daemon(root, Children(root), observer=watching, at_once=True)
    try:
        service.begin(running, signals, clock)
        code = service.once(running, signals, clock)
        watching.settle(10 * LAST_MESSAGES)
        return code, running.done
    finally:
        running.close()
