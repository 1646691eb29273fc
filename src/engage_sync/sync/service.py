"""The daemon as a process: signals, the loop, what systemd is told, and an end within 10 s whatever hangs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from engage_sync.errors import EXIT_DONE, Locked, Mistake, Unreachable
from engage_sync.sync.agenda import EXITS
from engage_sync.sync.daemon import Daemon
from engage_sync.sync.notify_systemd import Systemd

LAST_RESORT = 9.5
"""Seconds after the wish to end when the process is gone, even where a database or a disk hangs."""


class Signals:
    """What the process was asked for. A thread of its own reads which signals came, so that neither a lock nor a call
    that hangs keeps one from being heard."""

    def __init__(self) -> None:
        self.ending = False
        self.reload = False
        self._woken = threading.Event()
        self._read, self._write = socket.socketpair()
        self._read.setblocking(True)
        self._write.setblocking(False)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT (end), SIGHUP (reload) and SIGCHLD for the length of a `with` block."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        woken = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._hear, name="signals", daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._write.close()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until a signal comes."""
        self._woken.wait(seconds)
        self._woken.clear()

    def _hear(self) -> None:
        while told := self._read.recv(64):
            for number in told:
                if number in {signal.SIGTERM, signal.SIGINT} and not self.ending:
                    self.ending = True
                    last = threading.Timer(LAST_RESORT, os._exit, args=(EXIT_DONE,))
                    last.daemon = True
                    last.start()
                self.reload |= number == signal.SIGHUP
            self._woken.set()


def begin(daemon: Daemon, signals: Signals, clock: Callable[[], datetime]) -> None:
    """Read the configuration for the first time. Raises Mistake when it is wrong."""
    while daemon.settings is None and not signals.ending:
        daemon.tick(clock())
        if daemon.settings is None and daemon.configuration.child is None:
            if daemon.configuration.wrong:
                raise Mistake("\n".join(daemon.configuration.wrong))
            raise Unreachable("the configuration could not be read")
        if daemon.settings is None:
            signals.wait(0.1)


def keep_going(daemon: Daemon, signals: Signals, clock: Callable[[], datetime], systemd: Systemd, *, at: str) -> None:
    """Work until the process is asked to end; `at` is where it answers over HTTP."""
    log = structlog.get_logger("engage_sync.daemon")
    log.info("the daemon works", at=at)
    systemd.ready(told(daemon))
    reloading, status = False, ""
    while not signals.ending:
        if signals.reload:
            signals.reload = False
            systemd.reloading()
            daemon.configuration.reload()
            reloading = True
        daemon.tick(clock())
        if reloading and not daemon.configuration.reloading:
            systemd.ready(told(daemon))
            reloading = False
        daemon.done.clear()
        systemd.alive()
        if (now := told(daemon)) != status:
            status = now
            systemd.status(status)
        signals.wait(daemon.pause)
    daemon.call_back()
    systemd.stopping()
    log.info("ending")


def once(daemon: Daemon, signals: Signals, clock: Callable[[], datetime]) -> int:
    """Do all that is due and give the exit code. Raises Locked when another daemon schedules, and what keeps
    the state database from serving: Unreachable, or Mistake where waiting mends nothing."""
    while not signals.ending:
        now = clock()
        daemon.tick(now)
        if daemon.trouble is not None:
            raise daemon.unserved or Unreachable(daemon.trouble)
        daemon.demand_post()
        if daemon.idle(now) or (Locked.exit_code in daemon.exits and not daemon.busy):
            break
        signals.wait(0.2)
    return next((code for code in EXITS if code in daemon.exits), EXIT_DONE)


def told(daemon: Daemon) -> str:
    """Say in a few words what the daemon does."""
    if daemon.trouble is not None:
        return daemon.trouble
    wrong = "; the configuration is wrong, the one before is worked by" if daemon.configuration.problems else ""
    if not daemon.leads:
        return f"standing by{wrong}"
    return f"{'working: ' + ', '.join(daemon.working) if daemon.working else 'waiting for what is due next'}{wrong}"
