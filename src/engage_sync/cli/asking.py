"""Questions to a person on the terminal, asked on stderr. Ctrl-C and SIGTERM end them at once."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from types import FrameType

import typer

from engage_sync.errors import Stopped


def somebody_there() -> bool:
    """Tell whether there is a terminal to ask on."""
    return sys.stdin.isatty()


def agreed(question: str) -> bool:
    """Ask yes or no; no answer is a no."""
    while (answer := _line(f"{question} [y/N]: ").lower()) not in {"y", "yes", "n", "no", ""}:
        typer.echo("  write y or n", err=True)
    return answer in {"y", "yes"}


def answered(question: str, default: str) -> str:
    """Ask for a text."""
    return _line(f"{question} [{default}]: ") or default


def _line(question: str) -> str:
    """Ask, and read a line; a stdin that has ended ends the command."""
    if threading.current_thread() is threading.main_thread():
        _wait(question)
    else:
        typer.echo(question, nl=False, err=True)
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def _wait(question: str) -> None:
    """Ask, and wait until something has been typed, or for a signal. Reading itself does not: a signal right before it
    waits for the next key, and once polars is imported the system goes on with a reading that Ctrl-C interrupts."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()  # raised below: Ctrl-C may have come first

    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    wakeup, before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False), signal.signal(signal.SIGTERM, end)
    try:
        typer.echo(question, nl=False, err=True)
        while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
            os.read(woken, 4096)
            if ended.is_set():
                raise Stopped("ended by SIGTERM")
        signal.signal(signal.SIGTERM, before)  # not where a signal has ended it: the command ends, with its own code
    except KeyboardInterrupt:
        raise typer.Abort from None
    finally:
        signal.set_wakeup_fd(wakeup)
        for one in (woken, waker):
            os.close(one)
