"""The CSV of Bulk API 2.0 jobs: rows on their way in, cut into files, and results on their way out (crm-apis §B8).

Knows the file format only. An empty cell leaves a field alone and `#N/A` empties it, so a value that is literally
`#N/A` cannot be sent this way. Results are read one row at a time: a job may have 100,000.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engage_sync.connectors.base import Change
from engage_sync.connectors.replies import SHORT, senseless
from engage_sync.connectors.salesforce_fields import CLEAR, Shape, cells, full_id

LARGEST_CELL = 1 << 20
"""Characters of one cell of a result; the longest field of Salesforce holds 131,072."""
_ID = "Id"


@dataclass(frozen=True, slots=True)
class File:
    """One upload: its bytes, and the changes in it."""

    data: bytes
    rows: Sequence[Change]


def writable(row: Change) -> bool:
    """Tell whether CSV can say what a row means, and carry it."""
    for value in row.values.values():
        if value is not None and (value == CLEAR or "\0" in value or not _encodable(value)):
            return False
    return True


def columns(rows: Iterable[Change]) -> list[str]:
    """Give the fields that any of the rows changes."""
    return sorted(set().union(*(row.values.keys() for row in rows)))


def files(rows: Sequence[Change], fields: Sequence[str], shape: Shape, most: int) -> Iterator[File]:
    """Write rows into files of at most `most` bytes each (or of one row)."""
    header = (",".join([_ID, *(name if name.isidentifier() else _quoted(name) for name in fields)]) + "\n").encode()
    lines: list[bytes] = [header]
    size, start = len(header), 0
    for at, row in enumerate(rows):
        made = cells(row.values, shape)
        line = _quoted(row.record)
        for name in fields:
            line += "," + _quoted(made[name]) if name in made else ","
        data = (line + "\n").encode()
        if size + len(data) > most and len(lines) > 1:
            yield File(b"".join(lines), rows[start:at])
            lines, size, start = [header], len(header), at
        lines.append(data)
        size += len(data)
    if len(lines) > 1:
        yield File(b"".join(lines), rows[start:])


def results(data: bytes, what: str) -> Iterator[tuple[str, str]]:
    """Read a file of results: 18-character id and `sf__Error` ("" where there is none) of each row.

    Rows that were not written may tell their id in their own column only. Raises Transient for what is no such file
    (a page, or cut short); the rows given before stand.
    """
    if not data.strip():
        return
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST_CELL))
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""), strict=True)
    try:
        header = next(reader, [])
        places = [header.index(name) for name in ("sf__Id", _ID) if name in header]
        error = header.index("sf__Error") if "sf__Error" in header else None
        if not places:
            raise senseless(f"Salesforce gave {what} without ids", ",".join(header)[:SHORT])
        width = len(header)
        for row in reader:
            if len(row) == width and (record := next((row[place] for place in places if row[place]), "")):
                yield full_id(record), row[error] if error is not None else ""
    except (csv.Error, UnicodeDecodeError) as broken:
        raise senseless(f"Salesforce gave {what} cut short or garbled ({broken})", None) from None


def _quoted(cell: str) -> str:
    """Quote whatever a reader might split or trim."""
    if cell.isalnum() or cell == CLEAR or not cell:
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _encodable(value: str) -> bool:
    """Half of a surrogate pair has no bytes in UTF-8."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
