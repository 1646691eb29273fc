"""Working ahead: the next items of an iterator are made in a thread of their own while the last one is used."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

_LOOK = 0.05
"""Seconds between looks at whether anybody still wants more."""


class _Ended(Exception):
    """There are no more items; `cause` is why, None at the regular end."""

    def __init__(self, cause: BaseException | None) -> None:
        super().__init__()
        self.cause = cause


def ahead(items: Generator[Item], depth: int = 2) -> Generator[Item]:
    """Give the same items in order, and raise what making them raised; `depth` items wait at most.

    Closing it, or an exception where the items are used, ends the making and closes `items`.
    """
    waiting: Queue[Item | _Ended] = Queue(depth)
    stopped = Event()
    maker = Thread(target=_make, args=(items, waiting, stopped), name="ahead", daemon=True)
    maker.start()
    try:
        while not isinstance(item := waiting.get(), _Ended):
            yield item
        if item.cause is not None:
            raise item.cause
    finally:
        stopped.set()
        while maker.is_alive():
            try:  # make room, so that the maker sees that nobody wants more
                waiting.get(timeout=_LOOK)
            except Empty:
                continue


def _make(items: Generator[Item], waiting: Queue[Item | _Ended], stopped: Event) -> None:
    cause: BaseException | None = None
    try:
        with closing(items):
            for item in items:
                if stopped.is_set():
                    return
                waiting.put(item)
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is raised where the items are used)
        cause = error
    finally:
        waiting.put(_Ended(cause))
