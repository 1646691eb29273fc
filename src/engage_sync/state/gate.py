"""Keep two copies of the SQLite library from having one file open at the same time in one process.

Python's `sqlite3` and the ADBC driver each bring a copy. POSIX file locks belong to a process, not to a library, so
closing a file in one copy silently drops the locks of the other, after which another process may delete the
write-ahead log under it (SQLite, "How To Corrupt An SQLite Database File", §2.2.1). So a process uses one copy at a
time: threads of one side share the gate, the other side waits until they are out and then closes what is idle. Between
two uses of one side its connections stay open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from weakref import WeakValueDictionary


class Side(Enum):
    """Which copy of the library has the file."""

    ROWS = "rows"
    ARROW = "arrow"


class Gate:
    """The gate of one database file."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._side = Side.ROWS
        self._inside = 0
        self._close_idle: list[Callable[[], None]] = []

    def on_switch(self, close_idle: Callable[[], None]) -> None:
        """Call `close_idle` whenever the other side than the last one enters."""
        with self._changed:
            self._close_idle.append(close_idle)

    def forget(self, close_idle: Callable[[], None]) -> None:
        """Undo `on_switch`."""
        with self._changed:
            self._close_idle.remove(close_idle)

    @contextmanager
    def held(self, side: Side) -> Iterator[None]:
        """Be inside on one side. A thread must not enter twice with different sides."""
        with self._changed:
            self._changed.wait_for(lambda: self._inside == 0 or self._side is side)
            if side is not self._side:
                for close_idle in self._close_idle:
                    close_idle()
            self._side = side
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()


_gates: WeakValueDictionary[str, Gate] = WeakValueDictionary()
_gates_lock = threading.Lock()


def gate_of(path: str) -> Gate:
    """Give the gate of the database file with this real path: one for the whole process."""
    with _gates_lock:
        gate = _gates.get(path)
        if gate is None:
            gate = _gates[path] = Gate()
        return gate
