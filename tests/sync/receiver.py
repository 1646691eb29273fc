"""A webhook's receiver on loopback that remembers what it got, and fails as it is told."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 60.0


@dataclass(frozen=True)
class Got:
    """One call as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    caller: object = None
    """The caller's end of the connection."""

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]


@dataclass
class Inbox:
    """What came in, and what is answered next: a status, `drop` (no answer), `hang` (none until the end), `drip`
    (an answer whose head never ends, byte by byte), `trickle` (one whose body never ends), `farewell` (the same, after
    which the connection would end); `bytes_said` counts those. A message with one of the words in `unwanted` is
    answered by that. After the last of `answers` it is `otherwise`; what is about one of `bad` is answered by that."""

    port: int
    answers: list[int | str] = field(default_factory=list)
    otherwise: int | str = 204
    bad: dict[str, int | str] = field(default_factory=dict)
    unwanted: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    bytes_said: int = 0
    open_now: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def keys(self) -> Counter[str]:
        """Give how often each key came in."""
        with self.lock:
            return Counter(one.key for one in self.got)

    def take(self, got: Got) -> int | str:
        with self.lock:
            self.got.append(got)
            if self.bad and (answer := self.bad.get(json.loads(got.body)["external_id"])) is not None:
                return answer
            for word, code in self.unwanted.items():
                if word.encode() in got.body:
                    return code
            return self.answers.pop(0) if self.answers else self.otherwise


_ENDLESS: Mapping[int | str, bytes] = {
    "drip": b"HTTP/1.1 204 No Content\r\nX-Slow: ",
    "trickle": b"HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n",
    "farewell": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    inbox: Inbox

    def do_POST(self) -> None:
        inbox = self.inbox
        with inbox.lock:
            inbox.open_now += 1
            inbox.most_open = max(inbox.most_open, inbox.open_now)
        try:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the caller died while it spoke
                self.close_connection = True
                return
            answer = inbox.take(Got(self.path, dict(self.headers), body, self.client_address))
            if answer == "hang":
                inbox.hanging.set()
                inbox.ending.wait(PATIENCE)
            if answer in _ENDLESS:
                self.wfile.write(_ENDLESS[answer])
                with suppress(OSError):
                    while not inbox.ending.wait(0.01):
                        self.wfile.write(b"a")
                        inbox.bytes_said += 1
            if isinstance(answer, str):
                self.close_connection = True
                return
            said = b"" if answer == 204 else b'{"detail": "the receiver\'s own words"}'
            self.send_response(answer)
            for name, value in inbox.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)
            inbox.answered.set()
        finally:
            with inbox.lock:
                inbox.open_now -= 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Quiet(socketserver.BaseServer):
    """A server whose calls end with it, and which says nothing of callers that are gone."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class _Server(Quiet, ThreadingHTTPServer):
    pass


@contextmanager
def serving(server: socketserver.TCPServer, ending: threading.Event) -> Iterator[None]:
    """Serve in a thread for the length of a `with` block, then set `ending` for the calls that still wait."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        server.shutdown()
        thread.join()


def over_tls(server: socketserver.TCPServer, tls: ssl.SSLContext | None) -> None:
    """Have a server speak TLS from the first byte, if it is given any."""
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Inbox]:
    """Listen on a free port for the length of a `with` block."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        over_tls(server, tls)
        inbox = handler.inbox = Inbox(server.server_address[1])
        with serving(server, inbox.ending):
            yield inbox
