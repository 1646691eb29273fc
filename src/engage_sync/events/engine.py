"""The engine that measures: opening it with bounded memory, and the store's messages as one Ibis table. It computes
nothing itself."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Final

import ibis
import ibis.expr.types as ir
import polars as pl
import pyarrow as pa
from ibis.backends import BaseBackend

from engage_sync.errors import Mistake
from engage_sync.events.schema import SCHEMA
from engage_sync.events.store import EventStore, translated

SUPPORTED: Final = ("duckdb",)
MEMORY: Final = "2GB"


@dataclass(frozen=True, slots=True)
class Engine:
    """The name of an Ibis backend and its options, as `engine` and `engine_options` of engage.yaml give them."""

    name: str = "duckdb"
    options: Mapping[str, object] = field(default_factory=dict)


def connect(engine: Engine) -> BaseBackend:
    """Open the engine. Raises Mistake for one that this version does not measure with, and for options it refuses."""
    if engine.name not in SUPPORTED:
        near = get_close_matches(engine.name, SUPPORTED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"this version measures with {', '.join(SUPPORTED)}"
        raise Mistake(f"events.engine: {engine.name} is not supported; {hint}")
    options = {"memory_limit": MEMORY, "threads": len(os.sched_getaffinity(0)), "preserve_insertion_order": False}
    try:
        connection = ibis.duckdb.connect(**{**options, **engine.options})
    except Exception as error:
        raise Mistake(f"events.engine_options: {engine.name} refuses them: {error}") from error
    connection.raw_sql("SET TimeZone = 'UTC'")  # instants come back as UTC and literals are read as UTC
    connection.raw_sql("SET enable_progress_bar = false")  # it would write into a command's answer
    return connection


def messages(connection: BaseBackend, store: EventStore, as_of: datetime) -> ir.Table:
    """Give the messages up to `as_of`; none where the store holds no file. Files are read by list, which keeps DuckDB
    at native speed; the partition column comes from their paths, in which it would read wildcards. Raises Mistake where
    a file may not be read, Unreachable where it cannot."""
    files = [glob.escape(path) for path in store.files()]
    if not files:
        return connection.create_table("no_messages", schema=ibis.schema(SCHEMA), temp=True)
    from duckdb import IOException  # noqa: PLC0415 -- it starts a thread, and most commands do without

    with translated(store.location):
        try:
            table = connection.read_parquet(files, hive_partitioning=True, union_by_name=True)
        except IOException as error:
            raise OSError(str(error)) from error
    return table.filter(table["timestamp"] <= ibis.literal(as_of, type="timestamp('UTC')"))


def answer(connection: BaseBackend, question: ir.Table, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Ask, and give the answer with the declared types of the columns named in `schema`.

    Arrow is taken from the engine itself: on its way Ibis imports pandas, which costs a second and is not needed.
    """
    found = connection.raw_sql(connection.compile(question)).to_arrow_table()
    frame = pl.DataFrame(found.cast(question.schema().to_pyarrow()))
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in schema.items())


def held(connection: BaseBackend, texts: Collection[str]) -> ir.StringColumn:
    """Hand the engine a long list of texts, as a column to look things up in."""
    name = f"texts_{len(connection.list_tables())}"
    connection.con.register(name, pa.table({"text": sorted(texts)}))
    return connection.table(name)["text"]
