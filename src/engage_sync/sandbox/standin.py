"""A stand-in on a loopback socket, whatever its dialect: HTTP/1.1 with keep-alive and without Nagle's delay, the faults
and the latency of a real CRM, the control interface under `/__sandbox/`. It holds no rule of any CRM."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self

from engage_sync.sandbox import control
from engage_sync.sandbox.calls import Answered, Calls
from engage_sync.sandbox.fault_kinds import FaultKind
from engage_sync.sandbox.faults import Ending, Fault, Faults
from engage_sync.sandbox.wire import Answer, Call, call


class StandIn(ABC):
    """A running stand-in for one CRM. `latency` (seconds per call) may be changed at any time; `bugs` holds what went
    wrong in the stand-in itself. A dialect gives `kind`, `work` and `struck`."""

    API: ClassVar[tuple[str, ...]]
    """How the paths of the CRM's API begin; anything else is a page for people."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        clock: Callable[[], datetime],
        tick: Callable[[], float],
        latency: float,
        faults: Mapping[str, FaultKind],
    ) -> None:
        self.latency = latency
        self.faults = Faults(tick, faults)
        self.calls = Calls()
        self.bugs: list[str] = []
        self.stopping = threading.Event()
        self.wall = clock
        self._tick = tick
        self._server = _Server((host, port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="sandbox", daemon=True)

    def listen(self) -> None:
        """Begin to answer; the constructor of a dialect calls it when it is ready."""
        self._thread.start()

    @property
    def port(self) -> int:
        """Give the port it listens on."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """Give the URL that a connector is pointed at."""
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    def stop(self) -> None:
        """Stop listening and end all connections. May be called twice."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def kind(self, request: Call) -> str:
        """Say how a call counts: `read`, `search`, `write` or `login`."""

    @abstractmethod
    def work(self, request: Call) -> Answer:
        """Answer a call of the API."""

    @abstractmethod
    def struck(self, fault: Fault, request: Call) -> Ending:
        """Let a fault happen to a call of the API."""

    @abstractmethod
    def page(self, request: Call) -> Answer:
        """Answer a call for a page."""

    def end(self, request: Call) -> Ending:
        """Answer one request of the CRM's API, with the latency and the faults that are switched on."""
        kind = self.kind(request)
        at = self._tick()
        if self.latency:
            self.stopping.wait(self.latency)
        fault = self.faults.take(request, kind)
        ending = Ending(self.work(request)) if fault is None else self.struck(fault, request)
        status = None if ending.answer is None else ending.answer.status
        self.calls.note(Answered(at, request.method, request.path, kind, status, fault.name if fault else None))
        return ending


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: StandIn) -> None:
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
            elif request.path.startswith(sandbox.API):
                ending = sandbox.end(request)
            else:
                ending = Ending(sandbox.page(request))
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
        return format_datetime(self.server.sandbox.wall().astimezone(UTC), usegmt=True)

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
