"""The rejects file of an import: one JSON line for each line that was refused, with file, line number, reason and the
text, cut where it is long. It is created with the first refusal and never decides what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Self

from engage_sync.errors import Unreachable

_LONGEST_TEXT: Final = 4_000
PREFIX: Final = "rejects-"


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused line. `line` counts from 1; None where the damage has no line."""

    line: int | None
    reason: str
    text: str


def shown(raw: bytes) -> str:
    """Give the text kept of a refused line: cut, and with marks for bytes that are no UTF-8."""
    return raw[: 4 * _LONGEST_TEXT].decode(errors="replace")


class RejectsFile:
    """Collects refusals in `folder`; `path` is None while there are none. Use it as a context manager."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.path: Path | None = None
        self.count = 0
        self._folder: Final = folder
        self._stamp: Final = f"{now:%Y%m%dT%H%M%SZ}"
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with self._reported():
                self._file.close()

    def add(self, file: str, rejects: Iterable[Reject]) -> None:
        """Write refusals of one file."""
        for reject in rejects:
            text = reject.text if len(reject.text) <= _LONGEST_TEXT else reject.text[:_LONGEST_TEXT] + "…"
            row = {"file": file, "line": reject.line, "reason": reject.reason, "text": text}
            with self._reported():
                self._open().write(json.dumps(row, ensure_ascii=False) + "\n")
            self.count += 1

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Give a failed write a sentence; a full disk is often told at the end only, when the last lines leave."""
        try:
            yield
        except OSError as error:
            raise Unreachable(f"The rejects file in {self._folder} cannot be written: {error.strerror}") from error

    def _open(self) -> IO[str]:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            number = 1
            while (path := self._folder / f"{PREFIX}{self._stamp}-{number}.jsonl").exists():
                number += 1
            self._file = path.open("x", encoding="utf-8", errors="backslashreplace")
            self.path = path
        return self._file
