"""Everything the law says of one set of messages at one `as_of` (semantics §2 to §4, §6 and §8), in plain dicts and
loops: who is who, traits, properties, metrics and types. `verdicts.py` makes rows of it. Slow on purpose; it knows
nothing of the product."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.messages import NAMED, Message, instant, iso, number
from tests.oracle.where import Open, a_date, compiled, holds

Crm = dict[str, dict[str, dict[str, dict[str, Any]]]]
Row = dict[str, Any]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
TYPES = ("power", "influencer", "active", "inactive", "zombie")
DAY = timedelta(days=1)
METRICS = ("count", "active_days", "first", "last", "distinct", "sum", "min", "max", "avg", "active_users")
OF_VALUE = ("distinct", "sum", "min", "max", "avg")


def duration(text: str) -> timedelta:
    """Read `10s`, `30m`, `12h`, `30d`, `2w`."""
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    if not found:
        raise ValueError(text)
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


@cache
def matches(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob)


def within(moment: datetime, as_of: datetime, window: timedelta | None, offset: timedelta = timedelta(0)) -> bool:
    """Tell whether an instant is in a window: closed without an offset, open on the recent side with one."""
    if moment > as_of or window is None:
        return moment <= as_of
    if offset:
        return as_of - offset - window <= moment < as_of - offset
    return as_of - window <= moment


def whole_days(since: datetime | None, as_of: datetime) -> int | None:
    return None if since is None else (as_of - since) // DAY


def power_limit(share: object, active: int) -> int:
    """Give ceil(share × active), exactly as decimal."""
    return int((Decimal(str(share)) * active).to_integral_value(rounding=ROUND_CEILING))


def typed(text: str | None, kind: str, zone: ZoneInfo) -> Any:
    """Read the text of a declared property; None where it cannot be read."""
    if text is None or kind == "text":
        return text
    if kind == "number":
        return number(text)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text)
    return a_date(text, zone) if kind == "date" else instant(text)


def shown(value: Any) -> Any:
    """Give a value as it stands in JSON."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if isinstance(value, float) and value.is_integer() else value


# --- one entity's events and traits --------------------------------------------------------------------------------


def merged_traits(messages: Iterable[Message]) -> dict[str, str]:
    """Merge traits by top-level key (messages in order of timestamp, then arrival), and give path → text."""
    kept: dict[str, dict[str, str] | None] = {}
    for message in messages:
        for key, paths in message["traits"].items():
            kept.pop(key, None)
            kept[key] = paths
    return {path: text for paths in kept.values() for path, text in (paths or {}).items()}


def event_names(message: Message) -> Callable[[str], Any]:
    def look(name: str) -> Any:
        if name in ("event", "kind"):
            return message[name]
        text = message["properties"].get(name.removeprefix("properties."))
        return None if text is None else Open(text)

    return look


def metric_glob(kind: str, metric: dict[str, Any]) -> str:
    return metric.get("event", "*") if kind in OF_VALUE else metric[kind]


def metric_value(metric: dict[str, Any], events: Sequence[Message], world: World) -> Any:
    """Compute one declared metric over one entity's events."""
    kind = next(name for name in METRICS if name in metric)
    window = duration(metric["window"]) if "window" in metric else None
    offset = duration(metric["offset"]) if "offset" in metric else timedelta(0)
    glob, rule = metric_glob(kind, metric), metric.get("where")
    chosen = [
        event
        for event in events
        if within(event["timestamp"], world.as_of, window, offset)
        and matches(event["event"], glob)
        and (rule is None or compiled(rule)(event_names(event)) is True)
    ]
    if kind == "count":
        return len(chosen)
    if kind == "active_days":
        return len({world.day(event) for event in chosen})
    if kind in ("first", "last"):
        return (min if kind == "first" else max)((event["timestamp"] for event in chosen), default=None)
    if kind == "active_users":
        return len({event["who"] for event in chosen} - {None} - world.deactivated)
    return value_metric(kind, metric[kind], chosen)


def value_metric(kind: str, path: str, chosen: Sequence[Message]) -> Any:
    texts = [
        event["event"] if path == "event" else event["properties"].get(path.removeprefix("properties."))
        for event in chosen
    ]
    if kind == "distinct":
        return len({text for text in texts if text is not None})
    numbers = [value for value in map(number, texts) if value is not None]
    if kind == "sum":
        return math.fsum(numbers)
    if not numbers:
        return None
    return math.fsum(numbers) / len(numbers) if kind == "avg" else (min if kind == "min" else max)(numbers)


# --- the world at one instant --------------------------------------------------------------------------------------


class World:
    """Everything the law says of one set of messages at one `as_of`."""

    def __init__(self, messages: Sequence[Message], model: Row, as_of: datetime, timezone: str, crm: Crm) -> None:
        self.model, self.as_of, self.zone = model or {}, as_of, ZoneInfo(timezone)
        self.timezone = timezone
        self.messages = sorted(
            (dict(message) for message in messages if message["timestamp"] <= as_of),
            key=lambda message: (message["timestamp"], message["arrival"]),
        )
        activity = self.model.get("activity") or {}
        self.include, self.exclude = activity.get("include", ["*"]), activity.get("exclude", [])
        self.window = duration(activity.get("window", "30d"))
        self.attributed_only = self.model.get("account_activity", "member_any") == "attributed"
        self.shown_as = self.resolve_aliases()
        self.name_entities()
        self.attribute()
        self.crm = self.resolve_links(crm)
        self.user_traits = {user: merged_traits(found) for user, found in self.identifies.items()}
        self.account_traits = {account: merged_traits(found) for account, found in self.groups.items()}
        self.deactivated = {user for user in self.users if self.is_deactivated(user)}
        self.user_facts = {user: self.facts("user", user) for user in self.users}
        self.account_facts = {account: self.facts("account", account) for account in self.accounts}
        self.money()
        self.types = self.user_types()

    # --- who is who ---

    def resolve_aliases(self) -> dict[str, str]:
        """Join the ids of alias messages; each set is shown under the userId of its latest alias."""
        sets: dict[str, set[str]] = {}
        pairs = [
            (m["previous"], m["user"]) for m in self.messages if m["kind"] == "alias" and m["previous"] != m["user"]
        ]
        for previous, user in pairs:
            joined = sets.get(previous, {previous}) | sets.get(user, {user})
            for each in joined:
                sets[each] = joined
        resolved = {}
        for _, user in pairs:  # later ones overwrite earlier ones
            for each in sets[user]:
                resolved[each] = user
        return resolved

    def who(self, user: str | None) -> str | None:
        return None if user is None else self.shown_as.get(user, user)

    def name_entities(self) -> None:
        self.first_named: dict[tuple[str, str], datetime] = {}
        self.accounts_of: dict[str, set[str]] = defaultdict(set)
        self.members: dict[str, set[str]] = defaultdict(set)
        self.identifies: dict[str, list[Message]] = {}
        self.groups: dict[str, list[Message]] = {}
        for message in self.messages:
            message["who"] = self.who(message["user"])
            user, account = message["who"], message["account"]
            if user is not None:
                self.first_named.setdefault(("user", user), message["timestamp"])
                self.identifies.setdefault(user, []).extend([message] if message["kind"] == "identify" else [])
            if account is not None:
                self.first_named.setdefault(("account", account), message["timestamp"])
                self.groups.setdefault(account, []).extend([message] if message["kind"] == "group" else [])
            if user is not None and account is not None:
                self.accounts_of[user].add(account)
                self.members[account].add(user)
        self.users, self.accounts = sorted(self.identifies), sorted(self.groups)

    def attribute(self) -> None:
        """Give each named event its account; `unattributed` counts those without one."""
        self.unattributed = 0
        self.events_of: dict[tuple[str, str], list[Message]] = defaultdict(list)
        self.activity_of: dict[tuple[str, str], list[Message]] = defaultdict(list)
        self.first_attributed: dict[str, datetime] = {}
        for message in self.messages:
            if message["kind"] not in NAMED:
                continue
            user, account = message["who"], message["account"]
            if account is None and len(self.accounts_of.get(user, ())) == 1:
                (account,) = self.accounts_of[user]
            message["attributed"] = account
            self.unattributed += account is None
            is_activity = user is not None and self.is_activity(message["event"])
            for key in (("user", user), ("account", account)):
                if key[1] is not None:
                    self.events_of[key].append(message)
                    if is_activity:
                        self.activity_of[key].append(message)
            if account is not None:
                self.first_attributed.setdefault(account, message["timestamp"])

    def is_activity(self, name: str) -> bool:
        return any(matches(name, glob) for glob in self.include) and not any(matches(name, g) for g in self.exclude)

    def day(self, message: Message) -> date:
        if "day" not in message:
            message["day"] = message["timestamp"].astimezone(self.zone).date()
        return message["day"]

    def resolve_links(self, crm: Crm) -> Crm:
        return {
            connector: {
                "users": {self.who(user): link for user, link in sides.get("users", {}).items()},
                "accounts": dict(sides.get("accounts", {})),
            }
            for connector, sides in crm.items()
        }

    # --- properties and metrics ---

    def declared(self, entity: str, section: str) -> dict[str, Any]:
        return (self.model.get(section) or {}).get(entity) or {}

    def properties(self, entity: str, name: str, *, traits_only: bool = False) -> Row:
        traits = (self.user_traits if entity == "user" else self.account_traits).get(name, {})
        found = {}
        for key, given in self.declared(entity, "properties").items():
            declaration = given if isinstance(given, dict) else {"from": given}
            source, _, path = declaration["from"].partition(".")
            if source == "traits":
                text = traits.get(path)
            elif traits_only:
                continue
            else:
                connector, _, field = path.partition(".")
                link = self.crm.get(connector, {}).get(entity + "s", {}).get(name)
                text = (link["values"].get(field) if link else None) or None
            found[key] = typed(text, declaration.get("type", "text"), self.zone)
        return found

    def is_deactivated(self, user: str) -> bool:
        since = self.user_traits[user].get("deactivatedAt")
        if since is not None and since not in ("", "false"):
            moment = instant(since)
            if moment is None or moment <= self.as_of:
                return True
        rule = self.model.get("deactivated")
        return rule is not None and self.matched(rule, self.properties("user", user, traits_only=True))

    def matched(self, rule: str, values: Row) -> bool:
        return holds(rule, values.get, timezone=self.timezone)

    def facts(self, entity: str, name: str) -> Row:
        """Give built-ins, declared metrics and properties of one entity."""
        key = (entity, name)
        activity = self.activity_of.get(key, [])
        recent = [event for event in activity if within(event["timestamp"], self.as_of, self.window)]
        first = activity[0]["timestamp"] if activity else None
        last = activity[-1]["timestamp"] if activity else None
        metrics = {
            "events": len(recent),
            "active_days": len({self.day(event) for event in recent}),
            "first_active_at": first,
            "last_active_at": last,
            "days_since_active": whole_days(last, self.as_of),
            "age_days": whole_days(self.born(entity, name), self.as_of),
        }
        for metric, declaration in self.declared(entity, "metrics").items():
            metrics[metric] = metric_value(declaration, self.events_of.get(key, []), self)
        return {"metrics": metrics, "properties": self.properties(entity, name), "active": bool(recent)}

    def born(self, entity: str, name: str) -> datetime:
        """Give `createdAt` where it is an instant not after `as_of`, else the first message that names the entity or is
        attributed to it."""
        traits = (self.user_traits if entity == "user" else self.account_traits).get(name, {})
        created = instant(traits.get("createdAt"))
        if created is not None and created <= self.as_of:
            return created
        first = self.first_named[entity, name]
        return min(first, self.first_attributed.get(name, first)) if entity == "account" else first

    def money(self) -> None:
        """Give accounts their MRR and renewal date, users the sum and the earliest that is not past (§8)."""
        today = self.as_of.astimezone(self.zone).date()
        for facts in self.account_facts.values():
            mrr, renewal = facts["properties"].get("mrr"), facts["properties"].get("renewal_date")
            facts["mrr"] = mrr if isinstance(mrr, float) else None
            facts["renewal_date"] = renewal if isinstance(renewal, date) else None
        for user, facts in self.user_facts.items():
            mine = [self.account_facts[account] for account in sorted(self.accounts_of.get(user, ()))]
            known = [account["mrr"] for account in mine if account["mrr"] is not None]
            days = [self.as_day(account["renewal_date"]) for account in mine if account["renewal_date"] is not None]
            facts["mrr"] = math.fsum(known) if known else None
            facts["renewal_date"] = min((day for day in days if day >= today), default=None)

    def as_day(self, value: date | datetime) -> date:
        return value.astimezone(self.zone).date() if isinstance(value, datetime) else value

    # --- types ---

    def user_types(self) -> dict[str, list[str]]:
        """Give the sorted types of every user that is not deactivated (§4)."""
        living = [user for user in self.users if user not in self.deactivated]
        powerful = self.power_users([user for user in living if self.user_facts[user]["active"]])
        self.lapsed: set[str] = set()
        types = {}
        for user in living:
            active = self.user_facts[user]["active"]
            seen = self.user_facts[user]["metrics"]["last_active_at"] is not None
            mine = ["active" if active else "inactive" if seen else "zombie"]
            if self.is_champion(user):
                if active:
                    mine.append("influencer")
                else:
                    self.lapsed.add(user)
            if user in powerful:
                mine.append("power")
            types[user] = sorted(mine)
        return types

    def power_users(self, active: list[str]) -> set[str]:
        rule = (self.model.get("user_types") or {}).get("power") or {}
        measure = rule.get("measure", "events")
        limit = power_limit(rule.get("share", "0.10"), len(active))
        values = {user: self.user_facts[user]["metrics"][measure] for user in active}
        ranked = sorted((value for value in values.values() if value is not None), reverse=True)
        at_least = {value: place for place, value in enumerate(ranked, start=1)}  # the last place of a tie stands
        return {user for user, value in values.items() if value is not None and at_least[value] <= limit}

    def is_champion(self, user: str) -> bool:
        """Tell whether the user is linked to a live contact and `influencer.where` holds, if given."""
        rule = (self.model.get("user_types") or {}).get("influencer") or {}
        connectors = rule.get("connectors", list(self.crm))
        if not any(user in self.crm.get(connector, {}).get("users", {}) for connector in connectors):
            return False
        return "where" not in rule or self.matched(rule["where"], self.rule_values(user))

    def rule_values(self, user: str) -> Row:
        facts = self.user_facts[user]
        values = {**facts["properties"], **facts["metrics"], "mrr": facts["mrr"], "renewal_date": facts["renewal_date"]}
        mine = self.accounts_of.get(user, set())
        if len(mine) == 1:
            account = self.account_facts[next(iter(mine))]
            values.update({f"account.{k}": v for k, v in {**account["properties"], **account["metrics"]}.items()})
        today = self.as_of.astimezone(self.zone).date()
        days = {f"days_to_{k}": (self.as_day(v) - today).days for k, v in values.items() if isinstance(v, date)}
        return {**values, **days}

    def links(self, side: str, name: str) -> Row:
        return {
            connector: {"object": link["object"], "id": link["id"], "url": link.get("url")}
            for connector, sides in self.crm.items()
            if (link := sides[side].get(name))
        }
