"""Messages for tests, each with an id of its own and an instant counted back from `NOW`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
NUMBERS = count()

Body = dict[str, Any]


def ago(days: float = 0, us: int = 0) -> str:
    """Give the instant that lies so many days and microseconds before NOW."""
    return (NOW - timedelta(days=days, microseconds=us)).isoformat()


def body(kind: str, days: float, us: int = 0, **more: Any) -> Body:
    return {"type": kind, "messageId": f"m{next(NUMBERS)}", "timestamp": ago(days, us), **more}


def track(user: str, event: str, *, days: float = 1, us: int = 0, times: int = 1, **more: Any) -> list[Body]:
    """Tell that the user did this event so many times, all at one instant."""
    return [body("track", days, us, userId=user, event=event, **more) for _ in range(times)]


def identify(user: str, *, days: float = 1, us: int = 0, **traits: Any) -> list[Body]:
    return [body("identify", days, us, userId=user, traits=traits)]


def group(user: str | None, account: str, *, days: float = 1, us: int = 0, **traits: Any) -> list[Body]:
    named = {} if user is None else {"userId": user}
    return [body("group", days, us, groupId=account, traits=traits, **named)]


def raw(user: str, points: int, prefix: str, **more: Any) -> list[Body]:
    """Tell events that weigh so much together, by the weights `PREFIX_ten: 10` and `PREFIX_one: 1`."""
    tens, ones = divmod(points, 10)
    return track(user, f"{prefix}_ten", times=tens, **more) + track(user, f"{prefix}_one", times=ones, **more)
