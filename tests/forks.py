"""Processes for tests that begin with everything imported: one server per test process has imported what the program
needs, used none of it, and forks a child for each command. A child is a process of its own with its own session,
folder, environment and streams, ends as every interpreter ends, and is really killed by its id. The server forks and
not the test process, in which polars has threads. That the program also begins from nothing, imports included, is
shown by the tests that start it as a user does: with `begin_from_nothing` in `tests/sync`, and in `tests/docs`.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import engage_sync

ROOT = Path(__file__).parents[1]
PROGRAM = "from engage_sync.cli.main import main; main()"
READY = b"ready"
ROOM = 1 << 20
"""Bytes of the longest request: a program, its arguments and its environment."""


class Forked:
    """A child; the parts of `subprocess.Popen` that tests use, with text streams."""

    def __init__(self, status: socket.socket, stdin: IO[str] | None, stdout: IO[str], stderr: IO[str]) -> None:
        self._status = status
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None
        self.pid = int(self._told(None))

    def _told(self, timeout: float | None) -> bytes:
        self._status.settimeout(timeout)
        told = self._status.recv(64)
        assert told, "the server that forks is gone"
        return told

    def poll(self) -> int | None:
        """Give the exit code, -9 for a killed child, None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(self._told(None))
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; `TimeoutError` where that takes longer."""
        if self.returncode is None:
            self.returncode = int(self._told(timeout))
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and this has not been told yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, given: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Give it its input, read all that it prints, wait for its end."""
        printed: dict[str, str] = {}

        def read(name: str, stream: IO[str]) -> None:
            with stream:
                printed[name] = stream.read()

        streams = {name: stream for name in ("stdout", "stderr") if not (stream := getattr(self, name)).closed}
        readers = [threading.Thread(target=read, args=item, daemon=True) for item in streams.items()]
        for reader in readers:
            reader.start()
        if self.stdin is not None and not self.stdin.closed:
            with suppress(BrokenPipeError), self.stdin:
                self.stdin.write(given or "")
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return printed.get("stdout", ""), printed.get("stderr", "")


class Server:
    """The process that forks, started at the first use; it ends with the process that started it."""

    def __init__(self, *, importing: bool = True) -> None:
        self.owner = os.getpid()
        self._line, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(other.fileno()), *(["import"] if importing else [])],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )
        assert self._line.recv(16) == READY, "the server that forks did not begin"
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and with it whatever child is left."""
        if self.owner == os.getpid():
            self._line.close()
            self._process.wait()

    def fork(self, request: Mapping[str, Any], *, stdin: bool) -> Forked:
        """Fork a child with pipes for its streams."""
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        its_in, into = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
        status, its_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = [its_in, its_out, its_err, its_status.fileno()]
        socket.send_fds(self._line, [json.dumps(request).encode()], given)
        for end in given[:3]:
            os.close(end)
        its_status.close()
        # As `subprocess.Popen` does, the streams are left to the garbage collector where no test reads them to the end.
        streams = [open(end, encoding="utf-8") for end in (out, err)]  # noqa: PTH123, SIM115
        writer = None if into is None else open(into, "w", encoding="utf-8", buffering=1)  # noqa: PTH123, SIM115
        return Forked(status, writer, *streams)


_started: list[Server] = []


def fork(
    code: str,
    *arguments: str,
    stdin: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    name: str = "-c",
) -> Forked:
    """Run a program, the text of a module, in a process of its own, as `python -c` would."""
    if not _started or _started[0].owner != os.getpid():
        _started[:] = [Server()]
    request = {
        "code": code,
        "argv": [name, *arguments],
        "cwd": str(cwd or Path.cwd()),
        "environment": dict(os.environ if environment is None else environment),
    }
    return _started[0].fork(request, stdin=stdin)


def engage(*arguments: str, **more: Any) -> Forked:
    """Run `engage-sync ARGUMENTS…` in a process of its own."""
    return fork(PROGRAM, *arguments, name="engage-sync", **more)


# --- in the server ---


def _import() -> None:
    """Import what the program, and the programs of tests, import, also late; nothing of it is called."""
    rooms = ("cli", "config", "connectors", "core", "events", "server", "state", "sync")
    names = [
        found.name
        for room in rooms
        for found in pkgutil.iter_modules([str(Path(engage_sync.__path__[0]) / room)], f"engage_sync.{room}.")
    ]
    for name in (*names, *LATE):
        importlib.import_module(name)
    gc.freeze()  # else each child, when it ends, walks through (and so copies) all that is imported: a second each


LATE = (
    "adbc_driver_postgresql.dbapi",
    "adbc_driver_sqlite.dbapi",
    "alembic.autogenerate",
    "ibis.backends.sql.compilers.duckdb",
    "psycopg",
    "simple_salesforce",
)
"""Libraries that some room imports inside functions. Not DuckDB, which starts a thread when it is imported: a thread
is not there any more in a child, and DuckDB waits for it for ever. Those that the others start stand idle and know how
to be forked: the memory allocators' and OpenBLAS's."""


class _Child(Exception):
    """Raised in a child, out of the loop of the server: the code to run."""


class _Forker:
    """The loop of the server: one thread, which forks when asked and tells how children ended."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._children: dict[int, socket.socket] = {}
        self._woken, waker = os.pipe()
        self._ends = (self._woken, waker)
        for end in self._ends:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        line.send(READY)

    def run(self) -> None:
        """Serve until the other end is gone; in a child, `_Child` is raised."""
        while True:
            ready, _, _ = select.select([self._line, self._woken], [], [])
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            self._reap()
            if self._line in ready and not self._serve():
                return

    def end(self) -> None:
        """Leave no child behind."""
        for child in self._children:
            os.kill(child, signal.SIGKILL)
        for child in self._children:
            os.waitpid(child, 0)

    def _reap(self) -> None:
        for child in list(self._children):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                with self._children.pop(child) as teller, suppress(OSError):  # nobody may listen any more
                    teller.send(str(os.waitstatus_to_exitcode(status)).encode())

    def _serve(self) -> bool:
        told, streams = _received(self._line)
        if not told:
            return False
        teller = socket.socket(fileno=streams.pop())
        child = os.fork()
        if child == 0:
            teller.close()
            self._become(json.loads(told), streams)
        for stream in streams:
            os.close(stream)
        self._children[child] = teller
        teller.send(str(child).encode())
        return True

    def _become(self, request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
        """Turn the copy of the server into a process that has just begun."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._line.close()
        for teller in self._children.values():
            teller.close()
        for end in self._ends:
            os.close(end)
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        sys.argv[:] = request["argv"]
        sys.modules.pop("tests")
        here = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.path[:] = ["", *here, *(path for path in sys.path if path not in {"", str(ROOT), *here})]
        raise _Child(request["code"])


def _received(line: socket.socket) -> tuple[bytes, list[int]]:
    """Give a request and the four descriptors beside it; nothing at the end."""
    numbers = array.array("i")
    told, beside, _, _ = line.recvmsg(ROOM, socket.CMSG_SPACE(4 * numbers.itemsize))
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data)
    return told, list(numbers)


def serve(line: socket.socket) -> str | None:
    """Serve until the other end of the line is gone; in a child, give the code to run there."""
    forker = _Forker(line)
    try:
        forker.run()
    except _Child as become:
        return str(become.args[0])
    return None


def _serve() -> str | None:
    """Serve, and at the end leave no child behind; in a child, give the code to run there."""
    if "import" in sys.argv:
        _import()
    forker = _Forker(socket.socket(fileno=int(sys.argv[1])))
    try:
        forker.run()
    except _Child as become:
        return str(become.args[0])
    forker.end()
    return None


if __name__ == "__main__":
    program = _serve()
    if program is not None:
        # Outermost, so that the interpreter ends by itself: streams flushed, threads joined, exit functions run.
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
