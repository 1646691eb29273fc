"""`sandbox`: the CRM stand-ins alone, until they are interrupted."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from engage_sync.cli.options import AsJson, clock
from engage_sync.cli.output import print_json, say
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    from engage_sync.sandbox.salesforce_server import SalesforceSandbox
    from engage_sync.sandbox.server import Sandbox

STOPS = (signal.SIGINT, signal.SIGTERM)
LAST_PORT = 65_534
"""The second stand-in needs the port after the first."""
PORT = 8090
ADDRESSES = {"hubspot": f"http://127.0.0.1:{PORT}", "salesforce": f"http://127.0.0.1:{PORT + 1}"}
"""Where each stand-in is unless `--port` says otherwise."""
MESSAGES = 20_000
"""About how many messages `--messages` writes: enough for every story, and read in a second."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sandbox)


def sandbox(
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=LAST_PORT,
            help="Where HubSpot's listens on 127.0.0.1, Salesforce's on the next; 0 takes free ones.",
        ),
    ] = PORT,
    empty: Annotated[bool, typer.Option("--empty", help="Start without the people of the demo.")] = False,
    messages: Annotated[
        Path | None,
        typer.Option("--messages", metavar="FILE", help="Also write what these people did: events, to be imported."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the CRM stand-ins alone; prints base URLs and tokens."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # or a thread of a stand-in would die of one
    with ExitStack() as stack:
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        if messages is not None:
            _write_messages(messages, empty=empty)
        hubspot, salesforce = _start(stack, port, empty=empty)
        if as_json:
            print_json(
                {
                    "hubspot": {"base_url": hubspot.base_url, "access_token": hubspot.token},
                    "salesforce": {
                        "login_url": salesforce.base_url,
                        "instance_url": salesforce.base_url,
                        "client_id": salesforce.client_id,
                        "client_secret": salesforce.client_secret,
                    },
                }
            )
        else:
            _tell(hubspot, salesforce)
        signal.sigwait(STOPS)


def credentials(name: str) -> dict[str, str]:
    """Give what the ready-made file of a CRM names as ${…}, for its stand-in."""
    from engage_sync.sandbox import salesforce_server, server  # noqa: PLC0415  start-up: --help needs none of it

    if name == "hubspot":
        return {"HUBSPOT_ACCESS_TOKEN": server.TOKEN}
    return {
        "SALESFORCE_CLIENT_ID": salesforce_server.CLIENT_ID,
        "SALESFORCE_CLIENT_SECRET": salesforce_server.CLIENT_SECRET,
    }


def _write_messages(file: Path, *, empty: bool) -> None:
    from engage_sync.sandbox import company  # noqa: PLC0415  start-up: --help needs none of it

    if empty:
        raise Mistake("--empty and --messages exclude each other: without people there are no messages")
    if file.exists():
        raise Mistake(f"{file} exists already; name a new file")
    company.write_messages(company.generate(clock(), events=MESSAGES), file)


def _start(stack: ExitStack, port: int, *, empty: bool) -> tuple[Sandbox, SalesforceSandbox]:
    from engage_sync.sandbox import company, salesforce_server, server  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sandbox.sample import salesforce_seed, seed  # noqa: PLC0415  start-up: --help needs none of it

    now = clock()
    made = None if empty else company.generate(now)
    asked = port
    try:
        hubspot = stack.enter_context(server.start(asked, seed=None if made is None else seed(now, made)))
        asked = port + 1 if port else 0
        people = None if made is None else salesforce_seed(now, made)
        salesforce = stack.enter_context(salesforce_server.start(asked, seed=people))
    except OSError as error:
        why = error.strerror or error
        raise Mistake(f"cannot listen on 127.0.0.1:{asked}: {why}; choose another --port") from None
    return hubspot, salesforce


def _tell(hubspot: Sandbox, salesforce: SalesforceSandbox) -> None:
    say("[bold]HubSpot stand-in[/bold]")
    say(f"  base_url: {escape(hubspot.base_url)}      (in connectors/hubspot.yaml)")
    say(f"  export HUBSPOT_ACCESS_TOKEN={escape(hubspot.token)}")
    say("[bold]Salesforce stand-in[/bold]")
    say(f"  export SALESFORCE_LOGIN_URL={escape(salesforce.base_url)}")
    say(f"  export SALESFORCE_CLIENT_ID={escape(salesforce.client_id)}")
    say(f"  export SALESFORCE_CLIENT_SECRET={escape(salesforce.client_secret)}")
    say(f"  open {escape(hubspot.base_url)}/ or {escape(salesforce.base_url)}/ in a browser to see them as a CSM does;")
    say("  Ctrl-C ends them")
