"""Holding on to a lease while something goes on: it is renewed in time, and whoever writes asks first whether it holds.

By this process's own clock, counted from before the taking or the renewal was asked for, a lease is never believed
longer than the database grants it; so a process that slept, or lost its database, stops before another may begin.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from engage_sync.errors import EngageError, Locked
from engage_sync.state import leases
from engage_sync.state.database import Asked, Database
from engage_sync.state.leases import Lease

RENEWALS = 3
"""Renewals in the length of a lease: two may fail."""


def elapsed() -> float:
    """Give seconds that never go back and, where the system has such a clock, go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Keeper:
    """Keeps one lease, and is a fence for what only its holder may write. May be used from any thread."""

    def __init__(
        self, database: Database, take: Callable[[], Lease], seconds: float, *, clock: Callable[[], float] = elapsed
    ) -> None:
        """Take the lease, for so many seconds."""
        self.seconds = seconds
        """Its length from the next renewal on."""
        self._database, self._clock = database, clock
        self._until = clock() + seconds
        self.lease = take()
        self._taken = False
        self._over = threading.Event()

    def ask(self) -> bool:
        """Renew now; False when another process has the lease. Raises Unreachable."""
        begun, seconds = self._clock(), self.seconds
        try:
            held = leases.renew(self._database, self.lease, seconds)
        except Locked:  # the run lock is another's
            held = False
        if held:
            self._until = begun + seconds
        else:
            self._taken = True
        return held

    def renew(self) -> bool:
        """Renew now; a database that does not answer is tried again."""
        try:
            return self.ask()
        except Exception as error:  # noqa: BLE001  whatever it is: a lease that is not renewed ends by its time
            log = structlog.get_logger(__name__)
            log.warning("the lease was not renewed", lease=self.lease.name, because=str(error))
            return not self._taken

    @property
    def late(self) -> bool:
        """Whether the lease may have ended, for want of a renewal."""
        return self._clock() >= self._until

    def check(self) -> None:
        """Raise Locked when the lease is, or may be, another's."""
        if self._taken or (self.late and not self.renew()):
            raise Locked("another process has taken over: nothing more is written by this one")
        if self.late:
            raise Locked("the lease could not be renewed in time: another process may have it, so nothing is written")

    def check_in(self, transaction: Asked) -> None:
        """Raise Locked when, for the database, the lease is another's: then nothing of the transaction is written. Else
        it is nobody else's before the transaction has ended."""
        if not leases.holds(transaction, self._database.backend, self.lease.name, self.lease.token):
            self._taken = True
            self.check()

    def release(self) -> None:
        """Give the lease up. Raises Unreachable."""
        if not self._taken:
            leases.release(self._database, self.lease)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew in a thread for the length of a `with` block, then give the lease up."""
        thread = threading.Thread(target=self._go_on, name=f"lease {self.lease.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            try:
                self.release()
            except EngageError as error:  # it ends by itself
                log = structlog.get_logger(__name__)
                log.warning("the lease was not given up", lease=self.lease.name, because=str(error))

    def _go_on(self) -> None:
        while not self._over.wait(self.seconds / RENEWALS):
            if not self.renew():
                return
