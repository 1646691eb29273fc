"""The mark of a restore: it lies in the folder that is filled until that is a project, and says what the restore makes
and by which name a database knows it, so that one which was killed is told from a project, and the next one clears up
after it. Knows nothing of what is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from engage_sync.config.project import ENGAGE_FILE, RESTORING
from engage_sync.errors import Locked


@dataclass(slots=True)
class Mark:
    """A restore's own name, the names of those into the same folder that were killed before, and whether the database
    was looked at for what these have left."""

    name: str
    former: frozenset[str]
    looked: bool = False


@contextmanager
def marked(root: Path, made: Sequence[Path]) -> Iterator[Mark]:
    """Mark the folder for the length of a `with` block; `made` are the files and folders that come to be in it and are
    not there yet. The mark stays where the process dies, and where it ends before it has looked for what one that died
    has left in the database: the next one goes on with it, a line each. A folder that was not there and is empty goes
    with it. Raises Locked where another restore has begun."""
    new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    mark = root / RESTORING
    descriptor = _held(mark, os.O_CREAT)
    found = Mark(token_hex(16), frozenset(line.name for line in _lines(mark)))
    done = False
    try:
        _write(descriptor, _Line(found.name, tuple(str(path) for path in made)))
        yield found
        done = True
    finally:
        if found.former and not (done or found.looked):
            _rewrite(descriptor, found.former)
        else:
            mark.unlink(missing_ok=True)
        os.close(descriptor)
        if new and not any(root.iterdir()):
            root.rmdir()


def clear_up(root: Path) -> bool:
    """Take away what restores that were killed have left of a folder; tells whether one had. The mark stays, with their
    names alone, for the next restore, which clears up in the database, too. What was completed but for its mark is a
    project and stays. Raises Locked where one goes on."""
    mark = root / RESTORING
    try:
        descriptor = _held(mark)
    except FileNotFoundError:
        return False
    try:
        if (root / ENGAGE_FILE).exists():
            mark.unlink()
        else:
            lines = _lines(mark)
            for path in [Path(made) for line in lines for made in line.made]:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            _rewrite(descriptor, frozenset(line.name for line in lines))  # what comes to be there is not theirs
    finally:
        os.close(descriptor)
    return True


def _held(mark: Path, more: int = 0) -> int:
    """Open a mark and hold its lock, until it is closed. Raises Locked while another process does."""
    while True:
        descriptor = os.open(mark, os.O_RDWR | os.O_APPEND | more, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if mark.exists() and os.path.samestat(os.fstat(descriptor), mark.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise Locked(f"another restore into {mark.parent} goes on") from error
        os.close(descriptor)  # who held it took it away meanwhile


@dataclass(frozen=True, slots=True)
class _Line:
    """What a mark says of one restore."""

    name: str
    made: tuple[str, ...]


def _lines(mark: Path) -> list[_Line]:
    """Give what a mark says; a line that a process was killed over says nothing."""
    found = []
    for text in mark.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            line = json.loads(text)
            found.append(_Line(str(line["name"]), tuple(line["made"])))
    return found


def _write(descriptor: int, *lines: _Line) -> None:
    """Add lines to a mark; a line that was cut off before them ends there."""
    for line in lines:
        os.write(descriptor, f"\n{json.dumps({'name': line.name, 'made': line.made})}\n".encode())
    os.fsync(descriptor)


def _rewrite(descriptor: int, names: frozenset[str]) -> None:
    """Leave nothing in a mark but the names of restores."""
    os.ftruncate(descriptor, 0)
    _write(descriptor, *(_Line(name, ()) for name in sorted(names)))
