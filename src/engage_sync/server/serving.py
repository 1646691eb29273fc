"""An application on a socket, in a thread of its own: taken at once or refused with a sentence, and ended cleanly. It
knows nothing of what it serves.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from engage_sync.errors import Mistake

MOST_OPEN = 512
"""Connections at the same time; calls on further ones get a 503."""
SILENCE = 5.0
"""Seconds in which a connection must bring a whole call, and the next one: else it is closed."""
LAST_ANSWERS = 2
"""Seconds that calls under way have when it ends."""
PLACE = "`server` in config/engage.yaml names the address and the port"


@dataclass(frozen=True, slots=True)
class Served:
    """Where an application is served."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Give the address, as a browser takes it."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class _Connection(H11Protocol):
    """Closes itself when no call comes: the library waits for ever for the first one, and for the rest of one."""

    silence = SILENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def _wait(self) -> None:
        self.loop.call_later(self.silence, self._look, self.cycle)

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy or self.cycle is not before:
            self._wait()
        else:
            self.transport.close()


class _Server(uvicorn.Server):
    """Says when it has begun, or has failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        try:
            await super().startup(sockets)
        finally:
            self.begun.set()


@contextmanager
def serving(app: FastAPI, host: str, port: int, *, silence: float = SILENCE) -> Iterator[Served]:
    """Serve for the length of a `with` block; port 0 takes a free one. Raises Mistake where that cannot be."""
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MOST_OPEN,
        http=type("_Impatient", (_Connection,), {"silence": silence}),
        timeout_graceful_shutdown=LAST_ANSWERS,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="http", daemon=True)
    try:
        thread.start()
        server.begun.wait()
        yield Served(host, listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(LAST_ANSWERS + 3)
        listening.close()


class Door:
    """Where an application answers, which moves when it is asked for another address. Not for several threads."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._asked: tuple[str, int] | None = None
        self._open = ExitStack()
        self.served: Served | None = None

    def at(self, host: str, port: int) -> bool:
        """Answer there from now on; tells whether that is another address. Raises Mistake where that cannot be: then it
        answers where it did before."""
        before = self._asked
        if before == (host, port):
            return False
        if before is not None and before[1] == port != 0:
            self.close()  # two addresses of one port may be in each other's way
        opened = ExitStack()
        try:
            served = opened.enter_context(serving(self._app, host, port))
        except Mistake:
            if before is not None and self._asked is None:
                self.at(*before)
            raise
        self._open.close()
        self._open, self.served, self._asked = opened, served, (host, port)
        return True

    def close(self) -> None:
        """Answer no more."""
        self._open.close()
        self.served = self._asked = None


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, so that a taken one is known before anything else begins."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        # The socket module adds the address to the text of the system.
        ours = isinstance(error, socket.gaierror) or error.errno is None
        why = error.strerror or error if ours else os.strerror(error.errno or 0)
        raise Mistake(f"cannot listen on {host}:{port}: {why}; {PLACE}") from None
    except (UnicodeError, OverflowError):
        raise Mistake(f"cannot listen on {host}:{port}: that is no address; {PLACE}") from None
