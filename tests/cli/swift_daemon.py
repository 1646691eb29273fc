"""A daemon whose children begin with everything imported: before it has any thread it forks a process that forks them
(`tests/forks.py`). It is composed of the parts that `engage-sync daemon` is; its children are processes of their own,
which get the same line, the same pipes and the same signals, and are reaped by the one that forks. That one ends when
the daemon does, and leaves the children to notice by themselves.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engage_sync.cli import logs
from engage_sync.cli.daemon import LAST_MESSAGES
from engage_sync.cli.options import clock
from engage_sync.server.app import create
from engage_sync.server.serving import serving
from engage_sync.sync import service
from engage_sync.sync.children import PROGRAM, Child, Process
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.notify_systemd import Systemd
from engage_sync.sync.watching import Watching
from tests.forks import READY, ROOT, Forked, Server, serve

SWIFT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.cli.swift_daemon import main
program = main(*sys.argv[1:])
if program is not None:
    exec(compile(program, "<string>", "exec"), {{"__name__": "__main__"}})
"""
"""The program, for `forks.fork`; its argument is the project's folder."""


class Nursery(Server):
    """The line to the process that forks."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        assert line.recv(16) == READY


class Swift(Process):
    """A child that was forked."""

    def __init__(self, line: Sequence[str], nursery: Nursery) -> None:
        self._nursery = nursery
        super().__init__(line)

    def begin(self, line: Sequence[str]) -> subprocess.Popen[bytes]:
        """Have it forked."""
        assert tuple(line[: len(PROGRAM)]) == PROGRAM
        request: Mapping[str, object] = {
            "code": PROGRAM[-1],
            "argv": ["-c", *line[len(PROGRAM) :]],
            "cwd": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        forked: Forked = self._nursery.fork(request, stdin=True)
        return cast("subprocess.Popen[bytes]", forked)


@dataclass(frozen=True)
class SwiftChildren:
    """The runner."""

    root: Path
    nursery: Nursery

    def start(self, jobs: Sequence[str], files: Path) -> Child:
        """Start a child, with the line that `Children` gives it."""
        line = [*PROGRAM, "work", *jobs, "--project", str(self.root), "--files", str(files)]
        return Swift(line, self.nursery)


def main(project: str) -> str | None:
    """Be the daemon of a project until a signal; in a child, give the code to run."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        return serve(its)
    its.close()
    _work(Path(project), Nursery(ours))
    return None


def _work(root: Path, nursery: Nursery) -> None:
    logs.configure("json", "info")
    signals = service.Signals()
    watching = Watching(root, clock(), ticks=time.monotonic)
    running = Daemon(root, SwiftChildren(root, nursery), observer=watching)
    with signals.heard(), ExitStack() as stack:
        stack.callback(running.close)
        service.begin(running, signals, clock)
        settings = running.settings
        if settings is None:
            return  # ended before it had begun
        server = settings["server"]
        served = stack.enter_context(serving(create(watching.view), server["host"], server["port"]))
        stack.callback(watching.settle, LAST_MESSAGES)
        service.keep_going(running, signals, clock, Systemd(), at=served.url)
