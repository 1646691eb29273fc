"""Values that a rollback took back: what the undone run had written, and what stands there again. Kept from before the
first write of the rollback until another value is wanted, or a person releases them. Writes to no CRM and decides
nothing.
"""

from __future__ import annotations

import json

import polars as pl

from engage_sync.state import objects
from engage_sync.state.bulk import Schema, literal
from engage_sync.state.database import Database
from engage_sync.state.outcome import was_ours

ROLLBACK = "rollback"
"""The command of a run that rolls another one back."""
NOT_HELD = "NOT_HELD"
"""The code of a failure: the CRM acknowledged the write, and reading it back showed that nothing had happened."""
AROUND: Schema = {
    "id": pl.Int64,
    "run": pl.Int64,
    "connector": pl.String,
    "object": pl.String,
    "record": pl.String,
    "written_as": pl.String,
    "field": pl.String,
    "before": pl.String,
    "after": pl.String,
    "was_ours": pl.Boolean,
}
_UNDONE: Schema = {
    "record": pl.String,
    "field": pl.String,
    "value": pl.String,
    "restored": pl.String,
    "ours": pl.Boolean,
    "undone": pl.Int64,
    "run": pl.Int64,
}
_KEY = ("object_id", "record", "field")


def journal_around(database: Database, run: int) -> pl.DataFrame:
    """Give what was ever written, by any run, to the records that one run wrote to: a row per run and field, the last
    of that run, as AROUND. `record` is the record that the change really reached, `written_as` the id it was sent to.
    `was_ours` says whether `before` was ours when the run wrote, null where that was not noted. What did not take
    effect, as reading it back showed, is left out."""
    each, before = database.backend.each("j.after"), database.backend.text_of("j.before")
    ours = was_ours("j.theirs", database.backend.text_of("j.theirs"))
    mine = f"FROM engage_journal WHERE run = {int(run)} AND status = 'written'"
    with database.arrow() as arrow:
        rows = arrow.read(
            "SELECT j.id, j.run, o.connector, o.object, coalesce(j.moved_to, j.record) AS record,"
            f" j.record AS written_as, e.key AS field, {before} AS before, e.value AS after, {ours} AS was_ours,"
            " j.status"
            f" FROM (SELECT object_id AS its, record AS one {mine} UNION SELECT object_id, moved_to {mine}"
            " AND moved_to IS NOT NULL) m JOIN engage_journal j ON j.object_id = m.its AND j.record = m.one"
            f" JOIN engage_object o ON o.id = j.object_id JOIN {each} ON TRUE"
            f" WHERE j.status = 'written' OR j.code = {literal(NOT_HELD)}",
            {**AROUND, "status": pl.String},
        )
    place = ["run", "connector", "object", "record", "field"]
    newest = rows.sort("id").unique(place, keep="last", maintain_order=True)
    return newest.filter(pl.col("status") == "written").select(*AROUND)


def rollbacks(database: Database) -> dict[int, int]:
    """Give the runs that rolled another one back, with that one, newest first."""
    with database.reading() as transaction:
        rows = transaction.all("SELECT id, summary FROM engage_run WHERE command = ? ORDER BY id DESC", ROLLBACK)
    told = {int(number or 0): json.loads(str(summary or "{}")).get("undone") for number, summary in rows}
    return {run: int(undone) for run, undone in told.items() if undone is not None}


def save_undone(database: Database, rows: pl.DataFrame, run: int) -> None:
    """Keep what a rollback is about to take back, all of it or nothing, replacing what was known of those fields."""
    if rows.is_empty():
        return
    places = rows.select("connector", "object").unique()
    numbers = [objects.number(database, connector, object_name) for connector, object_name in places.iter_rows()]
    numbered = places.with_columns(object_id=pl.Series(numbers, dtype=pl.Int64))
    frame = rows.join(numbered, on=["connector", "object"]).select(
        *_KEY,
        "value",
        "restored",
        "ours",
        pl.col("undone").cast(pl.Int64),
        run=pl.lit(run, dtype=pl.Int64),
    )
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {numbers[0]}")
        arrow.upsert("engage_undone", _KEY, frame.sort(*_KEY))


def undone(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give what was taken back: record, field, value (what the undone run had written), restored (what stands there
    instead), ours (whether we had written that), undone and run."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=_UNDONE)
    with database.arrow() as arrow:
        return arrow.read(f"SELECT {', '.join(_UNDONE)} FROM engage_undone WHERE object_id = {object_id}", _UNDONE)


def undone_runs(database: Database) -> list[tuple[str, int, int]]:
    """Give of which runs values are kept back, by connector: connector, the undone run, the first of the runs that took
    them back."""
    with database.reading() as transaction:
        rows = transaction.all(
            "SELECT o.connector, u.undone, min(u.run) FROM engage_undone u JOIN engage_object o ON o.id = u.object_id"
            " GROUP BY o.connector, u.undone"
        )
    return [(str(connector), int(undone or 0), int(run or 0)) for connector, undone, run in rows]


def follow_undone(database: Database, connector: str, object_name: str, moves: pl.DataFrame) -> None:
    """Let what was taken back on merged records (record, moved_to) count for the survivors, where nothing was there."""
    if moves.is_empty():
        return
    rest = ", ".join(name for name in _UNDONE if name != "record")
    with database.writing() as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        pairs = [(record, into) for record, into in moves.select("record", "moved_to").iter_rows()]
        transaction.many(
            f"INSERT INTO engage_undone (object_id, record, {rest}) SELECT object_id, CAST(? AS TEXT), {rest}"
            " FROM engage_undone WHERE object_id = ? AND record = ? ON CONFLICT (object_id, record, field) DO NOTHING",
            [(into, object_id, record) for record, into in pairs],
        )
        transaction.many(
            "DELETE FROM engage_undone WHERE object_id = ? AND record = ?", [(object_id, record) for record, _ in pairs]
        )


def drop_undone(database: Database, connector: str, object_name: str, rows: pl.DataFrame) -> None:
    """Forget that some values (record, field) were taken back. A value that we never had written counts as a person's
    from now on: that it was we who put it back is forgotten, or it would be taken away as ours."""
    if rows.is_empty():
        return
    with database.writing() as transaction:
        object_id = objects.standing(transaction, connector, object_name).id
        places = [(object_id, record, field) for record, field in rows.select("record", "field").iter_rows()]
        theirs = {
            (str(record), str(field))
            for record, field in transaction.all(
                "SELECT record, field FROM engage_undone WHERE object_id = ? AND NOT ours AND restored IS NOT NULL",
                object_id,
            )
        }
        emptied = [(json.dumps({place[2]: None}), *place[:2]) for place in places if place[1:] in theirs]
        merged = database.backend.merged("properties", f"?{database.backend.as_document}")
        transaction.many(f"UPDATE engage_written SET properties = {merged} WHERE object_id = ? AND record = ?", emptied)
        transaction.many("DELETE FROM engage_undone WHERE object_id = ? AND record = ? AND field = ?", places)
