"""Windows of instants (semantics §1): where one begins and ends. It looks at no message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A window of instants; `start` None means ever, `closed` tells whether `end` itself belongs to it."""

    start: datetime | None
    end: datetime
    closed: bool


def span(as_of: datetime, window: timedelta | None, offset: timedelta = timedelta(0)) -> Span:
    """Give the window `[as_of − O − W, as_of − O)`, closed at `as_of` where there is no offset (semantics §1)."""
    end = _back(as_of, offset)
    return Span(None if window is None else _back(end, window), end, closed=not offset)


def _back(instant: datetime, length: timedelta) -> datetime:
    return instant - length if instant - _EARLIEST > length else _EARLIEST
