"""An independent, slow measuring for the tests: one message at a time, straight from semantics §1, §2, §6 and §7."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa

from engage_sync.core.definitions import Metric, MetricKind, Model
from engage_sync.core.verdict_rules import WeightedScore
from engage_sync.events.schema import SCHEMA
from engage_sync.events.store import EventStore

NAMED = ("track", "page", "screen")


@dataclass(frozen=True)
class Message:
    """One stored message, as a test writes it. `traits`: (key, path, value) rows."""

    kind: str
    at: datetime
    user: str | None = None
    account: str | None = None
    event: str | None = None
    previous: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    traits: tuple[tuple[str, str, str | None], ...] = ()


def write(folder: Path, messages: list[Message]) -> EventStore:
    """Store messages in the order of their arrival."""
    store = EventStore(folder)
    rows = [
        {
            "arrival": arrival,
            "message_id": f"m{arrival}",
            "kind": one.kind,
            "event": one.event,
            "user": one.user,
            "account": one.account,
            "previous": one.previous,
            "timestamp": one.at,
            "received": None,
            "properties": list(one.properties.items()),
            "traits": [{"key": key, "path": path, "value": value} for key, path, value in one.traits],
            "campaign_source": None,
            "campaign_medium": None,
            "campaign_name": None,
            "month": one.at.astimezone(UTC).strftime("%Y-%m"),
        }
        for arrival, one in enumerate(messages, start=1)
    ]
    store.append([pa.RecordBatch.from_pylist(rows, schema=SCHEMA)])
    return store


class SlowFacts:
    """Everything that `measure` tells, by loops over the messages up to `as_of`."""

    def __init__(self, messages: list[Message], model: Model, as_of: datetime, timezone: str, excluded: set[str]):
        self.model, self.as_of, self.zone, self.excluded = model, as_of, ZoneInfo(timezone), excluded
        self.told = [(one.at, arrival, one) for arrival, one in enumerate(messages) if one.at <= as_of]
        self.told.sort(key=lambda row: row[:2])
        self.groups = self._groups()
        self.members: dict[tuple[str, str], datetime] = {}
        for at, _, one in self.told:
            if one.user is not None and one.account is not None:
                self.members.setdefault((self.shown(one.user), one.account), at)

    def _groups(self) -> dict[str, str]:
        """Give the shown id of each id that an alias named: groups merged by repainting."""
        colour: dict[str, int] = {}
        latest: dict[int, str] = {}
        for number, (_, _, one) in enumerate(self.told):
            if one.kind != "alias" or one.user == one.previous:
                continue
            old = {colour[who] for who in (one.user, one.previous) if who in colour}
            for who, paint in list(colour.items()):
                if paint in old:
                    colour[who] = number
            colour[one.user] = colour[one.previous] = number
            latest[number] = one.user
        return {who: latest[paint] for who, paint in colour.items()}

    def shown(self, user: str | None) -> str | None:
        return self.groups.get(user, user)

    def account_of(self, one: Message) -> str | None:
        if one.account is not None:
            return one.account
        mine = {account for user, account in self.members if user == self.shown(one.user)}
        return next(iter(mine)) if len(mine) == 1 else None

    def is_activity(self, one: Message) -> bool:
        rules = self.model.activity
        return (
            one.kind in NAMED
            and any(fnmatchcase(one.event, glob) for glob in rules.include)
            and not any(fnmatchcase(one.event, glob) for glob in rules.exclude)
        )

    def inside(self, at: datetime, window: timedelta | None, offset: timedelta) -> bool:
        if window is None:
            return True
        if offset:
            return self.as_of - offset - window <= at < self.as_of - offset
        return self.as_of - window <= at <= self.as_of

    def users(self) -> dict[str, dict[str, object]]:
        named: dict[str, list[Message]] = defaultdict(list)
        for _, _, one in self.told:
            for who in {self.shown(one.user), self.shown(one.previous)} - {None}:
                named[who].append(one)
        return {who: self._row(mine, [one for one in mine if one.user], "user") for who, mine in named.items()}

    def accounts(self) -> dict[str, dict[str, object]]:
        named: dict[str, list[Message]] = defaultdict(list)
        for _, _, one in self.told:
            if (account := self.account_of(one) if one.kind in NAMED else one.account) is not None:
                named[account].append(one)
        return {who: self._row(mine, [one for one in mine if one.user], "account") for who, mine in named.items()}

    def _row(self, mine: list[Message], by_users: list[Message], entity: str) -> dict[str, object]:
        activity = [one for one in by_users if self.is_activity(one)]
        recent = [one for one in activity if self.inside(one.at, self.model.activity.window, timedelta(0))]
        row: dict[str, object] = {
            "first_message_at": min(one.at for one in mine),
            "events": len(recent),
            "active_days": len({one.at.astimezone(self.zone).date() for one in recent}),
            "first_active_at": min((one.at for one in activity), default=None),
            "last_active_at": max((one.at for one in activity), default=None),
        }
        for metric in self.model.metrics:
            if metric.entity == entity:
                row[metric.name] = self._metric(metric, mine)
        for score in self.model.weighted_scores() if entity == "user" else ():
            row[f"raw.{score.name}"] = self._raw(score, by_users, timedelta(0))
            row[f"raw_before.{score.name}"] = self._raw(score, by_users, score.window)
        return row

    def _raw(self, score: WeightedScore, mine: list[Message], offset: timedelta) -> int:
        named = [one for one in mine if one.kind in NAMED and self.inside(one.at, score.window, offset)]
        return sum(weight_of(one.event, score.weights) for one in named)

    def _metric(self, metric: Metric, mine: list[Message]) -> object:  # noqa: PLR0911  (a case for each kind)
        rows = [
            one
            for one in mine
            if one.kind in NAMED
            and fnmatchcase(one.event, metric.events)
            and self.inside(one.at, metric.window, metric.offset)
            and (metric.where is None or one.properties.get("area") == "a")
        ]
        values = [one.event if metric.value == "event" else one.properties.get(str(metric.value)[11:]) for one in rows]
        numbers = [float(text) for text in values if text is not None and is_number(text)]
        match metric.kind:
            case MetricKind.COUNT:
                return len(rows)
            case MetricKind.ACTIVE_DAYS:
                return len({one.at.astimezone(self.zone).date() for one in rows})
            case MetricKind.FIRST:
                return min((one.at for one in rows), default=None)
            case MetricKind.LAST:
                return max((one.at for one in rows), default=None)
            case MetricKind.DISTINCT:
                return len({text for text in values if text is not None})
            case MetricKind.SUM:
                return math.fsum(numbers)
            case MetricKind.MIN:
                return min(numbers, default=None)
            case MetricKind.MAX:
                return max(numbers, default=None)
            case MetricKind.AVG:
                return math.fsum(numbers) / len(numbers) if numbers else None
        return len({self.shown(one.user) for one in rows if one.user} - self.excluded)

    def unattributed(self) -> int:
        return sum(one.kind in NAMED and self.account_of(one) is None for _, _, one in self.told)

    def attributed(self) -> set[tuple[str, str]]:
        return {
            (self.shown(one.user), self.account_of(one))
            for _, _, one in self.told
            if one.user
            and self.is_activity(one)
            and self.inside(one.at, self.model.activity.window, timedelta(0))
            and self.account_of(one)
        }

    def traits(self, kind: str, paths: set[str]) -> set[tuple[str, str, str]]:
        kept: dict[str, dict[str, dict[str, str | None]]] = defaultdict(dict)
        for _, _, one in self.told:
            if one.kind == kind:
                who = self.shown(one.user) if kind == "identify" else one.account
                for key in {key for key, _, _ in one.traits}:
                    kept[who][key] = {path: value for of, path, value in one.traits if of == key}
        return {
            (who, path, value)
            for who, keys in kept.items()
            for rows in keys.values()
            for path, value in rows.items()
            if path in paths and value is not None
        }


def weight_of(event: str, entries: tuple[tuple[str, int], ...]) -> int:
    for name, weight in entries:
        if name == event:
            return weight
    for glob, weight in entries:
        if fnmatchcase(event, glob):
            return weight
    return 0


def is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) is not None and math.isfinite(
        float(text)
    )
