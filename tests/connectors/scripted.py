"""A server that answers what a test tells it, for answers that no faithful CRM gives; and a connector to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from engage_sync.connectors.hubspot import HubSpot
from tests.connectors.sandboxed import Memory

TOKEN = "pat-na1-very-secret"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: int
    """The port of the connection at the other end."""

    def json(self) -> dict[str, object]:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. A body that is not bytes is sent as JSON."""

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Said]


class Scripted:
    """The server; `asked` lists the requests."""

    def __init__(self, answering: Answering) -> None:
        self.asked: list[Asked] = []
        self.answering = answering
        outer = self

        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = Asked(
                    self.command,
                    self.path,
                    {k.lower(): v for k, v in self.headers.items()},
                    body,
                    self.client_address[1],
                )
                outer.asked.append(asked)
                said = outer.answering(asked)
                data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(data)), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = serve  # noqa: N815  (the names are http.server's)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def scripted(answering: Answering) -> Iterator[Scripted]:
    """Run a scripted server."""
    running = Scripted(answering)
    thread = threading.Thread(target=running.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.server.shutdown()
        running.server.server_close()
        thread.join()


def always(*answers: Said) -> Answering:
    """Give the answers in turn, the last one for ever."""
    rest = list(answers)
    return lambda _asked: rest.pop(0) if len(rest) > 1 else rest[0]


def connector(server: Scripted, **auth: str) -> HubSpot:
    """Give a bare connector to a scripted server."""
    given = {"auth": auth or {"access_token": TOKEN}, "base_url": server.url}
    return HubSpot(HubSpot.Settings.model_validate(given), Memory())
