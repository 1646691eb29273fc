"""The runs of commands: when, as of which instant, how they ended, and which of them count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from engage_sync.errors import Mistake
from engage_sync.state import deliveries, instants
from engage_sync.state.backend import Row
from engage_sync.state.bulk import Schema
from engage_sync.state.database import Database, Transaction

RUNNING = "running"
_COUNTED: Schema = {"run": pl.Int64, "as_of": pl.String}
_COLUMNS = "id, command, as_of, started_at, finished_at, status, exit, summary, held, recorded, replaced_by"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `status` is `running` until it is finished, also when its process died; `summary` is what was kept with
    it, JSON values by name."""

    id: int
    command: str
    as_of: datetime
    started_at: datetime
    finished_at: datetime | None
    status: str
    exit: int | None
    summary: Mapping[str, Any]
    held: tuple[str, ...]
    recorded: bool
    replaced_by: int | None
    """A later recorded run that stands instead: at the same `as_of`, or an earlier one where the clock was ahead."""


def start_run(database: Database, command: str, as_of: datetime, started_at: datetime) -> int:
    """Note that a run starts; give its id, counted from 1."""
    with database.writing() as transaction:
        row = transaction.first(
            "INSERT INTO engage_run (command, as_of, started_at, status, held, recorded) VALUES (?, ?, ?, ?, '[]', ?)"
            " RETURNING id",
            command,
            instants.to_text(as_of),
            instants.to_text(started_at),
            RUNNING,
            False,
        )
    assert row is not None
    return int(row[0] or 0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `summary` is added to what was kept with it, `held` are the reasons of brakes."""

    status: str
    exit: int
    finished_at: datetime
    summary: Mapping[str, object]
    held: Sequence[str] = ()


def finish_run(database: Database, run: int, ending: Ending) -> None:
    """Note how a run ended. Raises Mistake for an unknown run."""
    with database.writing() as transaction:
        _add(transaction, run, ending.summary)
        transaction.run(
            "UPDATE engage_run SET status = ?, exit = ?, finished_at = ?, held = ? WHERE id = ?",
            ending.status,
            ending.exit,
            instants.to_text(ending.finished_at),
            json.dumps(list(ending.held), ensure_ascii=False),
            run,
        )


def add_to_summary(database: Database, run: int, more: Mapping[str, object]) -> None:
    """Keep some values with a run, over what was kept under the same names. Raises Mistake for an unknown run."""
    with database.writing() as transaction:
        _add(transaction, run, more)


def _add(transaction: Transaction, run: int, more: Mapping[str, object]) -> None:
    row = transaction.first("SELECT summary FROM engage_run WHERE id = ?", run)
    if row is None:
        raise Mistake(f"there is no run {run}")
    known = json.loads(str(row[0] or "{}"))
    transaction.run("UPDATE engage_run SET summary = ? WHERE id = ?", json.dumps({**known, **more}), run)


def mark_recorded(database: Database, run: int, *, forgetting: bool) -> None:
    """Make the verdicts and deliveries of a run count; a run recorded earlier at the same `as_of` is replaced, and
    `forgetting` so are those at a later one.

    Raises Mistake for an unknown run, and, not `forgetting`, for one that looks back behind the newest recorded run.
    """
    with database.writing() as transaction:
        row = transaction.first("SELECT as_of FROM engage_run WHERE id = ?", run)
        if row is None:
            raise Mistake(f"there is no run {run}")
        as_of = str(row[0])
        standing = "recorded AND replaced_by IS NULL"
        later = transaction.first(f"SELECT id FROM engage_run WHERE {standing} AND as_of > ?", as_of)
        if later is not None and not forgetting:
            raise Mistake(f"run {run} looks back to {as_of}, run {later[0]!r} is newer: a look back is not recorded")
        transaction.run(
            f"UPDATE engage_run SET replaced_by = ? WHERE {standing} AND as_of >= ? AND id <> ?",
            run,
            as_of,
            run,
        )
        transaction.run("UPDATE engage_run SET recorded = TRUE, replaced_by = NULL WHERE id = ?", run)
        deliveries.stands(transaction, run, as_of)


def runs(database: Database, limit: int, commands: Sequence[str] = ()) -> list[Run]:
    """Give the newest runs, newest first; with commands, those of them."""
    only = f"WHERE command IN ({', '.join('?' for _ in commands)}) " if commands else ""
    return _runs(database, f"{only}ORDER BY id DESC LIMIT ?", *commands, limit)


def run(database: Database, run_id: int) -> Run | None:
    """Give one run."""
    return next(iter(_runs(database, "WHERE id = ?", run_id)), None)


def newest_recorded(database: Database) -> Run | None:
    """Give the run whose verdicts stand now."""
    return next(
        iter(_runs(database, "WHERE recorded AND replaced_by IS NULL ORDER BY as_of DESC, id DESC LIMIT 1")), None
    )


def recorded_at(database: Database, as_of: datetime) -> Run | None:
    """Give the recorded run at exactly this instant that was not replaced."""
    found = _runs(database, "WHERE recorded AND replaced_by IS NULL AND as_of = ?", instants.to_text(as_of))
    return next(iter(found), None)


def previous(database: Database, as_of: datetime) -> Run | None:
    """Give the run whose verdicts stood just before an instant: recorded, not replaced, strictly earlier."""
    found = _runs(
        database,
        "WHERE recorded AND replaced_by IS NULL AND as_of < ? ORDER BY as_of DESC, id DESC LIMIT 1",
        instants.to_text(as_of),
    )
    return next(iter(found), None)


def counted_runs(database: Database) -> pl.DataFrame:
    """Give the runs that count, recorded and not replaced, by instant: run, as_of (an instant)."""
    with database.arrow() as arrow:
        frame = arrow.read("SELECT id AS run, as_of FROM engage_run WHERE recorded AND replaced_by IS NULL", _COUNTED)
    return frame.with_columns(instants.column_from_text("as_of")).sort("as_of", "run")


def _runs(database: Database, rest: str, *parameters: int | str) -> list[Run]:
    with database.reading() as transaction:
        return [_run(row) for row in transaction.all(f"SELECT {_COLUMNS} FROM engage_run {rest}", *parameters)]


def _run(row: Row) -> Run:
    number, command, as_of, started_at, finished_at, status, code, summary, held, recorded, replaced_by = row
    return Run(
        id=int(number or 0),
        command=str(command),
        as_of=instants.from_text(str(as_of)),
        started_at=instants.from_text(str(started_at)),
        finished_at=None if finished_at is None else instants.from_text(str(finished_at)),
        status=str(status),
        exit=None if code is None else int(code),
        summary=json.loads(str(summary or "{}")),
        held=tuple(json.loads(str(held))),
        recorded=bool(recorded),
        replaced_by=None if replaced_by is None else int(replaced_by),
    )
