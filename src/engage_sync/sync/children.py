"""The processes that work for the daemon: each is started in a group of its own, its one document is read from its
stdout and its log passed on, and it is ended when asked, by force if it must be. Knows nothing of what they do.

A child whose daemon is gone notices: its stdin ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from engage_sync.sync.worked import Worked

GRACE = 8.0
"""Seconds that a child has to end by itself: its daemon, which has ten, keeps how it ended and gives up its lease."""
LONGEST_DOCUMENT = 16 << 20
KEPT_LOG = 4_096
"""Bytes of the end of a child's log that say why it died."""
PROGRAM = (sys.executable, "-P", "-c", "from engage_sync.cli.main import main; main()")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its document, or without one, why."""

    worked: Worked | None
    why: str = ""


class Child(Protocol):
    """A piece of work under way."""

    def ended(self) -> Ended | None:
        """Give how it ended, None while it works."""

    def stop(self) -> None:
        """Ask it to end soon; what does not is ended by force. Asking twice does no harm."""


class Runner(Protocol):
    """Starts work: processes, or for tests the same functions in this one."""

    def start(self, jobs: Sequence[str], files: Path) -> Child:
        """Start the jobs of a project with the configuration in the folder `files`. OSError when that is not
        possible."""


@dataclass(frozen=True, slots=True)
class Children:
    """The runner that starts processes for the project in `root`."""

    root: Path

    def start(self, jobs: Sequence[str], files: Path) -> Child:
        """Start one."""
        line = [*PROGRAM, "work", *jobs, "--project", str(self.root), "--files", str(files)]
        return Process([*line, "--logs", "terminal"] if sys.stderr.isatty() else line)


class Process:
    """A child process; it is the leader of its group, so that what it starts ends with it."""

    def __init__(self, line: Sequence[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stopped_at: float | None = None
        self._ended: Ended | None = None
        self._too_long = False
        self._out = bytearray()
        self.log = b""
        """The end of what it logged."""
        self._process = self.begin(line)
        streams = ((self._process.stdout, self._take), (self._process.stderr, self._pass_on))
        self._readers = [
            threading.Thread(target=_read, args=(stream, heard), name="child", daemon=True) for stream, heard in streams
        ]
        for reader in self._readers:
            reader.start()

    def begin(self, line: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start the process, with pipes for its streams."""
        return subprocess.Popen(  # noqa: S603 - this program itself, with names that were checked
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> Ended | None:
        """Give how it ended, None while it runs; one that had its time since it was asked to end is killed."""
        if self._ended is not None:
            return self._ended  # its id may be another's by now
        if self._process.poll() is None:
            if self._too_long or (self._stopped_at is not None and self._clock() - self._stopped_at >= GRACE):
                self._signal(signal.SIGKILL)
            return None
        self._signal(signal.SIGKILL)  # whatever it left behind
        for reader in self._readers:
            reader.join(timeout=1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._ended = self._how()
        return self._ended

    def stop(self) -> None:
        """Ask it to end."""
        if self._stopped_at is None and self._ended is None:
            self._stopped_at = self._clock()
            self._signal(signal.SIGTERM)

    def _how(self) -> Ended:
        code = self._process.returncode
        try:
            return Ended(cast("Worked", json.loads(self._out)))
        except ValueError:
            pass
        last = self.log.decode(errors="replace").strip().splitlines()[-1:]
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if self._too_long:
            ended = f"an answer of more than {LONGEST_DOCUMENT >> 20} MB, not with one that can be read"
            return Ended(None, f"the child ended with {ended}")
        return Ended(None, f"the child ended with {ended} and no answer{f': {last[0]}' if last else ''}")

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _take(self, heard: bytes) -> None:
        self._too_long |= len(self._out) + len(heard) > LONGEST_DOCUMENT
        if not self._too_long:
            self._out += heard

    def _pass_on(self, heard: bytes) -> None:
        self.log = (self.log + heard)[-KEPT_LOG:]
        with suppress(OSError, ValueError):  # nobody may listen any more
            sys.stderr.buffer.write(heard)
            sys.stderr.buffer.flush()


def _read(stream: IO[bytes] | None, heard: Callable[[bytes], None]) -> None:
    """Read a stream to its end, as it comes."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        while chunk := os.read(stream.fileno(), 65_536):
            heard(chunk)
