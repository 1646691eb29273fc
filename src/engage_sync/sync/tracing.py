"""Traces for an OpenTelemetry collector: a span for a run and one for each of its steps, sent as OTLP over HTTP when a
run has ended. Without `telemetry.endpoint` it does, and imports, nothing. A collector that is away, slow or wrong costs
a warning and at most `PATIENCE` seconds at the end of the process; it fails nothing.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import structlog

from engage_sync.core.secrecy import shown
from engage_sync.errors import EngageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
    from opentelemetry.trace import Tracer

    from engage_sync.config.project import Project

PATIENCE = 2.5
"""Seconds that the end of the process waits for a collector."""
TIMEOUT = 2.0
"""Seconds that a collector has to take what it is sent, repetitions included: less, so that its failing is told."""
SERVICE = "engage-sync"
TRACES = "/v1/traces"

Attributes = Mapping[str, str | int]
_line: ContextVar[Line | None] = ContextVar("engage_sync_tracing", default=None)
_lines: dict[str, Line] = {}


class Line:
    """The way to one collector: spans wait here until their run has ended, and are sent by a thread of their own."""

    def __init__(self, endpoint: str) -> None:
        # Imported here: 0.3 s that only a project with a collector pays.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        self.place = shown(endpoint)
        self._waiting: list[ReadableSpan] = []
        self._threads: list[threading.Thread] = []
        self._exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=TIMEOUT)
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(_processor(self._waiting))
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would tell each attempt, in its own format
        atexit.register(self.finish)

    @property
    def tracer(self) -> Tracer:
        """Give what makes spans."""
        return self._provider.get_tracer("engage_sync")

    def send(self) -> None:
        """Send what waits, without waiting for it."""
        self._threads = [one for one in self._threads if one.is_alive()]
        spans = self._waiting[:]
        del self._waiting[: len(spans)]
        if spans:
            # In a copy of what surrounds the run, so that a warning names it.
            sending = partial(copy_context().run, self._export, spans)
            thread = threading.Thread(target=sending, name="traces", daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self, seconds: float = PATIENCE) -> None:
        """Wait until all is sent, but no longer than this."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _export(self, spans: list[ReadableSpan]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415  as above

        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            log = structlog.get_logger(__name__)
            log.warning("the collector did not take the traces of a run", endpoint=self.place, spans=len(spans))


def _processor(waiting: list[ReadableSpan]) -> SpanProcessor:
    from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415  as above

    class Keeping(SpanProcessor):
        """Keeps spans that have ended."""

        def on_end(self, span: ReadableSpan) -> None:
            waiting.append(span)

    return Keeping()


def traces_url(endpoint: str) -> str:
    """Give where traces are posted: below the endpoint, unless it names that already (as OTLP's exporters do)."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(TRACES) else path + TRACES))


def _line_of(project: Project) -> Line | None:
    """Give the way to the project's collector; None where there is none, or its address is wrong."""
    written = project.background.telemetry
    if written is None:
        return None
    try:
        endpoint = project.filled(written, "telemetry", "endpoint")
        if urlsplit(endpoint).scheme not in {"http", "https"}:
            raise ValueError("telemetry.endpoint must start with http:// or https://")
        if endpoint not in _lines:
            _lines[endpoint] = Line(endpoint)
    except (EngageError, ValueError) as error:
        structlog.get_logger(__name__).warning("no traces are sent", because=str(error))
        return None
    return _lines[endpoint]


@contextmanager
def run(project: Project, command: str, attributes: Attributes) -> Iterator[None]:
    """Surround a run with a span, and send all of its spans when it has ended."""
    line = _line_of(project)
    if line is None:
        yield
        return
    before = _line.set(line)
    try:
        with _span(line, f"engage-sync {command}", {**attributes, "engage_sync.command": command}):
            yield
    finally:
        _line.reset(before)
        line.send()


@contextmanager
def step(name: str, attributes: Attributes) -> Iterator[None]:
    """Surround a step with a span of the run that goes on, if any."""
    line = _line.get()
    if line is None:
        yield
        return
    with _span(line, name, attributes):
        yield


@contextmanager
def _span(line: Line, name: str, attributes: Attributes) -> Iterator[Span]:
    from opentelemetry.trace import StatusCode, use_span  # noqa: PLC0415  as above

    # The text of an error is the run's business: a trace is kept elsewhere, by others, and gets its kind.
    span = line.tracer.start_span(name, attributes=dict(attributes))
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span  # type: ignore[misc]  # the SDK's own span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def tell(attributes: Attributes, *, failed: bool = False) -> None:
    """Add to the span that is open, if any, what is known at its end."""
    if _line.get() is None:
        return
    from opentelemetry.trace import StatusCode, get_current_span  # noqa: PLC0415  as above

    span = get_current_span()
    span.set_attributes(dict(attributes))
    if failed:
        span.set_status(StatusCode.ERROR)
