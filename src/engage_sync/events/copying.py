"""A copy of the event store at one version: the data files that belong to it, and the table's log up to it. Reads and
writes files as they are and knows nothing of what they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from engage_sync.errors import EngageError, Mistake
from engage_sync.events.store import EventStore, translated

LOG: Final = "_delta_log"
_DIGITS: Final = 20
"""Of a version, in the names of the log's files."""
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The table at one version, as paths relative to its location, the log's first."""

    version: int
    files: tuple[str, ...]


def snapshot(store: EventStore) -> Snapshot | None:
    """List what makes up the newest version; None for an absent store. What a compaction replaces meanwhile stays for a
    day."""
    if not store.exists():
        return None
    table = store.table()
    with translated(store.location):
        version = int(table.version())
        found = pa.table(table.get_add_actions()).column("path").to_pylist()
        listed = store.filesystem().get_file_info(fs.FileSelector(LOG, recursive=False))
    log = sorted(f"{LOG}/{one.base_name}" for one in listed if _of(one.base_name, version))
    return Snapshot(version, (*log, *sorted(unquote(path) for path in found)))


def _of(name: str, version: int) -> bool:
    return name[:_DIGITS].isdigit() and int(name[:_DIGITS]) <= version and name.endswith((".json", ".parquet"))


def chunks(store: EventStore, path: str) -> Iterator[bytes]:
    """Read one file."""
    with translated(store.location), store.filesystem().open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def refuse_existing(store: EventStore) -> None:
    """Raise Mistake where there is an event store already."""
    if store.exists() or (store.folder is not None and store.folder.exists() and any(store.folder.iterdir())):
        raise Mistake(
            f"there is an event store at {store.location} already: a backup is restored into an empty place only; name"
            " another by --events"
        )


def restore(store: EventStore, files: Iterable[tuple[str, BinaryIO]]) -> None:
    """Write the files of a snapshot. Those of the log go last and in order, so that a copy that is cut short is no
    store."""
    system = store.filesystem()
    with translated(store.location):
        for path, source in files:
            if "/" in path:
                system.create_dir(path.rpartition("/")[0], recursive=True)
            # Buffered: the table library's own streams take bytes, and what is not buffered comes to them as a buffer.
            with system.open_output_stream(path, buffer_size=2 * _CHUNK) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)


def take_back(store: EventStore, paths: Iterable[str]) -> None:
    """Delete files that `restore` may have written, as far as that can be done: the place was empty."""
    with suppress(OSError, EngageError), translated(store.location):
        system = store.filesystem()
        for path in paths:
            with suppress(OSError):
                system.delete_file(path)
