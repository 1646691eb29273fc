"""When a CRM answers nothing more for a long while: noting until when and why, asking once per run whether it has
relented, and saying so. Notes are facts of the project, `suspended.CONNECTOR` and `quota.CONNECTOR`; no CRM is called.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TypedDict
from zoneinfo import ZoneInfo

from engage_sync.connectors.base import Limits
from engage_sync.errors import Suspended
from engage_sync.state.store import State
from engage_sync.sync.rows import iso_text
from engage_sync.sync.sessions import Session
from engage_sync.sync.wiring import Workspace

ROLLING = timedelta(hours=1)
"""How long a CRM is left alone that counts the calls of the last 24 hours: each hour sets some free (crm-apis §B9)."""
UTC_NAME = "UTC"


@dataclass(frozen=True, slots=True)
class Suspension:
    """Until when nothing is asked of a connector, why, with which share of the day, and in whose time zone that is."""

    until: datetime
    why: str
    share: float
    zone: str = UTC_NAME

    def told(self, now: datetime) -> str:
        """Say until when, on the account's clock: `00:00 (Europe/Berlin)`, with the day where it is not the next."""
        return clock_of(self.until, self.zone, now)


class QuotaAnswer(TypedDict):
    """A day's calls as the CRM told last, all integrations' included; `left` is what our share leaves to us."""

    limit: int
    used: int
    share: float
    left: int
    at: str


def clock_of(instant: datetime, zone: str, now: datetime) -> str:
    """Write an instant as a clock shows it in a time zone; with the day where it is more than 24 hours away."""
    local = instant.astimezone(_zone(zone))
    day = f" on {local:%Y-%m-%d}" if instant - now > timedelta(days=1) else ""
    return f"{local:%H:%M}{day} ({zone})"


def suspension(state: State, connector: str, now: datetime | None) -> Suspension | None:
    """Give the suspension of a connector that is not over; without `now` the one that is noted."""
    text = state.note(f"suspended.{connector}")
    if text is None:
        return None
    kept = json.loads(text)
    found = Suspension(datetime.fromisoformat(kept["until"]), kept["why"], kept["share"], kept["zone"])
    return found if now is None or now < found.until else None


def quota(state: State, connector: str) -> QuotaAnswer | None:
    """Give the day's calls as they stood at the end of the last run that was told; None where none ever was."""
    text = state.note(f"quota.{connector}")
    return None if text is None else json.loads(text)


def ask_only(workspace: Workspace, sessions: Sequence[Session], now: datetime) -> None:
    """Let the connectors that are suspended send one call, and more only if that is answered as usual."""
    for session in sessions:
        name = session.file.name
        found = suspension(workspace.state, name, now)
        if found is not None:
            why = Suspended(f"{name} is suspended: {found.why}", why=found.why)
            # The first answer may tell nothing of the day, as HubSpot's searches do: what was known last counts then.
            known = quota(workspace.state, name) if _ours(found) else None
            limit, used = (None, 0) if known is None else (known["limit"], known["used"])
            session.connector.only_ask(why, limit, used)


def conclude(workspace: Workspace, session: Session, now: datetime) -> None:
    """End a run: note the day's calls, and note, keep or end the suspension; an error then names the reset."""
    state, name = workspace.state, session.file.name
    _keep_quota(state, session, now)
    if session.schema is not None and session.schema.timezone:
        state.set_note(f"timezone.{name}", session.schema.timezone)
    suspended = session.error if isinstance(session.error, Suspended) else None
    if suspended is None and session.short is None:
        if not session.connector.asking and state.note(f"suspended.{name}") is not None:
            state.set_note(f"suspended.{name}", None)
        return
    found = suspension(state, name, now) if session.connector.asking else None
    if found is None:
        found = _begun(state, session, suspended, now)
        kept = {"until": iso_text(found.until), "why": found.why, "share": found.share, "zone": found.zone}
        state.set_note(f"suspended.{name}", json.dumps(kept))
    until = found.told(now)
    if suspended is not None:
        words = f"{suspended}; nothing more is asked of {name} until {until}"
        session.error = Suspended(words, why=suspended.why, retry_after=suspended.retry_after)
    if session.short is not None:
        session.short.until = until


OUR_SHARE = "our share of the day's calls is used up"


def _ours(found: Suspension) -> bool:
    return found.why == OUR_SHARE


def _begun(state: State, session: Session, suspended: Suspended | None, now: datetime) -> Suspension:
    zone = state.note(f"timezone.{session.file.name}") or UTC_NAME
    why = OUR_SHARE if suspended is None else suspended.why
    if suspended is not None and suspended.retry_after is not None:
        until = now + timedelta(seconds=suspended.retry_after)
    else:
        until = reset(session.connector.limits, zone, now)
    known = zone if _known(zone) else UTC_NAME
    return Suspension(until, why, session.file.daily_share, known)


def reset(limits: Limits, zone: str, now: datetime) -> datetime:
    """Give when a CRM's daily quota resets: the next midnight in the account's time zone, UTC's where that is not
    known; where the last 24 hours count, in an hour (crm-apis §A3, §B9)."""
    if limits.day_rolls:
        return now + ROLLING
    place = _zone(zone)
    tomorrow = now.astimezone(place).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time.min, tzinfo=place).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    return ZoneInfo(name) if _known(name) else UTC


def _known(name: str) -> bool:
    """Tell whether there is such a time zone: the name is a CRM's, and may be anything."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _keep_quota(state: State, session: Session, now: datetime) -> None:
    today = session.connector.today
    if today is not None:
        answer = QuotaAnswer(limit=today.limit, used=today.used, share=today.share, left=today.left, at=iso_text(now))
        state.set_note(f"quota.{session.file.name}", json.dumps(answer))
