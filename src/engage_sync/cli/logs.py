"""How the edges log: to stderr, as lines for a person or as JSON, each with the run and the connector that it is about.
Commands log warnings and worse, what works in the background as `logs` in `config/engage.yaml` says; ENGAGE_LOG (debug,
info, warning, error) overrules both. No line shows a password, a token or the variables of a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engage_sync.core import secrecy

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

LEVELS = ("debug", "info", "warning", "error")
_LINE = threading.Lock()
_DEEPEST = 8
_TOO_DEEP = "…"
_LIBRARY = "library"
_TELL_ADDRESSES = ("urllib3",)
"""Libraries whose warnings are about the path of a call, which may be a secret; what they fail with is told by us."""


def configure(form: str = "auto", level: str = "warning") -> None:
    """Log in a form (auto, json, terminal; auto is JSON where stderr is no terminal) from a level on."""
    import structlog  # noqa: PLC0415  start-up: --help needs none of it

    asked = os.environ.get("ENGAGE_LOG", "").lower()
    least = logging.getLevelName((asked if asked in LEVELS else level).upper())
    for_a_person = form == "terminal" or (form == "auto" and sys.stderr.isatty())
    structlog.configure(
        processors=[
            _in_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            _renderer(for_a_person=for_a_person),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _Stderr(),
    )
    for name in _TELL_ADDRESSES:
        logging.getLogger(name).setLevel(logging.ERROR)
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if not isinstance(one, _Onward)] + [_Onward(logging.WARNING)]


def _renderer(*, for_a_person: bool) -> Processor:
    import structlog  # noqa: PLC0415  as above

    if not for_a_person:
        return structlog.processors.JSONRenderer()
    # The tracebacks that it draws by itself show variables.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def _in_context(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Add the run and the connector that go on; the project's name of a connector instead of its kind's."""
    from structlog.contextvars import get_contextvars  # noqa: PLC0415  as above

    return {**event, **get_contextvars()}


def _without_secrets(_logger: object, _method: str, event: EventDict) -> Mapping[str, Any]:
    """Strike out what is named as a secret, and what looks like one within a text. What a library says of an address
    ends behind its host."""
    clean = secrecy.bare if _LIBRARY in event else secrecy.struck
    return {key: _clean(key, value, clean, _DEEPEST) for key, value in event.items()}


def _clean(key: object, value: object, clean: Callable[[str], str], deep: int) -> object:
    if isinstance(key, str) and secrecy.named_secret(key):
        return secrecy.STRUCK
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {inner: _clean(inner, one, clean, deep - 1) for inner, one in value.items()} if deep else _TOO_DEEP
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(None, one, clean, deep - 1) for one in value] if deep else _TOO_DEEP
    return value


class _Stderr:
    """Prints lines. Where nobody listens any more, or a disk is full, what is logged goes on."""

    def msg(self, line: str) -> None:
        """Print one."""
        with suppress(OSError), _LINE:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    log = debug = info = warn = warning = err = error = critical = fatal = failure = exception = msg


class _Onward(logging.Handler):
    """Takes what libraries log in the standard way into these logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it as one of our lines."""
        import structlog  # noqa: PLC0415  as above

        try:
            log = structlog.get_logger(record.name)
            log.log(record.levelno, record.getMessage(), **{_LIBRARY: record.name}, exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001  what goes wrong in a log must not end what is logged
            self.handleError(record)
