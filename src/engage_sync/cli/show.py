"""`show`: the verdicts, one row per user or account; the bars of health and stages; one timeline."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engage_sync.cli.options import HERE, AsJson, AsOf, ProjectFolder, instant
from engage_sync.cli.output import OUT, print_json, say, table, write
from engage_sync.errors import Mistake

if TYPE_CHECKING:
    import polars as pl

    from engage_sync.core.definitions import Entity, Model
    from engage_sync.sync.views import Shown

SHOWN_ROWS = 50


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


ROWS = {"users": "user", "accounts": "account"}
WHAT = (*ROWS, "health", "stages", "timeline")
ENTITIES = ("user", "account")
COLUMNS = {
    "user": ("external_id", "email", "primary_user_type", "events", "last_active_at", "accounts"),
    "account": ("external_id", "name", "users", "active_users", "active_share", "events", "last_active_at"),
}
SHORTENED = {"user": ("email", "accounts"), "account": ("external id", "name")}
NUMBERS = ("events", "users", "active_users", "active_share", "mrr")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and how it is to be answered."""

    project: Path
    as_of: datetime | None
    everyone: bool
    format: Format
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    what: Annotated[str, typer.Argument(metavar="users|accounts|health|stages|timeline")],
    entity: Annotated[str | None, typer.Argument(metavar="[user|account]", help="timeline: of what.")] = None,
    external_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="timeline: of whom.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.TABLE,
    everyone: Annotated[bool, typer.Option("--all", help="Deactivated users too.")] = False,
    as_of: AsOf = None,
    project: ProjectFolder = HERE,
    as_json: AsJson = False,
) -> None:
    """Show the verdicts, one row per user or account."""
    if what not in WHAT:
        raise Mistake(f"show takes {', '.join(WHAT[:-1])} or {WHAT[-1]}, not {what!r}{_near(what, WHAT)}")
    if what != "timeline" and entity is not None:
        raise Mistake(f"`show {what}` takes no {entity!r}; `show timeline user ID` and `explain user ID` show one")
    asked = Asked(project, instant(as_of), everyone, format_, as_json)
    if what == "timeline":
        _show_timeline(asked, entity, external_id)
        return
    if format_ is Format.PARQUET and sys.stdout.isatty():
        raise Mistake(
            f"parquet is binary: send it to a file, as in `engage-sync show {what} --format parquet > {what}.parquet`"
        )
    if what in ROWS:
        _show_rows(asked, ROWS[what])
    else:
        _show_bars(asked, what)


def _near(text: str, valid: tuple[str, ...]) -> str:
    near = get_close_matches(text, valid, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _show_rows(asked: Asked, of: str) -> None:
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import rows, views, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(asked.project) as workspace:
        shown = views.show(workspace, Entity(of), asked.as_of, everyone=asked.everyone)
        if asked.as_json or asked.format is Format.JSONL:
            texts = views.json_rows(workspace, shown)
            _print_json(texts, as_document=asked.as_json)
        elif asked.format is Format.CSV:
            write(rows.csv_text(shown.frame))
        elif asked.format is Format.PARQUET:
            shown.frame.write_parquet(sys.stdout.buffer)
        else:
            _print_table(shown, rows.flat(shown.frame), workspace.project.model)


def _show_bars(asked: Asked, what: str) -> None:
    from engage_sync.cli import bars as drawing  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import bars, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(asked.project) as workspace:
        if what == "health":
            found = bars.health(workspace, asked.as_of, everyone=asked.everyone)
        else:
            found = bars.stages(workspace, asked.as_of, everyone=asked.everyone)
    if asked.as_json:
        print_json(bars.health_json(found) if what == "health" else bars.stages_json(found))
    elif asked.format is Format.TABLE:
        (drawing.print_health if what == "health" else drawing.print_stages)(found)
    else:
        frame = bars.health_rows(found) if what == "health" else bars.stage_rows(found)
        if asked.format is Format.PARQUET:
            frame.write_parquet(sys.stdout.buffer)
        else:
            write(frame.write_csv() if asked.format is Format.CSV else frame.write_ndjson())


def _show_timeline(asked: Asked, entity: str | None, external_id: str | None) -> None:
    if entity is None or external_id is None:
        raise Mistake("`show timeline` takes user or account and an id, as in `engage-sync show timeline account acme`")
    if entity not in ENTITIES:
        raise Mistake(f"show timeline takes user or account, not {entity!r}{_near(entity, ENTITIES)}")
    if asked.format not in {Format.TABLE, Format.JSONL}:
        raise Mistake(f"a timeline has no rows for {asked.format.value}; `--json` gives all of it")
    from engage_sync.cli import timeline as printing  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.core.definitions import Entity  # noqa: PLC0415  start-up: --help needs none of it
    from engage_sync.sync import timeline, wiring  # noqa: PLC0415  start-up: --help needs none of it

    with wiring.open_workspace(asked.project) as workspace:
        found = timeline.timeline(workspace, Entity(entity), external_id, asked.as_of)
    if asked.as_json or asked.format is Format.JSONL:
        print_json(timeline.timeline_json(found))
    else:
        printing.print_timeline(found)


def _print_json(texts: pl.Series, *, as_document: bool) -> None:
    """Print one JSON document, or one row a line."""
    if as_document:
        write("[" + ",".join(texts) + "]\n")
        return
    for part in (texts[start : start + 10_000] for start in range(0, len(texts), 10_000)):
        write("\n".join(part) + "\n")


def _columns(model: Model, entity: Entity) -> tuple[str, ...]:
    """Give the columns of the table: the verdicts that the model has stand before the figures."""
    first, *rest = COLUMNS[entity][:3], *COLUMNS[entity][3:]
    scores = model.scores_of(entity)
    verdicts = {
        "stage": entity in model.stages,
        "health": entity in model.health,
        f"scores.{scores[0].name}" if scores else "": bool(scores),
        "mrr": any(item.name == "mrr" for item in model.properties),
    }
    return (*first, *(name for name, there in verdicts.items() if there), *rest)


def _print_table(shown: Shown, frame: pl.DataFrame, model: Model) -> None:
    columns = _columns(model, shown.entity)
    frame = frame.sort("last_active_at", descending=True, nulls_last=True)
    lines = [
        [
            f"{cell:%Y-%m-%d %H:%M}" if name.endswith("_at") and cell is not None else _number(name, cell)
            for name, cell in zip(columns, line, strict=True)
        ]
        for line in frame.head(SHOWN_ROWS).select(columns).iter_rows()
    ]
    where = f"run {shown.run}" if shown.run is not None else "not recorded"
    headings = tuple(map(_heading, columns))
    table(
        f"{frame.height:,} {shown.entity}s as of {shown.as_of:%Y-%m-%d %H:%M} UTC ({where})",
        headings,
        lines,
        right=[_heading(name) for name in columns if name in NUMBERS or name.startswith("scores.")],
        cut=[name for name in headings if name in SHORTENED[shown.entity]],
    )
    if frame.height > SHOWN_ROWS:
        OUT.print()
        say(
            f"The {SHOWN_ROWS} most recently active are shown;"
            f" `--format jsonl`, `csv` or `parquet` gives all {frame.height:,}."
        )


def _heading(column: str) -> str:
    shortened = column.removesuffix("_at").removeprefix("scores.").replace("primary_user_type", "type")
    return shortened.replace("_", " ")


def _number(column: str, cell: object) -> object:
    if column == "mrr" and isinstance(cell, float):
        return f"{cell:,.2f}".removesuffix(".00")
    if column.startswith("scores.") and isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return f"{cell:.2f}" if isinstance(cell, float) else cell
