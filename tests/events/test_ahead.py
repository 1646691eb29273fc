"""Working ahead gives the same items, raises the same errors, and ends with its user."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import pytest

from engage_sync.events.ahead import ahead


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def counted(most: int, made: list[int], closed: list[bool]) -> Generator[int]:
    try:
        for number in range(most):
            made.append(number)
            yield number
    finally:
        closed.append(True)


@pytest.mark.parametrize("most", [0, 1, 2, 3, 50])
def test_items_come_in_order(most: int) -> None:
    closed: list[bool] = []
    assert list(ahead(counted(most, [], closed))) == list(range(most))
    assert closed == [True]


def test_error_comes_after_the_items_before_it() -> None:
    def failing() -> Generator[int]:
        yield 1
        raise OSError("full")

    found = ahead(failing())
    assert next(found) == 1
    with pytest.raises(OSError, match="full"):
        next(found)


def test_user_that_leaves_ends_the_making() -> None:
    made: list[int] = []
    closed: list[bool] = []
    found = ahead(counted(10_000, made, closed), depth=2)
    assert [next(found), next(found)] == [0, 1]
    found.close()
    assert closed == [True]
    assert len(made) < 100


def test_making_runs_while_an_item_is_used() -> None:
    made: list[int] = []
    another = threading.Event()

    def telling() -> Generator[int]:
        for number in range(3):
            made.append(number)
            if number:
                another.set()
            yield number

    found = ahead(telling())
    assert next(found) == 0
    assert another.wait(60)
    assert list(found) == [1, 2]
