"""The configuration that the daemon works by, read again when a file has changed or somebody asks: a child checks
copies of the files first, and where it finds them wrong, the daemon goes on with those before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from engage_sync.sync.checked_files import CheckedFiles, Print
from engage_sync.sync.children import Child, Runner
from engage_sync.sync.worked import Worked

LIMIT = 300.0
"""Seconds that checking may take."""
AGAIN = 30.0
"""Seconds after which it is tried again to check what could not be checked, as on a full disk."""


class Configuration:
    """The files of one project, and the child that checks them, if one does now."""

    def __init__(self, root: Path, runner: Runner, ticks: Callable[[], float]) -> None:
        self.files = CheckedFiles(root)
        self.child: Child | None = None
        self.wrong: list[str] = []
        """What is wrong with the files as they stand now."""
        self.unmet: str | None = None
        """What of a configuration that is right could not be done here, such as listening on a port."""
        self._runner, self._ticks = runner, ticks
        self._folder, self._since = Path(), 0.0
        self._seen: Print | None = None
        self._checked: Print | None = None
        self._asked = False
        self._again: float | None = None
        self._log = structlog.get_logger("engage_sync.daemon")

    @property
    def problems(self) -> list[str]:
        """All that keeps the files from being worked by as they stand."""
        return self.wrong + ([] if self.unmet is None else [self.unmet])

    def reload(self) -> None:
        """Have the files checked again, whether or not one has changed."""
        self._asked = True

    @property
    def reloading(self) -> bool:
        """Whether files are being checked, or will be as soon as they stand still, because somebody asked for it."""
        return self._asked or self.child is not None

    def tick(self, *, keep_old: bool) -> Worked | None:
        """Look for changes, and after the child that checks them; give what it told when it has found them right.
        `keep_old`: somebody may still be reading the copies before."""
        seen = self.files.print()
        stable = self._seen in {seen, None}  # half a change is not looked at
        self._seen = seen
        again = self._again is not None and self._ticks() >= self._again
        if self.child is None and stable and (self._asked or again or seen != self._checked):
            self._asked, self._again, self._checked = False, None, seen
            self._check()
        return None if self.child is None else self._hear(self.child, keep_old=keep_old)

    def close(self) -> None:
        """Take the copies away."""
        self.files.close()

    def _check(self) -> None:
        self.files.drop(self._folder)  # the copies of a check that could not begin
        try:
            self._folder = self.files.copied()
            self.child, self._since = self._runner.start((), self._folder), self._ticks()
        except OSError as error:
            self._again = self._ticks() + AGAIN
            place = f": {error.filename}" if error.filename else ""
            self._find_wrong([f"the configuration could not be checked: {error.strerror or error}{place}"])

    def _hear(self, child: Child, *, keep_old: bool) -> Worked | None:
        ended = child.ended()
        if ended is None:
            if self._ticks() - self._since > LIMIT:
                child.stop()
            return None
        self.child = None
        worked = ended.worked
        self._again = self._ticks() + AGAIN if worked is None else None
        if worked is None or worked["settings"] is None:
            self.files.drop(self._folder)
            self._find_wrong([ended.why] if worked is None else worked["problems"])
            return None
        self.files.use(self._folder, keep_old=keep_old)
        self.wrong = []
        self._log.info("the configuration was read", digest=worked["settings"]["digest"])
        return worked

    def _find_wrong(self, problems: Sequence[str]) -> None:
        before, self.wrong = self.wrong, list(problems)
        if self.files.current is not None and self.wrong != before:  # else whoever started the daemon is told
            self._log.error("the configuration is wrong: the one before is worked by", problems=self.wrong)
