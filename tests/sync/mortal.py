"""A process that dies on purpose: a state whose n-th call never returns, as if the process had been killed there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from engage_sync.state.store import State


class Died(BaseException):
    """The process is gone. Nothing in the product may catch it, or write anything after it."""


class MortalState:
    """Passes everything on to a state and dies at a step: each call is two, one before it and one after it.

    Every call of the state is one transaction, so these are all the points between two things that are kept.
    """

    def __init__(self, state: State, steps: int) -> None:
        self._state, self._left = state, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._state, name)
        return found if name in ("lock", "memory") or not callable(found) else self._mortal(found)

    def _mortal(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def stepped(*given: Any, **named: Any) -> Any:
            self._step()
            answer = call(*given, **named)
            self._step()
            return answer

        return stepped

    def _step(self) -> None:
        if self._left <= 0:
            raise Died
        self._left -= 1
