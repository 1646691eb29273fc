"""Short ways to write and read the frames of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import polars as pl

from engage_sync.state.store import OutcomeRow, State

AT = datetime(2026, 6, 1, 12, 30, 1, 500, tzinfo=UTC)
Values = Mapping[str, str | None]


def page(records: Mapping[str, Values], updated_at: str = "2026-06-01T00:00:00Z") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "record": list(records),
            "values": [json.dumps(dict(values)) for values in records.values()],
            "updated_at": [updated_at] * len(records),
        },
        schema={"record": pl.String, "values": pl.String, "updated_at": pl.String},
    )


def values_frame(records: Mapping[str, Values]) -> pl.DataFrame:
    return page(records).select("record", "values")


def links_frame(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict.fromkeys(("record", "external_id", "level"), pl.String), orient="row")


def save(
    state: State,
    run: int,
    records: Mapping[str, Values],
    *,
    vanished: Sequence[str] = (),
    merged: Mapping[str, str] | None = None,
    cursor: str = "c",
    done: bool = True,
    fields: Sequence[str] = ("a", "b"),
) -> None:
    state.save_page(
        "crm",
        "contacts",
        records=page(records),
        vanished=vanished,
        merged=merged or {},
        cursor=cursor,
        run=run,
        done=done,
        fields=fields,
    )


def live(state: State, *fields: str) -> dict[str, tuple[str | None, ...]]:
    frame = state.records("crm", "contacts", fields)
    return {row[0]: tuple(row[2:]) for row in frame.iter_rows()}


def lost(state: State) -> dict[str, str | None]:
    return dict(state.gone("crm", "contacts").select("record", "moved_to").iter_rows())


def last(state: State, *fields: str) -> dict[str, tuple[str | None, ...]]:
    frame = state.written("crm", "contacts", fields)
    assert frame.get_column("ever").all()
    return {row[0]: tuple(row[1:-1]) for row in frame.iter_rows()}


def outcome(
    record: str,
    status: str,
    before: Values | None = None,
    after: Values | None = None,
    *,
    moved_to: str | None = None,
    at: datetime = AT,
) -> OutcomeRow:
    code, message = (None, None) if status == "written" else ("CODE", "the CRM's words")
    return OutcomeRow(record, status, code, message, "request-1", before or {}, after or {}, at, moved_to)
