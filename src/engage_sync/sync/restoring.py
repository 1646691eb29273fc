"""The mark of a restore: it lies in the folder that is filled until that is a project, and says what the restore makes,
so that one which was killed is told from a project, and the next one clears up after it. Knows nothing of what is made.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engage_sync.config.project import ENGAGE_FILE, RESTORING
from engage_sync.errors import Locked


@contextmanager
def marked(root: Path, made: Sequence[Path]) -> Iterator[None]:
    """Mark the folder for the length of a `with` block; `made` are the files and folders that come to be in it and are
    not there yet. The mark stays only where the process dies; a folder that was not there and is empty goes with it.
    Raises Locked where another restore has begun."""
    new = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    mark = root / RESTORING
    try:
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Locked(f"another restore into {root} goes on") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps([str(path) for path in made]).encode())
        os.fsync(descriptor)
        yield
    finally:
        mark.unlink(missing_ok=True)
        os.close(descriptor)
        if new and not any(root.iterdir()):
            root.rmdir()


def clear_up(root: Path) -> bool:
    """Take away what a restore that was killed has left of a folder; tells whether one had. What it had completed but
    for its mark is a project and stays. Raises Locked where it goes on."""
    mark = root / RESTORING
    try:
        descriptor = os.open(mark, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked(f"another restore into {root} goes on") from error
        if not (root / ENGAGE_FILE).exists():
            for path in _made(mark):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        mark.unlink()
    finally:
        os.close(descriptor)
    return True


def _made(mark: Path) -> list[Path]:
    """Give what a mark names; nothing where the process was killed before it had written that."""
    try:
        return [Path(path) for path in json.loads(mark.read_text(encoding="utf-8"))]
    except ValueError:
        return []
