"""The event store: one Delta table in a local folder or an object store. It creates, appends, reads what an import
needs and keeps two writers apart; what the messages mean is not its business."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from engage_sync.errors import EngageError, Locked, Mistake, Unreachable
from engage_sync.events.datafiles import DataFile, DataFiles
from engage_sync.events.schema import PARTITION, SCHEMA

if TYPE_CHECKING:
    from deltalake import DeltaTable

_MEANWHILE: Final = "Another writer changed the event store {} meanwhile; run the command again."


class EventStore:
    """The table at `location`: a folder, or a URL such as s3://bucket/events."""

    def __init__(self, location: str | Path) -> None:
        self.location: Final = str(location).removeprefix("file://")
        self._begun: int | None = None
        self.folder: Final = None if "://" in self.location else Path(self.location)

    def exists(self) -> bool:
        """Tell whether the table has been created."""
        from deltalake import DeltaTable  # noqa: PLC0415 -- heavy, and most commands do without

        with translated(self.location):
            if self.folder is not None and not self._is_folder(self.folder):
                return False
            return bool(DeltaTable.is_deltatable(self.location))

    def table(self) -> DeltaTable:
        """Open the newest version. Raises Mistake where there is no table."""
        from deltalake import DeltaTable  # noqa: PLC0415 -- heavy, and most commands do without

        if not self.exists():
            raise Mistake(f"There is no event store at {self.location}; `engage-sync import` creates it.")
        with translated(self.location):
            return DeltaTable(self.location)

    def files(self) -> list[str]:
        """List the Parquet files of the newest version: paths or URLs; none for an absent store."""
        return self._files(self.table()) if self.exists() else []

    def version(self) -> int | None:
        """Tell the number of the newest commit, None for an absent store."""
        return int(self.table().version()) if self.exists() else None

    def columns(self, *names: str) -> Iterator[pa.RecordBatch]:
        """Read some columns of every row, in no order."""
        if not self.exists():
            return
        with translated(self.location):
            # First, since Arrow's threads outlive the error of a file that may not be read, and abort the process.
            table = self.table()
            for path in self._files(table) if self.folder is not None else ():
                Path(path).open("rb").close()
            yield from table.to_pyarrow_dataset().scanner(columns=list(names)).to_batches()

    def append(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Append rows of SCHEMA in one commit, creating the table where needed; memory stays flat, and readers see
        nothing before the end. Where the batches raise an EngageError, what came before is stored, then it is raised;
        any other error leaves the table as it was. Raises Unreachable where the store cannot be written, Locked where
        another writer of an object store was faster."""
        with translated(self.location):
            files = DataFiles(self.filesystem())
        ended: EngageError | None = None
        try:
            try:
                for batch in batches:
                    with translated(self.location):
                        files.add(batch)
            except Unreachable:
                raise
            except EngageError as error:
                ended = error
            with translated(self.location):
                self._commit(files.finish())
        except BaseException:
            files.drop()
            raise
        if ended is not None:
            raise ended

    def filesystem(self) -> fs.FileSystem:
        """Give the files of the table, by paths relative to its location."""
        if self.folder is not None:
            self._make(self.folder)
            return fs.SubTreeFileSystem(str(self.folder.absolute()), fs.LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler  # noqa: PLC0415 -- heavy, and most commands do without

        return fs.PyFileSystem(DeltaStorageHandler(self.location))

    def _files(self, table: DeltaTable) -> list[str]:
        found = list(table.file_uris())
        return found if self.folder is None else [unquote(path) for path in found]  # a space is told as %20

    def _is_folder(self, folder: Path) -> bool:
        """Tell whether the store's folder is there. Raises Mistake where something else is."""
        if folder.is_dir() or not folder.exists():
            return folder.is_dir()
        raise Mistake(f"The event store {self.location} is a file, not a folder; correct `events.store`.")

    def _make(self, folder: Path) -> None:
        """Make a folder of the store. Raises Mistake where none can be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
            told = error.strerror if isinstance(error, FileNotFoundError) else "it is a file, not a folder"
            reason = f"{error.filename}: {told}; correct `events.store`"
            raise Mistake(f"The event store {self.location} cannot be made there: {reason}.") from error

    def _commit(self, files: Sequence[DataFile]) -> None:
        from deltalake import CommitProperties, Schema  # noqa: PLC0415 -- heavy, and most commands do without
        from deltalake.transaction import AddAction, create_table_with_add_actions  # noqa: PLC0415 -- likewise

        now = int(time.time() * 1000)
        actions = [
            AddAction(f.path, f.size, {PARTITION: f.month}, now, data_change=True, stats=f.statistics) for f in files
        ]
        if not actions:
            return
        schema = Schema.from_arrow(SCHEMA)
        if not self.exists():
            create_table_with_add_actions(self.location, schema, actions, "error", [PARTITION])
            return
        table = self.table()
        if self.folder is None and table.version() != self._begun:
            raise Locked(_MEANWHILE.format(self.location))  # for Delta itself two appends never conflict
        once = CommitProperties(max_commit_retries=0)
        table.create_write_transaction(actions, "append", schema, [PARTITION], commit_properties=once)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for one writer. A local store is locked by a file beside it, which the system frees when the
        process ends; of two writers of an object store the slower fails at its commit. Raises Locked."""
        if self.folder is None:
            self._begun = self.version()
            yield
            return
        path = self.folder.absolute().with_name(self.folder.name + ".lock")
        with translated(self.location):
            if not self._is_folder(self.folder):
                self._make(path.parent)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked(f"Another import or compaction is writing the event store {self.location}.") from None
            yield
        finally:
            os.close(handle)


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Turn what the table library and the system raise into one sentence: a full disk, a lost store, a meeting."""
    from deltalake.exceptions import CommitFailedError, DeltaError  # noqa: PLC0415 -- heavy, and most commands do without

    try:
        yield
    except CommitFailedError as error:
        raise Locked(_MEANWHILE.format(location)) from error
    except (DeltaError, OSError) as error:
        text = str(error)
        if getattr(error, "errno", None) == 28 or "No space left" in text or "os error 28" in text:
            raise Unreachable(f"No space left on the disk of the event store {location}; nothing was added.") from error
        if "already exists" in text:
            raise Locked(_MEANWHILE.format(location)) from error
        if isinstance(error, PermissionError) or "Permission denied" in text:
            raise Mistake(f"The event store {location} may not be read or written: {_first_line(text)}") from error
        raise Unreachable(f"The event store {location} cannot be read or written: {_first_line(text)}") from error


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"
