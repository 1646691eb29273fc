"""`serve`: the HTTP faces alone, over what the state tells, until it is interrupted."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from importlib.metadata import version

import typer
from rich.markup import escape

from engage_sync.cli import logs
from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json, say

STOPS = (signal.SIGINT, signal.SIGTERM)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Serve health and metrics of a project whose daemon does not run, or runs elsewhere."""
    from engage_sync.server.app import PATHS, create  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.server.serving import serving  # noqa: PLC0415  as above
    from engage_sync.sync.stored_view import StoredView  # noqa: PLC0415  as above
    from engage_sync.sync.wiring import load_project  # noqa: PLC0415  as above

    loaded = load_project(project)
    logs.configure(loaded.background.logs, loaded.background.level)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # or a thread of the server would get one
    with ExitStack() as stack:
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        view = StoredView(loaded, started_at=clock(), version=version("engage-sync"))
        stack.callback(view.close)
        served = stack.enter_context(serving(create(view), loaded.server_host, loaded.server_port))
        if as_json:
            print_json({"url": served.url, "paths": list(PATHS)})
        else:
            say(f"{escape(served.url)} answers {', '.join(PATHS)}; Ctrl-C ends it")
        sys.stdout.flush()
        signal.sigwait(STOPS)
