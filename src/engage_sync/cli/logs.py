"""How the edges log: to stderr, readable on a terminal, warnings and worse unless more is asked for by ENGAGE_LOG."""

from __future__ import annotations

import logging
import os
import sys

LEVELS = ("debug", "info", "warning", "error")


def configure() -> None:
    """Set the level from ENGAGE_LOG (debug, info, warning, error), and JSON lines where stderr is no terminal."""
    import structlog  # noqa: PLC0415  start-up: --help needs none of it

    asked = os.environ.get("ENGAGE_LOG", "warning").lower()
    level = logging.getLevelName((asked if asked in LEVELS else "warning").upper())
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso"), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
