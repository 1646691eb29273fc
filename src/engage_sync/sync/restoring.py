"""The mark of a restore: it lies in the folder that is filled until that is a project, and says what the restore makes
and by which name a database knows it, so that one which was killed is told from a project, and the next one clears up
after it. Knows nothing of what is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from engage_sync.config.project import ENGAGE_FILE, RESTORING
from engage_sync.errors import Locked


@dataclass(frozen=True, slots=True)
class Mark:
    """A restore's own name, and the names of those into the same folder that were killed before."""

    name: str
    former: frozenset[str]


@contextmanager
def marked(root: Path, made: Sequence[Path]) -> Iterator[Mark]:
    """Mark the folder for the length of a `with` block; `made` are the files and folders that come to be in it and are
    not there yet. The mark stays only where the process dies, and the next one goes on with it, a line each; a folder
    that was not there and is empty goes with it. Raises Locked where another restore has begun."""
    new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    mark = root / RESTORING
    descriptor = _held(mark, os.O_CREAT)
    try:
        former = frozenset(str(line["name"]) for line in _lines(mark))
        name = token_hex(16)
        line = json.dumps({"name": name, "made": [str(path) for path in made]})
        os.write(descriptor, f"\n{line}\n".encode())  # a line that was cut off ends here
        os.fsync(descriptor)
        yield Mark(name, former)
    finally:
        mark.unlink(missing_ok=True)
        os.close(descriptor)
        if new and not any(root.iterdir()):
            root.rmdir()


def clear_up(root: Path) -> bool:
    """Take away what restores that were killed have left of a folder; tells whether one had. The mark stays for the
    next restore, which clears up in the database, too. What was completed but for its mark is a project and stays.
    Raises Locked where one goes on."""
    mark = root / RESTORING
    try:
        descriptor = _held(mark)
    except FileNotFoundError:
        return False
    try:
        if (root / ENGAGE_FILE).exists():
            mark.unlink()
        else:
            for path in [Path(made) for line in _lines(mark) for made in line["made"]]:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
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


def _lines(mark: Path) -> list[Mapping[str, Any]]:
    """Give what a mark says; a line that a process was killed over says nothing."""
    found = []
    for line in mark.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
