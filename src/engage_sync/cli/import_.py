"""`import`: read messages from files into the event store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import ERR, print_json, say
from engage_sync.errors import EXIT_PARTIAL, Mistake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or folders to read whole.")],
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Import Segment-shaped JSONL, CSV or Parquet files; .gz too; idempotent by message id."""
    if "" in paths:  # as a shell makes of a variable that is not set; a Path of it is the folder one is in
        raise Mistake("import: a path is empty; for this folder write `.`")
    from rich import progress  # noqa: PLC0415  start-up: --help needs none of it

    from engage_sync.sync import ingest  # noqa: PLC0415  start-up: --help needs none of it

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TextColumn("{task.fields[read]:,} messages"),
        progress.TimeRemainingColumn(),
    )
    quiet = as_json or not ERR.is_terminal
    with progress.Progress(*columns, console=ERR, transient=True, disable=quiet) as bar:
        task = bar.add_task("importing", total=None, read=0)

        def draw(name: str, done: int, total: int | None, read: int) -> None:
            bar.update(task, description=name, completed=done, total=total, read=read)

        report = ingest.import_files(project, [Path(one) for one in paths], now=clock(), progress=draw)
    if as_json:
        print_json(ingest.report_json(report))
    else:
        say(f"{report.imported:,} of {report.read:,} messages imported, {report.duplicates:,} were there already.")
        if report.empty_properties:
            say(f"{report.empty_properties:,} had properties or traits that are no object; they count as empty.")
        if report.refused:
            say(f"{report.refused:,} refused; each line with its reason is in {report.rejects_file}")
    if report.refused:
        raise typer.Exit(EXIT_PARTIAL)
