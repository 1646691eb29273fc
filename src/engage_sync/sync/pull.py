"""Mirror what changed in a CRM: page after page, each with its cursor in one transaction. Decides nothing
about people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from pydantic_core import PydanticSerializationError, to_json

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Connector, Cursor, Kind, Page, Record
from engage_sync.errors import Misbehaved
from engage_sync.sync.rhythm import Rhythm
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace, kind_of


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull of one object brought: `records` received (overlap included), ids `vanished` and `merged`."""

    connector: str
    object: str
    records: int
    vanished: int
    merged: int
    pages: int


Progress = Callable[[Pulled], None]
"""Told after each page, with the totals so far."""


def pull(
    workspace: Workspace, file: ConnectorFile, connector: Connector, *, run: int, progress: Progress
) -> list[Pulled]:
    """Pull every declared object of one connector to its end."""
    return [
        pull_object(workspace, file.name, connector, kind_of(object_map, connector.limits), run, progress)
        for object_map in file.objects
    ]


def pull_object(
    workspace: Workspace, name: str, connector: Connector, kind: Kind, run: int, progress: Progress
) -> Pulled:
    """Pull one object to its end. What changed behind a pull that was cut short comes with a second one, right after
    the rest."""
    kept = workspace.state.cursor(name, kind.object, fields=kind.fields)
    cursor = None if kept is None else Cursor(kept)
    records = vanished = merged = pages = 0
    newest = ""
    mark = f"pulling.{name}.{kind.object}"
    under_way = again = workspace.state.note(mark) is not None
    while True:
        page = connector.pull(kind, cursor)
        if not page.done and page.cursor == cursor:
            raise Misbehaved(f"{name}: the pull of {kind.object} does not move on (page {pages + 1})")
        if not page.done and not under_way:
            workspace.state.set_note(mark, str(run))
            under_way = True
        _save(workspace, name, kind, page, run)
        records, vanished = records + len(page.records), vanished + len(page.vanished)
        merged, pages, cursor = merged + len(page.merged), pages + 1, page.cursor
        newest = max(newest, *(record.updated_at.removesuffix("Z") for record in page.records), "")
        pulled = Pulled(name, kind.object, records, vanished, merged, pages)
        progress(pulled)
        if page.done and not again:
            if under_way:
                workspace.state.set_note(mark, None)
            _note_newest(workspace, name, kind.object, newest, run)
            _note_end(workspace, name, kind.object, run)
            return pulled
        if page.done:
            again = False


def last_record_at(workspace: Workspace, name: str, object_: str) -> str | None:
    """Give when the last pull began that brought a record changed later than all before (ISO 8601); None: never."""
    known = rhythm(workspace, name, object_)
    return None if known is None else known.at.isoformat()


def rhythm(workspace: Workspace, name: str, object_: str) -> Rhythm | None:
    """Give how often pulls of an object bring something new; None where none has yet."""
    kept = workspace.state.note(f"last_record.{name}.{object_}")
    return None if kept is None else Rhythm.read(kept)


def reached_at(workspace: Workspace, name: str, object_: str) -> str | None:
    """Give the instant up to which the mirror of an object holds what the CRM had: the start of the last pull that came
    to its end (ISO 8601); None: none has."""
    return workspace.state.note(f"reached.{name}.{object_}")


def _note_end(workspace: Workspace, name: str, object_: str, run: int) -> None:
    of = workspace.state.run(run)
    if of is not None:
        workspace.state.set_note(f"reached.{name}.{object_}", iso_text(of.started_at))


def _note_newest(workspace: Workspace, name: str, object_: str, newest: str, run: int) -> None:
    """Note that a pull brought something new. Every increment brings some records again; only a later stamp is new."""
    known = rhythm(workspace, name, object_)
    of = workspace.state.run(run) if newest > ("" if known is None else known.newest) else None
    if of is not None:
        found = Rhythm(of.started_at, newest) if known is None else known.heard(of.started_at, newest)
        workspace.state.set_note(f"last_record.{name}.{object_}", found.text())


def as_rows(records: Sequence[Record]) -> pl.DataFrame:
    """Give records as the mirror takes them: record, values (JSON text), updated_at."""
    return pl.DataFrame(
        {
            "record": [record.id for record in records],
            "values": [_document(record.values) for record in records],
            "updated_at": [record.updated_at for record in records],
        },
        schema={"record": pl.String, "values": pl.String, "updated_at": pl.String},
    )


def _save(workspace: Workspace, name: str, kind: Kind, page: Page, run: int) -> None:
    workspace.state.save_page(
        name,
        kind.object,
        fields=kind.fields,
        records=as_rows(page.records),
        vanished=page.vanished,
        merged=page.merged,
        cursor=page.cursor,
        run=run,
        done=page.done,
    )


def _document(values: Mapping[str, str | None]) -> str:
    """Write a record's values as a JSON object; a lone surrogate, which no UTF-8 holds, as its escape."""
    try:
        return to_json(values).decode()
    except PydanticSerializationError:
        return json.dumps(values)
