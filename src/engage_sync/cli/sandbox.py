"""`sandbox`: the CRM stand-in alone, until it is interrupted."""

from __future__ import annotations

import signal
from typing import Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import AsJson, clock
from engage_sync.cli.output import print_json, say
from engage_sync.errors import Mistake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sandbox)


def sandbox(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where to listen on 127.0.0.1; 0 takes a free one.")
    ] = 8090,
    empty: Annotated[bool, typer.Option("--empty", help="Start without the people of the demo.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the CRM stand-ins alone; prints base URLs and tokens."""
    from engage_sync.sandbox import server  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sandbox.sample import seed  # noqa: PLC0415  start-up: --help needs none of it

    try:
        running = server.start(port, seed=None if empty else seed(clock()))
    except OSError as error:
        raise Mistake(f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}; choose another --port") from None
    with running:
        if as_json:
            print_json({"hubspot": {"base_url": running.base_url, "access_token": running.token}})
        else:
            say("[bold]HubSpot stand-in[/bold]")
            say(f"  base_url: {escape(running.base_url)}      (in connectors/hubspot.yaml)")
            say(f"  export HUBSPOT_ACCESS_TOKEN={escape(running.token)}")
            say(f"  open {escape(running.base_url)}/ in a browser to see it as a CSM does; Ctrl-C ends it")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
