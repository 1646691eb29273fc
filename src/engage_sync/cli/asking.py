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
    typer.echo(question, nl=False, err=True)
    if threading.current_thread() is threading.main_thread():
        _wait()
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def _wait() -> None:
    """Wait until something has been typed, or for a signal. Reading itself does not: a signal right before it waits
    for the next key, and once polars is imported the system goes on with a reading that Ctrl-C interrupts."""
    stopped = Stopped("ended by SIGTERM")  # made here: the handler may be called while another exception is on its way

    def end(_number: int, _frame: FrameType | None) -> None:
        raise stopped

    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    wakeup, before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False), signal.signal(signal.SIGTERM, end)
    try:
        while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
            os.read(woken, 4096)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.set_wakeup_fd(wakeup)
        for one in (woken, waker):
            os.close(one)
