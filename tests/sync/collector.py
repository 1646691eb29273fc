"""An OpenTelemetry collector on loopback that remembers the spans it got, or does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 30.0


@dataclass
class Collector:
    """What came in: requests as (path, headers, body). `hanging` collectors answer when they are let go."""

    port: int
    hanging: bool = False
    status: int = 200
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    free: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Any]:
        """Give the spans in the order in which they ended."""
        found = [ExportTraceServiceRequest.FromString(body) for _, _, body in self.got]
        return [span for one in found for part in one.resource_spans for of in part.scope_spans for span in of.spans]

    def service(self) -> str:
        """Give who sent them."""
        (part,) = ExportTraceServiceRequest.FromString(self.got[0][2]).resource_spans
        return str(next(one.value.string_value for one in part.resource.attributes if one.key == "service.name"))


def attributes(span: Any) -> dict[str, str | int]:
    """Give the attributes of a span."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


class _Handler(BaseHTTPRequestHandler):
    collector: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.collector.got.append((self.path, dict(self.headers), body))
        self.collector.asked.set()
        if self.collector.hanging:
            self.collector.free.wait(PATIENCE)
        self.send_response(self.collector.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def collecting(*, hanging: bool = False, status: int = 200) -> Iterator[Collector]:
    """Start one for the length of a `with` block."""
    handler = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.collector = collector = Collector(server.server_port, hanging, status)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield collector
        finally:
            collector.free.set()
            server.shutdown()
            thread.join()
