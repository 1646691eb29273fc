"""The HTTP faces of a daemon: whether it lives, whether it is ready, and its metrics. They only show a view; they take
no input, change nothing, and know no secret.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from engage_sync.core.overview import DaemonView
from engage_sync.server.metrics import Metrics

METHODS = ["GET", "HEAD"]
PATHS = ("/healthz", "/readyz", "/metrics")


def create(view: Callable[[], DaemonView]) -> FastAPI:
    """Make the application over a view, which is asked for at each call, from any thread."""
    app = FastAPI(title="engage-sync", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    metrics = Metrics(view)

    @app.api_route("/healthz", methods=METHODS)
    async def healthz() -> JSONResponse:
        """Say that the process lives. It asks for nothing: a database that is away is no reason to be restarted."""
        return JSONResponse({"status": "ok"})

    @app.api_route("/readyz", methods=METHODS)
    def readyz() -> JSONResponse:
        """Say whether the process does its work, and why not."""
        now = view()
        answer = {
            "ready": now.ready,
            "reasons": list(now.why_not_ready),
            "leader": now.leader,
            "lease": now.lease,
            "version": now.version,
        }
        return JSONResponse(answer, status_code=200 if now.ready else 503)

    @app.api_route("/metrics", methods=METHODS)
    def metrics_text(request: Request) -> Response:
        """Give the metrics as Prometheus reads them."""
        text, content_type = metrics.text(request.headers.get("accept"))
        return Response(text, headers={"Content-Type": content_type})

    app.add_exception_handler(404, _nothing_here)
    app.add_exception_handler(405, _only_get)
    app.add_exception_handler(Exception, _broken)
    return app


async def _nothing_here(_request: Request, _error: Exception) -> JSONResponse:
    """Answer any other path."""
    return JSONResponse({"error": f"there is nothing here; there are {', '.join(PATHS)}"}, status_code=404)


async def _only_get(_request: Request, _error: Exception) -> JSONResponse:
    """Answer any other method."""
    return JSONResponse(
        {"error": "only GET and HEAD are answered"}, status_code=405, headers={"Allow": ", ".join(METHODS)}
    )


async def _broken(_request: Request, _error: Exception) -> JSONResponse:
    """Answer a bug without its details, which the log has."""
    return JSONResponse({"error": "this is a bug; the log has the details"}, status_code=500)
