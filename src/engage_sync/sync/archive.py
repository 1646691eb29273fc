"""The file of a backup: a zip with a manifest that names every member with its size and SHA-256. Reading it trusts
nothing: a damaged, cut or strange one is refused before anything is made of it. Knows no state and no store.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engage_sync.errors import Mistake

FORMAT = 1
MANIFEST = "manifest.json"
STATE, EVENTS = "state/", "events/"
MOST_BYTES = 64 << 20
"""Of a manifest, or of a file of the configuration: some hundred thousand members, and far more than anybody writes."""
_CHUNK = 1 << 20
_FIXED = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"state/engage_[a-z_]+\.arrows|events/.+|config/([^/]+/)?[^/]+\.yaml|connectors/[^/]+\.yaml")
_STRANGE = re.compile(r"[\\:\x00-\x1f]")

Heard = Callable[[str, int, int | None], None]
"""Hears what is done, how many members are done, and how many there are (None: not known)."""


class _Sink(io.RawIOBase):
    """Passes bytes on, counting and hashing them."""

    def __init__(self, onward: BinaryIO) -> None:
        self._onward, self.hash, self.size = onward, sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._onward.write(view)
        self.hash.update(view)
        self.size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.size


@dataclass(slots=True)
class Writer:
    """A backup while it is written."""

    zip: zipfile.ZipFile
    members: dict[str, dict[str, object]] = field(default_factory=dict)

    @contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        """Write one member."""
        with self.zip.open(_info(name), "w", force_zip64=True) as onward:
            sink = _Sink(cast("BinaryIO", onward))
            yield cast("BinaryIO", sink)
        self.members[name] = {"bytes": sink.size, "sha256": sink.hash.hexdigest()}

    def close(self, facts: Mapping[str, object]) -> None:
        """Write the manifest."""
        manifest = {"format": FORMAT, **facts, "members": self.members}
        with self.zip.open(_info(MANIFEST), "w") as target:
            target.write(json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIXED)
    info.external_attr = 0o600 << 16
    return info


@contextmanager
def written(file: Path) -> Iterator[Writer]:
    """Write a backup under another name beside `file`, readable by its owner only, and move it there when it is whole.
    What stands there is replaced if it is a backup; anything else is a Mistake."""
    if file.exists() and not _is_backup(file):
        raise Mistake(f"{file} exists and is no backup; name another file")
    if not file.absolute().parent.is_dir():
        raise Mistake(f"there is no folder {file.absolute().parent}")
    _clear_up(file)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb+") as target:
            fcntl.flock(target, fcntl.LOCK_EX)
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
                yield Writer(archive)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _clear_up(file: Path) -> None:
    """Take the drafts away that processes left which were killed; one that is locked is being written."""
    for left in file.absolute().parent.glob(f".{escape(file.name)}.*"):
        if not left.suffix[1:].isdigit():
            continue
        with suppress(OSError), left.open("rb") as draft:
            fcntl.flock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink(missing_ok=True)


def _is_backup(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            _Format.model_validate_json(_small(file, archive, MANIFEST))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, Mistake):
        return False
    return True


class _Format(BaseModel):
    """What every manifest tells, of whatever version."""

    format: Annotated[int, Field(strict=True)]
    program: object = None


class _Member(BaseModel):
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Events(BaseModel):
    version: int
    files: int


class _Replaced(BaseModel):
    file: str
    line: int
    key: str
    reference: str


class _Manifest(_Format):
    """The manifest of this version. More keys do no harm."""

    model_config = ConfigDict(strict=True)

    program: str
    revision: Annotated[str, Field(alias="schema")]
    at: str
    as_of: str | None
    tables: dict[str, Annotated[int, Field(ge=0)]]
    events: _Events | None
    files: list[str]
    replaced: list[_Replaced]
    members: dict[str, _Member]


class Reader:
    """An opened backup whose members are what the manifest says."""

    def __init__(self, file: Path, archive: zipfile.ZipFile, manifest: Mapping[str, Any]) -> None:
        self._file, self._zip, self.manifest = file, archive, manifest
        self.names: tuple[str, ...] = tuple(manifest["members"])

    def of(self, folder: str) -> Iterator[str]:
        """Give the members of a folder, in the order in which they were written."""
        return (name for name in self.names if name.startswith(folder))

    @contextmanager
    def member(self, name: str) -> Iterator[BinaryIO]:
        """Read one member."""
        with told(self._file), self._zip.open(name) as source:
            yield cast("BinaryIO", source)

    def content(self, name: str) -> bytes:
        """Give a small member."""
        with told(self._file):
            return _small(self._file, self._zip, name)

    def verify(self, heard: Heard) -> None:
        """Hold every member against its check sum. Raises Mistake, naming the first that differs."""
        for number, (name, facts) in enumerate(self.manifest["members"].items(), start=1):
            found = sha256()
            with self.member(name) as source:
                while chunk := source.read(_CHUNK):
                    found.update(chunk)
            if found.hexdigest() != facts["sha256"]:
                raise Mistake(
                    f"the backup {self._file} is damaged: the check sum of {name} is another; use another one"
                )
            heard("checking", number, len(self.names))


@contextmanager
def read(file: Path) -> Iterator[Reader]:
    """Open a backup. Raises Mistake for a file that is none, is cut short, or holds what no backup holds."""
    with told(file):
        archive = zipfile.ZipFile(file)
    with archive:
        names = archive.namelist()
        if MANIFEST not in names:
            raise Mistake(f"{file} is no backup made by `engage-sync backup`: it has no {MANIFEST}")
        with told(file):
            manifest = _manifest(file, _small(file, archive, MANIFEST))
            _refuse_strange(file, archive, names, manifest)
        yield Reader(file, archive, manifest.model_dump(by_alias=True))


def _manifest(file: Path, content: bytes) -> _Manifest:
    """Read a manifest. Raises Mistake for what is none, and for that of another format."""
    try:
        found = _Format.model_validate_json(content)
    except ValidationError:
        raise Mistake(
            f"{file} is no backup made by `engage-sync backup`: its {MANIFEST} says nothing that is known"
        ) from None
    if found.format > FORMAT:
        made = f"format {found.format}, made by engage-sync {found.program}"
        raise Mistake(f"the backup {file} has {made}: install that version (this one knows up to {FORMAT})")
    try:
        return _Manifest.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Mistake(f"the backup {file} is damaged: its {MANIFEST} says nothing usable of {where}") from None


def _small(file: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Give a member that fits into memory. Raises Mistake for another, before a byte of it is read."""
    info = archive.getinfo(name)
    if info.file_size > MOST_BYTES or not _is_plain(info):
        raise Mistake(f"the backup {file} holds {name!r} as no backup holds it: too large, packed or encrypted")
    return archive.read(info)


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Tell whether a member takes as much room in the file as in memory."""
    return info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size and not info.flag_bits & 1


def _refuse_strange(file: Path, archive: zipfile.ZipFile, names: list[str], manifest: _Manifest) -> None:
    """Refuse members that the manifest does not name, or not so, or whose names lead elsewhere."""
    if sorted(names) != sorted([MANIFEST, *manifest.members]):
        raise Mistake(f"the backup {file} is damaged: its members are not those that its {MANIFEST} names")
    for name, facts in manifest.members.items():
        info, parts = archive.getinfo(name), name.split("/")
        if not _NAME.fullmatch(name) or _STRANGE.search(name) or {"", ".", ".."} & set(parts) or not _is_plain(info):
            raise Mistake(f"the backup {file} holds {name!r}, which no backup holds: nothing was restored")
        if info.file_size != facts.bytes:
            raise Mistake(f"the backup {file} is damaged: {name} is not as long as its {MANIFEST} says")
    if sum(one.file_size for one in archive.infolist()) > file.stat().st_size:
        raise Mistake(f"the backup {file} is damaged: its members are longer than the file")


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turn what reading a broken archive raises into a sentence."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as error:
        if error.filename is not None and Path(error.filename) != file:
            raise
        raise Mistake(f"there is no backup {file}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, KeyError) as error:
        raise Mistake(f"the backup {file} is damaged or cut short, or no backup: {error}") from error
