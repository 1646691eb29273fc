"""`init`: start a project from the ready-made files, on a terminal after a few questions."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from engage_sync.cli.asking import answered, somebody_there
from engage_sync.cli.options import HERE, AsJson
from engage_sync.cli.output import print_json, say
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    from engage_sync.sync.project_files import Choices

SANDBOX = "sandbox"
REAL = "its own"
STORE = "var/events"
DELTA = "_delta_log"
"""The folder by which an event store is known."""

Answer = TypeVar("Answer")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", show_default="the current folder")] = HERE,
    crm: Annotated[
        list[str] | None, typer.Option("--crm", help="A CRM to connect; may be given several times.")
    ] = None,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Connect the stand-ins of `engage-sync sandbox`.")] = False,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", metavar="[CRM=]URL", help="Where a CRM is, when not at its own address."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="NAME", help="Of calendar days and schedules, e.g. Europe/Berlin."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option("--events", metavar="PLACE", help="The event store, or exported files to import into a new one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a project: commented configuration, a ready-made model, one file per CRM."""
    from engage_sync.sync import project_files  # noqa: PLC0415  start-up: --help needs none of it

    asking = not as_json and somebody_there()
    chosen = crm or _crms(project_files.crms(), asking=asking)
    addresses = _addresses(chosen, base_url or [], sandbox=sandbox)
    if asking and not addresses:
        addresses = {name: url for name in chosen if (url := _ask(f"Where is {name}?", REAL, _place(name))) is not None}
    if timezone is None and asking:
        timezone = _asked_timezone()
    if events is None and asking:
        events = _ask("Where are the events (a store, or files to import)?", STORE, str.strip)
    store, exported = _events(events)
    choices = project_files.Choices(timezone or "UTC", store, addresses, _stand_in_secrets(addresses))
    _write(folder, chosen, choices, exported, as_json=as_json)


def _write(folder: Path, chosen: Sequence[str], choices: Choices, exported: str | None, *, as_json: bool) -> None:
    from engage_sync.sync import project_files  # noqa: PLC0415  start-up: --help needs none of it

    try:
        written = project_files.init(folder, chosen, choices)
    except OSError as error:
        raise Mistake(f"cannot write the project into {folder}: {error.strerror or error}") from None
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    for path in written:
        say(f"wrote {escape(str(path))}")
    say("\nNext:")
    for command, about in _next_steps(folder, exported, stood_in=bool(choices.secrets)):
        say(escape(f"  {command:<30} {about}".rstrip()))


def _next_steps(folder: Path, exported: str | None, *, stood_in: bool) -> list[tuple[str, str]]:
    secrets = (
        "# the stand-ins' own" if stood_in else "# fill it in: docs/connect-hubspot.md, docs/connect-salesforce.md"
    )
    return [
        *([] if folder == HERE else [(f"cd {shlex.quote(str(folder))}", "")]),
        *([("engage-sync sandbox", "# in another window, as long as you try")] if stood_in else []),
        ("cp .env.example .env", secrets),
        ("set -a; . ./.env; set +a", ""),
        *([] if exported is None else [(f"engage-sync import {shlex.quote(exported)}", "")]),
        ("engage-sync check", "# what an admin must do first; `provision --apply` does most of it"),
    ]


def _crms(known: Sequence[str], *, asking: bool) -> list[str]:
    """Ask a person which CRMs to connect; without a terminal take the first."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise Mistake(f"there is no ready-made connector {unknown[0]!r}; there are {', '.join(known)}")
        return list(dict.fromkeys(names))

    if asking and len(known) > 1:
        return _ask(f"Which CRM ({', '.join(known)}; several with commas)?", known[0], read)
    return list(known[:1])


def _addresses(chosen: Sequence[str], given: Sequence[str], *, sandbox: bool) -> dict[str, str]:
    """Give the addresses that the options name, by CRM."""
    found = {name: _stand_in(name) for name in chosen} if sandbox else {}
    for text in given:
        name, mark, url = text.partition("=")
        if not mark or "/" in name:
            name, url = chosen[0] if len(chosen) == 1 else "", text
        if name not in chosen:
            whose = ", ".join(f"--base-url {one}=URL" for one in chosen)
            raise Mistake(f"--base-url {text} does not say which CRM is there; write {whose or '--crm too'}")
        found[name] = url
    return found


def _place(name: str) -> Callable[[str], str | None]:
    """Read where a CRM is: at its own address (None), in the sandbox, or at an address."""

    def read(text: str) -> str | None:
        if text == REAL:
            return None
        if text == SANDBOX:
            return _stand_in(name)
        if not text.startswith(("https://", "http://")):
            raise Mistake(f"write `{REAL}`, `{SANDBOX}`, or an address that begins with https://")
        return text

    return read


def _stand_in(name: str) -> str:
    from engage_sync.cli.sandbox import ADDRESSES  # noqa: PLC0415  start-up: --help needs none of it

    if name not in ADDRESSES:
        raise Mistake(f"the sandbox has no stand-in for {name}; it has {', '.join(ADDRESSES)}")
    return ADDRESSES[name]


def _stand_in_secrets(addresses: Mapping[str, str]) -> dict[str, str]:
    """Give the stand-ins' credentials, which are no secrets, for CRMs on this machine: no real one is."""
    from engage_sync.cli.sandbox import ADDRESSES, credentials  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.project_files import is_stand_in  # noqa: PLC0415  as above

    stood_in = [name for name, url in addresses.items() if name in ADDRESSES and is_stand_in(url)]
    return {key: value for name in stood_in for key, value in credentials(name).items()}


def _asked_timezone() -> str:
    from engage_sync.sync.machine_zone import machine_timezone  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync.project_files import known_timezone  # noqa: PLC0415  as above

    return _ask("Time zone of days and schedules?", machine_timezone(), known_timezone)


def _events(answer: str | None) -> tuple[str | None, str | None]:
    """Tell an event store from files to import: give the one, or the other; None stands for the default store."""
    if answer is None or answer == STORE:
        return None, None
    if not answer:
        raise Mistake("--events names no place; leave it out for a store in the project")
    place = Path(answer)
    if place.is_file():
        return None, str(place.absolute())
    if not place.is_dir():
        return answer, None
    if (place / DELTA).is_dir():
        return str(place.absolute()), None
    return (None, str(place.absolute())) if any(place.iterdir()) else (str(place.absolute()), None)


def _ask(question: str, default: str, read: Callable[[str], Answer]) -> Answer:
    """Ask until the answer can be read."""
    while True:
        answer = answered(question, default)
        try:
            return read(answer)
        except Mistake as mistake:
            typer.echo(f"  {mistake}", err=True)
