"""The options that commands share, declared once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from engage_sync.errors import Mistake

ProjectFolder = Annotated[
    Path, typer.Option("--project", metavar="DIR", help="The project's folder.", show_default="the current folder")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as one JSON document on stdout.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="ISO", help="Compute as of this instant; without a zone it is UTC.")
]
Only = Annotated[str | None, typer.Argument(metavar="[CONNECTOR]", help="Only this connector.", show_default="all")]

HERE = Path()
AHEAD = timedelta(hours=24)


def clock() -> datetime:
    """Give the time now. Commands call it once and pass it down."""
    return datetime.now(UTC)


def instant(text: str | None) -> datetime | None:
    """Read `--as-of` by the rule of semantics §1. A text that is no ISO 8601 instant is a Mistake."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Mistake(f"--as-of {text!r} is not an ISO 8601 instant such as 2026-08-22T00:00:00Z") from None


def instant_or_now(text: str | None) -> datetime:
    """Give `--as-of`, or the time now. One far ahead is taken, with a warning: what it records stands until then."""
    now = clock()
    found = instant(text) or now
    if found > now + AHEAD:
        typer.echo(
            f"engage-sync: warning: --as-of {text} lies ahead of the clock; once it is recorded, every earlier instant"
            " is a look back, which is never recorded or pushed",
            err=True,
        )
    return found
