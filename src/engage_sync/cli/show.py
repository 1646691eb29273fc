"""`show`: the verdicts, one row per user or account."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from engage_sync.cli.options import HERE, AsJson, AsOf, ProjectFolder, instant
from engage_sync.cli.output import OUT, say, table
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    import polars as pl

    from engage_sync.sync.views import Shown

SHOWN_ROWS = 50


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


COLUMNS = {
    "user": ("external_id", "email", "primary_user_type", "events", "last_active_at", "accounts"),
    "account": ("external_id", "name", "users", "active_users", "active_share", "events", "last_active_at"),
}
SHORTENED = {"user": ("email", "accounts"), "account": ("external id", "name")}
NUMBERS = ("events", "users", "active_users", "active_share")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    what: Annotated[str, typer.Argument(metavar="users|accounts")],
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,
    everyone: Annotated[bool, typer.Option("--all", help="Deactivated users too.")] = False,
    as_of: AsOf = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the verdicts, one row per user or account."""
    kinds = {"users": "user", "accounts": "account"}
    if what not in kinds:
        raise Mistake(f"show takes users or accounts, not {what!r}")
    if format_ is Format.PARQUET and sys.stdout.isatty():
        raise Mistake(
            "parquet is binary: send it to a file, as in `engage-sync show users --format parquet > users.parquet`"
        )
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import rows, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(project) as workspace:
        shown = views.show(workspace, Entity(kinds[what]), instant(as_of), everyone=everyone)
        if as_json or format_ is Format.JSONL:
            texts = views.json_rows(workspace, shown)
            _print_json(texts, as_document=as_json)
        elif format_ is Format.CSV:
            sys.stdout.write(rows.csv_text(shown.frame))
        elif format_ is Format.PARQUET:
            shown.frame.write_parquet(sys.stdout.buffer)
        else:
            _print_table(shown, rows.flat(shown.frame))


def _print_json(texts: pl.Series, *, as_document: bool) -> None:
    """Print one JSON document, or one row a line."""
    if as_document:
        sys.stdout.write("[" + ",".join(texts) + "]\n")
        return
    for part in (texts[start : start + 10_000] for start in range(0, len(texts), 10_000)):
        sys.stdout.write("\n".join(part) + "\n")


def _print_table(shown: Shown, frame: pl.DataFrame) -> None:
    columns = COLUMNS[shown.entity]
    frame = frame.sort("last_active_at", descending=True, nulls_last=True)
    lines = [
        [
            f"{cell:%Y-%m-%d %H:%M}" if name.endswith("_at") and cell is not None else _number(cell)
            for name, cell in zip(columns, line, strict=True)
        ]
        for line in frame.head(SHOWN_ROWS).select(columns).iter_rows()
    ]
    where = f"run {shown.run}" if shown.run is not None else "not recorded"
    headings = tuple(
        name.removesuffix("_at").replace("primary_user_type", "type").replace("_", " ") for name in columns
    )
    table(
        f"{frame.height:,} {shown.entity}s as of {shown.as_of:%Y-%m-%d %H:%M} UTC ({where})",
        headings,
        lines,
        right=[n.replace("_", " ") for n in NUMBERS],
        cut=[name for name in headings if name in SHORTENED[shown.entity]],
    )
    if frame.height > SHOWN_ROWS:
        OUT.print()
        say(
            f"The {SHOWN_ROWS} most recently active are shown;"
            f" `--format jsonl`, `csv` or `parquet` gives all {frame.height:,}."
        )


def _number(cell: object) -> object:
    return f"{cell:.2f}" if isinstance(cell, float) else cell
