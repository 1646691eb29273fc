"""Talk that ends in time, however slowly the other side speaks: a socket's own limit counts anew with every byte. Sends
nothing, and knows neither address nor protocol.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool

AGAIN = 0.5
"""Seconds after which a connection is cut off again: a socket that is just being secured is not to be had."""


class End(Protocol):
    """Our end of a connection. `sock` is none while there is none, and again while the last answer is read; `kept` is
    what it was."""

    sock: Any
    kept: Any


class Talk:
    """What is said within one limit of time. `over` tells that it was cut off."""

    def __init__(self) -> None:
        self.over = False
        self._ends: list[End] = []

    def goes_over(self, end: End) -> None:
        """Let the talk go over a connection, which may only be about to open."""
        if end not in self._ends:
            self._ends.append(end)

    def check(self) -> None:
        """Raise ConnectionAbortedError after the cut: what was heard may look whole, and is not."""
        if self.over:
            raise ConnectionAbortedError

    def cut(self) -> None:
        """Cut off all of its connections: whoever reads or writes there gets an error."""
        self.over = True
        for end in tuple(self._ends):
            with suppress(OSError, ValueError, AttributeError):
                (end.sock or end.kept).shutdown(socket.SHUT_RDWR)


@contextmanager
def at_most(seconds: float, talk: Talk | None = None) -> Iterator[Talk]:
    """Give a talk, a new one or one to be continued, that is cut off after so long, unless the `with` block has ended
    before."""
    talk, done = talk or Talk(), threading.Event()

    def watch() -> None:
        late = not done.wait(seconds)
        while late:
            talk.cut()
            late = not done.wait(AGAIN)

    watching = threading.Thread(target=watch, name="limit", daemon=True)
    watching.start()
    try:
        yield talk
    finally:
        done.set()
        watching.join()


class Bounded(HTTPAdapter):
    """Sends over connections that belong to a talk."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        super().__init__()

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: bool | str | None, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """Give the pool for a request; what it opens is the talk's."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        if not issubclass(pool.ConnectionCls, _Noted):  # a pool is kept from one request to the next
            pool.ConnectionCls = _noted(pool.ConnectionCls, self._talk)
        found: HTTPConnectionPool = pool
        return found


class _Noted:
    """A connection that tells its talk of itself."""


def _noted(kind: Any, talk: Talk) -> Any:
    class Noted(_Noted, kind):  # type: ignore[misc]  # one of several classes of connections
        kept: Any = None

        def connect(self) -> None:
            talk.goes_over(self)
            super().connect()
            self.kept = self.sock

    return Noted
