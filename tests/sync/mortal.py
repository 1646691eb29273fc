"""A process that dies on purpose: a state of which some transaction never begins, or never returns, as if the process
had been killed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engage_sync.state.bulk import Arrow
from engage_sync.state.database import Database, Transaction, backend_of
from engage_sync.state.store import State


class Died(BaseException):
    """The process is gone. Nothing in the product may catch it, or write anything after it."""


@dataclass(frozen=True)
class Death:
    """After how many steps a process dies; they count from when `armed` is true.

    A transaction that may write is two steps, one before it and one after it: what is kept changes nowhere else, and
    whatever is called in between has happened or has not.
    """

    steps: int
    armed: Callable[[], bool] = lambda: True


class MortalDatabase(Database):
    """Dies at a step."""

    def __init__(self, url: str, death: Death) -> None:
        super().__init__(backend_of(url))
        self._left, self._armed = death.steps, death.armed

    @contextmanager
    def writing(self, *, durable: bool = False, fenced: bool = True) -> Iterator[Transaction]:
        self._step()
        with super().writing(durable=durable, fenced=fenced) as transaction:
            yield transaction
        self._step()

    @contextmanager
    def arrow(self) -> Iterator[Arrow]:
        self._step()
        with super().arrow() as arrow:
            yield arrow
        self._step()

    def _step(self) -> None:
        if not self._armed():
            return
        if self._left <= 0:
            raise Died
        self._left -= 1


def mortal(url: str, key_file: Path, death: Death) -> State:
    """Give a second state over the same database, one that dies."""
    return State(MortalDatabase(url, death), key_file)
