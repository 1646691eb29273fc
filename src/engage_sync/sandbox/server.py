"""The sandbox on a loopback socket: HTTP/1.1 with keep-alive, the faults and the latency of a real CRM, a page to look
at the records, and a small control interface under `/__sandbox/`. It holds no rule of HubSpot's; `hubspot.py` does."""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar

from engage_sync.sandbox import control
from engage_sync.sandbox.access import SCOPES, Access, OAuthApp
from engage_sync.sandbox.calls import Answered, Calls
from engage_sync.sandbox.faults import Ending, Faults, strike
from engage_sync.sandbox.hubspot import HubSpot
from engage_sync.sandbox.limits import Meter, Rates
from engage_sync.sandbox.pages import Pages
from engage_sync.sandbox.seed import Seed, plant
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.wire import Answer, Call, call

TOKEN = "pat-na1-sandbox"  # noqa: S105  (a stand-in has nothing to protect)


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox behaves. `latency` is seconds per call; `lag` seconds the search index trails; `tick` the monotonic
    clock of the rate windows, `clock` the wall clock of the records, tokens and the day's limit. `tokens` are further
    service keys with their scopes."""

    token: str = TOKEN
    scopes: frozenset[str] = SCOPES
    tokens: Mapping[str, frozenset[str]] = field(default_factory=dict)
    oauth: OAuthApp = field(default_factory=OAuthApp)
    rates: Rates = field(default_factory=Rates)
    latency: float = 0.0
    lag: float = 0.0
    shuffle: bool = True
    merge_mints_id: bool = True
    portal: int = 1
    timezone: str = "UTC"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    tick: Callable[[], float] = time.monotonic
    shuffle_seed: int = 0


class Sandbox:
    """A running stand-in. `latency` may be changed at any time; `bugs` holds what went wrong in the sandbox itself."""

    def __init__(self, store: Store, options: Options, host: str, port: int) -> None:
        self.store = store
        self.options = options
        self.latency = options.latency
        self.token = options.token
        self.access = Access({options.token: options.scopes, **options.tokens}, options.oauth, options.clock)
        self.meter = Meter(options.rates, tick=options.tick, clock=options.clock, timezone=options.timezone)
        self.dice = random.Random(options.shuffle_seed)  # noqa: S311  (repeatable on purpose)
        self.hubspot = HubSpot(
            store,
            self.access,
            self.meter,
            portal=options.portal,
            timezone=options.timezone,
            shuffle=self.dice if options.shuffle else None,
        )
        self.faults = Faults(options.tick)
        self.calls = Calls()
        self.pages = Pages(store)
        self.bugs: list[str] = []
        self.stopping = threading.Event()
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Give the port it listens on."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """Give what a connector's `base_url` is set to."""
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    def stop(self) -> None:
        """Stop listening and end all connections. May be called twice."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._thread.join()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def end(self, request: Call) -> Ending:
        """Answer one request of the CRM's API, with the latency and the faults that are switched on."""
        kind = self.hubspot.kind(request)
        at = self.options.tick()
        if self.latency:
            self.stopping.wait(self.latency)
        fault = self.faults.take(request, kind)
        if fault is None:
            ending = Ending(self.hubspot.answer(request))
        else:
            ending = strike(fault, request, self.hubspot.answer, self.dice)
        status = None if ending.answer is None else ending.answer.status
        self.calls.note(Answered(at, request.method, request.path, kind, status, fault.name if fault else None))
        return ending


def start(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    store: Store | None = None,
    seed: Seed | None = None,
    options: Options | None = None,
) -> Sandbox:
    """Start a sandbox; port 0 takes a free one. A given `store` keeps its own clock and lag. Use it with `with`."""
    chosen = options or Options()
    held = store or Store(clock=chosen.clock, lag=chosen.lag, merge_mints_id=chosen.merge_mints_id)
    if seed is not None:
        plant(held, seed)
    return Sandbox(held, chosen, host, port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, _Connection)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if isinstance(request, socket.socket):
            with self._guard:
                self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self._guard:
                self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End all open connections."""
        with self._guard:
            for connection in self._open:
                _shut(connection)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  (http.server's signature)
        """Keep what went wrong here; a client that hung up is no fault."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError | ValueError | None):
            self.sandbox.bugs.append(repr(error))


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is http.server's)
        """Stay silent: calls are in the sandbox's log."""

    def serve(self) -> None:
        """Answer one request."""
        sandbox = self.server.sandbox
        request = call(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self._body())
        try:
            if request.path.startswith("/__sandbox"):
                ending = Ending(control.answer(sandbox.faults, sandbox.calls, request))
            elif request.path.startswith(("/crm/", "/oauth/", "/account-info/")):
                ending = sandbox.end(request)
            else:
                ending = Ending(sandbox.pages.answer(request))
        except Exception as error:  # noqa: BLE001  (a bug of the sandbox must show in the test that met it)
            sandbox.bugs.append(repr(error))
            ending = Ending(Answer(500, f"sandbox bug: {error!r}".encode(), kind="text/plain"))
        self._finish(ending, sandbox.stopping)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve  # noqa: N815  (the names are http.server's)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _date(self) -> str:
        return format_datetime(self.server.sandbox.options.clock().astimezone(UTC), usegmt=True)

    def _finish(self, ending: Ending, stopping: threading.Event) -> None:
        if ending.wait:
            stopping.wait(ending.wait)
        if ending.answer is None:
            self.close_connection = True
            if ending.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                _shut(self.connection)
            return
        answer = ending.answer
        body = answer.encoded()
        head = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}", f"Date: {self._date()}"]
        if answer.body is not None:
            head.append(f"Content-Type: {answer.kind}")
        if answer.status != 204:
            head.append(f"Content-Length: {len(body)}")
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        sent = "\r\n".join(head).encode("latin-1") + b"\r\n\r\n"
        self.wfile.write(sent + (body[: len(body) // 2] if ending.cut else body))
        self.wfile.flush()
        if ending.cut:
            self.close_connection = True
            _shut(self.connection)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
