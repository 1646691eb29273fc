"""Which record shows which user or account, and which did. A link that ends is kept with the runs it began and ended
with; one that began and ended at one instant never was.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engage_sync.state import instants, objects
from engage_sync.state.bulk import Arrow, Schema, literal
from engage_sync.state.database import Database, Transaction

SCHEMA: Schema = {"record": pl.String, "external_id": pl.String, "level": pl.String, "since_run": pl.Int64}
HISTORY: Schema = {
    "connector": pl.String,
    "object": pl.String,
    "record": pl.String,
    "external_id": pl.String,
    "level": pl.String,
    "since_run": pl.Int64,
    "until_run": pl.Int64,
    "since": pl.String,
    "until": pl.String,
    "moved_to": pl.String,
    "gone": pl.Boolean,
}
CONTESTED = "contested"
"""The level of a stored link that ended ambiguous: kept, so that the next run finds the same, and linking nobody."""
_PAST = "engage_past_link (object_id, record, external_id, level, since_run, until_run)"


def links(database: Database, connector: str, object_name: str) -> pl.DataFrame:
    """Give the links of an object: record, external_id, level, since_run."""
    object_id = objects.find(database, connector, object_name)
    if object_id is None:
        return pl.DataFrame(schema=SCHEMA)
    with database.arrow() as arrow:
        return arrow.read(_query(object_id), SCHEMA)


def replace_links(database: Database, connector: str, object_name: str, wanted: pl.DataFrame, run: int) -> None:
    """Make the links exactly `wanted` (record, external_id, level). A pair that was there keeps its since_run, and one
    that a run at the same instant ended takes up its own again."""
    object_id = objects.number(database, connector, object_name)
    with database.arrow() as arrow:
        arrow.run(f"UPDATE engage_object SET id = id WHERE id = {object_id}")
        held = arrow.read(_query(object_id), SCHEMA)
        wanted = wanted.select("record", "external_id", "level")
        changed = wanted.join(held, on=["record", "external_id", "level"], how="anti")
        dropped = held.join(wanted, on="record", how="anti")
        if not changed.is_empty():
            was = held.select("record", former="external_id", former_level="level", since_run="since_run")
            changed = changed.join(was, on="record", how="left")
            stays = (pl.col("former") == pl.col("external_id")) & ~_counts_no_more() & ~_counts_again()
            begins = changed.filter(~stays.fill_null(value=False))
            ended = begins.drop_nulls("former").select(
                "record", "since_run", external_id="former", level="former_level"
            )
            _end(arrow, object_id, pl.concat([dropped, ended.select(*SCHEMA)]), run)
            changed = changed.with_columns(since_run=pl.when(stays).then("since_run")).select(*SCHEMA)
            if not begins.is_empty():
                changed = _taken_up(arrow, object_id, changed, run)
        else:
            _end(arrow, object_id, dropped, run)
        if not dropped.is_empty():
            arrow.stage("dropped", dropped.select("record"))
            arrow.run(
                f"DELETE FROM engage_link WHERE object_id = {object_id} AND record IN (SELECT record FROM dropped)"
            )
        if not changed.is_empty():
            arrow.stage("changed", changed.with_columns(pl.col("since_run").fill_null(run)).sort("record"))
            arrow.run(
                "INSERT INTO engage_link (object_id, record, external_id, level, since_run)"
                f" SELECT {object_id}, record, external_id, level, since_run FROM changed WHERE TRUE"
                " ON CONFLICT (object_id, record) DO UPDATE SET external_id = excluded.external_id,"
                " level = excluded.level, since_run = excluded.since_run"
            )
            arrow.grown("engage_link", changed.height)


def _counts_no_more() -> pl.Expr:
    return (pl.col("level") == CONTESTED) & (pl.col("former_level") != CONTESTED)


def _counts_again() -> pl.Expr:
    return (pl.col("level") != CONTESTED) & (pl.col("former_level") == CONTESTED)


def _end(arrow: Arrow, object_id: int, ended: pl.DataFrame, run: int) -> None:
    """Keep links that a run ends; those that began at its own instant are not."""
    ended = ended.filter(pl.col("level") != CONTESTED)
    if ended.is_empty():
        return
    arrow.stage("ended", ended)
    arrow.run(
        f"INSERT INTO {_PAST} SELECT {object_id}, e.record, e.external_id, e.level, e.since_run, {run} FROM ended e"
        f" JOIN engage_run s ON s.id = e.since_run JOIN engage_run u ON u.id = {run} WHERE s.as_of < u.as_of"
        " ON CONFLICT (object_id, record, external_id, since_run) DO UPDATE SET until_run = excluded.until_run"
    )


def _taken_up(arrow: Arrow, object_id: int, changed: pl.DataFrame, run: int) -> pl.DataFrame:
    """Give new links the beginning of the same link that a run at the same instant ended: that end is undone."""
    at_once = (
        "FROM engage_past_link p JOIN engage_run u ON u.id = p.until_run"
        f" JOIN engage_run r ON r.id = {run} AND r.as_of = u.as_of WHERE p.object_id = {object_id}"
    )
    past = arrow.read(
        f"SELECT p.record, p.external_id, p.since_run AS began {at_once}",
        {"record": pl.String, "external_id": pl.String, "began": pl.Int64},
    )
    again = changed.filter(pl.col("since_run").is_null() & (pl.col("level") != CONTESTED)).join(
        past, on=["record", "external_id"]
    )
    if again.is_empty():
        return changed
    arrow.stage("again", again.select("record", "external_id", "began"))
    arrow.run(
        f"DELETE FROM engage_past_link WHERE object_id = {object_id} AND EXISTS (SELECT 1 FROM again a WHERE"
        " a.record = engage_past_link.record AND a.external_id = engage_past_link.external_id"
        " AND a.began = engage_past_link.since_run)"
    )
    began = again.select("record", "began")
    joined = changed.join(began, on="record", how="left")
    return joined.with_columns(pl.coalesce("since_run", "began").alias("since_run")).drop("began")


def end(transaction: Transaction, object_id: int, record: str, run: int) -> None:
    """End the link of one record that a write met gone, or merged into another one."""
    transaction.run(
        f"INSERT INTO {_PAST} SELECT l.object_id, l.record, l.external_id, l.level, l.since_run, u.id"
        " FROM engage_link l JOIN engage_run s ON s.id = l.since_run JOIN engage_run u ON u.id = ?"
        " WHERE l.object_id = ? AND l.record = ? AND l.level <> ? AND s.as_of < u.as_of"
        " ON CONFLICT (object_id, record, external_id, since_run) DO UPDATE SET until_run = excluded.until_run",
        run,
        object_id,
        record,
        CONTESTED,
    )
    transaction.run("DELETE FROM engage_link WHERE object_id = ? AND record = ?", object_id, record)


def link_history(database: Database, external_ids: Sequence[str]) -> pl.DataFrame:
    """Give every link of some users or accounts, former and present, oldest first, as HISTORY. `since` and `until` are
    the instants of those runs (null: it stands); `moved_to` is the record that one merged away lives on in; `gone` says
    that the record is not in the CRM any more."""
    if not external_ids:
        return pl.DataFrame(schema=HISTORY).with_columns(*_instants())
    ids = ", ".join(literal(one) for one in external_ids)
    every = (
        "SELECT object_id, record, external_id, level, since_run, NULL AS until_run FROM engage_link"
        f" WHERE external_id IN ({ids}) AND level <> {literal(CONTESTED)} UNION ALL"
        " SELECT object_id, record, external_id, level, since_run, until_run FROM engage_past_link"
        f" WHERE external_id IN ({ids})"
    )
    with database.arrow() as arrow:
        frame = arrow.read(
            "SELECT o.connector, o.object, l.record, l.external_id, l.level, l.since_run, l.until_run,"
            f" s.as_of AS since, u.as_of AS until, m.survivor AS moved_to,"
            f" coalesce(r.gone, TRUE) AS gone FROM ({every}) l"
            " JOIN engage_object o ON o.id = l.object_id LEFT JOIN engage_run s ON s.id = l.since_run"
            " LEFT JOIN engage_run u ON u.id = l.until_run"
            " LEFT JOIN engage_record r ON r.object_id = l.object_id AND r.record = l.record"
            " LEFT JOIN engage_merge m ON m.object_id = l.object_id AND m.record = l.record"
            " AND coalesce(r.gone, TRUE)",
            HISTORY,
        )
    frame = frame.with_columns(_moved(database, frame), *_instants())
    return frame.sort("since", "until", "connector", "object", "record", nulls_last=True)


def _moved(database: Database, history: pl.DataFrame) -> pl.Series:
    """Say for each link that a merge ended which record it moved to: the next one of the chain that is in the history
    too, else the end of the chain. A CRM may tell of a whole chain by its end alone."""
    rows = history.select("connector", "object", "record", "moved_to", "since_run", "until_run").rows()
    with database.reading() as transaction:
        ends = {row[:3]: _followed(transaction, row[0], row[1], row[3]) for row in rows if row[3] is not None}
    found: list[str | None] = []
    for connector, object_, record, survivor, _, until in rows:
        end = ends.get((connector, object_, record))
        later = [
            (since, other)
            for place, called, other, _, since, _ in rows
            if (place, called) == (connector, object_)
            and until is not None
            and since >= until
            and other != record
            and end in {other, ends.get((place, called, other))}
        ]
        found.append(None if survivor is None else min(later)[1] if later else end)
    return pl.Series("moved_to", found, dtype=pl.String)


def _followed(transaction: Transaction, connector: str, object_: str, record: str) -> str:
    """Give the end of a chain of merges; of a circle some record in it."""
    seen: set[str] = set()
    while record not in seen:
        seen.add(record)
        row = transaction.first(
            "SELECT m.survivor FROM engage_merge m JOIN engage_object o ON o.id = m.object_id"
            " WHERE o.connector = ? AND o.object = ? AND m.record = ?",
            connector,
            object_,
            record,
        )
        if row is None:
            break
        record = str(row[0])
    return record


def _instants() -> list[pl.Expr]:
    return [instants.column_from_text(name) for name in ("since", "until")]


def _query(object_id: int) -> str:
    return f"SELECT record, external_id, level, since_run FROM engage_link WHERE object_id = {object_id}"
