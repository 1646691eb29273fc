"""`backup` and `restore`: a whole project in one file, and from it again in another place. The state is read in one
transaction, so that a daemon goes on beside a backup; the event store is its newest version a moment later. No CRM is
asked.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from engage_sync.config.project import ENGAGE_FILE, RESTORING, Project
from engage_sync.config.redaction import Replaced, with_value
from engage_sync.errors import Mistake
from engage_sync.events import copying
from engage_sync.events.store import EventStore
from engage_sync.state.dump import Dump, drop_file, emptied, file_of, files_of, refuse_newer
from engage_sync.sync.archive import EVENTS, STATE, Heard, Reader, Writer, read, written
from engage_sync.sync.restoring import clear_up, marked
from engage_sync.sync.rows import iso_text
from engage_sync.sync.secret_places import without_secrets
from engage_sync.sync.wiring import ConnectorTypes, connector_classes, event_store, load_project, open_workspace

FOLDERS = ("config", "config/model", "connectors")
ENDING = ".arrows"
LOCATIONS = {"database": ("database",), "events": ("events", "store")}


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds: rows by table, the files of the event store, the configuration and the secrets left out."""

    file: Path
    size: int
    facts: Mapping[str, Any]

    def json(self) -> dict[str, object]:
        """Give the answer of `backup`."""
        return {"file": str(self.file), "bytes": self.size, **self.facts}


def backup(root: Path, file: Path, *, now: datetime, heard: Heard) -> BackedUp:
    """Write a project to a file. Takes no lock: it reads one consistent state, as it stands between two writes."""
    with open_workspace(root) as workspace, written(file) as archive:
        with workspace.state.dumping() as dump:
            facts: dict[str, Any] = {
                "program": version("engage-sync"),
                "schema": dump.revision,
                "at": iso_text(now),
                "as_of": dump.as_of,
                "tables": _state(archive, dump, heard),
            }
        found = copying.snapshot(workspace.store)
        files = () if found is None else found.files
        for number, path in enumerate(files, start=1):
            with archive.member(EVENTS + path) as target:
                for chunk in copying.chunks(workspace.store, path):
                    target.write(chunk)
            heard("events", number, len(files))
        facts["events"] = None if found is None else {"version": found.version, "files": len(files)}
        files_without, replaced = _configuration(workspace.project)
        for name, content in files_without.items():
            with archive.member(name) as target:
                target.write(content)
        facts["files"] = list(files_without)
        facts["replaced"] = [asdict(one) for one in replaced]
        archive.close(facts)
    return BackedUp(file, file.stat().st_size, facts)


def _state(archive: Writer, dump: Dump, heard: Heard) -> dict[str, int]:
    counts = {}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for number, table in enumerate(dump.tables, start=1):
        schema = pl.DataFrame(schema=table.columns).to_arrow().schema
        counts[table.name] = 0
        with (
            archive.member(STATE + table.name + ENDING) as target,
            pa.ipc.new_stream(target, schema, options=options) as stream,
        ):
            for frame in dump.rows(table):
                counts[table.name] += frame.height
                stream.write_table(frame.to_arrow().cast(schema))
        heard("state", number, len(dump.tables))
    return counts


def _configuration(project: Project) -> tuple[dict[str, bytes], list[Replaced]]:
    """Give the files without secrets. They are read once as a restore will: what cannot be is known now, not then."""
    types, by_file = ConnectorTypes(connector_classes()), {file.file: file for file in project.connectors}
    contents: dict[str, bytes] = {}
    replaced = []
    for folder in FOLDERS:
        for path in sorted((project.root / folder).glob("*.yaml")):
            name = f"{folder}/{path.name}"
            if path.name.startswith("."):
                continue
            connector = types[by_file[name].connector] if name in by_file else None
            contents[name], found = without_secrets(name, path.read_bytes(), connector)
            replaced += found
    _read_as_if_in(project.root, contents)
    return contents, replaced


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored where. `places` are as the configuration names them now."""

    root: Path
    places: Mapping[str, str]
    manifest: Mapping[str, Any]
    tables: Mapping[str, int]
    again: bool = False
    """What a restore that was cut off had left there was cleared away first."""

    def json(self) -> dict[str, object]:
        """Give the answer of `restore`."""
        kept = {name: self.manifest.get(name) for name in ("program", "schema", "at", "as_of", "files", "replaced")}
        return {"project": str(self.root), **kept, "tables": dict(self.tables), "events": self.manifest["events"]}


def restore(file: Path, root: Path, *, database: str | None, events: str | None, heard: Heard) -> Restored:
    """Make a project of a backup, in an empty folder and an empty database. Everything is checked before anything is
    written; the file that makes a folder a project is written last, and what fails takes back what it made."""
    root, file = root.absolute(), file.absolute()
    with read(file) as archive:
        refuse_newer(str(archive.manifest.get("schema")))
        again = clear_up(root)
        _refuse_taken(root, file)
        archive.verify(heard)
        files = {name: archive.content(name) for name in archive.names if not name.startswith((STATE, EVENTS))}
        if ENGAGE_FILE not in files:
            raise Mistake(f"the backup {file} holds no {ENGAGE_FILE}: it is damaged")
        for where, place in (("database", database), ("events", events)):
            if place is not None:
                files[ENGAGE_FILE] = with_value(files[ENGAGE_FILE], LOCATIONS[where], place)
        project = _read_as_if_in(root, files)
        store, url = event_store(project), project.database_url()
        copying.refuse_existing(store)
        made = _places(root, store, url)
        names = [name.removeprefix(EVENTS) for name in archive.of(EVENTS)]
        with marked(root, made) as mark:
            _refuse_taken(root, file)  # another restore may have been quicker
            with (
                _taken_back(root, file, store, names, url),
                emptied(url, str(archive.manifest["schema"]), mark.former) as target,
            ):
                mark.looked = True
                _write(root, {name: content for name, content in files.items() if name != ENGAGE_FILE})
                draft = _draft(root, files[ENGAGE_FILE])
                copying.restore(store, _events(archive, heard))
                frames = {_table(name): _frames(archive, name, heard) for name in archive.of(STATE)}
                tables = target.load(frames, archive.manifest["tables"], mark.name)
                draft.replace(root / ENGAGE_FILE)
                target.complete()
        return Restored(root, {"events": project.store}, archive.manifest, tables, again)


def _refuse_taken(root: Path, file: Path) -> None:
    if root.exists() and not root.is_dir():
        raise Mistake(f"{root} is no folder")
    others = [one.name for one in root.iterdir() if one not in {file, root / RESTORING}] if root.is_dir() else []
    if others:
        what = f"the folder {root} is not empty (it holds {sorted(others)[0]})"
        raise Mistake(f"{what}: a backup is restored into an empty one only; name another by --project")


def _read_as_if_in(root: Path, files: Mapping[str, bytes]) -> Project:
    """Read the configuration beside its place, to know where state and events go before anything is there."""
    with tempfile.TemporaryDirectory(prefix="engage-sync-") as folder:
        _write(Path(folder), files)
        return replace(load_project(Path(folder)), root=root)


def _write(root: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _places(root: Path, store: EventStore, url: str) -> list[Path]:
    """Give what a restore makes and is not there yet."""
    state = file_of(url)
    places = [root / name.partition("/")[0] for name in (*FOLDERS, "var")]
    places += [] if state is None else files_of(state)
    places += [] if store.folder is None else [store.folder]
    return [path for path in dict.fromkeys(places) if not path.exists()]


def _draft(root: Path, content: bytes) -> Path:
    """Write the file that makes the folder a project under another name: it is whole on the disk before it counts."""
    draft = (root / ENGAGE_FILE).with_name(".engage.yaml.draft")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    return draft


@contextmanager
def _taken_back(root: Path, file: Path, store: EventStore, events: Sequence[str], url: str) -> Iterator[None]:
    """Take back what a restore has made when it fails: folders were empty or missing, and so they are again."""
    state, folder = file_of(url), store.folder
    state_before = state is None or state.exists()
    before = [one for one in (root, folder) if one is not None and one.exists()]
    try:
        yield
    except BaseException:
        if not state_before:
            drop_file(url)
        if folder is None:
            copying.take_back(store, events)
        for one in (folder, root):
            if one is not None:
                _empty(one, file, keep=one in before)
        raise


def _empty(folder: Path, but: Path, *, keep: bool) -> None:
    """Empty a folder of all but a file and the mark of the restore, and take it away too unless it is to be kept."""
    for one in list(folder.iterdir()) if folder.is_dir() else []:
        if one.is_dir():
            shutil.rmtree(one, ignore_errors=True)
        elif one != but and one.name != RESTORING:
            one.unlink()
    if folder.is_dir() and not keep and not any(folder.iterdir()):
        folder.rmdir()


def _events(archive: Reader, heard: Heard) -> Iterator[tuple[str, Any]]:
    """Give the files of the event store, those of its log last."""
    names = list(archive.of(EVENTS))
    log = EVENTS + copying.LOG
    for number, name in enumerate(sorted(names, key=lambda one: (one.startswith(log), one)), start=1):
        with archive.member(name) as source:
            yield name.removeprefix(EVENTS), source
        heard("events", number, len(names))


def _table(name: str) -> str:
    return name.removeprefix(STATE).removesuffix(ENDING)


def _frames(archive: Reader, name: str, heard: Heard) -> Iterator[pl.DataFrame]:
    try:
        with archive.member(name) as source:
            for batch in pa.ipc.open_stream(source):
                yield pl.DataFrame(batch)
    except pa.ArrowInvalid as error:
        raise Mistake(f"the backup is damaged: {name} holds no table ({error})") from error
    heard(f"state {_table(name)}", 1, None)
