"""What is told of what fails: only changes, each once to each channel, together where they came together. Pure: asks no
clock, sends nothing, keeps nothing, and needs no library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

MOST_UNTOLD = 20
"""Changes of one alert that are kept for channels which nobody answers; older ones are dropped."""
MOST_LINES = 20
"""Changes that one message spells out; the others are counted."""
_TICK = timedelta(microseconds=1)
_BACK = timedelta(minutes=1)
"""What began so much later than now began by a clock that was put back since."""
LONGEST_LINE = 600
LONGEST_SUBJECT = 150


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that fails now. `name` is the same for as long as it fails; the first line of `sentence` says what
    fails, the lines below it what to do."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Change:
    """That something began to fail, or (with `ended_at`) has recovered, as it is to be told to the channels in `left`.

    `key` names the message: what changed at one time has one key, and keeps it however often it is sent.
    """

    key: str
    at: datetime
    sentence: str
    since: datetime
    ended_at: datetime | None
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that fails since `since`, or failed until `ended_at`, and what of it is still to be told."""

    name: str
    since: datetime
    sentence: str
    ended_at: datetime | None = None
    untold: tuple[Change, ...] = ()

    @property
    def active(self) -> bool:
        """Whether it fails now."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Transitions:
    """What changed: alerts that begin, that end, and that go on with another sentence."""

    begun: tuple[Alert, ...]
    ended: tuple[Alert, ...]
    reworded: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What is told to a channel at one time, under a key that stays the same when it is sent again; `about` are the
    names of the alerts that changed."""

    key: str
    at: datetime
    changes: tuple[Change, ...]
    about: frozenset[str] = frozenset()


def transitions(alerts: Iterable[Alert], observed: Iterable[Condition], now: datetime) -> Transitions:
    """Compare what is known with what is observed. Of two conditions with one name the first counts. What began in the
    future, by a clock that was put back since, began now: else nothing that comes would count as later."""
    known = {alert.name: alert for alert in alerts}
    seen: dict[str, Condition] = {}
    for condition in observed:
        seen.setdefault(condition.name, condition)
    begun, reworded = [], []
    for name, condition in seen.items():
        before = known.get(name)
        if before is None or not before.active:
            untold = () if before is None else before.untold
            begun.append(Alert(name, now, condition.sentence, None, untold))
        elif before.sentence != condition.sentence or before.since > now + _BACK:
            since = now if before.since > now + _BACK else before.since
            reworded.append(replace(before, sentence=condition.sentence, since=since))
    ended = [
        replace(alert, ended_at=max(now, alert.since))
        for name, alert in known.items()
        if alert.active and name not in seen
    ]
    return Transitions(tuple(begun), tuple(ended), tuple(reworded))


def advance(
    alerts: Sequence[Alert], observed: Iterable[Condition], now: datetime, channels: Collection[str]
) -> list[Alert]:
    """Give the alerts after an observation, in the order of their names. What began or ended is to be told to each of
    the channels; what was to be told to others is dropped."""
    found = transitions(alerts, observed, now)
    changed = (*found.begun, *found.ended)
    # Later than what waits, also when the clock was put back: messages go out in this order.
    at = max([now, *(change.at + _TICK for alert in alerts for change in alert.untold)])
    key = _key(changed, now)
    rows = {alert.name: alert for alert in alerts} | {alert.name: alert for alert in found.reworded}
    for alert in changed:
        change = Change(key, at, alert.sentence, alert.since, alert.ended_at, tuple(channels))
        rows[alert.name] = replace(alert, untold=(*alert.untold, change)[-MOST_UNTOLD:])
    return [_left_to(rows[name], channels) for name in sorted(rows)]


def told(alerts: Iterable[Alert], delivered: Collection[tuple[str, str]]) -> list[Alert]:
    """Give the alerts without what was delivered, as pairs of a message's key and a channel."""
    if not delivered:
        return list(alerts)
    return [
        replace(
            alert,
            untold=_some(
                replace(change, left=tuple(name for name in change.left if (change.key, name) not in delivered))
                for change in alert.untold
            ),
        )
        for alert in alerts
    ]


def joined(stored: Sequence[Alert], alone: Mapping[str, Alert]) -> list[Alert]:
    """Lay the alerts that changed while the store was away over the stored ones: the later state stands, and nothing
    that is untold is lost."""
    rows = {alert.name: alert for alert in stored}
    for name, alert in alone.items():
        before = rows.get(name)
        if before is None:
            rows[name] = alert
            continue
        keys = {change.key for change in alert.untold}
        untold = (*(change for change in before.untold if change.key not in keys), *alert.untold)
        later = alert if _changed_at(alert) >= _changed_at(before) else before
        rows[name] = replace(later, untold=untold)
    return [rows[name] for name in sorted(rows)]


def messages(alerts: Iterable[Alert], channel: str) -> list[Message]:
    """Give what is still to be told to a channel, the oldest first."""
    groups: dict[tuple[datetime, str], list[tuple[str, Change]]] = {}
    for alert in alerts:
        for change in alert.untold:
            if channel in change.left:
                groups.setdefault((change.at, change.key), []).append((alert.name, change))
    return [
        Message(key, at, tuple(change for _, change in found), frozenset(name for name, _ in found))
        for (at, key), found in sorted(groups.items(), key=lambda group: group[0])
    ]


def subject(message: Message, place: str) -> str:
    """Give one line that says it all, for a mail or the top of a message."""
    begun = [change for change in message.changes if change.ended_at is None]
    ended = [change for change in message.changes if change.ended_at is not None]
    if len(message.changes) == 1:
        what = _first_line(message.changes[0].sentence)
        told_ = f"failing: {what}" if begun else f"recovered: {what}"
    else:
        parts = ((len(begun), "failing"), (len(ended), "recovered"))
        told_ = ", ".join(f"{count} {word}" for count, word in parts if count)
    return _cut(f"engage-sync {place}: {told_}", LONGEST_SUBJECT)


def text(message: Message, place: str) -> str:
    """Give the whole message: what fails, since when and what to do; what has recovered, and how long that took."""
    begun = [_failing(change) for change in message.changes if change.ended_at is None]
    ended = [_recovered(change) for change in message.changes if change.ended_at is not None]
    lines = [*begun, *ended]
    more = len(lines) - MOST_LINES
    rest = [f"… and {more} more: `engage-sync status` shows them."] if more > 0 else []
    single = len(lines) == 1
    heading = [f"engage-sync {place}"] if single else [subject(message, place)]
    return "\n\n".join([*heading, *lines[:MOST_LINES], *rest, f"(message {message.key})"])


def duration(length: timedelta) -> str:
    """Write a length of time as people say it: two parts at most."""
    seconds = max(0, round(length.total_seconds()))
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    parts: list[str] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {name}{'' if count == 1 else 's'}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "less than a second"


def clock(instant: datetime) -> str:
    """Write an instant as messages have it."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _failing(change: Change) -> str:
    what, _, advice = change.sentence.partition("\n")
    lines = [f"FAILING since {clock(change.since)}: {_cut(what, LONGEST_LINE)}"]
    if advice.strip():
        lines.append(f"What to do: {_cut(advice, LONGEST_LINE)}")
    return "\n".join(lines)


def _recovered(change: Change) -> str:
    ended = change.ended_at or change.since
    took = f"after {duration(ended - change.since)}, since {clock(change.since)}, until {clock(ended)}"
    return f"RECOVERED ({took}): {_cut(_first_line(change.sentence), LONGEST_LINE)}"


def _first_line(sentence: str) -> str:
    return sentence.partition("\n")[0]


def _cut(words: str, longest: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _left_to(alert: Alert, channels: Collection[str]) -> Alert:
    if all(name in channels for change in alert.untold for name in change.left) and all(
        change.left for change in alert.untold
    ):
        return alert
    kept = (replace(change, left=tuple(name for name in change.left if name in channels)) for change in alert.untold)
    return replace(alert, untold=_some(kept))


def _some(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(change for change in changes if change.left)


def _changed_at(alert: Alert) -> datetime:
    return alert.ended_at or alert.since


def _key(changed: Iterable[Alert], now: datetime) -> str:
    """Name a message by what it tells: what happened, to what, when."""
    facts = [
        f"{alert.name}\t{alert.since.isoformat()}\t{alert.ended_at.isoformat() if alert.ended_at else ''}"
        for alert in changed
    ]
    return hashlib.sha256("\n".join([now.isoformat(), *sorted(facts)]).encode()).hexdigest()[:12]
