"""Messages as Arrow columns: the table that both ways of reading hand to the import, and the columns added at its end.
It does not read text and refuses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from engage_sync.events.message import Message
from engage_sync.events.schema import PARTITION, SCHEMA
from engage_sync.events.slices import as_arrow, as_numpy, texts_as_arrow

COLUMNS: Final = tuple(field for field in SCHEMA if field.name not in {"arrival", PARTITION})
"""The columns of the store that one message tells by itself."""

MESSAGES: Final = pa.schema([*COLUMNS, pa.field("misshapen", pa.bool_()), pa.field("row", pa.int64())])
"""Read messages: the columns they tell, whether properties or traits were no object, and the row of their block."""


def no_messages() -> pa.Table:
    """Give MESSAGES without rows; `empty_table` would import pandas."""
    return pa.Table.from_batches([], schema=MESSAGES)


def from_messages(messages: Sequence[Message], rows: Sequence[int]) -> pa.Table:
    """Build MESSAGES from messages read one by one; `rows` are their places in the block, ascending."""
    if not messages:
        return no_messages()
    arrays = []
    for field, values in zip(MESSAGES, (*zip(*messages, strict=True), rows), strict=True):
        if field.name == "properties":
            arrays.append(pa.array([list(value.items()) for value in values], type=field.type))
        elif field.name == "traits":
            arrays.append(pa.array([_trait_structs(value) for value in values], type=field.type))
        else:
            arrays.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(arrays, schema=MESSAGES)


def merged(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables of MESSAGES together in the order of their rows."""
    filled = [table for table in tables if table.num_rows]
    if not filled:
        return no_messages()
    if len(filled) == 1:
        return filled[0]
    table = pa.concat_tables(filled).combine_chunks()
    order = np.argsort(as_numpy(table.column("row")), kind="stable")
    return table.take(as_arrow(order))


def numbered(table: pa.Table, first: int) -> pa.Table:
    """Turn MESSAGES into rows of SCHEMA: arrivals from `first` on, and the month of each timestamp."""
    arrival = as_arrow(np.arange(first, first + table.num_rows, dtype=np.int64))
    columns = [table.column(field.name) for field in COLUMNS]
    return pa.Table.from_arrays([arrival, *columns, months(table.column("timestamp"))], schema=SCHEMA)


def months(timestamps: pa.ChunkedArray) -> pa.Array:
    """Give the UTC month of each instant as YYYY-MM."""
    micros = as_numpy(timestamps)
    numbers = micros.view("datetime64[us]").astype("datetime64[M]")
    if len(numbers) and numbers[0] == numbers.min() == numbers.max():
        distinct, places = numbers[:1], np.zeros(len(numbers), dtype=np.int64)
    else:
        distinct, places = np.unique(numbers, return_inverse=True)
    return texts_as_arrow(np.datetime_as_string(distinct, unit="M").tolist()).take(as_arrow(places))


def _trait_structs(rows: list[tuple[str, str, str | None]]) -> list[dict[str, str | None]]:
    return [{"key": key, "path": path, "value": value} for key, path, value in rows]
