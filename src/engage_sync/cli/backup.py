"""`backup FILE` and `restore FILE`: a project in one file, and from it again elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from engage_sync.cli.options import HERE, AsJson, ProjectFolder, clock
from engage_sync.cli.output import ERR, print_json, say

if TYPE_CHECKING:
    from engage_sync.sync.archive import Heard

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(file: BackupFile, project: ProjectFolder = HERE, as_json: AsJson = False) -> None:
    """Write state, events and configuration, without secrets, to one file; a daemon may go on meanwhile."""
    from engage_sync.sync import backup as backups  # noqa: PLC0415  start-up: --help needs none of it

    with _drawn(quiet=as_json) as heard:
        done = backups.backup(project, file, now=clock(), heard=heard)
    answer = done.json()
    if as_json:
        print_json(answer)
        return
    events = answer["events"]
    files = f"{events['files']:,} files of events" if isinstance(events, dict) else "no events"
    rows = sum(done.facts["tables"].values())
    say(f"{escape(str(file))}: {done.size:,} bytes, {rows:,} rows of state, {files}, {len(done.facts['files'])} files.")
    _tell_replaced(done.facts["replaced"])
    say("Secrets are not in it: neither those that the files name by ${…}, nor what connectors keep encrypted.")


def restore(
    file: BackupFile,
    project: ProjectFolder = HERE,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="Keep the state there, and write that into config/engage.yaml."),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option("--events", metavar="PLACE", help="Keep the events there, and write that into the file too."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a project of a backup, in an empty folder and an empty database."""
    from engage_sync.sync import backup as backups  # noqa: PLC0415  start-up: --help needs none of it

    with _drawn(quiet=as_json) as heard:
        done = backups.restore(file, project, database=database, events=events, heard=heard)
    if as_json:
        print_json(done.json())
        return
    if done.again:
        say("A restore into this folder had been cut off: what it had left was cleared away first.")
    say(f"{escape(str(done.root))}: {sum(done.tables.values()):,} rows of state, as of {done.manifest['as_of']}.")
    _tell_replaced(done.manifest["replaced"])
    say("Set the variables that the files name by ${…}, then run `engage-sync check`.")


def _tell_replaced(replaced: list[dict[str, Any]]) -> None:
    for one in replaced:
        place = escape(f"{one['file']}:{one['line']}")
        say(f"{place}: `{escape(one['key'])}` was written out; in the backup it is {escape(one['reference'])}")


@contextmanager
def _drawn(*, quiet: bool) -> Iterator[Heard]:
    """Draw a bar for each part on stderr."""
    from rich import progress  # noqa: PLC0415  start-up: --help needs none of it

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    with progress.Progress(*columns, console=ERR, transient=True, disable=quiet or not ERR.is_terminal) as bars:
        tasks: dict[str, progress.TaskID] = {}

        def heard(what: str, done: int, of: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done)

        yield heard
