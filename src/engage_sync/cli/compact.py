"""`compact`: rewrite the event store's many small files as few, and drop what is older than asked to keep."""

from __future__ import annotations

from typing import Annotated

import typer

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import print_json, say, status


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compact)


def compact(
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="DURATION", help="Drop older messages, e.g. 400d.")
    ] = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Rewrite the event store's small files as few; with --keep, drop older messages."""
    from engage_sync.sync import ingest  # noqa: PLC0415  start-up: --help needs none of it

    with status("compacting", quiet=as_json):
        report = ingest.compact(project, keep=keep, now=clock())
    if as_json:
        print_json(
            {
                "files_before": report.files_before,
                "files_after": report.files_after,
                "deleted_messages": report.deleted_messages,
            }
        )
    else:
        say(
            f"{report.files_before:,} files are now {report.files_after:,};"
            f" {report.deleted_messages:,} old messages dropped."
        )
