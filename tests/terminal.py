"""The program on a terminal of its own: what is typed reaches its stdin, and Ctrl-C its process."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.forks import PROGRAM, Forked, fork

ON_A_TERMINAL = f"""\
import os, sys
os.dup2(os.open(sys.argv.pop(1), os.O_RDWR), 0)
sys.stdin = open(0)
{PROGRAM}
"""
CTRL_C = "\x03"


@dataclass(frozen=True, slots=True)
class Seated:
    """A process and the keyboard before it. Its stdout and stderr are pipes."""

    process: Forked
    keyboard: int

    def type(self, text: str) -> None:
        """Type, as a person does."""
        os.write(self.keyboard, text.encode())

    def asked(self, mark: str) -> str:
        """Wait for a question on stderr; give what was printed there up to its end."""
        printed = ""
        while not printed.endswith(mark):
            letter = self.process.stderr.read(1)
            assert letter, printed
            printed += letter
        return printed


@contextmanager
def seated(*arguments: str, **more: Any) -> Iterator[Seated]:
    """Run `engage-sync ARGUMENTS…` on a terminal for the length of a `with` block."""
    ours, its = pty.openpty()
    process = fork(ON_A_TERMINAL, os.ttyname(its), *arguments, **more)
    try:
        yield Seated(process, ours)
    finally:
        process.kill()
        for end in (its, ours):
            with suppress(OSError):
                os.close(end)
