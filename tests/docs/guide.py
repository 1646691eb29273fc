"""The guide as something that can be followed: its marked blocks of shell in the order of the pages, and a shell, the
real one, in which `engage-sync` is a process that begins with everything imported (`tests/forks.py`)."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.forks import Forked, engage

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
PAGES = ("install.md", "connect.md", "first-model.md", "go-live.md", "operate.md")
_BLOCK = re.compile(
    r"^<!-- run(?P<behind> in background)?(?P<bare> on a bare machine)?(?P<last>, at last)?"
    r"(?:, ends with (?P<code>\d+))? -->\n```sh\n(?P<text>.*?)^```$",
    re.M | re.S,
)
SHIM = """\
#!{python} -IS
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
line.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
line.shutdown(socket.SHUT_WR)
code, out, err = json.loads(b"".join(iter(lambda: line.recv(65536), b"")))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
READY = "Ctrl-C"
"""Among the last words of what runs in the background, once it does."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a reader types into a window; `behind` is another one, left alone. `code` is how the last command ends."""

    page: str
    text: str
    code: int
    behind: bool
    last: bool
    """It is typed when all pages are done."""


def blocks(*, bare: bool = False) -> list[Block]:
    """Give the blocks that are to be run, in the guide's order. On a `bare` machine (`scripts/bare_machine.py`) those
    too that change the machine: what is said to come at last after all pages."""
    found = [(page, one) for page in PAGES for one in _BLOCK.finditer((GUIDE / page).read_text(encoding="utf-8"))]
    return [
        Block(page, one["text"], int(one["code"] or 0), one["behind"] is not None, last)
        for last in (False, True)
        for page, one in found
        if (one["last"] is not None) is last and (bare or one["bare"] is None)
    ]


@dataclass
class Typed:
    """One block as it went: what was printed on either stream, in this order, and how it ended."""

    block: Block
    code: int
    out: str
    err: str


@dataclass
class Window:
    """A shell that stands in a folder and remembers its environment from block to block, as a window does."""

    folder: Path
    environment: dict[str, str]
    port: int
    """The stand-ins listen there and on the next one: those of the guide may be taken."""
    behind: list[Forked] = field(default_factory=list)

    def type(self, block: Block) -> Typed:
        """Run a block as a shell does."""
        if block.behind:
            return self._leave_alone(block)
        after = 'code=$?; pwd >"$AFTERWARDS"; env -0 >>"$AFTERWARDS"; exit "$code"'
        kept = Path(self.environment["AFTERWARDS"])
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", f"trap '{after}' EXIT\n{block.text}"],
            check=False,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        folder, _, names = kept.read_text(encoding="utf-8").partition("\n")
        self.folder = Path(folder)
        self.environment = dict(line.split("=", 1) for line in names.split("\0") if line)
        return Typed(block, done.returncode, done.stdout, done.stderr)

    def command(self, arguments: Sequence[str], folder: str, environment: dict[str, str]) -> Forked:
        """Begin a command; the stand-ins are told where to listen, and the project where they do."""
        here = [f"--base-url=hubspot=http://127.0.0.1:{self.port}"]
        here += [f"--base-url=salesforce=http://127.0.0.1:{self.port + 1}"]
        given = [part for one in arguments for part in (here if one == "--sandbox" else [one])]
        if given[:1] == ["sandbox"]:
            given += ["--port", str(self.port)]
        return engage(*given, cwd=Path(folder), environment=environment)

    def _leave_alone(self, block: Block) -> Typed:
        program, *arguments = shlex.split(block.text)
        assert program == "engage-sync"
        running = self.command(arguments, str(self.folder), self.environment)
        self.behind.append(running)
        said = ""
        for line in running.stdout:
            said += line
            if READY in line:
                return Typed(block, 0, said, "")
        return Typed(block, running.wait(), said, running.stderr.read())


@contextmanager
def window(folder: Path) -> Iterator[Window]:
    """Open a shell in a folder, with nothing of this machine's environment that the program reads."""
    address = folder / ".shim"
    (folder / ".bin").mkdir()
    shim = folder / ".bin" / "engage-sync"
    shim.write_text(SHIM.format(python=sys.executable, address=str(address)), encoding="utf-8")
    shim.chmod(0o755)
    environment = {
        "PATH": f"{shim.parent}{os.pathsep}{os.defpath}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "AFTERWARDS": str(folder / ".afterwards"),
        **{name: os.environ[name] for name in ("PYTHONPATH", "PYTHONPYCACHEPREFIX", "TMPDIR") if name in os.environ},
    }
    opened = Window(folder, environment, _two_ports())
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(address))
        line.listen()
        threading.Thread(target=_answer, args=(line, opened), daemon=True).start()
        try:
            yield opened
        finally:
            line.shutdown(socket.SHUT_RDWR)
            for running in opened.behind:
                running.kill()


def _answer(line: socket.socket, opened: Window) -> None:
    """Run what the shell's commands ask for, one after another, until the window is closed."""
    while True:
        try:
            caller, _ = line.accept()
        except OSError:
            return
        with caller:
            asked = b"".join(iter(lambda: caller.recv(1 << 16), b""))  # noqa: B023  read before the next one comes
            running = opened.command(*json.loads(asked))
            out, err = running.communicate()
            caller.sendall(json.dumps([running.returncode, out, err]).encode())


def _two_ports() -> int:
    """Find a free port whose next one is free as well."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
