"""The import: files and folders of messages go into the store in one commit. It brings readers, identity, rejects and
store together; what a message is and what is refused is decided by them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engage_sync.errors import Mistake, Problem
from engage_sync.events.ahead import ahead
from engage_sync.events.columns import numbered
from engage_sync.events.fast import Shapes
from engage_sync.events.identity import Hashes, SeenIds, hashes
from engage_sync.events.lines import read_blocks
from engage_sync.events.reading import Reading, read_block
from engage_sync.events.rejects import PREFIX, RejectsFile
from engage_sync.events.slices import as_arrow
from engage_sync.events.store import EventStore
from engage_sync.events.tabular import read_csv, read_parquet

_AHEAD: Final = timedelta(hours=24)
_LINES: Final = (".jsonl", ".ndjson", ".json")
_ENDINGS: Final = (*_LINES, *(f"{ending}.gz" for ending in _LINES), ".csv", ".csv.gz", ".parquet")
_READS: Final = "import reads .jsonl, .ndjson, .json and .csv (also with .gz), and .parquet"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. `read` counts messages and refused lines: imported + duplicates + refused."""

    read: int
    imported: int
    duplicates: int
    refused: int
    rejects_file: Path | None
    empty_properties: int
    files: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is in one file. Bytes are those of the stored file."""

    file: str
    bytes_done: int
    bytes_total: int | None
    read: int


def _silent(_: Progress) -> None:
    """Tell nobody."""


def import_paths(
    store: EventStore,
    paths: Sequence[Path],
    *,
    now: datetime,
    rejects: Path,
    progress: Callable[[Progress], None] = _silent,
) -> ImportReport:
    """Import files and folders in one commit; `rejects` is the folder for a file of refused lines.

    Raises Mistake for paths that are missing, unreadable or of an unknown kind, Locked beside another import, and
    Unreachable where the store cannot be written. What was read before a file that turns out unreadable is stored; an
    import can be repeated, so nothing is lost or doubled.
    """
    files = find_files(paths, rejects)
    with store.writing(), RejectsFile(rejects, now) as refused:
        run = _Import(store, now, refused, progress)
        batches = ahead(run.batches(files))  # the store writes one batch while the next is read
        with closing(batches):
            first = next(batches, None)
            if first is not None:
                store.append(_chained(first, batches))
        return ImportReport(
            read=run.read,
            imported=run.imported,
            duplicates=run.read - run.imported - refused.count,
            refused=refused.count,
            rejects_file=refused.path,
            empty_properties=run.misshapen,
            files=len(files),
        )


def find_files(paths: Sequence[Path], rejects: Path) -> list[Path]:
    """List the files to read: files as named, folders with all that is below them in order of path, without
    the rejects of earlier imports. Raises Mistake with every wrong path."""
    problems: list[Problem] = []
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = [file for file in sorted(path.rglob("*")) if _readable(file) and not _is_rejects(file, rejects)]
            if not found:
                problems.append(Problem(f"{path} holds no file to import: {_READS}"))
            files.extend(found)
        elif not path.exists():
            problems.append(Problem(f"{path} does not exist"))
        elif not path.name.lower().endswith(_ENDINGS):
            problems.append(Problem(f"{path} is of no known kind: {_READS}"))
        else:
            files.append(path)
    problems += [Problem(f"{file} may not be read") for file in files if not os.access(file, os.R_OK)]
    if not paths:
        problems.append(Problem(f"no file or folder was named: {_READS}"))
    if problems:
        raise Mistake(problems)
    return files


def _readable(file: Path) -> bool:
    return file.name.lower().endswith(_ENDINGS) and file.is_file()


def _is_rejects(file: Path, rejects: Path) -> bool:
    return file.name.startswith(PREFIX) and file.parent.resolve() == rejects.resolve()


def _chained(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


class _Import:
    """One import under way: its counts, the ids seen, and the next arrival."""

    def __init__(
        self, store: EventStore, now: datetime, refused: RejectsFile, progress: Callable[[Progress], None]
    ) -> None:
        self.read = 0
        self.imported = 0
        self.misshapen = 0
        self._latest: Final = now + _AHEAD
        self._refused: Final = refused
        self._progress: Final = progress
        self._shapes: Final = Shapes()
        self._seen: Final = SeenIds()
        self._arrival = 1
        self._seen.load(self._stored(store))

    def batches(self, files: Sequence[Path]) -> Generator[pa.RecordBatch]:
        """Give the new messages of all files, in order, as rows of the store."""
        for file in files:
            size = file.stat().st_size
            with closing(_readings(file, self._shapes, self._latest)) as readings:
                for reading in readings:
                    yield from self._admit(reading)
                    self._refused.add(str(file), reading.rejects)
                    self.read += reading.read
                    self._progress(Progress(str(file), reading.bytes_done, size, self.read))

    def _admit(self, reading: Reading) -> Iterator[pa.RecordBatch]:
        new = self._seen.admit(*reading.hashes)
        messages = reading.messages if new.all() else reading.messages.filter(as_arrow(new))
        if messages.num_rows:
            table = numbered(messages, self._arrival)
            self._arrival += messages.num_rows
            self.imported += messages.num_rows
            self.misshapen += pc.sum(messages.column("misshapen")).as_py()
            yield from table.combine_chunks().to_batches()

    def _stored(self, store: EventStore) -> Iterator[tuple[Hashes, Hashes]]:
        """Give the hashes of all stored ids, and find the next arrival on the way."""
        for batch in store.columns("message_id", "arrival"):
            if batch.num_rows:
                self._arrival = max(self._arrival, int(np.max(batch.column("arrival").to_numpy())) + 1)
                yield hashes(batch.column("message_id"))


def _readings(file: Path, shapes: Shapes, latest: datetime) -> Generator[Reading]:
    name = file.name.lower()
    if name.endswith(".parquet"):
        return read_parquet(file, latest)
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(file, latest)
    return _read_lines(file, shapes, latest)


def _read_lines(file: Path, shapes: Shapes, latest: datetime) -> Generator[Reading]:
    """Read the blocks of a file of JSON lines, two at a time, and give them in order."""
    workers = min(2, os.cpu_count() or 1)
    waiting: deque[Future[Reading]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for block in read_blocks(file):
                waiting.append(pool.submit(read_block, block, shapes, latest))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
