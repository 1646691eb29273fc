"""Holding on to a lease while something goes on: a thread renews it, and whoever writes asks first whether it holds.

By this process's own monotonic clock, counted from before the renewal was asked for, a lease is never believed longer
than the database grants it; so a process that slept, or lost its database, stops before another may begin.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from engage_sync.errors import EngageError, Locked
from engage_sync.state import leases
from engage_sync.state.database import Database, Transaction
from engage_sync.state.leases import Lease

RENEWALS = 3
"""Renewals in the length of a lease: two may fail."""


class Keeper:
    """Keeps one lease, and is a fence for what only its holder may write. May be used from any thread."""

    def __init__(
        self, database: Database, lease: Lease, seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lease, self._database, self._seconds, self._clock = lease, database, seconds, clock
        self._until = clock() + seconds
        self._taken = False
        self._over = threading.Event()

    def renew(self) -> bool:
        """Renew now. False when another process has the lease; a database that does not answer is tried again."""
        begun = self._clock()
        try:
            held = leases.renew(self._database, self.lease, self._seconds)
        except Locked:
            held = False
        except Exception as error:  # noqa: BLE001  whatever it is: a lease that is not renewed ends by its time
            log = structlog.get_logger(__name__)
            log.warning("the lease was not renewed", lease=self.lease.name, because=str(error))
            return not self._taken
        if held:
            self._until = begun + self._seconds
        else:
            self._taken = True
        return held

    def check(self) -> None:
        """Raise Locked when the lease is, or may be, another's."""
        late = self._clock() >= self._until
        if self._taken or (late and not self.renew()):
            raise Locked("another process has taken over: nothing more is written by this one")
        if self._clock() >= self._until:
            raise Locked("the lease could not be renewed in time: another process may have it, so nothing is written")

    def check_in(self, transaction: Transaction) -> None:
        """Raise Locked when, for the database, the lease is another's: then nothing of the transaction is written."""
        if not leases.holds(transaction, self.lease):
            self._taken = True
            self.check()

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
            self._database.fence = None
            if not self._taken:
                self._release()

    def _go_on(self) -> None:
        while not self._over.wait(self._seconds / RENEWALS):
            if not self.renew():
                return

    def _release(self) -> None:
        try:
            leases.release(self._database, self.lease)
        except EngageError as error:  # it ends by itself
            log = structlog.get_logger(__name__)
            log.warning("the lease was not given up", lease=self.lease.name, because=str(error))
