"""The wish that a process ends, or may write no more: asked before every call to a CRM, and able to end a pause. What
is under way takes effect and its answer is kept; nothing new is sent. Sends nothing and kills nothing.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from engage_sync.errors import Stopped

Guard = Callable[[], None]
"""Raises when nothing more may be written."""


class Halt:
    """One for each opened project. Safe to use from several threads and from a signal handler."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._why = ""
        self._guards: list[Guard] = []

    def stop(self, why: str) -> None:
        """Ask for the end. The first reason stands."""
        if not self._ended.is_set():
            self._why = why
            self._ended.set()

    def check(self, *, writing: bool = False) -> None:
        """Raise Stopped when the end was asked for; `writing`, also what a guard raises."""
        if self._ended.is_set():
            raise Stopped(self._why)
        if writing:
            for guard in tuple(self._guards):
                guard()

    def pause(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait so long, or until the end is asked for, which raises Stopped. Another `sleep` is called as it is."""
        if sleep is time.sleep:
            self._ended.wait(seconds)
        else:
            sleep(seconds)
        self.check()

    @contextmanager
    def guarded(self, guard: Guard) -> Iterator[None]:
        """Ask `guard` before every write, for the length of a `with` block."""
        self._guards.append(guard)
        try:
            yield
        finally:
            self._guards.remove(guard)

    @contextmanager
    def at_signal(self, number: signal.Signals = signal.SIGTERM) -> Iterator[None]:
        """Ask for the end when the process gets a signal, for the length of a `with` block in its main thread; in
        another thread there is nothing to do."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        why = f"ended by {number.name}"  # not in the handler: it may be called while an exception is on its way

        def ask(_number: int, _frame: FrameType | None) -> None:
            self.stop(why)

        before = signal.signal(number, ask)
        try:
            yield
        finally:
            signal.signal(number, before)
