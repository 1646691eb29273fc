"""The configuration that the daemon works by: copies of the project's files, of which only those that a child has found
right are worked with; and a cheap look, every second, whether the project's own have changed since."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from stat import S_ISREG

FOLDERS = ("config", "config/model", "connectors")
Print = tuple[tuple[str, int, int], ...]
"""Name, time of change and size of each file."""


class CheckedFiles:
    """Copies of one project's files, in a temporary folder that goes with the daemon."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = tempfile.TemporaryDirectory(prefix="engage-sync-")
        self._number = 0
        self.current: Path | None = None
        """What is worked with, None as long as nothing was found right."""

    def close(self) -> None:
        """Take the copies away."""
        self._folder.cleanup()

    def print(self) -> Print:
        """Tell one state of the project's files from another."""
        return tuple((str(path), told.st_mtime_ns, told.st_size) for path, told in self._found())

    def copied(self) -> Path:
        """Copy the files as they are now; give the folder of the copies. Raises OSError."""
        self._number += 1
        folder = Path(self._folder.name) / str(self._number)
        try:
            for name in FOLDERS:
                (folder / name).mkdir(parents=True, exist_ok=True)
            for path in self._files():
                shutil.copyfile(path, folder / path.relative_to(self._root))
        except OSError:
            self.drop(folder)
            raise
        return folder

    def use(self, folder: Path, *, keep_old: bool) -> None:
        """Work with these copies from now on; those before go, unless somebody may still read them."""
        old, self.current = self.current, folder
        if old is not None and not keep_old:
            self.drop(old)

    def drop(self, folder: Path) -> None:
        """Take copies away that nobody works with; a folder that is none of ours stays."""
        if folder != self.current and folder.parent == Path(self._folder.name):
            shutil.rmtree(folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return [path for path, _ in self._found()]

    def _found(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in sorted(path for name in FOLDERS for path in (self._root / name).glob("*.y*ml")):
            try:
                told = path.stat()
            except OSError:
                continue  # gone since it was listed; the next look shows it
            if S_ISREG(told.st_mode):
                found.append((path, told))
        return found
