"""Parquet files of an append before its commit: rows go to one open file per month, in row groups that suit a reader,
and what waits for its row group is bounded, whatever the order of the rows. It commits nothing."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from engage_sync.events.instants import EPOCH, MICROSECOND
from engage_sync.events.schema import PARTITION, SCHEMA
from engage_sync.events.slices import as_arrow

_GROUP_ROWS: Final = 122_880
_WAITING_ROWS: Final = 500_000
_FILE_BYTES: Final = 128 * 1024 * 1024
_STORED: Final = pa.schema([field for field in SCHEMA if field.name != PARTITION])
_PLAIN: Final = frozenset(field.name for field in _STORED if not pa.types.is_nested(field.type))
_INSTANTS: Final = frozenset({"timestamp", "received"})
_REPEATING: Final = [
    *("kind", "event", "user", "account", "previous", "campaign_source", "campaign_medium", "campaign_name"),
    *("properties.key_value.key", "properties.key_value.value"),
    *("traits.list.element.key", "traits.list.element.path", "traits.list.element.value"),
]
"""Columns in which values repeat; to look for repeats in the others costs a third of the writing."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A finished file: its path below the table, its bytes and month, and its statistics as the Delta log has them."""

    path: str
    size: int
    month: str
    statistics: str


class _Open:
    """The file of one month under way, and the rows that wait for the next row group."""

    def __init__(self, filesystem: fs.FileSystem, month: str) -> None:
        self.path: Final = f"{PARTITION}={month}/part-{uuid.uuid4()}.parquet"
        self.month: Final = month
        self.waiting: list[pa.Table] = []
        self.waiting_rows = 0
        filesystem.create_dir(f"{PARTITION}={month}", recursive=True)
        self._sink = filesystem.open_output_stream(self.path)
        self._footer: list[pq.FileMetaData] = []
        self._writer = pq.ParquetWriter(
            self._sink, _STORED, compression="snappy", use_dictionary=_REPEATING, metadata_collector=self._footer
        )

    def flush(self) -> None:
        """Write what waits as one row group."""
        if not self.waiting:
            return
        table = pa.concat_tables(self.waiting)
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self.waiting, self.waiting_rows = [], 0

    def full(self) -> bool:
        """Tell whether the file has reached its size."""
        return bool(self._sink.tell() >= _FILE_BYTES)

    def finish(self) -> DataFile:
        """Write the rest and close the file."""
        self.flush()
        self._writer.close()
        size = int(self._sink.tell())
        self._sink.close()
        return DataFile(self.path, size, self.month, json.dumps(_statistics(self._footer[0])))

    def drop(self) -> None:
        """Let go of a file that will be deleted."""
        for close in (self._writer.close, self._sink.close):
            # A writer whose close failed has no metadata to collect, which pyarrow tells as a RuntimeError.
            with suppress(OSError, pa.ArrowException, RuntimeError):
                close()


class DataFiles:
    """The files of one append. `finish` gives them, `drop` deletes them."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        self._filesystem: Final = filesystem
        self._open: dict[str, _Open] = {}
        self._finished: list[DataFile] = []
        self._waiting_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows of SCHEMA."""
        for month, rows in _by_month(batch):
            file = self._open.get(month)
            if file is None:
                file = self._open[month] = _Open(self._filesystem, month)
            file.waiting.append(rows)
            file.waiting_rows += rows.num_rows
            self._waiting_rows += rows.num_rows
            if file.waiting_rows >= _GROUP_ROWS:
                self._flush(file)
        while self._waiting_rows > _WAITING_ROWS:
            self._flush(max(self._open.values(), key=lambda file: file.waiting_rows))

    def finish(self) -> list[DataFile]:
        """Close all files and give them."""
        for month in list(self._open):
            self._finished.append(self._open[month].finish())
            del self._open[month]
        return self._finished

    def drop(self) -> None:
        """Delete all files, so that a full disk has room again. What cannot be deleted is left to a compaction."""
        for file in self._open.values():
            file.drop()
        for path in [*(file.path for file in self._open.values()), *(file.path for file in self._finished)]:
            with suppress(OSError, pa.ArrowException):
                self._filesystem.delete_file(path)

    def _flush(self, file: _Open) -> None:
        self._waiting_rows -= file.waiting_rows
        file.flush()
        if file.full():
            self._finished.append(file.finish())
            del self._open[file.month]


def _by_month(batch: pa.RecordBatch) -> list[tuple[str, pa.Table]]:
    """Split rows by month, without the month."""
    table = pa.Table.from_batches([batch])
    encoded = batch.column(PARTITION).dictionary_encode()
    months = encoded.dictionary.to_pylist()
    table = table.select(_STORED.names)
    if len(months) == 1:
        return [(months[0], table)]
    codes = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(batch), 4 * encoded.indices.offset)
    table = table.take(as_arrow(np.argsort(codes, kind="stable")))
    ends = np.cumsum(np.bincount(codes, minlength=len(months))).tolist()
    return [
        (month, table.slice(start, end - start)) for month, start, end in zip(months, [0, *ends], ends, strict=False)
    ]


def _statistics(footer: pq.FileMetaData) -> dict[str, object]:
    """Give the statistics of a file as the Delta log has them: of every plain column, since readers take a column whose
    statistics are missing for all null."""
    lows: dict[str, Any] = {}
    highs: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        for place in range(footer.num_columns):
            column = footer.row_group(group).column(place)
            name, found = column.path_in_schema, column.statistics
            if name not in _PLAIN or found is None:
                continue
            nulls[name] = nulls.get(name, 0) + found.null_count
            if found.has_min_max:
                low, high = _logged(name, found.min_raw), _logged(name, found.max_raw)
                lows[name], highs[name] = min(lows.get(name, low), low), max(highs.get(name, high), high)
    return {"numRecords": footer.num_rows, "minValues": lows, "maxValues": highs, "nullCount": nulls}


def _logged(name: str, raw: bytes | int) -> Any:  # text or number, the same in all of a column
    if isinstance(raw, bytes):
        return raw.decode()
    if name in _INSTANTS:
        return f"{(EPOCH + raw * MICROSECOND).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    return raw
