"""The CSV of Bulk API 2.0: uploads read by its rules, results written as it writes them (crm-apis §B8). Knows no
record."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


class BadUpload(ValueError):
    """An upload that fails its whole job."""


def read(content: bytes, delimiter: str, ending: str) -> tuple[list[str], list[list[str]]]:
    """Read an upload: its header and its rows, all cells as they are. Raises BadUpload."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadUpload("InvalidBatch : The upload is not UTF-8") from None
    _check_ending(text, ending)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise BadUpload(f"InvalidBatch : Failed to parse CSV: {error}") from None
    if not rows:
        raise BadUpload("InvalidBatch : No header row found")
    header, *body = rows
    width = len(header)
    wrong = next((place for place, row in enumerate(body, start=2) if len(row) != width), None)
    if wrong is not None:
        raise BadUpload(f"InvalidBatch : Failed to parse CSV row {wrong}: the number of columns is not {width}")
    return header, body


def write(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Write a results file: every cell quoted, LF."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def _check_ending(text: str, ending: str) -> None:
    """Check that the first line ends as the job declared. Raises BadUpload."""
    first = text.find("\n")
    found = "CRLF" if first > 0 and text[first - 1] == "\r" else "LF"
    if first >= 0 and found != ending:
        raise BadUpload(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {ending}"
        )
