"""CSV and Parquet files as messages: columns named like a message's keys, in Segment's spelling or in snake case,
dotted columns for what is nested, or JSON text for a whole `properties`, `traits` or `context`. Every row becomes an
object and goes through the exact way; nothing is decided here but what a cell says."""

from __future__ import annotations

import csv
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from engage_sync.errors import Mistake
from engage_sync.events.columns import from_messages
from engage_sync.events.lines import LONGEST_LINE, Block, read_blocks
from engage_sync.events.message import Json, Message, Refused, parse_json, read_object
from engage_sync.events.reading import Reading, settle
from engage_sync.events.rejects import Reject

_ROWS: Final = 20_000
_TREES: Final = ("properties", "traits", "context")
_KEYS: Final = {
    name.replace("_", "").lower(): name
    for name in (
        *("type", "messageId", "userId", "groupId", "previousId", "anonymousId", "event", "name"),
        *("timestamp", "receivedAt", *_TREES),
    )
}
_LONE: Final = re.compile("[\ud800-\udfff]")


class _TooLong(Exception):
    """One record of a CSV file is over the limit."""


@dataclass(slots=True)
class _Rows:
    """Messages and refusals gathered until a batch is full."""

    messages: list[Message] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    def take(self, place: int, value: Mapping[str, Json], text: str, latest: datetime) -> None:
        """Read one object; `text` is what a rejects file shows of it."""
        try:
            message = read_object(value)
        except Refused as refused:
            self.rejects.append(Reject(place, str(refused), text))
            return
        if message.timestamp > latest:
            self.texts[place] = text
        self.messages.append(message)
        self.places.append(place)

    def reading(self, latest: datetime, bytes_done: int) -> Reading:
        table = from_messages(self.messages, self.places)
        return settle(table, self.rejects, latest, bytes_done, lambda row: Reject(row, "", self.texts.get(row, "")))


def read_csv(path: Path, latest: datetime) -> Generator[Reading]:
    """Read a CSV file with a header line; an empty cell is absent. Rows are named by the line they begin in."""
    source = _CsvLines(path)
    header = _header(source, path)
    rows = _Rows()
    while (record := source.record()) is not None:
        cells = record.cells
        if isinstance(cells, str):
            rows.rejects.append(Reject(record.line, cells, record.text))
        elif len(cells) != len(header.names):
            reason = f"has {len(cells)} cells where the header has {len(header.names)}"
            rows.rejects.append(Reject(record.line, reason, record.text))
        else:
            _take_cells(rows, record, cells, header, latest)
        rows.rejects.extend(source.drain())
        if len(rows.messages) + len(rows.rejects) >= _ROWS:
            yield rows.reading(latest, source.bytes_done)
            rows = _Rows()
    rows.rejects.extend(source.drain())
    yield rows.reading(latest, source.bytes_done)


def read_parquet(path: Path, latest: datetime) -> Generator[Reading]:
    """Read a Parquet file; null is absent. Rows are counted from 1."""
    try:
        file = pq.ParquetFile(path)
        columns = _Columns.of(file.schema_arrow.names, str(path))
        size, total, done = path.stat().st_size, max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(batch_size=_ROWS):
            rows = _Rows()
            values = [_plain_column(column) for column in batch.columns]
            for cells in zip(*values, strict=True):
                done += 1
                text = _row_text(columns, cells)
                try:
                    rows.take(done, columns.message([_plain(cell) for cell in cells]), text, latest)
                except Refused as refused:
                    rows.rejects.append(Reject(done, str(refused), text))
            yield rows.reading(latest, size * done // total)
    except (pa.ArrowException, OSError) as error:
        raise Mistake(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the columns of a file go in a message. `paths` has one entry per column, empty for one that says
    nothing."""

    names: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]
    typed: bool

    @staticmethod
    def of(names: Sequence[str], file: str) -> _Columns:
        """Map the names. Raises Mistake where no column is known or two say the same."""
        paths = tuple(_path(name.strip()) for name in names)
        known = [path for path in paths if path]
        if not known:
            raise Mistake(
                f"{file}: no column is named like a message's key; expected userId or user_id, event, timestamp, …"
            )
        for path in known:
            if known.count(path) > 1:
                raise Mistake(f"{file}: two columns give {'.'.join(path)}")
        return _Columns(tuple(names), paths, ("type",) in known)

    def message(self, cells: Sequence[Json]) -> dict[str, Json]:
        """Put the cells of one row together as a message. Whole trees go first, dotted columns into them."""
        value: dict[str, Json] = {} if self.typed else {"type": "track"}
        for path, cell in zip(self.paths, cells, strict=True):
            if len(path) == 1 and cell is not None:
                value[path[0]] = _tree(cell) if path[0] in _TREES else cell
        for path, cell in zip(self.paths, cells, strict=True):
            if len(path) > 1 and cell is not None:
                _place(value, path, cell)
        return value


def _path(name: str) -> tuple[str, ...]:
    head, *rest = name.split(".")
    key = _KEYS.get(head.replace("_", "").lower())
    if key is None or (rest and key not in _TREES):
        return ()
    if key == "context":
        if rest and rest[0].replace("_", "").lower() == "groupid":
            rest = ["groupId"]
        return (key, *rest)
    return (key, *rest)


def _tree(cell: Json) -> Json:
    """Give the object that a JSON text holds; another text stays as it is and counts as no object."""
    if not isinstance(cell, str):
        return cell
    try:
        return parse_json(cell)
    except Refused as refused:
        if str(refused).startswith("holds "):
            raise
        return cell


def _place(value: dict[str, Json], path: tuple[str, ...], cell: Json) -> None:
    for key in path[:-1]:
        inner = value.get(key)
        if not isinstance(inner, dict):
            inner = value[key] = {}
        value = inner
    value[path[-1]] = cell


@dataclass(frozen=True, slots=True)
class _Record:
    """One record of a CSV file: its cells, or the reason why there are none."""

    line: int
    cells: list[str] | str
    text: str


class _CsvLines:
    """The records of a CSV file, each with the line it begins in. A quote that is never closed costs at most the
    longest line, not the rest of the file."""

    def __init__(self, path: Path) -> None:
        csv.field_size_limit(LONGEST_LINE)
        self.bytes_done = 0
        self.delimiter = ","
        self._blocks = read_blocks(path)
        self._rejects: list[Reject] = []
        self._number = 0
        self._record: list[str] = []
        self._size = 0
        self._lines = self._read()
        self._reader = csv.reader(self._fed(), strict=True)

    def use(self, delimiter: str) -> None:
        """Read on with another delimiter."""
        self.delimiter = delimiter
        self._reader = csv.reader(self._fed(), delimiter=delimiter, strict=True)

    def first_line(self) -> str | None:
        """Give the next line as it stands."""
        return next(self._lines, None)

    def drain(self) -> list[Reject]:
        """Give the refusals of whole lines met since the last call."""
        rejects, self._rejects = self._rejects, []
        return rejects

    def record(self) -> _Record | None:
        """Give the next record; None at the end."""
        while True:
            self._record, self._size = [], 0
            before = self._number
            try:
                cells = next(self._reader)
            except StopIteration:
                return None
            except _TooLong:
                self.use(self.delimiter)
                return _Record(before + 1, f"the record has over {LONGEST_LINE:,} bytes", self._text())
            except csv.Error as error:
                self.use(self.delimiter)
                return _Record(before + 1, f"not CSV: {error}", self._text())
            if cells:
                line = self._number - len(self._record) + 1
                return _Record(line, cells, self._text())

    def _text(self) -> str:
        return "".join(self._record)[: LONGEST_LINE // 1000].rstrip("\r\n").encode("utf-8", "replace").decode()

    def _fed(self) -> Iterator[str]:
        for line in self._lines:
            self._record.append(line)
            self._size += len(line)
            if self._size > LONGEST_LINE:
                raise _TooLong
            yield line

    def _read(self) -> Iterator[str]:
        for block in self._blocks:
            self.bytes_done = block.bytes_done
            self._rejects.extend(block.rejects)
            self._number = max(self._number, block.first_line - 1)
            yield from self._block_lines(block)

    def _block_lines(self, block: Block) -> Iterator[str]:
        for row in range(len(block.starts)):
            self._number = block.first_line + row
            yield block.line(row).decode("utf-8", "surrogateescape") + "\n"


def _header(source: _CsvLines, path: Path) -> _Columns:
    line = source.first_line()
    while line is not None and not line.strip():
        line = source.first_line()
    if line is None:
        for reject in source.drain():
            raise Mistake(f"{path}: {reject.reason}")
        raise Mistake(f"{path} is empty; a CSV file begins with a header line")
    delimiter = max(",;\t", key=line.count)
    source.use(delimiter)
    names = next(csv.reader([line], delimiter=delimiter))
    return _Columns.of(names, str(path))


def _take_cells(rows: _Rows, record: _Record, cells: list[str], header: _Columns, latest: datetime) -> None:
    try:
        for cell in cells:
            if "\0" in cell:
                raise Refused("holds the character U+0000")
            if not cell.isascii() and _LONE.search(cell):
                raise Refused("not UTF-8 text")
        rows.take(record.line, header.message([cell or None for cell in cells]), record.text, latest)
    except Refused as refused:
        rows.rejects.append(Reject(record.line, str(refused), record.text))


class _Entries(dict[str, object]):
    """The entries of a map column, where null is said on purpose; a null field of a struct column is absent."""


def _plain_column(column: pa.Array) -> list[object]:
    """Give Python values; instants finer than a microsecond are cut to it."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    if pa.types.is_map(column.type):
        return [None if pairs is None else _Entries(pairs) for pairs in column.to_pylist()]
    return values


def _plain(value: object) -> Json:
    """Give what JSON would hold for a value of a Parquet column. Raises Refused for bytes that are no UTF-8."""
    if isinstance(value, str):
        if "\0" in value:
            raise Refused("holds the character U+0000")
        return value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return None if value != value else value  # noqa: PLR0124 -- not a number is how tables say absent
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return _plain(_decoded(value))
    return _plain_nested(value)


def _plain_nested(value: object) -> Json:
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if isinstance(value, _Entries):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return _plain(_Entries(value))
        return [_plain(item) for item in value]
    return str(value)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused("not UTF-8 text") from None


def _row_text(columns: _Columns, cells: Sequence[object]) -> str:
    text = ", ".join(f"{name}={cell!r}" for name, cell in zip(columns.names, cells, strict=True))
    return text.encode("utf-8", "replace").decode()
